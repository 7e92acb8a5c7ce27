"""Where a command finds its cluster: a file that kubectl wrote, or the API server itself."""

import argparse
import asyncio
from pathlib import Path

from gpu_spawner.cli.arguments import file
from gpu_spawner.core.cluster.snapshot import Snapshot

__all__ = ["add_cluster_arguments", "read_cluster"]


def add_cluster_arguments(parser: argparse.ArgumentParser, *, is_needed: bool = False) -> None:
    """Add ``--cluster`` and ``--kubeconfig``, of which one can be given.

    A command that needs a cluster asks the one kubectl would ask where neither is given.
    """
    parser.set_defaults(needs_cluster=is_needed)
    cluster = parser.add_mutually_exclusive_group()
    cluster.add_argument(
        "--cluster",
        type=file,
        metavar="FILE",
        help=(
            "the cluster, as kubectl get nodes,pods,resourceslices,deviceclasses,resourceclaims "
            "-A -o json prints it (what it does not serve left out); - reads standard input"
        ),
    )
    cluster.add_argument(
        "--kubeconfig",
        type=file,
        metavar="FILE",
        help="the cluster, asked through this file"
        + (" (default: the pod's own cluster, else as kubectl)" if is_needed else ""),
    )


def read_cluster(arguments: argparse.Namespace) -> Snapshot | None:
    """Return the cluster that was named; None where none was and none is needed.

    Raises:
        ConfigError: the file is no cluster, or no kubeconfig.
        ClusterError: the API server does not answer.
    """
    if arguments.cluster:
        from gpu_spawner.kube.dump import read_objects

        items = read_objects(arguments.cluster)
        return Snapshot.from_objects(items, source=str(arguments.cluster)).thoroughly()
    if arguments.kubeconfig or arguments.needs_cluster:
        return asyncio.run(_ask(arguments.kubeconfig)).thoroughly()
    return None


async def _ask(kubeconfig: Path | None) -> Snapshot:
    from gpu_spawner.kube.watcher import read_once

    return await read_once(kubeconfig=kubeconfig)
