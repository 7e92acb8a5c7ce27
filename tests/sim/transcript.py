"""Comparing answers with recorded ones.

``<uid:N>``, ``<rv>``, ``<time>`` and ``<rand>`` in a recording stand for values that differ from
run to run; a ``<uid:N>`` stands for the same object wherever it appears.
"""

import json
import re
from pathlib import Path
from typing import Any

RECORDING = Path(__file__).parents[1] / "data" / "kube-apiserver-transcript.json"

# Values that were generated during the recording and not replaced by a placeholder.
_GENERATED = {
    "g-lrtqf": "g-<rand>",
    "claims2-gpu-4rpgm": "claims2-gpu-<rand>",
    "big.18eab4a30a0754e8": "big.<hex>",
    "claims3.18eab4a50ceb5e9d": "claims3.<hex>",
    "default-scheduler-vm": "default-scheduler-<host>",
}
_PATTERNS = {
    "<rv>": r"\d+",
    "<time>": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z",
    "<rand>": r"[bcdfghjklmnpqrstvwxz2456789]{5}",
    "<hex>": r"[0-9a-f]{16}",
    "<host>": r"[\w.-]+",
}
_UID = re.compile(r"<uid:\d+>")
_ANY_PLACEHOLDER = re.compile(r"<(?:rv|time|rand|hex|host|uid:\d+)>")


def load_steps() -> list[dict[str, Any]]:
    """Return the recorded steps, in order."""
    steps: list[dict[str, Any]] = json.loads(RECORDING.read_text(encoding="utf-8"))["steps"]
    return steps


class Comparison:
    """Knows which uid each ``<uid:N>`` of the recording stands for in this run."""

    def __init__(self) -> None:
        self.uids: dict[str, str] = {}

    def differences(self, expected: Any, actual: Any, path: str = "") -> list[str]:
        """Return where two bodies differ; learn uids where they do not."""
        learnt = dict(self.uids)
        found = _compare(expected, actual, path or "body", learnt)
        if not found:
            self.uids = learnt
        return found


def _compare(expected: Any, actual: Any, path: str, uids: dict[str, str]) -> list[str]:
    if isinstance(expected, dict) and isinstance(actual, dict):
        found = [f"{path}.{key}: missing" for key in expected.keys() - actual.keys()]
        found += [
            f"{path}.{key}: not expected, got {actual[key]!r}"
            for key in actual.keys() - expected.keys()
        ]
        for key in expected.keys() & actual.keys():
            found += _compare(expected[key], actual[key], f"{path}.{key}", uids)
        return sorted(found)
    if isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            return [f"{path}: {len(expected)} items expected, got {len(actual)}: {actual!r}"]
        found = []
        for index, pair in enumerate(zip(expected, actual, strict=True)):
            found += _compare(*pair, f"{path}[{index}]", uids)
        return found
    if isinstance(expected, str) and isinstance(actual, str):
        if _same_text(_GENERATED.get(expected, expected), actual, uids):
            return []
    elif type(expected) is type(actual) and expected == actual:
        return []
    return [f"{path}: expected {expected!r}, got {actual!r}"]


def _same_text(expected: str, actual: str, uids: dict[str, str]) -> bool:
    pattern = ""
    at = 0
    names: list[str] = []
    for found in _ANY_PLACEHOLDER.finditer(expected):
        pattern += re.escape(expected[at : found.start()])
        at = found.end()
        if _UID.fullmatch(found[0]):
            known = uids.get(found[0])
            pattern += re.escape(known) if known else "([0-9a-f-]{36})"
            names += [] if known else [found[0]]
        else:
            pattern += _PATTERNS[found[0]]
    match = re.fullmatch(pattern + re.escape(expected[at:]), actual)
    if match is None:
        return False
    uids.update(zip(names, match.groups(), strict=True))
    return True
