"""The ``gpu-spawner`` command: one module a subcommand, each with ``add_to`` for its arguments."""

from gpu_spawner.cli.command_line import main

__all__ = ["main"]
