"""``gpu-spawner availability``: what the spawn page would say about a cluster, now."""

import argparse
import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from gpu_spawner.cli.arguments import Commands
from gpu_spawner.cli.catalogs import add_catalog_arguments, read_catalog, read_config
from gpu_spawner.cli.clusters import add_cluster_arguments, read_cluster
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.offers.availability import ChoiceOffer
from gpu_spawner.core.wording import say_duration

__all__ = ["add_to"]

_HEADINGS = ("choice", "state", "free", "image", "why", "instead")


def add_to(commands: Commands) -> None:
    """Add the command and its arguments."""
    availability = commands.add_parser(
        "availability",
        help="which choices would start now, and why the others would not",
        description=(
            "Say of every choice of a catalog what the spawn page would say: whether it would "
            "start now, how many times, whether its image is where it would start, why not, and "
            "what would start instead."
        ),
    )
    add_catalog_arguments(availability)
    add_cluster_arguments(availability, is_needed=True)
    availability.add_argument(
        "--json", action="store_true", help="print the JSON of /hub/api/gpu-spawner/offers"
    )
    availability.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from gpu_spawner.core.catalog.access import without_access_rules
    from gpu_spawner.hub.offers_document import offers_document

    config = read_config(arguments)
    catalog = without_access_rules(read_catalog(arguments, config))
    view = asyncio.run(_view(config, catalog, read_cluster(arguments) or Snapshot()))
    if arguments.json:
        document, _ = offers_document(view, view.as_of, time.time())
        print(json.dumps(document, indent=2))
    else:
        print("\n".join(_table(view)))
    return 0


async def _view(config: Any, catalog: Any, snapshot: Snapshot) -> Any:
    from gpu_spawner.hub.rendering import board_for, idle_spawner
    from gpu_spawner.hub.view import View

    with idle_spawner(config, "user") as spawner:
        board = board_for(spawner, catalog, snapshot)
    return View(catalog=catalog, offers=board.offers(catalog), as_of=board.as_of)


def _table(view: Any) -> Iterator[str]:
    rows = [
        (
            choice.key,
            choice.state.word if choice.state is not None else "unknown",
            f"{_number(choice.free)}/{_number(choice.total)}",
            _image(choice),
            choice.because,
            view.instead(choice.key) or "-",
        )
        for offer in view.offers
        for choice in offer.choices
    ]
    widths = [max(len(row[column]) for row in [_HEADINGS, *rows]) for column in range(5)]
    for row in [_HEADINGS, *rows]:
        yield _line(row, widths)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
    return "  ".join([*cells, row[-1]]).rstrip()


def _number(count: int | None) -> str:
    return "?" if count is None else str(count)


def _image(choice: ChoiceOffer) -> str:
    """Say where the profile's first image is, among the nodes that have room."""
    readiness = next(iter(choice.images.values()), None)
    if readiness is None or not readiness.is_known:
        return "?"
    if not readiness.fitting_nodes:
        return "-"
    if readiness.is_cold:
        pull = readiness.pull_seconds
        more = " or more" if readiness.is_least else ""
        return f"to pull, {say_duration(pull)}{more}" if pull is not None else "to pull"
    return f"on {readiness.ready_nodes} of {readiness.fitting_nodes}"
