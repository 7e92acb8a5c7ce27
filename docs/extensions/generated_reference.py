"""Directives that write the reference from the code, so that it cannot grow stale.

- ``own-traits``: the settings of ``c.GPUSpawner``, from the traits' own help.
- ``catalog-keys:: NAME.schema.json``: the keys of a kind of catalog file, or of an answer of the
  API, from its JSON Schema.
- ``command-help``: every ``gpu-spawner`` command, as ``--help`` prints it.
- ``mechanism-table``: what each way of obtaining a share means, in the words that users read.
"""

import argparse
import json
import re
from collections.abc import Iterator
from importlib.resources import files
from inspect import cleandoc
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from traitlets import TraitType

from gpu_spawner.catalog_files import read_mapping
from gpu_spawner.cli.command_line import make_parser
from gpu_spawner.core.catalog.mechanisms import MECHANISMS
from gpu_spawner.hub.settings import Settings

_WORDS = {"object": "mapping", "string": "text"}
"""JSON Schema's words for types, where YAML's authors have others."""


class OwnTraits(SphinxDirective):
    """Write a section for each trait of ours."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        traits = sorted(Settings.class_traits(config=True).items())
        return self.parse_text_to_nodes("\n".join(_trait(name, trait) for name, trait in traits))


def _trait(name: str, trait: "TraitType[Any, Any]") -> str:
    kind = type(trait).__name__
    default = trait.default_value_repr()
    # A help text marks an example as reStructuredText does: "::" and an indented block.
    text = re.sub(r"::\n\n((?:    .*\n?|\n)+)", _example, cleandoc(trait.help) + "\n")
    text = re.sub(r"``(.+?)``", r"`\1`", text)
    return f"`c.GPUSpawner.{name}`\n: *{kind}, {default} by default.*\n\n{_indented(text)}\n"


def _example(match: re.Match[str]) -> str:
    return f":\n\n```python\n{cleandoc(match[1])}\n```\n"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())


class CatalogKeys(SphinxDirective):
    """Write a table of the keys of one kind of catalog file, or of an answer."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the tables, the file's own keys first."""
        schema = json.loads(files("gpu_spawner").joinpath(self.arguments[0]).read_text("utf-8"))
        models = schema.get("$defs", {})
        parts = []
        if "properties" in schema:
            parts.append("\n".join(_table(schema)))
        for name, model in models.items():
            if "properties" in model:
                title = name.removesuffix("Model")
                parts.append(f"**{title}**: {model.get('description', '')}\n")
                parts.append("\n".join(_table(model)))
        return self.parse_text_to_nodes("\n\n".join(parts))


def _table(model: dict[str, Any]) -> Iterator[str]:
    yield "| key | what it is | meaning |"
    yield "|---|---|---|"
    required = set(model.get("required", ()))
    # Where every key is there, none stands out.
    is_always_whole = required == set(model["properties"])
    for key, field in model["properties"].items():
        name = f"**`{key}`**" if key in required and not is_always_whole else f"`{key}`"
        meaning = " ".join(str(field.get("description", "")).split())
        default = field.get("default")
        if default not in (None, "", []) and not isinstance(default, dict):
            meaning = f"{meaning} Default: `{json.dumps(default)}`.".strip()
        kind = (
            f"{_kind(field)} or null" if is_always_whole and _may_be_null(field) else _kind(field)
        )
        yield f"| {name} | {kind} | {meaning} |".replace("\n", " ")
    yield ""


def _may_be_null(field: dict[str, Any]) -> bool:
    return any(one.get("type") == "null" for one in field.get("anyOf", ()))


def _kind(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    for many in ("anyOf", "oneOf"):
        if many in field:
            kinds = [_kind(one) for one in field[many] if one.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    if "$ref" in field:
        return field["$ref"].rpartition("/")[2].removesuffix("Model")
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}))}"
    found = field.get("type", "any")
    types = found if isinstance(found, list) else [found]
    return " or ".join(_WORDS.get(one, one) for one in types)


class CommandHelp(SphinxDirective):
    """Write what ``--help`` says for the program and for each of its commands."""

    def run(self) -> list[nodes.Node]:
        """Return a block for each."""
        parser = make_parser()
        found = [parser, *_commands(parser)]
        return [
            nodes.literal_block(text, text, language="text")
            for text in (one.format_help() for one in found)
        ]


def _commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no public list of subcommands
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            yield from action.choices.values()


_LABELS = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
_SHARING = {"strategy": "time-slicing", "replicas": 4}
_CLAIM = {
    "spec": {
        "devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com"}}]}
    }
}
_EXAMPLES: tuple[tuple[str, dict[str, Any], Any], ...] = (
    ("whole", {}, "whole"),
    ("mig", {}, {"mig": "1g.10gb"}),
    ("dra-whole", {"dra": {}}, "whole"),
    ("dra-mig", {"dra": {"mig_device_class": "mig.nvidia.com"}}, {"mig": "1g.10gb"}),
    ("dra-capacity", {"dra": {"memory_capacity": "memory"}}, {"memory": "10Gi"}),
    ("dra-claim", {"dra": {"claims": {"mine": _CLAIM}}}, {"claim": "mine"}),
    ("hami", {"hami": {}}, {"memory": "10Gi"}),
    ("volcano", {"volcano": {}}, {"memory": "10Gi"}),
    ("kai", {"kai": {"queue": "notebooks"}}, {"fraction": 0.5}),
    ("runai", {"runai": {"project": "notebooks"}}, {"fraction": 0.5}),
    ("replica", {"sharing": {**_SHARING, "strategy": "mps"}}, {"replica": 1}),
    ("replica", {"sharing": _SHARING}, {"replica": 1}),
)
"""A flavor and a share for each mechanism; of MPS and time-slicing one each."""


class MechanismTable(SphinxDirective):
    """Write a table of the mechanisms, with what the page says of each."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        lines = ["| mechanism | a share of it | what the page says | state |", "|---|---|---|---|"]
        lines += [_mechanism(*example) for example in _EXAMPLES]
        missing = set(MECHANISMS) - {name for name, _, _ in _EXAMPLES}
        if missing:
            raise self.error(f"no example of {', '.join(sorted(missing))}")
        return self.parse_text_to_nodes("\n".join(lines))


def _mechanism(name: str, settings: dict[str, Any], share: Any) -> str:
    flavor = {"display_name": "H100", "memory": "80GB", "node_labels": _LABELS, **settings}
    gpu = {"flavors": ["one"], "share": share, "count": 1}
    images = {"any": {"display_name": "Any", "image": "example.org/any:1"}}
    profile = {"display_name": "One", "images": ["any"], "gpu": gpu}
    catalog = read_mapping({"flavors": {"one": flavor}, "images": images, "10-one": profile})
    (found,) = catalog.profiles[0].gpu[0].shares
    mechanism = MECHANISMS[name]
    facts = mechanism.describe(catalog.flavors["one"], found)
    words = " ".join(filter(None, (facts.isolation, facts.advice)))
    kind = f" ({settings['sharing']['strategy']})" if "sharing" in settings else ""
    written = json.dumps(share).replace('"', "")
    return f"| `{name}`{kind} | `{written}` | {facts.title}. {words} | {mechanism.MATURITY} |"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("own-traits", OwnTraits)
    app.add_directive("catalog-keys", CatalogKeys)
    app.add_directive("command-help", CommandHelp)
    app.add_directive("mechanism-table", MechanismTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
