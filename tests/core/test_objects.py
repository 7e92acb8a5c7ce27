"""Nodes and pods as they are read: what is kept, what absent and hostile fields do."""

from typing import Any

import pytest
from raw_objects import container, node, pod

from gpu_spawner.core.cluster import objects, pod_affinity
from gpu_spawner.core.cluster.objects import (
    MalformedObjectError,
    Node,
    NodeImage,
    Pod,
    node_from_api,
    pod_from_api,
)
from gpu_spawner.core.cluster.selectors import Taint
from gpu_spawner.core.resources import EMPTY, ResourceVector


def test_a_node_as_the_api_shows_it() -> None:
    raw = node(
        "gpu-1",
        allocatable={"nvidia.com/gpu": "8"},
        labels={"nvidia.com/gpu.product": "NVIDIA-L4"},
        taints=[{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}],
        is_cordoned=True,
    )
    raw["status"]["images"] = [{"names": ["a@sha256:1", "a:1"], "sizeBytes": 9}, {"sizeBytes": 3}]
    raw["status"]["nodeInfo"] = {"architecture": "arm64", "osImage": "ignored"}

    found = node_from_api(raw)

    assert found == Node(
        name="gpu-1",
        uid="uid-gpu-1",
        labels={"kubernetes.io/hostname": "gpu-1", "nvidia.com/gpu.product": "NVIDIA-L4"},
        taints=(Taint(key="nvidia.com/gpu", value="present", effect="NoSchedule"),),
        is_cordoned=True,
        is_ready=True,
        allocatable=ResourceVector(
            {"cpu": 8000, "memory": 32 << 30, "pods": 110, "nvidia.com/gpu": 8}
        ),
        images=(
            NodeImage(names=("a@sha256:1", "a:1"), size_bytes=9),
            NodeImage(names=(), size_bytes=3),
        ),
        architecture="arm64",
    )
    assert found.has_image("a:1")
    assert not found.has_image("a")


@pytest.mark.parametrize(
    "raw",
    [
        {"metadata": {"name": "bare"}},
        {"metadata": {"name": "bare", "labels": None}, "spec": None, "status": None},
        {
            "metadata": {"name": "bare", "uid": None},
            "spec": {"taints": None, "unschedulable": None},
            "status": {
                "allocatable": None,
                "conditions": None,
                "images": None,
                "nodeInfo": {"architecture": None},
            },
        },
    ],
)
def test_absent_and_null_mean_the_same(raw: dict[str, Any]) -> None:
    assert node_from_api(raw) == Node(name="bare", allocatable=EMPTY, is_ready=False)


@pytest.mark.parametrize(
    ("status", "cpu"),
    [
        ({"capacity": {"cpu": "4"}}, 4000),
        ({"capacity": {"cpu": "4"}, "allocatable": None}, 4000),
        ({"capacity": {"cpu": "4"}, "allocatable": {"cpu": "3"}}, 3000),
        ({"capacity": {"cpu": "4"}, "allocatable": {}}, 0),
    ],
)
def test_the_capacity_counts_only_where_nothing_else_is_said(
    status: dict[str, Any], cpu: int
) -> None:
    assert node_from_api(node() | {"status": status}).allocatable.amount("cpu") == cpu


def test_equal_taints_and_images_are_shared() -> None:
    def read(name: str) -> Node:
        raw = node(name, taints=[{"key": "shared", "effect": "NoSchedule"}])
        raw["status"]["images"] = [{"names": ["img:1"], "sizeBytes": 9}]
        return node_from_api(raw)

    one, other = read("one"), read("other")

    assert one.taints is other.taints
    assert one.images[0] is other.images[0]
    assert one.allocatable is other.allocatable


def test_a_pod_as_the_api_shows_it() -> None:
    raw = pod(
        "jupyter-ada",
        namespace="hub",
        node_name="gpu-1",
        containers=[container(cpu="1")],
        labels={
            "component": "singleuser-server",
            "app": "jupyterhub",
            "hub.jupyter.org/username": "ada",
            "gpu-spawner.jupyter.org/profile": "pytorch",
            "kueue.x-k8s.io/queue-name": "q",
        },
        metadata={
            "creationTimestamp": "2026-01-01T00:00:10Z",
            "deletionTimestamp": "2026-01-01T01:00:00Z",
            "annotations": {
                "hub.jupyter.org/username": "Ada@x",
                "hub.jupyter.org/servername": "big",
                "other": "skipped",
            },
        },
        schedulerName="user-scheduler",
        priority=10,
    )

    assert pod_from_api(raw) == Pod(
        namespace="hub",
        name="jupyter-ada",
        uid="uid-hub-jupyter-ada",
        node_name="gpu-1",
        requests=ResourceVector({"cpu": 1000}),
        phase="Running",
        is_terminating=True,
        labels={
            "component": "singleuser-server",
            "hub.jupyter.org/username": "ada",
            "gpu-spawner.jupyter.org/profile": "pytorch",
            "kueue.x-k8s.io/queue-name": "q",
        },
        username="Ada@x",
        servername="big",
        created=1767225610,
        scheduler_name="user-scheduler",
        priority=10,
    )


