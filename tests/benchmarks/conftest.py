"""Every figure with its target, and beside KubeSpawner's where both did the same.

Benchmarks name their target in ``extra_info["target"]``; what else they found out stands there too.
Times are compared, never asserted: they tell of the machine as much as of the code.
"""

from typing import Any

import pytest


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    session = getattr(config, "_benchmarksession", None)
    measured = [one for one in getattr(session, "benchmarks", ()) if not one.has_error]
    if not measured:
        return
    theirs = {one.group: one.stats.median for one in measured if "kubespawner" in one.name}
    terminalreporter.section("figures and their targets")
    for one in measured:
        terminalreporter.write_line(line_of(one, theirs))


def line_of(one: Any, theirs: dict[str | None, float]) -> str:
    """Write one figure: best and median, how it compares, the target, and what else was found."""
    facts = dict(one.extra_info)
    target = facts.pop("target", "")
    parts = [f"{one.name}: best {said(one.stats.min)}, median {said(one.stats.median)}"]
    other = theirs.get(one.group)
    if other and "kubespawner" not in one.name:
        parts.append(f"{one.stats.median / other:.2f} times KubeSpawner's")
    parts.append(f"target {target}" if target else "no target")
    parts += [f"{name.replace('_', ' ')} {value}" for name, value in facts.items()]
    return "; ".join(parts)


def said(seconds: float) -> str:
    """Write a time in the unit that suits it."""
    for unit, length in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= length:
            return f"{seconds / length:.2f} {unit}"
    return f"{seconds * 1e6:.1f} us"
