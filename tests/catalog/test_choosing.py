"""Which flavor "whichever is free first" takes: the fullest with room, or the first in order."""

from collections.abc import Mapping
from typing import Any

import pytest
from catalog_builders import catalog_of, documents, make_node, make_pod, select, snapshot_of
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.core.catalog.compile import compile_selection
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.offers.board import OfferBoard
from gpu_spawner.core.offers.choosing import Choosing

# One vendor's two models fit in one pod; another vendor's GPU needs a pod of its own.
FLAVORS = {
    "h100": ("NVIDIA-H100", "nvidia.com/gpu"),
    "a100": ("NVIDIA-A100", "nvidia.com/gpu"),
    "mi300": ("", "amd.com/gpu"),
}
SIZE = 4


def catalog(flavors: tuple[str, ...] = ("h100", "a100", "mi300")) -> Catalog:
    mapping = documents()
    mapping["20-gpus"]["gpu"] = {"flavors": list(flavors), "share": "whole", "count": [1, 2, 4]}
    return catalog_of(mapping)


def node(name: str, flavor: str) -> dict[str, Any]:
    product, resource = FLAVORS[flavor]
    labels = {} if product else {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"}
    return make_node(name, product=product, resources={resource: SIZE}, labels=labels)


def cluster(nodes: Mapping[str, tuple[str, int]]) -> list[dict[str, Any]]:
    """Return nodes of one size, each of a flavor, with so many GPUs in use."""
    items = [node(name, flavor) for name, (flavor, _) in nodes.items()]
    return items + [
        make_pod(f"on-{name}", name, **{FLAVORS[flavor][1]: used})
        for name, (flavor, used) in nodes.items()
        if used
    ]


def chosen(nodes: Mapping[str, tuple[str, int]], count: int = 1, rule: str = "fullest") -> str:
    """Return the flavor that a server gets: its pod admits several, and likes the first best."""
    found = catalog()
    board = OfferBoard(found, choosing=Choosing(rule))
    board.update(snapshot_of(*cluster(nodes)))
    resolved = board.resolve(select(found, profile="gpus", count=count))
    offer = board.offer_of(resolved)
    whole = board.offer_of(select(found, profile="gpus", count=count))
    assert offer.starts_now is whole.starts_now
    room = {flavor for flavor, used in nodes.values() if used + count <= SIZE}
    return next((flavor for flavor in resolved.flavors if flavor in room), resolved.flavors[0])


class TestScenarios:
    @pytest.mark.parametrize(
        ("nodes", "count", "fullest", "first"),
        [
            pytest.param({"a": ("h100", 0), "b": ("a100", 3)}, 1, "a100", "h100", id="labels"),
            pytest.param({"a": ("h100", 0), "b": ("mi300", 1)}, 1, "mi300", "h100", id="vendors"),
            pytest.param({"a": ("h100", 1), "b": ("a100", 1)}, 1, "h100", "h100", id="a tie"),
            pytest.param({"a": ("h100", 2), "b": ("a100", 3)}, 2, "h100", "h100", id="has no room"),
            pytest.param(
                {"a": ("h100", 0), "b": ("h100", 3), "c": ("a100", 2)},
                1,
                "h100",
                "h100",
                id="a flavor is as full as its fullest node with room",
            ),
            pytest.param(
                {"a": ("h100", 0), "b": ("h100", 3), "c": ("a100", 2)},
                2,
                "a100",
                "h100",
                id="nodes without room do not count",
            ),
        ],
    )
    def test_flavors(
        self, nodes: dict[str, tuple[str, int]], count: int, fullest: str, first: str
    ) -> None:
        assert chosen(nodes, count) == fullest
        assert chosen(nodes, count, "in_order") == first

    def test_the_scheduler_is_told_which_nodes_are_preferred(self) -> None:
        """One pod admits both flavors, and likes the nodes of the fuller one best."""
        found = catalog()
        board = OfferBoard(found)
        board.update(snapshot_of(*cluster({"a": ("h100", 0), "b": ("a100", 3)})))
        fragment = compile_selection(found, board.resolve(select(found, profile="gpus", count=1)))
        (preferred,) = fragment.preferred_terms
        assert preferred["preference"]["matchExpressions"][0]["values"] == ["NVIDIA-A100"]
        admitted = [
            expression["values"]
            for term in fragment.required_terms
            for expression in term["matchExpressions"]
            if expression["key"] == "nvidia.com/gpu.product"
        ]
        assert ["NVIDIA-H100"] in admitted

    def test_a_choice_of_one_flavor_stays_what_it_is(self) -> None:
        found = catalog()
        board = OfferBoard(found)
        board.update(snapshot_of(*cluster({"a": ("h100", 0), "b": ("a100", 3)})))
        selection = select(found, profile="gpus", flavor="h100", count=1)
        assert board.resolve(selection).flavors == ("h100",)


nodes = st.dictionaries(
    st.sampled_from("abcdef"),
    st.tuples(st.sampled_from(list(FLAVORS)), st.integers(0, SIZE)),
    max_size=6,
)


@given(nodes, st.sampled_from([1, 2, 4]), st.sampled_from(["fullest", "in_order"]))
def test_never_one_without_a_seat_when_another_has_one(
    some: dict[str, tuple[str, int]], count: int, rule: str
) -> None:
    flavor = chosen(some, count, rule)
    open_flavors = {kind for kind, used in some.values() if used + count <= SIZE}
    assert not open_flavors or flavor in open_flavors


@given(nodes, st.sampled_from([1, 2]), st.lists(st.sampled_from([1, 2]), max_size=8))
def test_the_fullest_leaves_no_fewer_empty_nodes_than_the_first(
    some: dict[str, tuple[str, int]], count: int, more: list[int]
) -> None:
    """On nodes of one size, server by server, from whatever was there before each of them."""
    state = dict(some)
    for wanted in (count, *more):
        left = {}
        for rule in ("in_order", "fullest"):
            after = place(state, chosen(state, wanted, rule), wanted)
            left[rule] = sum(used == 0 for _, used in after.values())
        assert left["fullest"] >= left["in_order"]
        state = place(state, chosen(state, wanted), wanted)


def place(
    some: Mapping[str, tuple[str, int]], flavor: str, count: int
) -> dict[str, tuple[str, int]]:
    """Put a server on the fullest node of a flavor that has room; nowhere where none has."""
    fitting = [
        (used, name)
        for name, (kind, used) in some.items()
        if kind == flavor and used + count <= SIZE
    ]
    after = dict(some)
    if fitting:
        used, name = max(fitting)
        after[name] = (flavor, used + count)
    return after
