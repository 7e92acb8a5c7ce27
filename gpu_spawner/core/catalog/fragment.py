"""The profile's part of a pod: what compiling a selection gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gpu_spawner.core.catalog.amounts import Amount
from gpu_spawner.core.catalog.claims import PodClaim
from gpu_spawner.core.catalog.flavors import LabelIn, Toleration
from gpu_spawner.core.catalog.model import Selection
from gpu_spawner.core.devices.fractions.request import FractionRequest

__all__ = ["PodFragment", "Term"]

Term = dict[str, list[dict[str, Any]]]
"""A node selector term as Kubernetes writes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFragment:
    """The profile's part of a pod.

    Attributes:
        selection: what it was compiled from, with the flavors and the mechanism of this way.
        image: the reference to pull.
        cpu: in milli-CPU; an amount without request and limit leaves the site's settings alone.
        memory: in bytes, likewise.
        extended_resources: of the notebook container, in requests and limits alike.
        devices: how many devices of each resource the pod holds with all of its containers; empty
            where claims or another scheduler hand them out.
        unit_count: how many shares the pod holds with all of its containers.
        claims: the pod's claims, and which containers use them.
        required_terms: node affinity terms as Kubernetes writes them, of which one must match;
            empty for no such rule.
        preferred_terms: node affinity that only steers, likewise.
        shm_bytes: size of ``/dev/shm``; 0 leaves the container runtime's.
        annotations: of the pod.
        labels: of the pod: which choice it was made for, and what mechanism and queue need.
        sidecars: containers as Kubernetes writes them, claims included.
        scheduler_name: None leaves the site's; empty is the cluster's default.
        service_account, start_timeout_seconds: None leaves the site's.
        max_wait_seconds: how long it may wait for a node; 0 where its user did not ask to wait.
        is_queued: whether the server waits in a queue until there is room, so that a full cluster
            is no reason to refuse it.
        override: the profile's escape hatch, merged last.
        hardware: the labels of the GPUs it may land on, one group a flavor; empty where claims
            tell. The pod says the same, and more, in ``required_terms``.
        architectures, min_cuda: what the image needs, for the reasons in an offer; likewise.
        fraction: the part of a GPU as its own scheduler counts it; None where Kubernetes counts.
    """

    selection: Selection
    image: str
    cpu: Amount
    memory: Amount
    extended_resources: Mapping[str, int]
    devices: Mapping[str, int]
    unit_count: int
    claims: tuple[PodClaim, ...]
    node_selector: Mapping[str, str]
    required_terms: tuple[Term, ...]
    preferred_terms: tuple[dict[str, Any], ...]
    tolerations: tuple[Toleration, ...]
    shm_bytes: int
    environment: Mapping[str, str]
    annotations: Mapping[str, str]
    labels: Mapping[str, str]
    sidecars: tuple[Mapping[str, Any], ...]
    scheduler_name: str | None
    service_account: str | None
    start_timeout_seconds: int | None
    max_wait_seconds: int
    is_queued: bool
    default_url: str
    cmd: tuple[str, ...]
    override: Mapping[str, Any]
    hardware: tuple[tuple[LabelIn, ...], ...]
    architectures: frozenset[str]
    min_cuda: tuple[int, int] | None
    fraction: FractionRequest | None = None
