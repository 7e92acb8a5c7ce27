"""Say on which line of a YAML text a value stands, so that a mistake can be shown in its place."""

from collections.abc import Sequence
from typing import Any

import yaml

__all__ = ["line_of", "load_with_lines"]


def load_with_lines(text: str) -> tuple[Any, yaml.Node | None]:
    """Return the parsed document and its syntax tree (None for an empty text).

    Raises:
        yaml.YAMLError: the text is not one YAML document.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return yaml.safe_load(text), root


def line_of(root: yaml.Node | None, path: Sequence[str | int]) -> int:
    """Return the 1-based line of the value at ``path``, or of the nearest enclosing one."""
    if root is None:
        return 0
    node, line = root, root.start_mark.line + 1
    for part in path:
        found = _child(node, part)
        if found is None:
            return line
        line, node = found
    return line


def _child(node: yaml.Node, part: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item.start_mark.line + 1, item
    return None
