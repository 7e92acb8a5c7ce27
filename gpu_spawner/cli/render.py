"""``gpu-spawner render``: what a choice would create, as YAML that ``kubectl`` takes."""

import argparse
import asyncio
import json
import sys
from dataclasses import replace
from typing import Any

from gpu_spawner.cli.arguments import Commands
from gpu_spawner.cli.catalogs import add_catalog_arguments, read_catalog, read_config
from gpu_spawner.cli.clusters import add_cluster_arguments, read_cluster
from gpu_spawner.core.cluster.snapshot import Snapshot

__all__ = ["add_to"]


def add_to(commands: Commands) -> None:
    """Add the command and its arguments."""
    render = commands.add_parser(
        "render",
        help="what a choice would create, as YAML that kubectl takes",
        description=(
            "Print everything that a start with this choice would create: the pod as KubeSpawner "
            "builds it, its claim templates, and what the configuration adds. Try it with "
            "kubectl apply --dry-run=server -f -"
        ),
    )
    render.add_argument(
        "profile",
        metavar="PROFILE",
        help="a profile, or one of its choices as availability prints them",
    )
    render.add_argument(
        "--choice",
        type=_option,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="flavor, share, count or image; what is not said is the profile's first",
    )
    render.add_argument(
        "--mechanism",
        default="",
        metavar="NAME",
        help="how the share is obtained, where the catalog knows several ways",
    )
    render.add_argument(
        "--user", default="user", metavar="NAME", help="whose server it is (default: user)"
    )
    render.add_argument(
        "--namespace",
        metavar="NS",
        help="where servers run (default: the configuration's, else KubeSpawner's)",
    )
    add_catalog_arguments(render)
    add_cluster_arguments(render)
    render.set_defaults(run=_run)


def _option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE, for example count=2")
    return key, value


def _run(arguments: argparse.Namespace) -> int:
    from gpu_spawner.core.catalog.access import without_access_rules
    from gpu_spawner.core.catalog.options import parse_form_key, parse_options

    config = read_config(arguments)
    if arguments.namespace:
        config.GPUSpawner.namespace = arguments.namespace
    catalog = without_access_rules(read_catalog(arguments, config))
    named = arguments.profile
    options: dict[str, Any] = parse_form_key(named) if "/" in named else {"profile": named}
    options |= dict(arguments.choice)
    selection = parse_options(catalog, options, groups=())
    if arguments.mechanism:
        selection = replace(selection, mechanisms=(arguments.mechanism,) * len(selection.flavors))
    asyncio.run(_print(arguments, config, catalog, selection, read_cluster(arguments)))
    return 0


async def _print(
    arguments: argparse.Namespace,
    config: Any,
    catalog: Any,
    selection: Any,
    snapshot: Snapshot | None,
) -> None:
    import yaml

    from gpu_spawner.hub.rendering import idle_spawner, render

    with idle_spawner(config, arguments.user) as spawner:
        rendering = await render(spawner, catalog, selection, snapshot)
    for note in rendering.notes:
        print(f"# {note}")
    # By way of JSON: the same object twice would become an anchor, which people find hard to read.
    documents = [json.loads(json.dumps(document)) for document in rendering.documents]
    yaml.safe_dump_all(documents, sys.stdout, sort_keys=False, explicit_start=True)
