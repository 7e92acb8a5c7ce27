"""The inventory as plain values: the documented JSON, and what the admins' page shows.

Both are made from one document, so that they cannot disagree.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, Final

import msgspec

from gpu_spawner.core.errors import Problem
from gpu_spawner.core.offers.gpu_list import Gpu
from gpu_spawner.core.offers.inventory import Holder, Inventory, NodeInventory, WaitingPod
from gpu_spawner.core.preload.readiness import Readiness
from gpu_spawner.hub.preload_document import preload_document
from gpu_spawner.kube.conditions import ReflectorStatus

__all__ = ["LastActivity", "as_json", "inventory_document"]

as_json: Final = partial(msgspec.json.encode, enc_hook=str)
"""Write plain values as JSON, tens of thousands at once; sentences are a kind of text."""

LastActivity = Mapping[tuple[str, str], float]
"""Unix time of the last activity of each running server, by its user's name and its own."""


def inventory_document(  # noqa: PLR0913 - everything that is told comes in here
    inventory: Inventory,
    *,
    last_activity: LastActivity,
    problems: Iterable[Problem],
    cluster_problems: Iterable[Problem],
    watch: Iterable[ReflectorStatus],
    preload: Readiness,
    now: float,
) -> tuple[dict[str, Any], str]:
    """Return the answer of ``/hub/api/gpu-spawner/inventory``, and a tag of what it tells.

    ``nodes`` and ``waiting`` are null where they are unknown, ``used`` and ``free`` likewise, with
    the reasons in ``unknown``. Times are Unix seconds; what was computed from the present time is
    not part of the tag.

    Args:
        inventory: who holds what.
        last_activity: of this hub's servers; pods of others have none.
        problems: mistakes in the profiles as they are on disk.
        cluster_problems: what no node could ever satisfy of the profiles in use.
        watch: how the following of the cluster goes.
        preload: how preloading goes.
        now: Unix time.
    """
    nodes = inventory.nodes
    waiting = inventory.waiting
    document = {
        "as_of": inventory.as_of,
        "unknown": dict(inventory.unknown),
        "nodes": None if nodes is None else [_node(node, last_activity) for node in nodes],
        "shared_gpus": [_gpu(gpu) for gpu in inventory.shared_gpus],
        "shared_gpus_left_out": inventory.shared_gpus_left_out,
        "waiting": None if waiting is None else [_waiting(pod) for pod in waiting],
        "preload": preload_document(preload),
        "problems": [str(problem) for problem in problems],
        "cluster_problems": [str(problem) for problem in cluster_problems],
        "watch": [
            {"kind": each.kind, "condition": each.condition.value, "reason": each.reason}
            for each in watch
        ],
    }
    tag = _digest({**document, "as_of": None})
    as_of = inventory.as_of
    document["age_seconds"] = None if as_of is None else max(0, round(now - as_of))
    return document, tag


def _node(node: NodeInventory, last_activity: LastActivity) -> dict[str, Any]:
    return {
        "name": node.name,
        "flavors": list(node.flavors),
        "ready": node.is_ready,
        "cordoned": node.is_cordoned,
        "devices": [{**asdict(stock), "free": stock.free} for stock in node.stocks],
        "holders": [_holder(holder, last_activity) for holder in node.holders],
        "gpus": [_gpu(gpu) for gpu in node.gpus],
        "gpus_left_out": node.gpus_left_out,
        "images": list(node.images),
    }


def _gpu(gpu: Gpu) -> dict[str, Any]:
    return {
        "resource": gpu.resource or None,
        "driver": gpu.driver or None,
        "pool": gpu.pool or None,
        "device": gpu.device or None,
        "uuid": gpu.uuid or None,
        "product": gpu.product or None,
        "profile": gpu.profile or None,
        "memory_bytes": gpu.memory_bytes,
        "part_of": gpu.part_of or None,
        "replicas": gpu.replicas,
        "state": gpu.state,
        "holders": [
            {
                "namespace": holder.namespace,
                "pod": holder.pod or None,
                "user": holder.username,
                "server": holder.servername,
                "claim": holder.claim or None,
                "since": holder.since,
                "terminating": holder.is_terminating,
                "part": dict(holder.part),
            }
            for holder in gpu.holders
        ],
    }


def _holder(holder: Holder, last_activity: LastActivity) -> dict[str, Any]:
    return {
        "namespace": holder.namespace,
        "pod": holder.pod,
        "user": holder.username,
        "server": holder.servername,
        "profile": holder.profile,
        "devices": dict(holder.devices),
        "since": holder.since,
        "last_activity": last_activity.get((holder.username, holder.servername)),
        "terminating": holder.is_terminating,
    }


def _waiting(pod: WaitingPod) -> dict[str, Any]:
    return {
        "namespace": pod.namespace,
        "pod": pod.pod,
        "user": pod.username,
        "server": pod.servername,
        "devices": dict(pod.devices),
        "since": pod.since,
        "because": pod.because,
    }


def _digest(value: Any) -> str:
    return hashlib.sha256(as_json(value, order="sorted")).hexdigest()[:20]
