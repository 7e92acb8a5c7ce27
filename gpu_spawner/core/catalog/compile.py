"""Compile a selection into what its pod needs: one fragment for each way of serving it.

A ``PodFragment`` is the profile's part of a pod, built from scratch for every selection, so that a
choice never leaks into the next spawn. How it meets the site's part is for ``site_pod``.
Compiling is total and deterministic: the same selection gives the same fragments.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gpu_spawner.core.catalog.candidates import Candidate, candidates
from gpu_spawner.core.catalog.claims import (
    CLAIM_NAME,
    NOTEBOOK,
    DeviceWish,
    PodClaim,
    are_alternatives,
    template_for,
)
from gpu_spawner.core.catalog.flavors import LabelIn
from gpu_spawner.core.catalog.fragment import PodFragment
from gpu_spawner.core.catalog.mechanisms import PodSide
from gpu_spawner.core.catalog.model import Catalog, Image, Profile, Selection
from gpu_spawner.core.catalog.node_terms import preferred_terms, required_terms
from gpu_spawner.core.catalog.sidecar_pods import claim_name_of, compile_sidecar

__all__ = ["LABEL_PREFIX", "PodFragment", "compile_selection", "compile_ways"]

LABEL_PREFIX: Final = "gpu-spawner.jupyter.org/"
"""Of the labels that say which choice a pod was made for."""

_QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"
_PRIORITY_LABEL: Final = "kueue.x-k8s.io/priority-class"


@dataclass(slots=True)
class _Group:
    """Candidates that one pod can stand for."""

    members: list[Candidate] = field(default_factory=list)

    @property
    def first(self) -> Candidate:
        return self.members[0]

    def takes(self, other: Candidate, *, is_queued: bool) -> bool:
        """Tell whether a pod for the members could just as well be one for another candidate."""
        if _common(self.first) != _common(other):
            return False
        if other.side.devices is None:
            return True
        # Node labels cannot follow what a claim is given, so they must be the same; and Kueue takes
        # no claim with alternatives. Of one flavor the first way with a seat is taken, which a
        # claim would leave to the scheduler.
        members = [*self.members, other]
        return (
            not is_queued
            and other.side.node_labels == self.first.side.node_labels
            and other.flavor not in [member.flavor for member in self.members]
            and all(map(are_alternatives, _claimed(members)))
        )


def _claimed(members: Sequence[Candidate]) -> Iterator[list[DeviceWish]]:
    """Yield what candidates want of each claim of their pod: the notebook's, then sidecars'."""
    yield [member.side.devices for member in members if member.side.devices is not None]
    for position, _ in enumerate(members[0].sidecars):
        yield _wishes_of(members, position)


def _common(one: Candidate) -> tuple[object, ...]:
    """Return what must be equal for two candidates to fit in one pod."""
    side = one.side
    return (
        # Claims differ in what they ask for and not in how, so that any may stand beside another.
        one.mechanism if side.devices is None else "",
        dict(side.resources),
        side.devices is None,
        side.scheduler_name,
        dict(side.annotations),
        dict(side.pod_labels),
        dict(side.environment),
        side.fraction,
        [(sidecar.name, dict(beside.resources)) for sidecar, beside in one.sidecars],
    )


def compile_ways(catalog: Catalog, selection: Selection) -> tuple[PodFragment, ...]:
    """Return a fragment for each way of serving a selection, in the order they are to be tried.

    Flavors whose pods differ in nothing but the nodes, or the devices of a claim, fit in one pod:
    its node affinity, or its claim, admits any of them, by whichever mechanism each claims its
    devices. Others, such as GPUs of two vendors' plugins or one flavor obtained by two mechanisms,
    need pods of their own; ``core.offers.board`` finds the first with a seat.
    """
    profile = catalog.profile(selection.profile)
    if profile is None:
        raise KeyError(selection.profile)
    if selection.share is None:
        return (_fragment(catalog, profile, selection, ()),)
    groups: list[_Group] = []
    for name in selection.flavors:
        for found in candidates(profile, catalog.flavors[name], selection.share, selection.count):
            if selection.mechanism_of(name) not in ("", found.mechanism):
                continue
            is_queued = profile.queue is not None
            group = next((one for one in groups if one.takes(found, is_queued=is_queued)), None)
            if group is None:
                groups.append(_Group([found]))
            else:
                group.members.append(found)
    return tuple(
        _fragment(
            catalog,
            profile,
            replace(
                selection,
                flavors=tuple(member.flavor for member in group.members),
                mechanisms=tuple(member.mechanism for member in group.members),
            ),
            group.members,
        )
        for group in groups
    )


def compile_selection(catalog: Catalog, selection: Selection) -> PodFragment:
    """Compile a selection that ``parse_options`` made from this catalog, or from a part of it.

    Where there are several ways, it is the first of them.
    """
    return compile_ways(catalog, selection)[0]


def _fragment(
    catalog: Catalog, profile: Profile, selection: Selection, members: Sequence[Candidate]
) -> PodFragment:
    image = _image(catalog, selection)
    chosen = profile.resources.chosen(selection.cpu_milli, selection.memory_bytes)
    resources = chosen.for_count(selection.count)
    sides = [member.side for member in members]
    side = sides[0] if sides else None
    min_cuda = image.min_cuda if members else None
    hardware = tuple(side.node_labels for side in sides)
    tells_by_labels = all(hardware)
    tolerations = [
        *(toleration for side in sides for toleration in side.tolerations),
        *profile.tolerations,
    ]
    own = _own_resources(members)
    return PodFragment(
        selection=selection,
        image=image.reference,
        cpu=resources.cpu,
        memory=resources.memory,
        extended_resources=side.resources if side is not None else {},
        devices=_devices(side, own.values()),
        unit_count=selection.count + _own_units(profile, selection),
        claims=_claims(profile, members),
        node_selector=profile.node_selector,
        required_terms=required_terms(hardware if tells_by_labels else (), image, min_cuda),
        preferred_terms=preferred_terms(_distinct(hardware)) if tells_by_labels else (),
        tolerations=tuple(dict.fromkeys(tolerations)),
        shm_bytes=resources.shm_bytes,
        environment=_environment(profile, selection, side),
        annotations={
            **_annotations(profile, selection),
            **(side.annotations if side is not None else {}),
        },
        labels=_labels(profile, selection, side.pod_labels if side is not None else {}),
        sidecars=tuple(
            compile_sidecar(
                sidecar,
                catalog.images,
                own.get(sidecar.name, {}),
                _claim_of(sidecar.name, profile, members),
                has_shm=resources.shm_bytes > 0,
            )
            for sidecar in profile.sidecars
        ),
        scheduler_name=_scheduler(profile, members),
        service_account=profile.service_account,
        start_timeout_seconds=profile.start_timeout_seconds,
        max_wait_seconds=_max_wait(profile, selection),
        is_queued=profile.queue is not None,
        default_url=image.default_url,
        cmd=image.cmd,
        override=profile.override,
        hardware=hardware if tells_by_labels else (),
        architectures=frozenset(image.architectures),
        min_cuda=min_cuda,
        fraction=side.fraction if side is not None else None,
    )


def _max_wait(profile: Profile, selection: Selection) -> int:
    """Return how long a server may wait; one with a queue waits in it, asked to or not."""
    is_waiting = selection.wait or profile.queue is not None
    return profile.max_wait_seconds if is_waiting else 0


def _distinct(hardware: Iterable[tuple[LabelIn, ...]]) -> list[tuple[LabelIn, ...]]:
    return list(dict.fromkeys(hardware))


def _own_units(profile: Profile, selection: Selection) -> int:
    """Return how many of the chosen shares sidecars have besides; others are counted nowhere."""
    own = [one.gpu for one in profile.sidecars if one.gpu is not None and not one.gpu.is_shared]
    return sum(gpu.count for gpu in own if gpu.share in (None, selection.share))


def _own_resources(members: Sequence[Candidate]) -> dict[str, Mapping[str, int]]:
    """Return the extended resources of sidecars, by sidecar; they are alike in all members."""
    if not members:
        return {}
    return {sidecar.name: side.resources for sidecar, side in members[0].sidecars}


def _devices(side: PodSide | None, others: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up devices over containers; huge pages, without a domain in their name, are none."""
    total: dict[str, int] = {}
    if side is None or side.fraction is not None:
        return total
    for resources in (side.resources, *others):
        for name, amount in resources.items():
            if "/" in name:
                total[name] = total.get(name, 0) + amount
    return total


