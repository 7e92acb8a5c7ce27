"""Laws of offers: following changes is counting anew, and worse is never shown as better."""

from dataclasses import replace
from typing import Any

from catalog_builders import GPU_TAINT, catalog_of, make_node, make_pod, select
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.core.catalog.compile import compile_selection
from gpu_spawner.core.catalog.model import Choice, Selection
from gpu_spawner.core.catalog.site_pod import SitePod, request_of
from gpu_spawner.core.cluster.objects import node_from_api, pod_from_api
from gpu_spawner.core.cluster.snapshot import NodeState, Snapshot
from gpu_spawner.core.cluster.state import ClusterState
from gpu_spawner.core.offers.availability import ProfileOffer
from gpu_spawner.core.offers.board import OfferBoard
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.placement.seats import count_seats

CATALOG = catalog_of()
GPU = "nvidia.com/gpu"
NAMES = ("a", "b", "c")

# Mostly healthy nodes: on the others little can happen.
seldom = st.sampled_from([False, False, False, False, True])
nodes = st.builds(
    lambda name, product, gpus, slices, images, **fields: make_node(
        name,
        product=product,
        resources={GPU: gpus, "nvidia.com/mig-1g.10gb": slices, "cpu": "4"},
        images=images,
        **fields,
    ),
    st.sampled_from(NAMES),
    st.sampled_from(["NVIDIA-H100", "NVIDIA-H100", "NVIDIA-A100", "Tesla-T4-SHARED", ""]),
    st.integers(0, 4),
    st.integers(0, 3),
    st.lists(st.sampled_from(["quay.io/site/torch:1", "quay.io/site/base:1", "x:1"]), max_size=2),
    is_cordoned=seldom,
    is_ready=seldom.map(lambda is_ill: not is_ill),
    labels=st.sampled_from(
        [{}, {}, {}, {"nvidia.com/cuda.runtime.major": "11"}, {"kubernetes.io/arch": "arm64"}]
    ),
    taints=st.sampled_from([(), (), (), (GPU_TAINT,), ({"key": "x", "effect": "NoSchedule"},)]),
)
pods = st.builds(
    lambda number, node, gpus, cpu: make_pod(f"p{number}", node, **{GPU: gpus, "cpu": cpu}),
    st.integers(0, 4),
    st.sampled_from(NAMES),
    st.integers(0, 3),
    st.sampled_from(["100m", "2", "4"]),
)
events = st.sampled_from(["MODIFIED", "MODIFIED", "MODIFIED", "DELETED"])
changes = st.one_of(
    st.tuples(st.just("nodes"), events, nodes),
    st.tuples(st.just("pods"), events, pods),
    st.tuples(st.just("pods"), events, pods),
)
READ = {"nodes": node_from_api, "pods": pod_from_api}


def known_state(some_nodes: list[Any], some_pods: list[Any]) -> ClusterState:
    state = ClusterState()
    by_name = {node["metadata"]["name"]: node_from_api(node) for node in some_nodes}
    by_pod = {pod["metadata"]["name"]: pod_from_api(pod) for pod in some_pods}
    state.replace_all("nodes", by_name.values())
    state.replace_all("pods", by_pod.values())
    return state


def anew(snapshot: Snapshot) -> tuple[ProfileOffer, ...]:
    return OfferBoard(CATALOG).update(snapshot)


@given(
    st.lists(nodes, min_size=2, max_size=4),
    st.lists(pods, max_size=4),
    st.lists(changes, max_size=8),
)
def test_following_changes_is_counting_anew(
    some_nodes: list[Any], some_pods: list[Any], history: list[tuple[str, str, Any]]
) -> None:
    """Whatever the order of events, a board that followed them says what a new one says."""
    state = known_state(some_nodes, some_pods)
    board = OfferBoard(CATALOG)
    assert board.update(state.snapshot(0.0)) == anew(state.snapshot(0.0))
    for position, (kind, event, obj) in enumerate(history):
        state.apply(kind, event, READ[kind](obj))
        snapshot = state.snapshot(float(position))
        assert board.update(snapshot) == anew(snapshot)


