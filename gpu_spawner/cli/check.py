"""``gpu-spawner check``: every mistake in a catalog, before a hub or a user meets it."""

import argparse
import sys

from gpu_spawner.cli.arguments import Commands, directory
from gpu_spawner.cli.catalogs import override_problems
from gpu_spawner.cli.clusters import add_cluster_arguments, read_cluster

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
    catalog = check.add_mutually_exclusive_group(required=True)
    catalog.add_argument("directory", nargs="?", type=directory, metavar="DIR", help="the catalog")
    catalog.add_argument(
        "--profiles", type=directory, metavar="DIR", help="the same, as other commands take it"
    )
    add_cluster_arguments(check)
    check.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from gpu_spawner.catalog_files import read_directory
    from gpu_spawner.core.catalog.check import check_against_cluster

    path = arguments.directory or arguments.profiles
    catalog = read_directory(path)
    snapshot = read_cluster(arguments)
    problems = override_problems(catalog)
    if snapshot is not None:
        problems += check_against_cluster(catalog, snapshot)
    for problem in sorted(problems):
        print(problem, file=sys.stderr)
    if problems:
        return 1
    count = len(catalog.profiles)
    print(f"{path}: {count} profile{'s' if count != 1 else ''}, no mistake found")
    return 0
