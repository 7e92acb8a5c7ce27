"""Read one YAML file as plain data with the line of everything in it.

YAML can say more than configuration needs, and some of it is dangerous: repeated keys of which the
last wins, tags that make objects, aliases that expand without end. All of that is a mistake here.
"""

from pathlib import Path
from typing import Any, Final

import yaml

from gpu_spawner.core.catalog.documents import Document, KeyPath
from gpu_spawner.core.errors import Problem
from gpu_spawner.core.wording import as_sentence, quoted, say_bytes

__all__ = ["MAX_DEPTH", "MAX_FILE_BYTES", "MAX_VALUES", "read_yaml"]

MAX_FILE_BYTES: Final = 256 * 2**10
MAX_VALUES: Final = 20_000
MAX_DEPTH: Final = 30

_MAPPING: Final = "tag:yaml.org,2002:map"
_SEQUENCE: Final = "tag:yaml.org,2002:seq"
_MERGE: Final = "tag:yaml.org,2002:merge"


class _UnreadableError(Exception):
    """Why a file cannot be read at all."""

    def __init__(self, message: str, cure: str, line: int = 0) -> None:
        self.message = message
        self.cure = cure
        self.line = line
        super().__init__(message)


def read_yaml(path: Path, problems: list[Problem]) -> Document | None:
    """Read a file; None, with every problem added, where there is no mapping to work with."""
    file = str(path)
    try:
        root = _compose(_read_text(path))
    except _UnreadableError as error:
        problems.append(
            Problem(file=file, line=error.line, message=as_sentence(error.message), cure=error.cure)
        )
        return None
    reader = _NodeReader(file, problems)
    data = reader.read(root)
    if isinstance(data, dict):
        return Document(file=file, data=data, lines=reader.lines, told=frozenset(reader.told))
    if not reader.told:
        message = f"got {quoted(data)}; a mapping is expected."
        problems.append(Problem(file=file, line=1, message=message, cure="Begin with key: value."))
    return None


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _UnreadableError(
            f"cannot be read ({error.strerror})", "Check its permissions."
        ) from error
    if len(content) > MAX_FILE_BYTES:
        raise _UnreadableError(f"is larger than {say_bytes(MAX_FILE_BYTES)}", "Make it smaller.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _UnreadableError("is not UTF-8 text", "Save it as UTF-8.", line) from error


def _compose(text: str) -> yaml.Node:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        cure = ""
        if "'\\t'" in what:
            cure = "Indent with spaces, not with tabs."
        elif "expected a single document" in what:
            cure = "Remove the line ---: a file holds one part."
        line = mark.line + 1 if mark else 0
        raise _UnreadableError(f"is not YAML: {what[:200]}", cure, line) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        found = error.character  # its number where the text was decoded already
        shown = f"U+{found if isinstance(found, int) else ord(found):04X}"
        raise _UnreadableError(
            f"is not YAML: the character {shown} is not allowed", "Remove it.", line
        ) from error
    except RecursionError as error:
        raise _UnreadableError(
            f"is nested more than {MAX_DEPTH} levels deep", "Flatten it."
        ) from error
    if root is None:
        raise _UnreadableError("is empty", "Fill it in or remove it.")
    return root


class _NodeReader:
    """Turns YAML nodes into plain data, remembers lines, and tells what is not plain.

    Keys that repeat, keys that are not text, and tags are mistakes here, where YAML's own
    constructor takes the last or makes objects of them.
    """

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.told: set[KeyPath] = set()
        self._is_too_large = False
        self._file = file
        self._problems = problems
        self._count = 0
        self._scalars = yaml.SafeLoader("")

    def read(self, node: yaml.Node, path: KeyPath = ()) -> Any:
        """Return the data of a node; None where it had to be left out."""
        self._count += 1
        if self._count > MAX_VALUES or len(path) > MAX_DEPTH:
            limits = f"{MAX_VALUES:,} values or {MAX_DEPTH} levels"
            self._tell(node, path, f"is larger than {limits}", "Use fewer aliases.")
            self._is_too_large = True
            return None
        if isinstance(node, yaml.MappingNode) and node.tag == _MAPPING:
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _SEQUENCE:
            return [self._item(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self._tell(node, path, f"the tag {quoted(node.tag)} is not allowed", "Remove it.")
        return None

    def _item(self, node: yaml.Node, path: KeyPath) -> Any:
        self.lines[path] = node.start_mark.line + 1
        return self.read(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                self._tell(key_node, path, "merge keys (<<) are not allowed", "Write it out.")
                continue
            key = self.read(key_node, path)
            if not isinstance(key, str):
                shown = quoted(key_node.value)
                self._tell(key_node, path, f"the key {shown} is not a text", "Put it in quotes.")
            elif key in data:
                first = self.lines[(*path, key)]
                where = f"is given twice, first in line {first}"
                self._tell(key_node, (*path, key), where, "Remove one.")
            else:
                self.lines[(*path, key)] = key_node.start_mark.line + 1
                data[key] = self.read(value_node, (*path, key))
        return data

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        try:
            value = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError):
            value = node
        if value is None or isinstance(value, (str, bool, int, float)):
            return value
        # Dates, binary data, numbers too large to convert, and Python objects.
        shown = quoted(node.value)
        self._tell(node, path, f"{shown} is not a plain value", "Put it in quotes.")
        return None

    def _tell(self, node: yaml.Node, path: KeyPath, message: str, cure: str) -> None:
        if self._is_too_large:
            return  # a bomb of aliases has thousands of places; the first is enough
        self.told.add(path)
        document = Document(file=self._file, data={}, lines={path: node.start_mark.line + 1})
        self._problems.append(document.problem(path, message, cure))
