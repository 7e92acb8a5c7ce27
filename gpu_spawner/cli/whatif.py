"""``gpu-spawner whatif``: how many pods like this one the scheduler would bind now."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from gpu_spawner.cli.arguments import Commands, file

__all__ = ["add_to"]


def add_to(commands: Commands) -> None:
    """Add the command and its arguments."""
    whatif = commands.add_parser(
        "whatif",
        help="how many pods like this one would be scheduled now, and where",
        description=(
            "Count how many identical pods the Kubernetes scheduler would bind now, one after "
            "another, and say of every node what stops the next one."
        ),
    )
    whatif.add_argument(
        "--cluster",
        type=file,
        required=True,
        metavar="FILE",
        help=(
            "the cluster, as kubectl get nodes,pods -A -o json prints it; YAML too; for device "
            "claims with resourceslices,deviceclasses,resourceclaims,resourceclaimtemplates, for a "
            "pod with a runtime class with runtimeclasses"
        ),
    )
    whatif.add_argument(
        "--pod", type=file, required=True, metavar="FILE", help="the pod's manifest"
    )
    whatif.add_argument("--json", action="store_true", help="print JSON instead of a table")
    whatif.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from gpu_spawner.core.placement.whatif import whatif
    from gpu_spawner.kube.dump import read_manifest, read_objects

    answer = whatif(
        read_objects(arguments.cluster),
        read_manifest(arguments.pod, "Pod"),
        cluster_source=str(arguments.cluster),
        pod_source=str(arguments.pod),
    )
    if arguments.json:
        print(json.dumps(answer, indent=2))
    else:
        print(_table(answer))
    return 0


def _table(answer: Mapping[str, Any]) -> str:
    if answer["seats"] is None:
        lines = [f"seats: unknown ({answer['reason']})"]
    else:
        lines = [f"seats: {answer['seats']}"]
    nodes = answer["nodes"]
    width = max((len(name) for name in nodes), default=0)
    for name, node in nodes.items():
        seats = "?" if node["seats"] is None else node["seats"]
        lines.append(f"  {name:<{width}}  {seats:>4}  {'; '.join(node['reasons'])}".rstrip())
    return "\n".join(lines)
