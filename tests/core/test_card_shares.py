"""Parts of cards are counted as the schedulers that hand them out count, reasons included.

Each file of ``card_share_cases`` is a cluster in the form the drivers write, with the seats worked
out by hand beside it.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.placement.fitting import Reason
from gpu_spawner.core.placement.pod_request import request_from_pod
from gpu_spawner.core.placement.reservations import ReservationBook
from gpu_spawner.core.placement.seats import SeatIndex, count_seats

FILES = sorted((Path(__file__).parent / "card_share_cases").glob("*.yaml"))
CLUSTERS = {path.stem: yaml.safe_load(path.read_text()) for path in FILES}
CASES = [
    pytest.param(name, case, id=f"{name}: {case['name']}")
    for name, cluster in CLUSTERS.items()
    for case in cluster["cases"]
]


def snapshot_of(name: str, case: dict[str, Any] | None = None) -> Snapshot:
    cluster = CLUSTERS[name]
    without = (case or {}).get("without", [])
    nodes = [node for node in cluster["nodes"] if node["metadata"]["name"] not in without]
    pods = [{"kind": "Pod", **pod} for pod in cluster["pods"]]
    return Snapshot.from_objects([{"kind": "Node", **node} for node in nodes] + pods)


def manifest(case: dict[str, Any]) -> dict[str, Any]:
    container = {"name": "notebook", "resources": {"limits": case.get("limits", {})}}
    return {
        "metadata": {"name": "probe", "annotations": case.get("annotations", {})},
        "spec": {"schedulerName": case.get("scheduler", ""), "containers": [container]},
    }


@pytest.mark.parametrize(("name", "case"), CASES)
def test_seats_are_those_worked_out_by_hand(name: str, case: dict[str, Any]) -> None:
    seats = count_seats(snapshot_of(name, case), request_from_pod(manifest(case)))
    assert seats.unknown == case.get("unknown")
    if "unknown" not in case:
        assert {node: found.free for node, found in seats.nodes.items()} == case["nodes"]
        assert seats.free == sum(case["nodes"].values())
    for node, details in case.get("reasons", {}).items():
        found = [
            rejection.detail
            for rejection in seats.nodes[node].rejections
            if rejection.reason is Reason.CARD_SHARE
        ]
        assert sorted(found) == sorted(details)


@pytest.mark.parametrize(("name", "case"), [c for c in CASES if "unknown" not in c.values[1]])
def test_every_promise_takes_one_seat_and_no_more_than_there_are_are_kept(
    name: str, case: dict[str, Any]
) -> None:
    request = request_from_pod(manifest(case))
    shown = snapshot = snapshot_of(name, case)
    index, book = SeatIndex(request), ReservationBook()
    expected = index.update(shown).free
    assert expected is not None
    for number in range(expected + 1):
        # Once all that are known of are taken, nodes nobody knows much of make it unknown.
        assert (index.update(shown).free or 0) == max(expected - number, 0)
        book.reserve(("hub", f"user-{number}"), request, shown, 0.0)
        shown = book.apply(snapshot, 0.0)


def test_a_promised_part_keeps_the_card_from_those_who_want_it_whole() -> None:
    snapshot = snapshot_of("kai")
    whole = request_from_pod(manifest({"limits": {"nvidia.com/gpu": "1"}}))
    most = request_from_pod(manifest({"annotations": {"gpu-fraction": "0.9"}}))
    book = ReservationBook()
    book.reserve(("hub", "alice"), most, snapshot, 0.0)
    shown = book.apply(snapshot, 0.0)
    assert count_seats(shown, most).free == 0
    assert count_seats(shown, whole).nodes["k-a"].free == 0


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ({"annotations": {"gpu-fraction": "1.5"}}, "neither between 0 and 1"),
        ({"annotations": {"gpu-fraction": "0.5", "gpu-memory": "1000"}}, "exclude each other"),
        (
            {
                "limits": {"nvidia.com/gpumem": "1000"},
                "annotations": {"nvidia.com/use-gpuuuid": "GPU-aa"},
            },
            "single GPUs",
        ),
        (
            {
                "limits": {"nvidia.com/gpumem": "1000"},
                "annotations": {"hami.io/gpu-scheduler-policy": "topology-aware"},
            },
            "policy topology-aware",
        ),
        (
            {
                "limits": {"volcano.sh/vgpu-number": "1"},
                "annotations": {"volcano.sh/vgpu-use-gpuuuid": "GPU-aa"},
            },
            "single GPUs Volcano",
        ),
    ],
)
def test_what_is_not_evaluated_makes_the_seats_unknown(case: dict[str, Any], why: str) -> None:
    seats = count_seats(snapshot_of("hami-json"), request_from_pod(manifest(case)))
    assert seats.free is None
    assert why in (seats.unknown or "")
