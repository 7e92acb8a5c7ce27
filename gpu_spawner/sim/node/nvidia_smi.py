"""What ``nvidia-smi`` prints inside a simulated pod: the pod's GPUs, marked as simulated.

Run as a script by a wrapper that the kubelet puts on the PATH of every pod. It understands what
people type first (nothing, ``-L``, ``--query-gpu=...  --format=csv``) and refuses the rest.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["main", "render"]

_WIDTH = 79
_NOTE = "These GPUs are simulated by gpu-spawner: no hardware is behind them."


def main(arguments: Sequence[str]) -> int:
    """Print what was asked for and return the exit status."""
    described = json.loads(os.environ.get("GPU_SPAWNER_SIMULATED_GPUS") or "{}")
    lines, status = render(described, arguments)
    print("\n".join(lines))  # noqa: T201  a command prints
    return status


def render(described: Mapping[str, Any], arguments: Sequence[str]) -> tuple[list[str], int]:
    """Return the lines to print for the devices ``described`` and the exit status."""
    gpus: list[dict[str, Any]] = described.get("gpus") or []
    query = next((each for each in arguments if each.startswith("--query-gpu=")), "")
    if not gpus:
        return ["No devices were found"], 6
    if arguments and arguments[0] in {"-L", "--list-gpus"}:
        return [_list_line(number, gpu) for number, gpu in enumerate(gpus)], 0
    if query:
        formats = next((each for each in arguments if each.startswith("--format=")), "--format=csv")
        fields = query.partition("=")[2].split(",")
        return _csv(described, gpus, fields, formats.partition("=")[2].split(","))
    if arguments:
        known = "nothing, -L, or --query-gpu=FIELDS --format=csv[,noheader][,nounits]"
        return [f"nvidia-smi (simulated): understands {known}."], 2
    return _table(described, gpus), 0


def _list_line(number: int, gpu: Mapping[str, Any]) -> str:
    return f"GPU {number}: {gpu['name']} (UUID: {gpu['id']}) (simulated)"


def _csv(
    described: Mapping[str, Any],
    gpus: Sequence[Mapping[str, Any]],
    fields: Sequence[str],
    formats: Sequence[str],
) -> tuple[list[str], int]:
    unit = "" if "nounits" in formats else " MiB"
    lines = [] if "noheader" in formats else [", ".join(field.strip() for field in fields)]
    for number, gpu in enumerate(gpus):
        values = {
            "index": str(number),
            "name": gpu["name"],
            "uuid": gpu["id"],
            "gpu_uuid": gpu["id"],
            "count": str(len(gpus)),
            "driver_version": described["driver"],
            "memory.total": f"{gpu['memory_mib']}{unit}",
            "memory.used": f"0{unit}",
            "memory.free": f"{gpu['memory_mib']}{unit}",
            "utilization.gpu": "0" if "nounits" in formats else "0 %",
        }
        unknown = [field.strip() for field in fields if field.strip() not in values]
        if unknown:
            return [f'Field "{unknown[0]}" is not simulated.'], 2
        lines.append(", ".join(values[field.strip()] for field in fields))
    return lines, 0


def _table(described: Mapping[str, Any], gpus: Sequence[Mapping[str, Any]]) -> list[str]:
    rule = f"+{'-' * (_WIDTH - 2)}+"
    head = (
        f"NVIDIA-SMI (simulated)   Driver Version: {described['driver']}   "
        f"CUDA Version: {described['cuda']}"
    )
    lines = [rule, _row(head), _row(f"Node: {described['node']}"), rule]
    for number, gpu in enumerate(gpus):
        memory = f"0MiB / {gpu['memory_mib']}MiB"
        lines.append(_row(f"{number:>3}  {gpu['name']:<44} {memory:>24}"))
        lines.append(_row(f"     {gpu['id']}"))
    return [*lines, rule, _row(_NOTE), rule]


def _row(text: str) -> str:
    return f"| {text:<{_WIDTH - 4}} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
