"""The answer of ``gpu-spawner whatif``: seats of a manifest in a saved cluster, with all reasons.

Decides only how the answer is laid out; what fits is decided in ``seats``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.errors import ConfigError, Problem
from gpu_spawner.core.placement.fitting import Rejection
from gpu_spawner.core.placement.pod_request import request_from_pod
from gpu_spawner.core.placement.resource_rules import refused_amounts
from gpu_spawner.core.placement.runtime_class import with_runtime_class
from gpu_spawner.core.placement.scheduling import scheduler_words
from gpu_spawner.core.placement.seats import count_seats

__all__ = ["whatif"]


def whatif(
    items: Sequence[Mapping[str, Any]],
    pod: Mapping[str, Any],
    *,
    cluster_source: str = "cluster",
    pod_source: str = "pod",
) -> dict[str, Any]:
    """Count the seats of a pod in a cluster.

    Args:
        items: the cluster's objects: the ``items`` of a ``v1`` List as kubectl prints it.
        pod: the pod's manifest.
        cluster_source: what to call the cluster in an error, such as a file name.
        pod_source: the same for the pod.

    Returns:
        ``{"seats": n, "nodes": {NAME: {"seats": n, "reasons": [...]}}}``, nodes ordered by name.
        The reasons are those for which the next such pod cannot join, in the scheduler's words.
        Where the number cannot be known, ``seats`` is None and ``reason`` says why.

    Raises:
        ConfigError: an object or the pod is not what the API would accept; all of them at once.
    """
    problems: list[Problem] = []
    snapshot = request = None
    try:
        snapshot = Snapshot.from_objects(items, source=cluster_source).thoroughly()
    except ConfigError as error:
        problems.extend(error.problems)
    unknown = ""
    try:
        whole_pod, unknown = with_runtime_class(pod, items)
        request = request_from_pod(
            whole_pod,
            source=pod_source,
            is_whole=True,
            claim_specs=_claim_specs(snapshot, whole_pod),
        )
        problems.extend(refused_amounts(pod, pod_source))
    except ConfigError as error:
        problems.extend(error.problems)
    except ValueError as error:
        problems.append(Problem(file=pod_source, message=f"{error}.", cure="Make them agree."))
    if snapshot is None or request is None or problems:
        raise ConfigError(problems)
    if not snapshot.nodes:
        return {"seats": None, "nodes": {}, "reason": f"{cluster_source} lists no nodes"}
    if unknown:
        return {"seats": None, "nodes": {}, "reason": unknown}
    seats = count_seats(snapshot, request)
    if seats.free is None:
        return {"seats": None, "nodes": {}, "reason": seats.unknown}
    return {
        "seats": seats.free,
        "nodes": {
            name: {
                "seats": seats.nodes[name].free,
                "reasons": [_sentence(found) for found in seats.nodes[name].rejections],
            }
            for name in sorted(seats.nodes)
        },
    }


def _claim_specs(snapshot: Snapshot | None, pod: object) -> dict[str, Mapping[str, Any]]:
    """Return the specs of the claim templates in a pod's namespace, by name."""
    meta = pod.get("metadata") if isinstance(pod, Mapping) else None
    namespace = (meta.get("namespace") if isinstance(meta, Mapping) else None) or "default"
    templates = (snapshot.claim_templates or {}) if snapshot is not None else {}
    return {
        name: msgspec.json.decode(template.spec)
        for (where, name), template in templates.items()
        if where == namespace
    }


def _sentence(rejection: Rejection) -> str:
    return f"{scheduler_words(rejection)}: {rejection.detail or rejection.reason}"
