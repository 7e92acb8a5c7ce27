"""What arguments of several commands are: files, directories, ports, the shipped catalog."""

import argparse
import re
import sys
from pathlib import Path
from typing import Final, TypeAlias

__all__ = [
    "RELEASE",
    "Commands",
    "directory",
    "file",
    "namespace",
    "object_name",
    "port",
    "shipped",
]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - argparse has no public name for it
"""Where subcommands are added. Only type checkers know that it is generic."""

RELEASE: Final = "jhub"
"""What Helm knows the hub as where nobody says otherwise: the name in the chart's own guide."""

_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"


def namespace(text: str) -> str:
    """Read the name of a namespace: at most 63 small letters, digits and dashes."""
    if not re.fullmatch(_LABEL, text, re.ASCII):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name of a namespace: small letters, digits and dashes, at most 63"
        )
    return text


def object_name(text: str) -> str:
    """Read the name of an object: parts as of a namespace's, with dots between them."""
    if len(text) > 253 or not re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", text, re.ASCII):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name that Kubernetes takes: small letters, digits, dashes and dots"
        )
    return text


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
