"""What a real kube-scheduler 1.36.2 did with devices in 400 more recorded clusters.

They add to the first recordings what those lack: selectors of every style, constraints over several
requests and over alternatives, ladders of alternatives, several claims and containers, claims
shared by pods, pools of several slices, generations and reaches, device taints, odd counters,
requests for capacity under every policy, extended resources under several classes.
"""

import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.placement.binding import bind_in_turn
from gpu_spawner.core.placement.pod_request import PodRequest, request_from_pod
from gpu_spawner.core.placement.seats import count_seats

DATA = Path(__file__).parent.parent / "data" / "scheduler-cases-dra-wide.jsonl.gz"
Case = dict[str, Any]

with gzip.open(DATA) as recorded:
    CASES: list[Case] = [json.loads(line) for line in recorded]
each_case = pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])
_MADE_NAME = re.compile(r"claim default/probe-[0-9]+-([a-z]+)-[a-z0-9]{5}\b")
_FAILED = 'running "DynamicResources" filter plugin: claim '


def read(case: Case) -> tuple[Snapshot, PodRequest]:
    items = case["cluster"]["items"]
    specs = {
        item["metadata"]["name"]: item["spec"]["spec"]
        for item in items
        if item["kind"] == "ResourceClaimTemplate"
    }
    return Snapshot.from_objects(items), request_from_pod(case["pod"], claim_specs=specs)


def test_the_recording_is_whole() -> None:
    kinds = Counter(case["kind"] for case in CASES)

    assert kinds.total() >= 400
    assert set(kinds) == {"dra", "dra-mig", "dra-shared", "dra-extended"}
    assert sum(bool(case["expected"]["seats"]) for case in CASES) > len(CASES) / 3


@each_case
def test_seats_agree(case: Case) -> None:
    snapshot, request = read(case)
    expected = case["expected"]

    seats = count_seats(snapshot, request)

    found = {name: node.free for name, node in seats.nodes.items() if node.free}
    for name, node in seats.nodes.items():  # with the reasons and without
        assert seats.nodes.counts(name) == (node.free, node.total)
    if expected["capped"]:
        assert seats.free is not None
        assert seats.free >= expected["seats"]
        assert all(found[name] >= count for name, count in expected["nodes"].items())
    else:
        assert (seats.free, found) == (expected["seats"], expected["nodes"])


@each_case
def test_pods_bound_in_turn_agree(case: Case) -> None:
    snapshot, request = read(case)
    expected = case["expected"]

    bound = bind_in_turn(snapshot, request, 25)

    if expected["capped"]:
        assert bound.by_node.total() >= expected["seats"]
        return
    assert bound.by_node == expected["nodes"]
    if expected["message"].startswith(_FAILED):  # whichever node failed first is heard
        assert bound.refusal.startswith(_FAILED)
    else:
        assert bound.refusal == _MADE_NAME.sub(r"claim \1", expected["message"])
