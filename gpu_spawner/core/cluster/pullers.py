"""The preloader's own objects as the cluster shows them: its DaemonSets and their pods.

Everything the preloader has to remember is written on its DaemonSets, so that a hub that restarts,
or a second controller, knows as much as the first. Here is how that is read; what follows from it
is for ``core.preload``.
"""

import datetime as dt
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import msgspec

from gpu_spawner.core.cluster.puller_wire import (
    PullerMeta,
    PullerPodSpec,
    PullerPodStatus,
    PullerSetSpec,
    PullerSetStatus,
    PullerTemplate,
    PullerTerm,
    PullerWaiting,
    WirePullerPod,
    WirePullerSet,
)

__all__ = [
    "COMPONENT",
    "COMPONENT_LABEL",
    "IMAGE_ANNOTATION",
    "IMAGE_CONTAINER",
    "NOTES_ANNOTATION",
    "SET_LABEL",
    "TEMPLATE_ANNOTATION",
    "LearntPull",
    "PullState",
    "PullerPod",
    "PullerSet",
    "SetNotes",
    "Setback",
    "build_puller_pod",
    "build_puller_set",
]

_PREFIX: Final = "gpu-spawner.jupyter.org/"
COMPONENT_LABEL: Final = "app.kubernetes.io/component"
COMPONENT: Final = "image-preloader"
"""What selects our objects; never KubeSpawner's ``component: singleuser-server``."""
SET_LABEL: Final = f"{_PREFIX}preload"
"""Of a DaemonSet and its pods: the DaemonSet's name."""
IMAGE_ANNOTATION: Final = f"{_PREFIX}preload-image"
TEMPLATE_ANNOTATION: Final = f"{_PREFIX}preload-template"
"""A digest of the template as we wrote it; the API server completes what it is given."""
NOTES_ANNOTATION: Final = f"{_PREFIX}preload-notes"
IMAGE_CONTAINER: Final = "image"
"""The container that runs the image itself, where there is one."""

_HOSTNAME: Final = "kubernetes.io/hostname"
_FAILURES: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "CrashLoopBackOff",
    }
)
"""Reasons for which a container waits in vain, from the kubelet's ``images`` and ``container``."""
_MAX_MESSAGE: Final = 300
_MAX_SETBACKS: Final = 100
_MAX_AWAITED: Final = 500


class PullState(StrEnum):
    """How far a puller pod is."""

    WAITING = "waiting"
    """It has no node yet."""
    PULLING = "pulling"
    READY = "ready"
    """The image is on the node, and held there."""
    FAILED = "failed"


class PullerPod(msgspec.Struct, frozen=True, kw_only=True):
    """A pod of one of our DaemonSets.

    Attributes:
        node: where it runs, or where it is meant to; empty where nobody can tell.
        reason: why it failed, in Kubernetes' word; else empty. ``message`` has the details.
        image_id: what the runtime calls the image it runs; empty where that is not told.
        created: unix seconds. ``ready_at`` likewise, since when it is ready; 0 while it is not.
        ended_at: when its containers last ended, as at a node's reboot, likewise; 0 for never.
    """

    name: str
    uid: str = ""
    set_name: str
    image: str = ""
    node: str = ""
    state: PullState = PullState.WAITING
    reason: str = ""
    message: str = ""
    image_id: str = ""
    created: int = 0
    ready_at: int = 0
    ended_at: int = 0
    is_terminating: bool = False

    @property
    def waiting_since(self) -> int:
        """Since when it has been on its way to what it is now, in unix seconds."""
        return max(self.created, self.ended_at)


class Setback(msgspec.Struct, frozen=True, omit_defaults=True):
    """Failures of one image on one node, in a row, and when to try again (unix seconds).

    ``why`` is the reason of the last one, in one word; empty where it was not noted.
    """

    count: int
    retry_at: int
    why: str = ""


class LearntPull(msgspec.Struct, frozen=True):
    """How long pulls of an image took on one kind of node: a moving average of ``count`` pulls."""

    seconds: float
    count: int
    size_bytes: int = 0


