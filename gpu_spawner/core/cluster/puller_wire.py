"""The preloader's DaemonSets and their pods on the wire: the fields ``pullers`` reads, as msgspec.

Everything may be absent or null; unknown fields are skipped.
"""

import datetime as dt

import msgspec

__all__ = [
    "PullerAffinity",
    "PullerCondition",
    "PullerContainerState",
    "PullerContainerStatus",
    "PullerMeta",
    "PullerNodeAffinity",
    "PullerOwner",
    "PullerPodSpec",
    "PullerPodStatus",
    "PullerRequirement",
    "PullerSetSpec",
    "PullerSetStatus",
    "PullerTemplate",
    "PullerTerm",
    "PullerTerms",
    "PullerWaiting",
    "WirePullerPod",
    "WirePullerSet",
]


class _Wire(msgspec.Struct, rename="camel", gc=False):
    """Nulls are absences; unknown fields are skipped."""


class PullerOwner(_Wire):
    """An entry of ``metadata.ownerReferences``."""

    uid: str | None = None


class PullerMeta(_Wire):
    """``metadata`` of an object."""

    name: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[PullerOwner] | None = None
    creation_timestamp: dt.datetime | None = None
    deletion_timestamp: dt.datetime | None = None
    generation: int | None = None


class PullerRequirement(_Wire):
    """A requirement of a node selector's term."""

    key: str | None = None
    operator: str | None = None
    values: list[str] | None = None


class PullerTerm(_Wire):
    """A term of a node selector."""

    match_expressions: list[PullerRequirement] | None = None
    match_fields: list[PullerRequirement] | None = None


class PullerTerms(_Wire):
    """Terms, one of which must match."""

    node_selector_terms: list[PullerTerm] | None = None


class PullerNodeAffinity(_Wire):
    """``affinity.nodeAffinity``, as far as it refuses."""

    required: PullerTerms | None = msgspec.field(
        name="requiredDuringSchedulingIgnoredDuringExecution", default=None
    )


class PullerAffinity(_Wire):
    """``spec.affinity`` of a pod."""

    node_affinity: PullerNodeAffinity | None = None


class PullerPodSpec(_Wire):
    """``spec`` of a pod: where it is meant to be, and where it is."""

    node_name: str | None = None
    affinity: PullerAffinity | None = None


class PullerWaiting(_Wire):
    """Why a container waits."""

    reason: str | None = None
    message: str | None = None


class PullerRunning(_Wire):
    """Since when a container runs."""

    started_at: dt.datetime | None = None


class PullerTerminated(_Wire):
    """When a container ended."""

    finished_at: dt.datetime | None = None


class PullerContainerState(_Wire):
    """What a container is doing."""

    waiting: PullerWaiting | None = None
    running: PullerRunning | None = None
    terminated: PullerTerminated | None = None


class PullerContainerStatus(_Wire):
    """A container's status, and what the runtime calls its image."""

    name: str | None = None
    image_id: str | None = msgspec.field(name="imageID", default=None)
    state: PullerContainerState | None = None
    last_state: PullerContainerState | None = None


class PullerCondition(_Wire):
    """A condition of a pod, and since when it is so."""

    type: str | None = None
    status: str | None = None
    last_transition_time: dt.datetime | None = None


class PullerPodStatus(_Wire):
    """``status`` of a pod."""

    phase: str | None = None
    reason: str | None = None
    message: str | None = None
    conditions: list[PullerCondition] | None = None
    init_container_statuses: list[PullerContainerStatus] | None = None
    container_statuses: list[PullerContainerStatus] | None = None


class WirePullerPod(_Wire):
    """A pod of ours on the wire."""

    metadata: PullerMeta | None = None
    spec: PullerPodSpec | None = None
    status: PullerPodStatus | None = None


class PullerTemplate(_Wire):
    """A DaemonSet's template."""

    spec: PullerPodSpec | None = None


class PullerSetSpec(_Wire):
    """``spec`` of a DaemonSet."""

    template: PullerTemplate | None = None


class PullerSetStatus(_Wire):
    """``status`` of a DaemonSet, as its controller counts."""

    observed_generation: int | None = None
    desired_number_scheduled: int | None = None
    number_ready: int | None = None


class WirePullerSet(_Wire):
    """A DaemonSet of ours on the wire."""

    metadata: PullerMeta | None = None
    spec: PullerSetSpec | None = None
    status: PullerSetStatus | None = None