def _claims(profile: Profile, members: Sequence[Candidate]) -> tuple[PodClaim, ...]:
    """Return the claim of the notebook, shared with the sidecars that ask for it, and their own."""
    if not members or members[0].side.devices is None:
        return ()
    sharing = [one.name for one in profile.sidecars if one.gpu is not None and one.gpu.is_shared]
    users = [
        (CLAIM_NAME, (NOTEBOOK, *sharing)),
        *((claim_name_of(sidecar), (sidecar.name,)) for sidecar, _ in members[0].sidecars),
    ]
    return tuple(
        PodClaim(name=name, template=template_for(wishes), containers=containers)
        for (name, containers), wishes in zip(users, _claimed(members), strict=True)
    )


def _wishes_of(members: Sequence[Candidate], position: int) -> list[DeviceWish]:
    sides = [member.sidecars[position][1] for member in members]
    return [side.devices for side in sides if side.devices is not None]


def _claim_of(sidecar: str, profile: Profile, members: Sequence[Candidate]) -> str:
    """Return the pod-local name of the claim a sidecar uses; empty where it uses none."""
    if not members or members[0].side.devices is None:
        return ""
    (found,) = [one for one in profile.sidecars if one.name == sidecar]
    if found.gpu is None:
        return ""
    return CLAIM_NAME if found.gpu.is_shared else claim_name_of(found)


