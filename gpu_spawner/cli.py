"""The ``gpu-spawner`` command: ``demo``, ``check`` and ``whatif``.

Exit status: 0 for success, 1 for a finding (a mistake in the catalog, a busy port), 2 for a
command line that cannot be run. Mistakes are printed one a line to standard error, never as a
traceback.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpu_spawner._version import __version__
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.errors import ConfigError, GpuSpawnerError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 1
    except GpuSpawnerError as error:
        print(f"gpu-spawner: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader (head, less) has seen enough. Python would complain again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gpu-spawner",
        description="GPU-aware notebooks on JupyterHub: try them, check a catalog, ask what fits.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_demo(commands)
    _add_check(commands)
    _add_whatif(commands)
    return parser


def _add_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    demo = commands.add_parser(
        "demo",
        help="a real JupyterHub on a simulated GPU cluster, on this machine",
        description=(
            "Start a JupyterHub with this plugin on a simulated GPU cluster. The hub, its proxy, "
            "the plugin and the notebook servers are real; the cluster and its GPUs are not."
        ),
    )
    demo.add_argument(
        "--port", type=_port, default=8000, help="port of the hub on 127.0.0.1 (default: 8000)"
    )
    demo.add_argument(
        "--profiles",
        type=_directory,
        metavar="DIR",
        help="the catalog to show (default: the one that is shipped)",
    )
    demo.add_argument(
        "--cluster",
        type=_file,
        metavar="FILE",
        help="the fleet to simulate, as YAML (default: a mixed fleet of 12 nodes)",
    )
    demo.add_argument(
        "--kubeconfig",
        type=_file,
        metavar="FILE",
        help=(
            "attach the simulated nodes to this API server instead of the embedded one "
            "(default: $GPU_SPAWNER_KUBECONFIG, if set)"
        ),
    )
    demo.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="keep users' files, servers and logs here (default: a temporary folder)",
    )
    demo.set_defaults(run=_demo)


def _add_check(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    check = commands.add_parser(
        "check",
        help="every mistake in a catalog, and what no node could ever satisfy",
        description=(
            "Report every mistake in a catalog at once, each as FILE:LINE: KEY: what is wrong and "
            "how to mend it. With a cluster, also what none of its nodes could ever satisfy."
        ),
    )
    check.add_argument("profiles", type=_directory, metavar="DIR", help="the catalog")
    cluster = check.add_mutually_exclusive_group()
    cluster.add_argument(
        "--cluster",
        type=_file,
        metavar="FILE",
        help="the cluster, as kubectl get nodes,pods -A -o json prints it",
    )
    cluster.add_argument(
        "--kubeconfig", type=_file, metavar="FILE", help="the cluster, asked through this file"
    )
    check.set_defaults(run=_check)


def _add_whatif(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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
        type=_file,
        required=True,
        metavar="FILE",
        help="the cluster, as kubectl get nodes,pods -A -o json prints it; YAML too",
    )
    whatif.add_argument(
        "--pod", type=_file, required=True, metavar="FILE", help="the pod's manifest"
    )
    whatif.add_argument("--json", action="store_true", help="print JSON instead of a table")
    whatif.set_defaults(run=_whatif)


def _demo(arguments: argparse.Namespace) -> int:
    # The demo needs packages that a hub does not (the extra "demo").
    try:
        from gpu_spawner.sim.demo import DemoOptions, run_demo
    except ModuleNotFoundError as error:
        print(
            f"gpu-spawner demo needs the package {error.name}: "
            "pip install 'jupyterhub-gpuspawner[demo]'",
            file=sys.stderr,
        )
        return 2
    profiles_dir = arguments.profiles or _shipped_profiles()
    kubeconfig = arguments.kubeconfig
    if kubeconfig is None and (from_environment := os.environ.get("GPU_SPAWNER_KUBECONFIG")):
        kubeconfig = Path(from_environment)
    options = DemoOptions(
        port=arguments.port,
        profiles_dir=profiles_dir,
        cluster_file=arguments.cluster,
        kubeconfig=kubeconfig,
        state_dir=arguments.state,
    )
    return run_demo(options)


def _shipped_profiles() -> Path:
    """Find the example catalog: beside the package in a checkout, under share/ when installed."""
    checkout = Path(__file__).resolve().parent.parent / "profiles"
    installed = Path(sys.prefix) / "share" / "gpu-spawner" / "profiles"
    return checkout if checkout.is_dir() else installed


def _check(arguments: argparse.Namespace) -> int:
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


def _whatif(arguments: argparse.Namespace) -> int:
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
        print(_whatif_table(answer))
    return 0


def _whatif_table(answer: Mapping[str, Any]) -> str:
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


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 1 to 65535")
    return int(text)


def _file(text: str) -> Path:
    path = Path(text)
    if text != "-" and not path.is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is not a file")
    return path


def _directory(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a directory")
    return path


if __name__ == "__main__":
    sys.exit(main())
