"""What is on a node stays held while something passes: a node out of reach, a plugin restarting."""

from typing import Any

import msgspec
from preload_model import ModelCluster, catalog_of, make_node

from gpu_spawner.core.cluster.puller_wire import WirePullerPod
from gpu_spawner.core.cluster.pullers import PullerPod, PullState, build_puller_pod
from gpu_spawner.core.preload.policy import Policy
from gpu_spawner.core.preload.setbacks import failure_of
from gpu_spawner.core.preload.wishes import wishes_of

HOUR = 3600
CREATED = "2026-01-01T00:00:00Z"
CREATED_AT = 1767225600


def puller(state: dict[str, Any], *, ready: str = "False", **status: Any) -> PullerPod:
    raw = {
        "metadata": {"name": "gpu-preload-1", "creationTimestamp": CREATED},
        "spec": {"nodeName": "gpu-1"},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": CREATED}],
            "containerStatuses": [{"name": "image", "state": state, **status}],
        },
    }
    return build_puller_pod(msgspec.convert(raw, WirePullerPod))


def test_a_puller_that_runs_holds_its_image_though_its_node_is_out_of_reach() -> None:
    """The node controller turns the condition of every pod there false, and nothing else."""
    pod = puller({"running": {"startedAt": "2026-01-01T00:02:00Z"}})

    assert pod.state is PullState.READY
    assert pod.ready_at == CREATED_AT + 120
    assert failure_of(pod, Policy(), CREATED_AT + 24 * HOUR) is None


def test_a_puller_that_begins_again_is_as_young_as_its_container() -> None:
    """A node was rebooted after a day: the wait begins then."""
    pod = puller(
        {"waiting": {"reason": "ContainerCreating"}},
        lastState={"terminated": {"finishedAt": "2026-01-02T00:00:00Z"}},
    )
    rebooted_at = CREATED_AT + 24 * HOUR

    assert pod.state is PullState.PULLING
    assert failure_of(pod, Policy(), rebooted_at + HOUR) is None
    assert failure_of(pod, Policy(), rebooted_at + HOUR + 1) is not None


def test_a_device_plugin_that_restarts_takes_no_image_away() -> None:
    """The kubelet reports no allocatable GPU then, and the capacity as before."""
    node = make_node("gpu-1")
    cluster = ModelCluster([node, make_node("gpu-2")])
    wishes = wishes_of(catalog_of())
    cluster.settle(wishes)
    status = node["status"]
    status["capacity"] = dict(status["allocatable"])
    status["allocatable"] = {**status["allocatable"], "nvidia.com/gpu": "0"}
    cluster.nodes["gpu-1"] = node

    assert cluster.plan(wishes).is_empty

    # Nothing new is pulled there meanwhile, and a node whose GPUs are gone is let go.
    fresh = ModelCluster([node])
    assert not fresh.plan(wishes).changes
    status["capacity"]["nvidia.com/gpu"] = "0"
    assert {change.why for change in cluster.plan(wishes).changes} == {"away from gpu-1"}