class SetNotes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the preloader remembers about an image in a pool; kept in an annotation.

    All times are unix seconds.

    Attributes:
        unwanted_since: since when no profile wants it; 0 while one does.
        failures: attempts that failed since the image last arrived anywhere.
        failed_at: the last of them. ``retry_at``: when to try the next node; 0 for at once.
        why: the reason of the last failure; empty when none counts any more.
        is_throttled: whether it was the registry that asked for fewer pulls.
        setbacks: by node.
        learnt: by kind of node, as ``core.preload.durations`` names it.
        refresh_since: since when nodes with an older version of a moved tag are pulling it again.
        size_bytes: of the image, compressed; the profiles may no longer tell it. 0: not known.
        awaited: admitted nodes for which no pod has been made yet, with when they were admitted.
    """

    unwanted_since: int = 0
    failures: int = 0
    failed_at: int = 0
    retry_at: int = 0
    why: str = ""
    is_throttled: bool = False
    setbacks: dict[str, Setback] = {}
    learnt: dict[str, LearntPull] = {}
    refresh_since: int = 0
    awaited: dict[str, int] = {}
    size_bytes: int = 0

    def as_annotation(self) -> str:
        """Write them as the annotation's JSON, always the same for the same notes."""
        latest = sorted(self.setbacks.items(), key=lambda item: -item[1].retry_at)
        longest = sorted(self.awaited.items(), key=lambda item: (item[1], item[0]))
        bounded = msgspec.structs.replace(
            self,
            setbacks=dict(sorted(latest[:_MAX_SETBACKS])),
            awaited=dict(sorted(longest[:_MAX_AWAITED])),
        )
        return msgspec.json.encode(bounded, order="deterministic").decode()


class PullerSet(msgspec.Struct, frozen=True, kw_only=True):
    """One of our DaemonSets.

    Attributes:
        nodes: the host names it is confined to; None where it goes by the pool's own rules.
        template: the digest of the template it was last written with.
        owner_uids: the objects whose end is its end.
        is_settled: whether its controller has seen it, and every pod it wants is ready.
    """

    name: str
    uid: str = ""
    resource_version: str = ""
    image: str = ""
    nodes: frozenset[str] | None = None
    template: str = ""
    notes: SetNotes = SetNotes()
    owner_uids: frozenset[str] = frozenset()
    is_settled: bool = False
    is_terminating: bool = False


def build_puller_pod(wire: WirePullerPod) -> PullerPod:
    """Build a puller pod from its wire form.

    Raises:
        ValueError: the name is missing.
    """
    meta, status = wire.metadata or PullerMeta(), wire.status or PullerPodStatus()
    spec = wire.spec or PullerPodSpec()
    ready_at = _ready_at(status)
    state, reason, message = _judge(status, has_node=bool(spec.node_name), ready_at=ready_at)
    return PullerPod(
        name=_name(meta),
        uid=meta.uid or "",
        set_name=(meta.labels or {}).get(SET_LABEL, ""),
        image=(meta.annotations or {}).get(IMAGE_ANNOTATION, ""),
        node=spec.node_name or _meant_for(spec),
        state=state,
        reason=reason,
        message=message[:_MAX_MESSAGE],
        image_id=next(
            (
                one.image_id or ""
                for one in status.container_statuses or ()
                if one.name == IMAGE_CONTAINER
            ),
            "",
        ),
        created=_unix(meta.creation_timestamp),
        ready_at=ready_at if state is PullState.READY else 0,
        ended_at=_ended_at(status),
        is_terminating=meta.deletion_timestamp is not None,
    )


