"""``gpu-spawner check``: every mistake in a catalog, before a hub or a user meets it."""

import argparse
import asyncio
import sys
from pathlib import Path

from gpu_spawner.cli.arguments import Commands, directory, file
from gpu_spawner.core.cluster.snapshot import Snapshot

__all__ = ["add_to"]


def add_to(commands: Commands) -> None:
    """Add the command and its arguments."""
    check = commands.add_parser(
        "check",
        help="every mistake in a catalog, and what no node could ever satisfy",
        description=(
            "Report every mistake in a catalog at once, each as FILE:LINE: KEY: what is wrong and "
            "how to mend it. With a cluster, also what none of its nodes could ever satisfy."
        ),
    )
    check.add_argument("profiles", type=directory, metavar="DIR", help="the catalog")
    cluster = check.add_mutually_exclusive_group()
    cluster.add_argument(
        "--cluster",
        type=file,
        metavar="FILE",
        help="the cluster, as kubectl get nodes,pods -A -o json prints it",
    )
    cluster.add_argument(
        "--kubeconfig", type=file, metavar="FILE", help="the cluster, asked through this file"
    )
    check.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from gpu_spawner.catalog_files import read_directory
    from gpu_spawner.core.catalog.check import check_against_cluster
    from gpu_spawner.kube.dump import read_objects

    catalog = read_directory(arguments.profiles)
    snapshot: Snapshot | None = None
    if arguments.cluster:
        snapshot = Snapshot.from_objects(
            read_objects(arguments.cluster), source=str(arguments.cluster)
        )
    elif arguments.kubeconfig:
        snapshot = asyncio.run(_read_cluster(arguments.kubeconfig))
    problems = check_against_cluster(catalog, snapshot) if snapshot else []
    for problem in sorted(problems):
        print(problem, file=sys.stderr)
    if problems:
        return 1
    count = len(catalog.profiles)
    print(f"{arguments.profiles}: {count} profile{'s' if count != 1 else ''}, no mistake found")
    return 0


async def _read_cluster(kubeconfig: Path) -> Snapshot:
    from gpu_spawner.kube.watcher import read_once

    return await read_once(kubeconfig=kubeconfig)
