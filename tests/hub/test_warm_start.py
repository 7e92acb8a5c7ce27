"""What the page says of images, and what a start makes of them."""

from dataclasses import dataclass, field
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from preload_model import catalog_of, make_node

from gpu_spawner.core.catalog.compile import compile_selection
from gpu_spawner.core.catalog.options import parse_options
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.offers.availability import Availability, ChoiceOffer, ImageReadiness
from gpu_spawner.core.offers.board import OfferBoard
from gpu_spawner.core.preload.durations import PullTimes
from gpu_spawner.core.preload.readiness import Readiness
from gpu_spawner.hub.page_words import tile_words
from gpu_spawner.hub.preload_settings import PreloadSettings
from gpu_spawner.hub.warm_start import prepare_start

TORCH = "quay.io/site/torch:1"
BASE = "quay.io/site/base:1"


def offer(
    ready: int,
    fitting: int,
    *,
    is_known: bool = True,
    is_least: bool = False,
    pull_seconds: float | None = 100.0,
) -> ChoiceOffer:
    readiness = ImageReadiness(
        ready_nodes=ready,
        fitting_nodes=fitting,
        is_known=is_known,
        pull_seconds=pull_seconds,
        is_least=is_least,
    )
    return ChoiceOffer(
        key="gpus/h100/whole/1",
        profile="gpus",
        flavor="h100",
        share="whole",
        count=1,
        state=Availability.READY if ready or not is_known else Availability.COLD,
        free=4,
        total=4,
        because="4 of 4 free",
        images=MappingProxyType({"torch": readiness}),
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (offer(3, 3), ("ready", "4 of 4 free", "starts now")),
        (offer(1, 3), ("ready", "4 of 4 free", "image on 1 of 3 nodes, else +2 min")),
        (offer(0, 3), ("cold", "4 of 4 free", "+2 min to pull the image")),
        (offer(0, 3, is_least=True), ("cold", "4 of 4 free", "+2 min or more to pull the image")),
        (offer(3, 3, is_known=False), ("ready", "4 of 4 free", "starts now")),
        (
            offer(1, 3, is_known=False),
            ("ready", "4 of 4 free", "image on 1 or more of 3 nodes"),
        ),
        (
            offer(0, 3, is_known=False),
            ("ready", "4 of 4 free", "+2 min if the image must be pulled"),
        ),
        (
            offer(0, 3, is_known=False, pull_seconds=None),
            ("ready", "4 of 4 free", "image may be pulled first"),
        ),
    ],
    ids=[
        "everywhere",
        "on some",
        "nowhere",
        "nowhere, of unknown size",
        "everywhere, as far as known",
        "on some, as far as known",
        "not known",
        "not known, of unknown size",
    ],
)
def test_the_tile_says_where_the_image_is(given: ChoiceOffer, words: tuple[str, ...]) -> None:
    assert tile_words(given, "torch") == words


@dataclass
class Hub:
    """As much of a hub as a start needs: two nodes, one of which has the image."""

    pulled: dict[str, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        nodes = [make_node("gpu-1"), make_node("gpu-2")]
        self._snapshot = Snapshot.from_objects(nodes, as_of=1.0)
        times = PullTimes(100_000_000.0)
        self.preloading = SimpleNamespace(
            readiness=Readiness(pulled=self.pulled, managed=frozenset({TORCH}), times=times)
        )

    def snapshot(self) -> Snapshot:
        return self._snapshot


class Spawner(PreloadSettings):
    """The settings of a spawner, and the site's timeout."""

    def site_setting(self, name: str) -> Any:
        return {"start_timeout": 300}[name]


def start(hub: Hub, changes: dict[str, Any] | None = None, **settings: Any) -> Any:
    catalog = catalog_of(changes)
    options = {"profile": "gpus", "flavor": "h100", "count": 1, "image": "torch"}
    selection = parse_options(catalog, options, groups=())
    board = OfferBoard(catalog)
    board.learn_images(hub.preloading.readiness)
    board.update(hub.snapshot())
    fragment = compile_selection(catalog, selection)
    image = board.offer_of(selection).images["torch"]
    return prepare_start(fragment, Spawner(**settings), lambda: board.rooms_of(selection), image)


def test_a_server_prefers_the_node_with_its_image() -> None:
    fragment = start(Hub({"gpu-1": frozenset({TORCH})}))

    assert "gpu-1" in str(fragment.preferred_terms)
    assert "gpu-2" not in str(fragment.preferred_terms)


def test_a_node_without_the_images_of_sidecars_is_not_preferred() -> None:
    profile = {
        "display_name": "GPUs",
        "images": ["torch"],
        "gpu": {"flavors": ["h100", "t4"], "share": "whole", "count": [1, 2]},
        "sidecars": [{"name": "proxy", "image": "base"}],
    }
    without = Hub({"gpu-1": frozenset({TORCH})})
    with_all = Hub({"gpu-1": frozenset({TORCH}), "gpu-2": frozenset({TORCH, BASE})})

    assert start(without, {"10-gpus": profile}).preferred_terms == ()
    assert "gpu-2" in str(start(with_all, {"10-gpus": profile}).preferred_terms)
    assert start(without, {"10-gpus": profile}).start_timeout_seconds == 300 + 2 * (100 + 10)


def test_a_cold_start_gets_twice_the_time_of_the_pull() -> None:
    assert start(Hub()).start_timeout_seconds == 300 + 2 * 100


def test_the_time_is_bounded_by_what_the_admin_allows() -> None:
    assert start(Hub(), longest_start_seconds=400).start_timeout_seconds == 400
    assert start(Hub(), longest_start_seconds=0).start_timeout_seconds is None


def test_a_warm_start_gets_no_more_time() -> None:
    everywhere = {name: frozenset({TORCH}) for name in ("gpu-1", "gpu-2")}
    fragment = start(Hub(everywhere))

    assert fragment.start_timeout_seconds is None
    assert fragment.preferred_terms == ()


def test_switched_off_nobody_is_steered() -> None:
    fragment = start(Hub({"gpu-1": frozenset({TORCH})}), preload_steer="off")

    assert fragment.preferred_terms == ()
