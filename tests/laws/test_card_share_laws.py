"""Laws of counting parts of cards.

*Agreement*: with a slow reference that tries card after card. *Conservation*: no card is promised
more than once over. *Monotone*: what is held, cordoned or asked for on top never makes seats.
*Order*: neither the cards' nor the pods' decides. *Index*: following events gives what counting
anew gives.
"""

import copy
import json
from dataclasses import replace
from itertools import combinations
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from seats_by_hand import room_by_hand

from gpu_spawner.core.cluster.card_shares import HAMI, VOLCANO, Card
from gpu_spawner.core.cluster.objects import node_from_api, pod_from_api
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.cluster.state import ClusterState
from gpu_spawner.core.devices.fractions.card_seats import seats_on
from gpu_spawner.core.devices.fractions.cards import CardState, fill
from gpu_spawner.core.devices.fractions.counting import share_for
from gpu_spawner.core.devices.fractions.request import (
    BINPACK,
    SPREAD,
    CardAsk,
    FractionRequest,
)
from gpu_spawner.core.placement.pod_request import PodRequest, request_from_pod
from gpu_spawner.core.placement.reservations import ReservationBook
from gpu_spawner.core.placement.seats import SeatIndex, count_seats

Raw = dict[str, Any]
Cards = list[dict[str, int]]

UUIDS = ["GPU-0", "GPU-1", "GPU-2"]
MEMORY = [0, 1000, 4000, 5000, 8000]
CORES = [0, 30, 50, 100]


@st.composite
def card_lists(draw: st.DrawFn) -> Cards:
    return [
        {
            "slots": draw(st.sampled_from([1, 2, 10])),
            "memory": draw(st.sampled_from([8000, 16000])),
            "cores": draw(st.sampled_from([100, 100, 200])),
        }
        for _ in range(draw(st.integers(1, 3)))
    ]


asks = st.fixed_dictionaries(
    {
        "cards": st.integers(1, 2),
        "memory": st.sampled_from(MEMORY[1:]),
        "cores": st.sampled_from(CORES),
    }
)
held_parts = st.lists(
    st.tuples(st.sampled_from(UUIDS), st.sampled_from(MEMORY), st.sampled_from(CORES)), max_size=4
)


def hami_node(cards: Cards, cordoned: str = "") -> Raw:
    register = [
        {
            "id": uuid,
            "count": card["slots"],
            "devmem": card["memory"],
            "devcore": card["cores"],
            "type": "NVIDIA-T4",
            "health": True,
        }
        for uuid, card in zip(UUIDS, cards, strict=False)
    ]
    annotations = {"hami.io/node-nvidia-register": json.dumps(register)}
    if cordoned:
        annotations["hami.io/device-cordon"] = cordoned
    return {
        "kind": "Node",
        "metadata": {"name": "n", "annotations": annotations},
        "status": {"allocatable": {"cpu": "64", "pods": "110", "nvidia.com/gpu": "40"}},
    }


def hami_pod(number: int, part: tuple[str, int, int]) -> Raw:
    uuid, memory, cores = part
    held = f"{uuid},NVIDIA,{memory},{cores}:;"
    return {
        "kind": "Pod",
        "metadata": {
            "name": f"p{number}",
            "annotations": {"hami.io/vgpu-devices-allocated": held},
        },
        "spec": {"nodeName": "n", "containers": [{"name": "c"}]},
    }


def hami_probe(ask: dict[str, int], policy: str = "") -> PodRequest:
    limits = {
        "nvidia.com/gpu": str(ask["cards"]),
        "nvidia.com/gpumem": str(ask["memory"]),
        "nvidia.com/gpucores": str(ask["cores"]),
    }
    annotations = {"hami.io/gpu-scheduler-policy": policy} if policy else {}
    return request_from_pod(
        {
            "metadata": {"name": "probe", "annotations": annotations},
            "spec": {"containers": [{"name": "c", "resources": {"limits": limits}}]},
        }
    )


def free_of(items: list[Raw], request: PodRequest) -> int:
    found = count_seats(Snapshot.from_objects(items), request).free
    assert found is not None
    return found


class Books:
    """What is left of some cards, written down as plainly as can be."""

    def __init__(self, cards: Cards) -> None:
        self.total = {uuid: dict(card) for uuid, card in zip(UUIDS, cards, strict=False)}
        self.used = {uuid: {"slots": 0, "memory": 0, "cores": 0} for uuid in self.total}

    def hold(self, uuid: str, memory: int, cores: int) -> None:
        if uuid in self.used:
            self.used[uuid]["slots"] += 1
            self.used[uuid]["memory"] += memory
            self.used[uuid]["cores"] += cores

    def fits(self, uuid: str, ask: dict[str, int]) -> bool:
        total, used = self.total[uuid], self.used[uuid]
        if used["slots"] + 1 > total["slots"] or used["memory"] + ask["memory"] > total["memory"]:
            return False
        if used["cores"] + ask["cores"] > total["cores"]:
            return False
        if ask["cores"] == 100 == total["cores"] and used["slots"]:
            return False
        return not (ask["cores"] == 0 and used["cores"] == total["cores"])


