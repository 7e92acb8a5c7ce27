"""Offers of choices that can be served in several ways, on the demo's cluster."""

import json
from dataclasses import replace
from typing import Any

import pytest
from catalog_builders import REPOSITORY

from gpu_spawner.catalog_files import read_mapping
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.catalog.options import parse_options
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.offers.availability import ChoiceOffer
from gpu_spawner.core.offers.board import OfferBoard
from gpu_spawner.core.offers.choosing import Choosing

CLUSTER = REPOSITORY / "tests" / "golden" / "catalog" / "cluster.json"
ITEMS: list[dict[str, Any]] = json.loads(CLUSTER.read_text(encoding="utf-8"))["items"]
SEEN = Snapshot.from_objects(ITEMS, as_of=0.0)

FLAVORS: dict[str, Any] = {
    "h100": {"node_labels": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}},
    "h200": {"memory": "141GB", "dra": {"attributes": {"productName": "NVIDIA H200"}}},
    "l40s": {
        "memory": "48GB",
        "dra": {"attributes": {"productName": "NVIDIA L40S"}, "memory_capacity": "memory"},
    },
    "a100": {
        "memory": "80GB",
        "node_labels": {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"},
        "mig": {"profiles": ["1g.10gb", "3g.40gb"]},
    },
    "nowhere": {"dra": {"attributes": {"productName": "NVIDIA Z900"}}},
    "both": {
        "resource": "nvidia.com/gpu",
        "node_labels": {"node.kubernetes.io/instance-type": "gpu.h200x8"},
        "dra": {"attributes": {"productName": "NVIDIA H200"}},
    },
    "divided": {
        "memory": "180GB",
        "dra": {
            "attributes": {"productName": "NVIDIA B200"},
            "mig_device_class": "mig.nvidia.com",
        },
        "mig": {"profiles": ["1g.23gb", "3g.90gb"]},
    },
}


def catalog_for(flavors: list[str], share: Any = "whole", count: Any = 1) -> Catalog:
    return read_mapping(
        {
            "flavors": {name: {"display_name": name, **one} for name, one in FLAVORS.items()},
            "images": {
                "base": {"image": "quay.io/site/base:1", "display_name": "Base", "size": "1GB"}
            },
            "10-it": {
                "display_name": "It",
                "images": ["base"],
                "gpu": {"flavors": flavors, "share": share, "count": count},
            },
        }
    )


def offer(catalog: Catalog, snapshot: Snapshot = SEEN, **options: Any) -> ChoiceOffer:
    board = OfferBoard(catalog)
    board.update(snapshot)
    return board.offer_of(parse_options(catalog, {"profile": "it", **options}, groups=()))


def blind(kind: str, attribute: str) -> Snapshot:
    return replace(SEEN, **{attribute: None}, unknown={kind: "forbidden"})


def test_seats_of_different_nodes_add_up() -> None:
    alone = [offer(catalog_for([name])) for name in ("h100", "h200")]
    assert [(one.free, one.total) for one in alone] == [(6, 16), (5, 7)]
    together = offer(catalog_for(["h100", "h200"]))
    assert (together.free, together.total) == (11, 23)
    assert together.because == "11 of 23 free"


def test_one_device_that_can_be_had_in_two_ways_is_counted_once() -> None:
    """The class of the demo's driver stands behind nvidia.com/gpu, too."""
    found = offer(catalog_for(["both"]))
    assert (found.free, found.total) == (5, 7)
    (profile,) = OfferBoard(catalog_for(["both"])).update(SEEN)
    assert [(one.free, one.total) for one in profile.flavors] == [(5, 7)]


def test_what_the_cluster_does_not_have_says_nothing() -> None:
    found = offer(catalog_for(["nowhere", "h100"]))
    assert (found.free, found.total, found.because) == (6, 16, "6 of 16 free")
    assert offer(catalog_for(["nowhere"])).because == "No node offers such GPUs"


def test_what_is_unknown_beside_known_seats_is_at_least() -> None:
    hidden = blind("resourceslices", "slices")
    found = offer(catalog_for(["a100", "l40s"], {"memory": "10GB"}), hidden)
    assert (found.free, found.because, found.starts_now) == (35, "At least 35 free", True)
    alone = offer(catalog_for(["h200"]), hidden)
    assert (alone.free, alone.total, alone.state) == (None, None, None)
    assert alone.because.startswith("Unknown: ")
    full = offer(catalog_for(["a100", "l40s"], {"memory": "20GB"}), hidden)
    assert (full.free, full.state) == (None, None)


@pytest.mark.parametrize(
    ("flavors", "count", "mechanism"),
    [
        (["h100", "h200"], 2, "whole"),
        (["h200", "h100"], 2, "dra-whole"),
        (["h200", "h100"], 4, "dra-whole"),
        (["nowhere", "h100"], 1, "whole"),
        (["both"], 1, "whole"),
    ],
)
def test_the_first_way_with_a_seat_is_taken_in_order(
    flavors: list[str], count: int, mechanism: str
) -> None:
    catalog = catalog_for(flavors, count=count)
    board = OfferBoard(catalog, choosing=Choosing.IN_ORDER)
    board.update(SEEN)
    resolved = board.resolve(parse_options(catalog, {"profile": "it"}, groups=()))
    assert resolved.mechanism == mechanism
    assert board.offer_of(resolved).starts_now


def test_a_full_way_is_passed_over() -> None:
    """Six H100s are free, but no four of them and four more on one node."""
    catalog = catalog_for(["h100", "divided"], count=[5])
    board = OfferBoard(catalog)
    board.update(SEEN)
    resolved = board.resolve(parse_options(catalog, {"profile": "it"}, groups=()))
    assert (resolved.flavors, resolved.mechanism) == (("divided",), "dra-whole")


def test_slices_that_could_be_made_are_counted_by_what_they_leave() -> None:
    sizes = {
        share: offer(catalog_for(["divided"], {"mig": share})).free
        for share in ("1g.23gb", "3g.90gb")
    }
    assert sizes == {"1g.23gb": 37, "3g.90gb": 10}


def test_memory_in_either_of_two_ways() -> None:
    """Parts of an L40S, and slices of a B200; the sentence speaks of both."""
    found = offer(catalog_for(["l40s", "divided"], {"memory": "10Gi"}))
    assert (found.free, found.total) == (45, 72)


def test_memory_that_only_an_empty_gpu_has() -> None:
    """Six parts of 12 GiB are on two of the four GPUs."""
    found = offer(catalog_for(["l40s"], {"memory": "40Gi"}))
    assert (found.free, found.total) == (2, 4)


def test_why_devices_do_not_do() -> None:
    found = offer(catalog_for(["h200"], count=6))
    assert (found.free, found.total) == (0, 1)
    assert found.because == "Only 5 of 7 are free; 1 GPU is out of service"


def test_knowledge_of_claims_is_followed() -> None:
    """A board that has seen the cluster without its claims says what a new one says."""
    catalog = catalog_for(["h100", "h200"], count=[1, 2])
    board = OfferBoard(catalog)
    empty = Snapshot.from_objects(
        [item for item in ITEMS if item["kind"] != "ResourceClaim"], as_of=0.0
    )
    for snapshot in (SEEN, empty, blind("deviceclasses", "device_classes"), SEEN):
        assert board.update(snapshot) == OfferBoard(catalog).update(snapshot)