def build_puller_set(wire: WirePullerSet) -> PullerSet:
    """Build a DaemonSet from its wire form; notes that cannot be read count as none.

    Raises:
        ValueError: the name is missing.
    """
    meta, status = wire.metadata or PullerMeta(), wire.status or PullerSetStatus()
    annotations = meta.annotations or {}
    template = (wire.spec or PullerSetSpec()).template or PullerTemplate()
    return PullerSet(
        name=_name(meta),
        uid=meta.uid or "",
        resource_version=meta.resource_version or "",
        image=annotations.get(IMAGE_ANNOTATION, ""),
        nodes=_confined_to(template.spec or PullerPodSpec()),
        template=annotations.get(TEMPLATE_ANNOTATION, ""),
        notes=_notes(annotations.get(NOTES_ANNOTATION, "")),
        owner_uids=frozenset(owner.uid or "" for owner in meta.owner_references or ()),
        # A DaemonSet nobody has looked at says 0 of 0, which is not "all".
        is_settled=(status.observed_generation or 0) >= (meta.generation or 1)
        and (status.number_ready or 0) >= (status.desired_number_scheduled or 0),
        is_terminating=meta.deletion_timestamp is not None,
    )


def _judge(status: PullerPodStatus, *, has_node: bool, ready_at: int) -> tuple[PullState, str, str]:
    if status.phase in ("Failed", "Succeeded"):
        return PullState.FAILED, status.reason or "Ended", status.message or ""
    for waiting in _waiting(status):
        if waiting.reason in _FAILURES:
            return PullState.FAILED, waiting.reason or "", waiting.message or ""
    if ready_at:
        return PullState.READY, "", ""
    return (PullState.PULLING if has_node else PullState.WAITING), "", ""


def _waiting(status: PullerPodStatus) -> Iterator[PullerWaiting]:
    for one in (*(status.init_container_statuses or ()), *(status.container_statuses or ())):
        if one.state is not None and one.state.waiting is not None:
            yield one.state.waiting


def _ready_at(status: PullerPodStatus) -> int:
    """Return since when the image is held; 0 while it is not.

    A container that runs holds it, whatever the condition says: that of every pod turns false while
    its node does not report, and the node has its images all the same.
    """
    for condition in status.conditions or ():
        if condition.type == "Ready" and condition.status == "True":
            return _unix(condition.last_transition_time) or 1
    running = [one.state.running if one.state else None for one in status.container_statuses or ()]
    started = [_unix(one.started_at) or 1 for one in running if one is not None]
    return max(started) if started and len(started) == len(running) else 0


def _ended_at(status: PullerPodStatus) -> int:
    states = [
        state for one in status.container_statuses or () for state in (one.state, one.last_state)
    ]
    ended = [state.terminated for state in states if state is not None]
    return max((_unix(one.finished_at) for one in ended if one is not None), default=0)


def _terms(spec: PullerPodSpec) -> Iterator[PullerTerm]:
    affinity = spec.affinity.node_affinity if spec.affinity else None
    if affinity is not None and affinity.required is not None:
        yield from affinity.required.node_selector_terms or ()


def _meant_for(spec: PullerPodSpec) -> str:
    """Return the node a DaemonSet's controller made the pod for."""
    for term in _terms(spec):
        for field in term.match_fields or ():
            if field.key == "metadata.name" and field.operator == "In" and field.values:
                return field.values[0]
    return ""


def _confined_to(spec: PullerPodSpec) -> frozenset[str] | None:
    """Return the host names a template is confined to, where every term is."""
    names: set[str] = set()
    terms = list(_terms(spec))
    for term in terms:
        found = [one for one in term.match_expressions or () if one.key == _HOSTNAME]
        if not found and not _is_nowhere(term):
            return None
        names.update(name for one in found for name in one.values or ())
    return frozenset(names) if terms else None


def _is_nowhere(term: PullerTerm) -> bool:
    return any(one.key == SET_LABEL for one in term.match_expressions or ())


def _notes(text: str) -> SetNotes:
    try:
        return msgspec.json.decode(text, type=SetNotes) if text else SetNotes()
    except ValueError:  # somebody edited the annotation
        return SetNotes()


def _name(meta: PullerMeta) -> str:
    if not meta.name:
        raise ValueError("metadata.name: missing")
    return meta.name


def _unix(moment: dt.datetime | None) -> int:
    return int(moment.timestamp()) if moment else 0
