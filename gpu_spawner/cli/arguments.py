"""What arguments of several commands are: files, directories, ports, the shipped catalog."""

import argparse
import sys
from pathlib import Path
from typing import TypeAlias

__all__ = ["Commands", "directory", "file", "port", "shipped"]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - argparse has no public name for it
"""Where subcommands are added. Only type checkers know that it is generic."""


def port(text: str) -> int:
    """Read a TCP port, 1 to 65535."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 1 to 65535")
    return int(text)


def file(text: str) -> Path:
    """Read the path of a file, or of a pipe as in ``<(...)``; ``-`` is standard input."""
    path = Path(text)
    if text != "-" and not (path.is_file() or path.is_fifo()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a file")
    return path


def directory(text: str) -> Path:
    """Read the path of a directory that is there."""
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a directory")
    return path


def shipped(folder: str) -> Path:
    """Find a shipped folder: beside the package in a checkout, under share/ when installed."""
    checkout = Path(__file__).resolve().parents[2] / folder
    installed = Path(sys.prefix) / "share" / "gpu-spawner" / folder
    return checkout if checkout.is_dir() else installed
