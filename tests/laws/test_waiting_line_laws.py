"""Laws of the line: it is an order, it is fair, and nobody's place moves without a reason."""

from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.core.cluster.objects import Pod
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.placement.waiting_line import Waiter, place_in_line, waiters_in
from gpu_spawner.core.resources import ResourceVector

GPU = frozenset({"nvidia.com/gpu"})
NODES = ("a", "b", "c", "d")

alike = st.lists(
    st.builds(
        Waiter,
        key=st.tuples(st.just("hub"), st.text("abcdefgh", min_size=1, max_size=4)),
        priority=st.integers(-1, 1),
        created=st.integers(0, 4),
        turn=st.integers(0, 4),
        wants=st.just(GPU),
        nodes=st.none(),
    ),
    unique_by=lambda waiter: waiter.key,
    max_size=8,
)
various = st.lists(
    st.builds(
        Waiter,
        key=st.tuples(
            st.sampled_from(["hub", "team"]), st.text("abcdefgh", min_size=1, max_size=4)
        ),
        priority=st.integers(-1, 1),
        created=st.integers(0, 4),
        turn=st.integers(0, 4),
        wants=st.frozensets(st.sampled_from(["nvidia.com/gpu", "amd.com/gpu", "room"]), min_size=1),
        nodes=st.none() | st.frozensets(st.sampled_from(NODES)),
    ),
    unique_by=lambda waiter: waiter.key,
    max_size=8,
)


@given(alike)
def test_positions_of_equal_requests_are_a_permutation(waiters: list[Waiter]) -> None:
    lines = [place_in_line(waiter.key, waiters) for waiter in waiters]
    assert all(line is not None and line.length == len(waiters) for line in lines)
    assert sorted(line.position for line in lines if line) == list(range(1, len(waiters) + 1))


@given(various, st.randoms(use_true_random=False))
def test_the_order_of_looking_changes_nothing(waiters: list[Waiter], random: object) -> None:
    shuffled = list(waiters)
    random.shuffle(shuffled)  # type: ignore[attr-defined] # Hypothesis draws one
    for waiter in waiters:
        assert place_in_line(waiter.key, waiters) == place_in_line(waiter.key, shuffled)


@given(various)
def test_a_place_is_within_the_line(waiters: list[Waiter]) -> None:
    for waiter in waiters:
        line = place_in_line(waiter.key, waiters)
        assert line is not None
        assert 1 <= line.position <= line.length <= len(waiters)


@given(various, various)
def test_nobody_is_overtaken_by_a_later_equal_request(
    waiters: list[Waiter], newcomers: list[Waiter]
) -> None:
    latest = max((waiter.created for waiter in waiters), default=0)
    known = {waiter.key for waiter in waiters}
    later = [
        Waiter(
            key=one.key,
            priority=-1,
            created=latest + 1 + one.created,
            wants=one.wants,
            nodes=one.nodes,
        )
        for one in newcomers
        if one.key not in known
    ]
    for waiter in waiters:
        before, after = (
            place_in_line(waiter.key, waiters),
            place_in_line(waiter.key, [*waiters, *later]),
        )
        assert before is not None
        assert after is not None
        assert after.position == before.position


@given(various)
def test_who_leaves_lets_the_others_move_up_at_most_one(waiters: list[Waiter]) -> None:
    for gone in waiters:
        left = [waiter for waiter in waiters if waiter is not gone]
        for waiter in left:
            before, after = place_in_line(waiter.key, waiters), place_in_line(waiter.key, left)
            assert before is not None
            assert after is not None
            moved = before.position - after.position
            assert moved == (gone.competes_with(waiter) and gone.rank < waiter.rank)


def pod(name: str, **fields: object) -> Pod:
    requests = ResourceVector({"cpu": 1000, "nvidia.com/gpu": 1})
    return Pod(**{"namespace": "hub", "name": name, "requests": requests, **fields})  # type: ignore[arg-type] # of all kinds


def test_only_who_waits_for_a_node_is_in_the_line() -> None:
    pods = [
        pod("waits", created=5),
        pod("runs", node_name="a", phase="Running"),
        pod("ended", phase="Failed"),
        pod("leaves", is_terminating=True),
        pod("gated", is_gated=True),
        pod("cpu-only", requests=ResourceVector({"cpu": 1000})),
        pod("promised", created=5),
    ]
    snapshot = Snapshot.of([], pods)
    found = waiters_in(snapshot, {("hub", "promised"): frozenset({"a"})})
    assert {waiter.key[1] for waiter in found} == {"waits", "cpu-only", "promised"}
    line = place_in_line(("hub", "waits"), found)
    assert line is not None
    # Of the same second, and the hub knows of the other one alone when it was promised a seat.
    assert (line.position, line.length) == (2, 2)
    assert place_in_line(("hub", "runs"), found) is None


def test_other_hardware_is_another_line() -> None:
    snapshot = Snapshot.of([], [pod("one", created=1), pod("two", created=2), pod("three")])
    nodes = {("hub", "one"): frozenset({"a"}), ("hub", "two"): frozenset({"b"})}
    found = waiters_in(snapshot, nodes)
    lines = {name: place_in_line(("hub", name), found) for name in ("one", "two", "three")}
    # Nobody knows which nodes the third could use: it counts in both lines.
    assert {name: line and line.length for name, line in lines.items()} == {
        "one": 2,
        "two": 2,
        "three": 3,
    }
