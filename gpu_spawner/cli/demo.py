"""``gpu-spawner demo``: a real JupyterHub on a simulated GPU cluster."""

import argparse
import os
import sys
from pathlib import Path

from gpu_spawner.cli.arguments import Commands, directory, file, port, shipped
from gpu_spawner.cli.catalogs import read_profiles

__all__ = ["add_to"]


def add_to(commands: Commands) -> None:
    """Add the command and its arguments."""
    demo = commands.add_parser(
        "demo",
        help="a real JupyterHub on a simulated GPU cluster, on this machine",
        description=(
            "Start a JupyterHub with this plugin on a simulated GPU cluster. The hub, its proxy, "
            "the plugin and the notebook servers are real; the cluster and its GPUs are not."
        ),
    )
    demo.add_argument(
        "--port", type=port, default=8000, help="port of the hub on 127.0.0.1 (default: 8000)"
    )
    demo.add_argument(
        "--profiles",
        type=directory,
        metavar="DIR",
        help="the catalog to show (default: the one that is shipped)",
    )
    demo.add_argument(
        "--cluster",
        type=file,
        metavar="FILE",
        help="the fleet to simulate, as YAML (default: a mixed fleet of 14 nodes)",
    )
    demo.add_argument(
        "--kubeconfig",
        type=file,
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
    demo.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
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
    profiles_dir = arguments.profiles or shipped("profiles")
    # The hub would find the same mistakes, but far less readably.
    read_profiles(profiles_dir)
    kubeconfig = arguments.kubeconfig
    if kubeconfig is None and (from_environment := os.environ.get("GPU_SPAWNER_KUBECONFIG")):
        kubeconfig = Path(from_environment)
    options = DemoOptions(
        port=arguments.port,
        profiles_dir=profiles_dir,
        helm_values_dir=shipped("helm-values"),
        cluster_file=arguments.cluster,
        kubeconfig=kubeconfig,
        state_dir=arguments.state,
    )
    return run_demo(options)