def best_possible(books: Books, ask: dict[str, int]) -> int:
    """Try every choice of cards for one pod after another; the most pods any of them serves."""
    best = 0
    fitting = [uuid for uuid in books.total if books.fits(uuid, ask)]
    for chosen in combinations(fitting, ask["cards"]):
        after = copy.deepcopy(books)
        for uuid in chosen:
            after.hold(uuid, ask["memory"], ask["cores"])
        best = max(best, 1 + best_possible(after, ask))
        if ask["cards"] == 1:
            break  # which card comes first makes no difference then
    return best


def books_of(cards: Cards, held: list[tuple[str, int, int]]) -> Books:
    books = Books(cards)
    for part in held:
        books.hold(*part)
    return books


@given(cards=card_lists(), held=held_parts, ask=asks)
def test_seats_are_those_of_the_reference(
    cards: Cards, held: list[tuple[str, int, int]], ask: dict[str, int]
) -> None:
    items = [hami_node(cards), *(hami_pod(n, part) for n, part in enumerate(held))]
    books = books_of(cards, held)
    ask = {**ask, "memory": max(ask["memory"], 4000)}  # few enough to try them all
    best = best_possible(books, ask)
    found = free_of(items, hami_probe(ask))
    assert found == best if ask["cards"] == 1 else found <= best
    assert bool(found) == bool(best)


@given(cards=card_lists(), held=held_parts, ask=asks)
def test_no_card_is_given_twice(
    cards: Cards, held: list[tuple[str, int, int]], ask: dict[str, int]
) -> None:
    items = [hami_node(cards), *(hami_pod(n, part) for n, part in enumerate(held))]
    request = hami_probe(ask, "spread")
    snapshot = Snapshot.from_objects(items)
    seats = count_seats(snapshot, request).free or 0
    books = books_of(cards, held)
    for number in range(seats):
        assert snapshot.nodes is not None
        state = snapshot.nodes["n"]
        assert request.fraction is not None
        share = share_for(request.fraction, state.node, state.load, "x")
        assert share is not None
        for part in share.parts:
            assert books.fits(part.uuid, ask)
            books.hold(part.uuid, part.memory_mib, part.cores)
        pod = pod_from_api(hami_pod(100 + number, ("", 0, 0)))
        snapshot = snapshot.with_pod(msgspec.structs.replace(pod, held_share=share))
    state = (snapshot.nodes or {})["n"]
    assert request.fraction is not None
    assert share_for(request.fraction, state.node, state.load, "x") is None


@given(
    cards=card_lists(),
    held=held_parts,
    ask=asks,
    more=st.tuples(st.sampled_from(UUIDS), st.sampled_from(MEMORY), st.sampled_from(CORES)),
    cordoned=st.sampled_from(UUIDS),
)
def test_what_is_taken_never_makes_seats(
    cards: Cards,
    held: list[tuple[str, int, int]],
    ask: dict[str, int],
    more: tuple[str, int, int],
    cordoned: str,
) -> None:
    ask = {**ask, "cards": 1}
    request = hami_probe(ask)
    pods = [hami_pod(n, part) for n, part in enumerate(held)]
    items = [hami_node(cards), *pods]
    free = free_of(items, request)
    assert free_of([*items, hami_pod(99, more)], request) <= free
    assert free_of([hami_node(cards, cordoned), *pods], request) <= free
    assert free_of(items, hami_probe({**ask, "memory": ask["memory"] + 1000})) <= free


@given(cards=card_lists(), held=held_parts, ask=asks, data=st.data())
def test_order_does_not_decide(
    cards: Cards, held: list[tuple[str, int, int]], ask: dict[str, int], data: st.DataObject
) -> None:
    request = hami_probe({**ask, "cards": 1})
    pods = [hami_pod(n, part) for n, part in enumerate(held)]
    node = hami_node(cards)
    shuffled = copy.deepcopy(node)
    annotations = shuffled["metadata"]["annotations"]
    register = json.loads(annotations["hami.io/node-nvidia-register"])
    permuted = data.draw(st.permutations(register))
    annotations["hami.io/node-nvidia-register"] = json.dumps(permuted)
    assert free_of([node, *pods], request) == free_of(
        [shuffled, *data.draw(st.permutations(pods))], request
    )


# KAI and Run:ai: groups of pods around reservations.

PORTIONS = ["0.1", "0.25", "0.33", "0.5", "0.9"]
GROUPS = ["g0", "g1", "g2"]
users = st.lists(st.tuples(st.sampled_from(GROUPS), st.sampled_from(PORTIONS)), max_size=5)