def _scheduler(profile: Profile, members: Sequence[Candidate]) -> str | None:
    needed = members[0].side.scheduler_name if members else None
    is_free = not members or needed is None or members[0].side.may_change_scheduler
    return profile.scheduler_name if is_free and profile.scheduler_name is not None else needed


def _image(catalog: Catalog, selection: Selection) -> Image:
    """Return the image that is pulled; of a user's own nothing but the reference is known."""
    own = selection.own_image
    return (
        Image(name="", reference=own, display_name=own) if own else catalog.images[selection.image]
    )


def _annotations(profile: Profile, selection: Selection) -> dict[str, str]:
    """Return for whoever looks at the pod what its labels cannot hold."""
    rules = {
        "max-lifetime-seconds": profile.lifetime.max_seconds,
        "idle-timeout-seconds": profile.lifetime.idle_seconds,
        "own-image": selection.own_image or None,
    }
    return {f"{LABEL_PREFIX}{key}": str(value) for key, value in rules.items() if value is not None}


def _environment(profile: Profile, selection: Selection, side: PodSide | None) -> dict[str, str]:
    environment = {"GPU_SPAWNER_PROFILE": selection.profile}
    if selection.share is None:
        # Images for GPUs set NVIDIA_VISIBLE_DEVICES=all: on a GPU node, a server that asked for
        # none would see every GPU (NVIDIA container toolkit, "void").
        environment["NVIDIA_VISIBLE_DEVICES"] = "void"
    else:
        environment["GPU_SPAWNER_FLAVOR"] = selection.flavor
        environment["GPU_SPAWNER_SHARE"] = selection.share.label
        environment["GPU_SPAWNER_COUNT"] = str(selection.count)
        environment["GPU_SPAWNER_MECHANISM"] = selection.mechanism
    # For whatever in the server wants to warn of its end.
    if profile.lifetime.max_seconds is not None:
        environment["GPU_SPAWNER_MAX_LIFETIME_SECONDS"] = str(profile.lifetime.max_seconds)
    if profile.lifetime.idle_seconds is not None:
        environment["GPU_SPAWNER_IDLE_TIMEOUT_SECONDS"] = str(profile.lifetime.idle_seconds)
    return {**environment, **(side.environment if side is not None else {})}


def _labels(profile: Profile, selection: Selection, more: Mapping[str, str]) -> dict[str, str]:
    options = selection.as_user_options()
    options.pop("own_image", None)  # no label can hold a reference
    labels = {f"{LABEL_PREFIX}{key}": str(value) for key, value in options.items()}
    labels |= more
    if profile.queue is not None:
        labels[_QUEUE_LABEL] = profile.queue.name
        if profile.queue.priority_class:
            labels[_PRIORITY_LABEL] = profile.queue.priority_class
    return labels
