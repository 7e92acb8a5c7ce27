"""Whether a device selector compiles, and the complaint where it does not.

An API server compiles selectors when it stores them. Here they are compiled as the scheduler's
side does it, and what that cannot judge is let pass.
"""

import re
from typing import Final

from gpu_spawner.core.devices.cel import (
    SelectorError,
    SelectorUnsupportedError,
    compile_selector,
)

__all__ = ["selector_problem"]

_UNDECLARED: Final = re.compile(
    r"ERROR: <input>:(?P<line>\d+):(?P<column>\d+): undeclared reference to "
    r"'(?P<name>\w+)\.[\w.]+' (?P<rest>.*)\n \| (?P<text>.*)\n \| \.*\^"
)
_GO_NAMES: Final = {"null": "null_type", "?": "type"}


def selector_problem(expression: str) -> str:
    """Return the API server's complaint about an expression, or an empty text."""
    try:
        compile_selector(expression)
    except SelectorUnsupportedError:
        return ""
    except SelectorError as error:
        if error.outcome:
            outcome = _GO_NAMES.get(error.outcome, error.outcome)
            return f"must evaluate to bool or the unknown type, not {outcome}"
        report = error.report or str(error)
        return f"compilation failed: {_UNDECLARED.sub(_at_its_first_name, report)}"
    return ""


def _at_its_first_name(found: re.Match[str]) -> str:
    """Say of ``foo.bar`` that foo is undeclared, where it stands: the library blames the whole."""
    at = found["text"].rfind(found["name"], 0, int(found["column"]))
    return (
        f"ERROR: <input>:{found['line']}:{at + 1}: undeclared reference to '{found['name']}' "
        f"{found['rest']}\n | {found['text']}\n | {'.' * at}^"
    )
