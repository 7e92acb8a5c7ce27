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
    uid: str | None = None


class PullerMeta(_Wire):
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
    key: str | None = None
    operator: str | None = None
    values: list[str] | None = None


class PullerTerm(_Wire):
    match_expressions: list[PullerRequirement] | None = None
    match_fields: list[PullerRequirement] | None = None


class PullerTerms(_Wire):
    node_selector_terms: list[PullerTerm] | None = None


class PullerNodeAffinity(_Wire):
    required: PullerTerms | None = msgspec.field(
        name="requiredDuringSchedulingIgnoredDuringExecution", default=None
    )


class PullerAffinity(_Wire):
    node_affinity: PullerNodeAffinity | None = None


class PullerPodSpec(_Wire):
    node_name: str | None = None
    affinity: PullerAffinity | None = None


class PullerWaiting(_Wire):
    reason: str | None = None
    message: str | None = None


class PullerContainerState(_Wire):
    waiting: PullerWaiting | None = None


class PullerContainerStatus(_Wire):
    name: str | None = None
    image_id: str | None = msgspec.field(name="imageID", default=None)
    state: PullerContainerState | None = None


class PullerCondition(_Wire):
    type: str | None = None
    status: str | None = None
    last_transition_time: dt.datetime | None = None


class PullerPodStatus(_Wire):
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
    spec: PullerPodSpec | None = None


class PullerSetSpec(_Wire):
    template: PullerTemplate | None = None


class PullerSetStatus(_Wire):
    observed_generation: int | None = None
    desired_number_scheduled: int | None = None
    number_ready: int | None = None


class WirePullerSet(_Wire):
    """A DaemonSet of ours on the wire."""

    metadata: PullerMeta | None = None
    spec: PullerSetSpec | None = None
    status: PullerSetStatus | None = None