def kai_items(gpus: int, held: list[tuple[str, str]], whole: int, pods: int = 110) -> list[Raw]:
    node = {
        "kind": "Node",
        "metadata": {"name": "n", "labels": {"nvidia.com/gpu.memory": "16384"}},
        "status": {"allocatable": {"cpu": "64", "pods": str(pods), "nvidia.com/gpu": str(gpus)}},
    }
    items: list[Raw] = [node]
    room = dict.fromkeys(GROUPS, 1.0)
    for number, (group, portion) in enumerate(held):
        room[group] -= float(portion)
        if room[group] < 0:
            continue
        items.append(
            {
                "kind": "Pod",
                "metadata": {
                    "name": f"u{number}",
                    "labels": {"runai-gpu-group": group},
                    "annotations": {"gpu-fraction": portion},
                },
                "spec": {"nodeName": "n", "containers": [{"name": "c"}]},
            }
        )
    used = {item["metadata"]["labels"]["runai-gpu-group"] for item in items[1:]}
    limits = {"limits": {"nvidia.com/gpu": "1"}}
    reserved = [("kai-resource-reservation", f"r-{group}", group) for group in sorted(used)]
    taken = [("default", f"w{number}", "") for number in range(whole)]
    for namespace, name, group in reserved + taken:
        items.append(
            {
                "kind": "Pod",
                "metadata": {
                    "namespace": namespace,
                    "name": name,
                    "labels": {"runai-gpu-group": group} if group else {},
                },
                "spec": {"nodeName": "n", "containers": [{"name": "c", "resources": limits}]},
            }
        )
    return items


def kai_probe(portion: str, cards: int = 1) -> PodRequest:
    annotations = {"gpu-fraction": portion}
    if cards > 1:
        annotations["gpu-fraction-num-devices"] = str(cards)
    return request_from_pod(
        {
            "metadata": {"name": "probe", "annotations": annotations},
            "spec": {"schedulerName": "kai-scheduler", "containers": [{"name": "c"}]},
        }
    )


def kai_reference(items: list[Raw], portion: str) -> int:
    """Serve pods on the cards that are shared, then open one whole card after another."""
    mib = 16300
    asked = int(float(portion) * mib)
    rooms: dict[str, int] = {}
    gpus = int(items[0]["status"]["allocatable"]["nvidia.com/gpu"])
    places = int(items[0]["status"]["allocatable"]["pods"]) - len(items) + 1
    for item in items[1:]:
        meta = item["metadata"]
        if item["spec"]["containers"][0].get("resources"):
            gpus -= 1
        else:
            group = meta["labels"]["runai-gpu-group"]
            rooms[group] = rooms.get(group, mib) - int(
                float(meta["annotations"]["gpu-fraction"]) * mib
            )
    seats = 0
    while places > 0:
        fitting = [group for group, room in rooms.items() if room >= asked]
        if fitting:
            rooms[fitting[0]] -= asked
            places -= 1
        elif gpus > 0 and places > 1:
            gpus -= 1
            rooms[f"new{seats}"] = mib - asked
            places -= 2
        else:
            break
        seats += 1
    return seats


@given(
    gpus=st.integers(0, 4),
    held=users,
    whole=st.integers(0, 2),
    portion=st.sampled_from(PORTIONS),
    spare=st.integers(0, 12),
)
def test_groups_agree_with_the_reference(
    gpus: int, held: list[tuple[str, str]], whole: int, portion: str, spare: int
) -> None:
    items = kai_items(gpus, held, whole)
    items[0]["status"]["allocatable"]["pods"] = str(len(items) - 1 + spare)
    assert free_of(items, kai_probe(portion)) == kai_reference(items, portion)


@given(
    gpus=st.integers(0, 4),
    held=users,
    whole=st.integers(0, 2),
    portion=st.sampled_from(PORTIONS),
    cards=st.integers(1, 2),
)
def test_promises_of_parts_are_seats_one_by_one(
    gpus: int, held: list[tuple[str, str]], whole: int, portion: str, cards: int
) -> None:
    snapshot = shown = Snapshot.from_objects(kai_items(gpus, held, whole))
    request = kai_probe(portion, cards)
    wanted = request_from_pod(
        {
            "metadata": {"name": "whole"},
            "spec": {
                "containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]
            },
        }
    )
    book = ReservationBook()
    seats = count_seats(shown, request).free or 0
    before = count_seats(shown, wanted).free or 0
    for number in range(seats):
        book.reserve(("hub", f"u-{number}"), request, shown, 0.0)
        shown = book.apply(snapshot, 0.0)
        left = count_seats(shown, wanted).free or 0
        assert left <= before  # a part never gives a whole card back
        before = left
    if cards == 1:
        assert count_seats(shown, request).free == 0


