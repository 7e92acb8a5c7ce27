"""Laws of alternatives: what is offered instead starts now and may be held, and is not withheld."""

from typing import Any

from catalog_builders import make_node, make_pod, snapshot_of
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.catalog_files import read_mapping
from gpu_spawner.core.catalog.access import visible_to
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.offers.alternatives import nearest_alternative
from gpu_spawner.core.offers.board import OfferBoard
from gpu_spawner.hub.view import View

GPU = "nvidia.com/gpu"
SLICE = "nvidia.com/mig-1g.10gb"


def labels(product: str) -> dict[str, Any]:
    return {"node_labels": {"nvidia.com/gpu.product": product}}


CATALOG: Catalog = read_mapping(
    {
        "flavors": {
            "h100": {"display_name": "H100", "memory": "80GB", **labels("NVIDIA-H100")},
            "a100": {
                "display_name": "A100",
                "memory": "40GB",
                "mig": {"profiles": ["1g.10gb"]},
                **labels("NVIDIA-A100"),
            },
            "t4": {
                "display_name": "T4",
                "memory": "16GB",
                "sharing": {"strategy": "time-slicing", "replicas": 4},
                **labels("Tesla-T4"),
            },
        },
        "images": {
            "new": {"image": "r/new:1", "display_name": "New", "cuda": "13.0"},
            "old": {"image": "r/old:1", "display_name": "Old"},
        },
        "10-cpu": {"display_name": "CPU", "images": ["old"]},
        "20-whole": {
            "display_name": "Whole",
            "images": ["new", "old"],
            "gpu": [
                {"flavors": ["h100", "a100"], "share": "whole", "count": [1, 2, 4]},
                {"flavors": ["h100"], "share": "whole", "count": [8], "allowed_groups": ["lab"]},
            ],
        },
        "30-parts": {
            "display_name": "Parts",
            "images": ["old"],
            "gpu": [
                {"flavors": ["a100"], "share": {"mig": ["1g.10gb"]}},
                {"flavors": ["t4"], "share": {"replica": 1}},
            ],
        },
    }
)
VIEWS = [visible_to(CATALOG, groups) for groups in ((), ("lab",))]

nodes = st.builds(
    lambda number, product, gpus, slices, cpus, driver: make_node(
        f"n{number}",
        product=product,
        resources={GPU: gpus, SLICE: slices, "cpu": str(cpus)},
        labels={"nvidia.com/cuda.runtime-version.major": driver},
    ),
    st.integers(0, 4),
    st.sampled_from(["NVIDIA-H100", "NVIDIA-A100", "Tesla-T4-SHARED"]),
    st.sampled_from([0, 1, 2, 4, 8]),
    st.integers(0, 2),
    st.sampled_from([0, 8]),
    st.sampled_from(["12", "13"]),
)
pods = st.builds(
    lambda number, node, gpus: make_pod(f"p{number}", f"n{node}", **{GPU: gpus}),
    st.integers(0, 4),
    st.integers(0, 4),
    st.integers(0, 4),
)


def at_most(gpus: int) -> dict[str, str]:
    choices = [choice for profile in CATALOG.profiles for choice in profile.choices]
    return {choice.key: f"at most {gpus}" for choice in choices if choice.count > gpus}


@given(
    st.lists(nodes, max_size=4, unique_by=lambda node: node["metadata"]["name"]),
    st.lists(pods, max_size=4, unique_by=lambda pod: pod["metadata"]["name"]),
    st.sampled_from(VIEWS),
    st.integers(0, 9).map(at_most),
)
def test_an_alternative_starts_is_visible_and_within_limits(
    some_nodes: list[Any],
    some_pods: list[Any],
    catalog: Catalog,
    beyond: dict[str, str],
) -> None:
    """And there is one whenever anything starts that the user may have, other than itself."""
    board = OfferBoard(CATALOG)
    board.update(snapshot_of(*some_nodes, *some_pods))
    view = View(catalog=catalog, offers=board.offers(catalog))
    choices = {choice.key: choice for profile in catalog.profiles for choice in profile.choices}
    offers = {offer.key: offer for profile in view.offers for offer in profile.choices}
    open_to = choices.keys() - beyond.keys()
    for key, choice in choices.items():
        profile = catalog.profile(choice.profile)
        assert profile is not None
        for image in profile.images:
            starting = {
                other
                for other, offer in offers.items()
                if other in open_to
                and (
                    offer.with_image(image) if offer.profile == choice.profile else offer
                ).starts_now
            }
            instead = view.instead(key, image, beyond)
            if key in starting:
                assert not instead
            elif starting:
                assert instead in starting
            else:
                assert not instead


@given(
    st.lists(nodes, max_size=4, unique_by=lambda node: node["metadata"]["name"]),
    st.lists(pods, max_size=4, unique_by=lambda pod: pod["metadata"]["name"]),
)
def test_within_a_profile_before_another(some_nodes: list[Any], some_pods: list[Any]) -> None:
    """And of a profile's, one that is no larger where there is one."""
    board = OfferBoard(CATALOG)
    board.update(snapshot_of(*some_nodes, *some_pods))
    offers = [offer for profile in board.offers(CATALOG) for offer in profile.choices]
    for wanted in offers:
        if wanted.starts_now:
            continue
        found = nearest_alternative(wanted.key, offers)
        starting = [offer for offer in offers if offer.starts_now and offer.flavor != "any"]
        assert (found is None) is not bool(starting)
        if found is None:
            continue
        here = [offer for offer in starting if offer.profile == wanted.profile]
        assert (found.profile == wanted.profile) is bool(here)
        if any(offer.count <= wanted.count for offer in here):
            assert found.count <= wanted.count
