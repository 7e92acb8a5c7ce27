"""The command line: find the subcommand, run it, turn what it says into an exit status.

Exit status: 0 for success, 1 for a finding (a mistake in the catalog, a busy port), 2 for a
command line that cannot be run. Mistakes are printed one a line to standard error, never as a
traceback.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from gpu_spawner._version import __version__
from gpu_spawner.cli import availability, check, demo, doctor, preload, rbac, render, whatif
from gpu_spawner.core.errors import ConfigError, GpuSpawnerError

__all__ = ["main", "make_parser"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return the exit status."""
    arguments = make_parser().parse_args(argv)
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


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="gpu-spawner",
        description="GPU-aware notebooks on JupyterHub: try them, check a catalog, ask what fits.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (demo, check, doctor, render, availability, preload, whatif, rbac):
        command.add_to(commands)
    return parser