def test_a_bare_pod() -> None:
    raw = {"metadata": {"name": "bare", "labels": None, "annotations": None}}

    assert pod_from_api(raw) == Pod(namespace="default", name="bare", requests=EMPTY)


def test_labels_nobody_needs_are_dropped() -> None:
    assert pod_from_api(pod(labels={"app": "web", "pod-template-hash": "1"})).labels == {}


def test_a_waiting_pod_says_why() -> None:
    raw = pod(
        status={
            "conditions": [
                {"type": "Initialized", "status": "True"},
                {"type": "PodScheduled", "status": "False", "message": "0/1 nodes"},
            ],
            "nominatedNodeName": "node-7",
        },
        schedulingGates=[{"name": "kueue"}],
    )

    found = pod_from_api(raw)

    assert (found.unschedulable_message, found.nominated_node) == ("0/1 nodes", "node-7")
    assert (found.is_gated, found.occupies, found.is_nominated) == (True, False, True)


@pytest.mark.parametrize(
    ("node_name", "phase", "nominated", "occupies", "is_nominated"),
    [
        ("n", "Running", "", True, False),
        ("n", "Pending", "", True, False),
        ("n", "Unknown", "", True, False),
        ("n", "Succeeded", "", False, False),
        ("n", "Failed", "", False, False),
        ("", "Pending", "", False, False),
        ("", "Pending", "n", False, True),
        ("", "Failed", "n", False, False),
        ("n", "Pending", "n", True, False),
    ],
)
def test_what_takes_room(
    *, node_name: str, phase: str, nominated: str, occupies: bool, is_nominated: bool
) -> None:
    """Bound and unfinished pods occupy their node; a nominated one has room kept for it."""
    found = pod_from_api(
        pod(node_name=node_name, phase=phase, status={"nominatedNodeName": nominated})
    )

    assert (found.occupies, found.is_nominated) == (occupies, is_nominated)


def test_host_ports_of_containers_and_sidecars() -> None:
    raw = pod(
        containers=[
            container(
                ports=[
                    {"containerPort": 80},
                    {"containerPort": 80, "hostPort": 8080},
                    {"hostPort": 53, "protocol": "UDP", "hostIP": "10.0.0.1"},
                ]
            )
        ],
        initContainers=[
            container("side", restartPolicy="Always", ports=[{"hostPort": 9}]),
            container("init", ports=[{"hostPort": 10}]),
        ],
    )

    assert pod_from_api(raw).host_ports == (
        ("0.0.0.0", "TCP", 8080),
        ("10.0.0.1", "UDP", 53),
        ("0.0.0.0", "TCP", 9),
    )


def test_on_the_host_network_every_port_is_one() -> None:
    raw = pod(containers=[container(ports=[{"containerPort": 80}])], hostNetwork=True)

    assert pod_from_api(raw).host_ports == (("0.0.0.0", "TCP", 80),)


def test_equal_labels_are_shared_and_the_store_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "_INTERN_LIMIT", 3)
    found = [
        pod_from_api(pod(f"p{number}", labels={"component": f"c{number // 2}"}))
        for number in range(20)
    ]

    assert all(found[i].labels is found[i + 1].labels for i in range(0, 20, 2))
    assert len(objects._interned) <= 3


def test_equal_affinities_are_shared_and_the_store_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pod_affinity, "_CACHE_LIMIT", 2)

    def read(key: str) -> Pod:
        term = {"labelSelector": {"matchLabels": {"a": "b"}}, "topologyKey": key}
        required = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
        return pod_from_api(pod(affinity={"podAntiAffinity": required}))

    assert read("zone").anti_affinity is read("zone").anti_affinity
    assert [read(key).anti_affinity[0].topology_key for key in "abcde"] == list("abcde")
    assert len(pod_affinity._terms_by_text) <= 2


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"metadata": {}}, "metadata.name: missing"),
        ({"metadata": None}, "metadata.name: missing"),
        ({"metadata": {"name": 5}}, "Expected `str"),
        ({"metadata": {"name": "x", "labels": {"a": 1}}}, "Expected `str`, got `int`"),
        ({"spec": []}, "Expected `object"),
        ({"status": {"allocatable": {"cpu": "abc"}}}, "status.allocatable: cpu: 'abc'"),
        ({"status": {"allocatable": "abc"}}, "status.allocatable: Expected"),
        ({"status": {"conditions": {}}}, "Expected `array"),
        ({"extra": {1, 2, object}}, "not a JSON object"),
    ],
)
def test_a_malformed_node_is_refused_with_the_place(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(MalformedObjectError, match=complaint):
        node_from_api(node() | change)


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {}},
        {"spec": {"containers": {}}},
        {"spec": {"nodeName": 7}},
        {"spec": {"affinity": {"podAntiAffinity": []}}},
        {"status": {"phase": ["Running"]}},
        {"metadata": {"name": "x", "creationTimestamp": "yesterday"}},
    ],
)
def test_a_malformed_pod_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedObjectError):
        pod_from_api(pod() | change)


def test_an_endless_object_is_refused() -> None:
    raw: dict[str, Any] = pod()
    raw["spec"]["self"] = raw

    with pytest.raises(MalformedObjectError, match="not a JSON object"):
        pod_from_api(raw)