@given(st.lists(nodes, max_size=3), st.lists(pods, max_size=3))
def test_losing_and_regaining_sight_changes_nothing(
    some_nodes: list[Any], some_pods: list[Any]
) -> None:
    state = known_state(some_nodes, some_pods)
    board = OfferBoard(CATALOG)
    before = board.update(state.snapshot(0.0))
    state.forget("nodes", "forbidden")
    assert all(offer.state is None for offer in board.update(state.snapshot(0.0)))
    by_name = {node["metadata"]["name"]: node_from_api(node) for node in some_nodes}
    by_pod = {pod["metadata"]["name"]: pod_from_api(pod) for pod in some_pods}
    state.replace_all("nodes", by_name.values())
    state.replace_all("pods", by_pod.values())
    assert board.update(state.snapshot(0.0)) == before


@given(
    st.lists(nodes, max_size=4),
    st.lists(pods, max_size=4),
    st.lists(changes, max_size=4),
    st.sampled_from(["", "quay.io/site/base:1"]),
)
def test_rooms_are_the_nodes_where_each_server_alone_has_a_seat(
    some_nodes: list[Any],
    some_pods: list[Any],
    history: list[tuple[str, str, Any]],
    own_image: str,
) -> None:
    """With its images on them as the nodes say, and as much left as nobody has taken."""
    state = known_state(some_nodes, some_pods)
    board = OfferBoard(CATALOG)
    for kind, event, obj in [*history, ("", "", None)]:
        board.follow(snapshot := state.snapshot(0.0))
        for profile in CATALOG.profiles:
            for choice in profile.choices:
                selection = board.resolve(replace(selected(choice), own_image=own_image))
                fragment = compile_selection(CATALOG, selection)
                request = request_of(fragment, SitePod())
                found = {room.name: (room.is_warm, room.left) for room in board.rooms_of(selection)}
                assert found == by_hand(snapshot, request, fragment.image)
        if kind:
            state.apply(kind, event, READ[kind](obj))


def selected(choice: Choice) -> Selection:
    if choice.share is None:
        return select(CATALOG, profile=choice.profile)
    share = choice.share.label
    return select(
        CATALOG, profile=choice.profile, flavor=choice.flavor, share=share, count=choice.count
    )


def by_hand(snapshot: Snapshot, request: PodRequest, image: str) -> dict[str, tuple[bool, int]]:
    """Return for each node with a seat whether it lists an image, and what is left there."""
    states = snapshot.nodes or {}

    def left(state: NodeState) -> int:
        devices = [name for name in request.requests if "/" in name]
        if devices or "memory" in request.requests:
            return min(state.free.amount(name) for name in devices or ["memory"])
        return state.node.allocatable.amount("pods") - len(state.load.holders)

    return {
        name: (
            any(image in listed.names for listed in states[name].node.images),
            left(states[name]),
        )
        for name, seats in count_seats(snapshot, request).nodes.items()
        if seats.free
    }


@given(st.lists(nodes, max_size=3), st.lists(pods, max_size=3), pods)
def test_one_pod_more_never_makes_an_offer_better(
    some_nodes: list[Any], some_pods: list[Any], extra: Any
) -> None:
    extra["metadata"]["name"] = "extra"
    state = known_state(some_nodes, some_pods)
    before = anew(state.snapshot(0.0))
    state.apply("pods", "ADDED", pod_from_api(extra))
    after = anew(state.snapshot(0.0))
    for old, new in zip(before, after, strict=True):
        for was, now in zip(old.choices, new.choices, strict=True):
            assert now.free is not None
            assert was.free is not None
            assert now.free <= was.free
            assert now.total == was.total


@given(st.lists(nodes, max_size=3), st.lists(pods, max_size=4))
def test_every_offer_has_a_sentence_that_fits_its_state(
    some_nodes: list[Any], some_pods: list[Any]
) -> None:
    for profile in anew(known_state(some_nodes, some_pods).snapshot(0.0)):
        for offer in profile.choices:
            assert offer.because
            assert offer.because[0].isupper() or offer.because[0].isdigit()
            assert offer.state is not None
            assert (offer.free == 0) is not offer.starts_now
            assert (offer.total == 0) is (offer.state == 0)