# Both: an index that follows events.

nodes_of_a_kind = st.sampled_from(["hami", "kai", "plain"])


@given(
    kinds=st.lists(nodes_of_a_kind, min_size=1, max_size=3),
    cards=card_lists(),
    events=st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from(["ADDED", "DELETED"]),
            st.sampled_from(UUIDS),
            st.sampled_from(MEMORY),
        ),
        max_size=8,
    ),
)
def test_following_events_gives_what_counting_anew_gives(
    kinds: list[str], cards: Cards, events: list[tuple[int, str, str, int]]
) -> None:
    state = ClusterState()
    nodes = []
    for number, kind in enumerate(kinds):
        raw = hami_node(cards) if kind == "hami" else kai_items(2, [], 0)[0]
        if kind == "plain":
            raw["metadata"]["labels"] = {}
        raw["metadata"]["name"] = f"n{number}"
        nodes.append(node_from_api(raw))
    state.replace_all("nodes", nodes)
    state.replace_all("pods", [])
    requests = [
        hami_probe({"cards": 1, "memory": 4000, "cores": 0}),
        kai_probe("0.5"),
        request_from_pod(
            {
                "metadata": {"name": "whole"},
                "spec": {
                    "containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]
                },
            }
        ),
    ]
    indexes = [SeatIndex(request) for request in requests]
    for number, (place, event, uuid, memory) in enumerate(events):
        raw = hami_pod(number % 3, (uuid, memory, 0))
        raw["spec"]["nodeName"] = f"n{place}"
        state.apply("pods", event, pod_from_api(raw))
        snapshot = state.snapshot(0.0)
        for index, request in zip(indexes, requests, strict=True):
            found, anew = index.update(snapshot), count_seats(snapshot, request)
            assert (found.free, found.total, found.unknown) == (anew.free, anew.total, anew.unknown)
            assert found.nodes.with_room == room_by_hand(anew)


@given(text=st.text(max_size=60), other=st.text(max_size=60))
def test_any_annotation_is_read_or_left(text: str, other: str) -> None:
    node = hami_node([{"slots": 2, "memory": 8000, "cores": 100}])
    node["metadata"]["annotations"] |= {
        "hami.io/node-nvidia-register": text,
        "volcano.sh/node-vgpu-register": other,
        "hami.io/device-cordon": other,
    }
    pod = hami_pod(0, ("GPU-0", 1000, 0))
    pod["metadata"]["annotations"] |= {
        "hami.io/vgpu-devices-allocated": text,
        "volcano.sh/vgpu-ids-new": other,
        "hami.io/vgpu-mig-allocations": other,
        "gpu-fraction": text,
        "gpu-memory": other,
    }
    snapshot = Snapshot.from_objects([node, pod])
    for probe in (hami_probe({"cards": 1, "memory": 1000, "cores": 0}), kai_probe("0.5")):
        seats = count_seats(snapshot, probe)
        assert seats.free is None or seats.free >= 0


card_states = st.builds(
    CardState,
    card=st.builds(
        Card,
        uuid=st.just(""),
        slots=st.sampled_from([0, 1, 2, 10]),
        memory_mib=st.sampled_from([0, 8000, 16000]),
        cores=st.sampled_from([0, 100, 200]),
        is_healthy=st.sampled_from([True, True, True, False]),
    ),
    is_cordoned=st.sampled_from([False, False, True]),
    slots=st.integers(0, 3),
    memory_mib=st.sampled_from([0, 0, 1000, 5000, 20_000]),
    cores=st.sampled_from([0, 0, 30, 100]),
)
fraction_requests = st.builds(
    FractionRequest,
    scheme=st.sampled_from([HAMI, VOLCANO]),
    asks=st.tuples(
        st.builds(
            CardAsk,
            cards=st.integers(1, 3),
            memory_mib=st.sampled_from([0, 1000, 4000]),
            percent=st.sampled_from([0, 10, 100]),
            cores=st.sampled_from([0, 10, 100, 150]),
        )
    ),
    policy=st.sampled_from(["", SPREAD, BINPACK]),
)


@given(st.lists(card_states, min_size=1, max_size=5), fraction_requests, st.integers(0, 40))
def test_quick_counting_hands_out_the_same(
    states: list[CardState], request: FractionRequest, most: int
) -> None:
    """Many pods at once are as many as one after another, policy by policy."""
    named = [
        replace(state, card=msgspec.structs.replace(state.card, uuid=f"GPU-{place}"))
        for place, state in enumerate(states)
    ]
    policies = [request.policy] if request.policy else [SPREAD, BINPACK]
    slowly = [
        fill(named, msgspec.structs.replace(request, policy=policy), most)[0] for policy in policies
    ]

    assert seats_on(named, request, most) == min(slowly)
