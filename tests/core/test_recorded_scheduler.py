"""What a real kube-scheduler 1.36.2 did in 540 recorded clusters, and what we say of them.

Each recording is a cluster, a pod, and how many such pods were bound one after another, on which
nodes, with the message of the first that stayed pending. The wide recordings add what the others
lack: Gt and Lt, sidecars of the probe, pod-level resources, host ports, odd quantities, several
extended resources at once; a probe that still fitted after 24 pods is marked ``capped``. The
recordings of devices have claims: counts, alternatives, constraints, tainted devices, pools that
are incomplete or superseded, partitions that share counters, devices that are shared, and extended
resources that a device class stands behind.
"""

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gpu_spawner.core.cluster.claim_objects import claim_from_api
from gpu_spawner.core.cluster.objects import pod_from_api
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.placement.pod_request import PodRequest, request_from_pod
from gpu_spawner.core.placement.scheduling import Placed, Refused, schedule, scheduler_message
from gpu_spawner.core.placement.seats import count_seats

DATA = Path(__file__).parent.parent / "data"
Case = dict[str, Any]


def read_cases(name: str) -> list[Case]:
    with gzip.open(DATA / name) as lines:
        return [json.loads(line) for line in lines]


RECORDED = read_cases("scheduler-cases-nodes-and-pods.jsonl.gz")
WIDE = read_cases("scheduler-cases-wide.jsonl.gz")
DEVICES = read_cases("scheduler-cases-devices.jsonl.gz")
CASES = RECORDED + WIDE + DEVICES
each_case = pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
_MADE_NAME = re.compile(r"claim default/probe-[0-9]+-gpu-[a-z0-9]{5}\b")


def claim_specs(case: Case) -> dict[str, Any]:
    return {
        item["metadata"]["name"]: item["spec"]["spec"]
        for item in case["cluster"]["items"]
        if item["kind"] == "ResourceClaimTemplate"
    }


def request_of(case: Case, pod: dict[str, Any]) -> PodRequest:
    return request_from_pod(pod, claim_specs=claim_specs(case))


def recorded_words(message: str) -> str:
    """Return a recorded message without the random name of a claim that was made for the pod."""
    return _MADE_NAME.sub("claim gpu", message)


def test_the_recording_is_whole() -> None:
    assert Counter(case["kind"] for case in RECORDED) == {"extended": 40, "mig": 40, "shared": 40}
    assert len(WIDE) == 260
    assert set(Counter(case["kind"] for case in DEVICES).values()) == {40}
    assert len(DEVICES) == 160


@each_case
def test_seats_agree(case: Case) -> None:
    seats = count_seats(
        Snapshot.from_objects(case["cluster"]["items"]), request_of(case, case["pod"])
    )

    found = {name: node.free for name, node in seats.nodes.items() if node.free}
    if case["expected"]["capped"]:
        assert seats.free is not None
        assert seats.free >= case["expected"]["seats"]
        assert all(found[name] >= count for name, count in case["expected"]["nodes"].items())
        return
    assert (seats.free, found) == (case["expected"]["seats"], case["expected"]["nodes"])


@each_case
def test_binding_one_after_another_agrees(case: Case) -> None:
    """Every seat is real, on the recorded nodes, and the next pod hears the recorded words."""
    snapshot = Snapshot.from_objects(case["cluster"]["items"])
    request = request_of(case, case["pod"])
    bound: Counter[str] = Counter()
    while isinstance(decision := schedule(snapshot, request), Placed):
        name = f"probe-{bound.total()}"
        placed = {
            **case["pod"],
            "metadata": {**case["pod"]["metadata"], "name": name},
            "spec": {**case["pod"]["spec"], "nodeName": decision.node},
        }
        snapshot = snapshot.with_pod(pod_from_api(placed))
        for claim, allocation in decision.claims.items():
            held = {
                "metadata": {"name": f"{name}-{claim}", "namespace": "default"},
                "status": {"allocation": allocation},
            }
            snapshot = snapshot.with_claim(claim_from_api(held))
        bound[decision.node] += 1

    if case["expected"]["capped"]:
        assert bound.total() >= case["expected"]["seats"]
        return
    assert (bound, decision) == (
        case["expected"]["nodes"],
        Refused(message=recorded_words(case["expected"]["message"])),
    )


@each_case
def test_waiting_pods_hear_the_same_words(case: Case) -> None:
    snapshot = Snapshot.from_objects(case["cluster"]["items"])
    waiting = {
        item["metadata"]["name"]: item
        for item in case["cluster"]["items"]
        if item["kind"] == "Pod" and "nodeName" not in item["spec"]
    }

    assert {
        name: scheduler_message(snapshot, request_of(case, item)) for name, item in waiting.items()
    } == {name: item["status"]["conditions"][0]["message"] for name, item in waiting.items()}
