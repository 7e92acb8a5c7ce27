"""Which mechanisms can serve a choice of a profile, and why the others cannot.

A mechanism knows flavors and shares. Whether what it puts into the pod goes together with what else
the profile wants (its scheduler, its queue, its sidecars) is decided here, in one place for
compiling and for refusing a configuration.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gpu_spawner.core.catalog.claims import DeviceWish, template_for
from gpu_spawner.core.catalog.flavors import Flavor
from gpu_spawner.core.catalog.mechanisms import (
    MECHANISMS,
    Mistake,
    PodSide,
    find_mistake,
    pod_sides,
)
from gpu_spawner.core.catalog.model import Profile, Share, Sidecar
from gpu_spawner.core.cluster.card_shares import HAMI

__all__ = ["Candidate", "candidates", "find_objection"]

_QUEUE_CURE: Final = "Remove kueue, or have the GPUs in another way."


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One mechanism that can serve a choice of one flavor.

    Attributes:
        mechanism: its name.
        flavor: the flavor's name.
        side: what goes into the notebook's part of the pod.
        sidecars: what goes into the sidecars that have GPUs of their own, in the profile's order.
    """

    mechanism: str
    flavor: str
    side: PodSide
    sidecars: tuple[tuple[Sidecar, PodSide], ...] = ()


def candidates(profile: Profile, flavor: Flavor, share: Share, count: int) -> Iterator[Candidate]:
    """Yield the mechanisms that can serve ``count`` of a share, in the admin's order."""
    for found in _judged(profile, flavor, share, count):
        if isinstance(found, Candidate):
            yield found


def find_objection(profile: Profile, flavor: Flavor, share: Share, count: int) -> Mistake | None:
    """Return why a profile cannot offer ``count`` of a share of a flavor, or None where it can."""
    mistake = find_mistake(flavor, share, count)
    if mistake is not None:
        return mistake
    objections: list[Mistake] = []
    for found in _judged(profile, flavor, share, count):
        if isinstance(found, Candidate):
            return None
        objections.append(found)
    return objections[0] if objections else None


def _judged(
    profile: Profile, flavor: Flavor, share: Share, count: int
) -> Iterator[Candidate | Mistake]:
    for mechanism, side in pod_sides(flavor, share, count):
        objection = (
            _wrong_scheduler(profile, mechanism, side)
            or _wrong_queue(profile, side)
            or _wrong_privilege(profile, side)
        )
        yield objection or _with_sidecars(profile, flavor, mechanism, side, share)


def _wrong_scheduler(profile: Profile, mechanism: str, side: PodSide) -> Mistake | None:
    wanted, needed = profile.scheduler_name, side.scheduler_name
    if wanted is None or needed is None or wanted == needed or side.may_change_scheduler:
        return None
    return Mistake(
        part="scheduler_name",
        message=f"got '{wanted}', but {mechanism} needs "
        f"{f'the scheduler {needed!r}' if needed else 'the default scheduler'}",
        cure="Leave scheduler_name out.",
    )


def _wrong_queue(profile: Profile, side: PodSide) -> Mistake | None:
    """Refuse what Kueue does not admit of a claim (its "Dynamic Resource Allocation" concept)."""
    if profile.queue is None or side.devices is None:
        return None
    what = _refused_by_kueue(side.devices)
    if not what:
        return None
    return Mistake(part="kueue", message=f"Kueue admits no claim with {what}", cure=_QUEUE_CURE)


def _wrong_privilege(profile: Profile, side: PodSide) -> Mistake | None:
    """Refuse a privileged container where HAMi's webhook would refuse the pod."""
    config = profile.override.get("extra_container_config")
    context = config.get("securityContext") if isinstance(config, Mapping) else None
    inner = context.get("privileged") if isinstance(context, Mapping) else None
    if side.fraction is None or side.fraction.scheme != HAMI:
        return None
    if not (profile.override.get("privileged") or inner):
        return None
    return Mistake(
        part="kubespawner_override",
        message="the server is privileged, which HAMi refuses: it could get around its limits",
        cure="Remove privileged, or have the GPUs in another way.",
    )


def _refused_by_kueue(wish: DeviceWish) -> str:
    devices = template_for([wish]).spec["devices"]
    requests = devices["requests"]
    exact = [request.get("exactly", {}) for request in requests]
    found = {
        "firstAvailable": any("firstAvailable" in request for request in requests),
        "allocationMode All": any(one.get("allocationMode") == "All" for one in exact),
        "adminAccess": any(one.get("adminAccess") for one in exact),
        "a consumed capacity": any(one.get("capacity") for one in exact),
        "constraints": bool(devices.get("constraints")),
        "config": bool(devices.get("config")),
    }
    return next((what for what, is_there in found.items() if is_there), "")


def _with_sidecars(
    profile: Profile, flavor: Flavor, mechanism: str, side: PodSide, share: Share
) -> Candidate | Mistake:
    own: list[tuple[Sidecar, PodSide]] = []
    for sidecar in profile.sidecars:
        gpu = sidecar.gpu
        if gpu is None:
            continue
        if gpu.is_shared:
            if side.devices is None:
                return Mistake(
                    part="sidecars",
                    message=f"'{sidecar.name}' is to share the notebook's GPU, which takes a "
                    f"claim; flavor '{flavor.name}' is had by {mechanism}",
                    cure="Give it a GPU of its own with gpu: {count: 1}, or use a flavor with dra.",
                )
            continue
        wanted = gpu.share or share
        beside = MECHANISMS[mechanism].pod_side(flavor, wanted, gpu.count)
        if beside is None:
            mistake = MECHANISMS[mechanism].mistake(flavor, wanted, gpu.count)
            return Mistake(
                part="sidecars",
                message=f"'{sidecar.name}': {mistake.message if mistake else 'cannot be served'}",
                cure=mistake.cure if mistake else "Change its share.",
            )
        if side.fraction is not None or side.annotations:
            return Mistake(
                part="sidecars",
                message=f"'{sidecar.name}' has a GPU of its own, but {mechanism} gives parts of "
                "GPUs to one container of a pod",
                cure="Remove its gpu, or have the GPUs in another way.",
            )
        own.append((sidecar, beside))
    return Candidate(mechanism=mechanism, flavor=flavor.name, side=side, sidecars=tuple(own))
