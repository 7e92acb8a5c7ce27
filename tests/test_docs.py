"""What the documentation tells people to write is true: it parses, and its commands exist.

A YAML block whose caption is the name of a catalog file is a part of that page's catalog; captions
``values.yaml`` are Helm values. Blocks of one page with the same caption are read together. What a
page does not show of flavors and images is taken from the shipped ``profiles/``.
"""

import argparse
import json
import re
import shlex
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from traitlets.config import Config

from gpu_spawner import GPUSpawner
from gpu_spawner.catalog_files import read_directory, read_mapping
from gpu_spawner.cli.command_line import make_parser
from gpu_spawner.core.catalog.limits import read_limits
from gpu_spawner.hub.settings import read_settings
from gpu_spawner.kube.rights import FEATURES

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "README.md"]
LAYERS = sorted((ROOT / "helm-values").glob("*.yaml"))
CHARTS = ROOT.parent / "shared" / "data" / "z2jh"

BLOCK = re.MULTILINE | re.DOTALL
CAPTIONED = re.compile(r"^```\{code-block\} yaml\n:caption: (\S+)\n\n(.*?)^```", BLOCK)
PYTHON = re.compile(r"^```python\n(.*?)^```", BLOCK)
CONSOLE = re.compile(r"^```(?:console|shell|sh|bash)\n(.*?)^```", BLOCK)
CATALOG_FILE = re.compile(r"(?:profiles/)?(flavors|images|[0-9]+-[a-z0-9-]+)\.yaml")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def captioned(path: Path) -> Iterator[tuple[str, str]]:
    yield from CAPTIONED.findall(path.read_text(encoding="utf-8"))


WITH_CATALOG = [
    path for path in PAGES if any(CATALOG_FILE.fullmatch(name) for name, _ in captioned(path))
]
WITH_VALUES = [path for path in PAGES if any(name == "values.yaml" for name, _ in captioned(path))]


def merged(first: Any, second: Any) -> Any:
    """Merge values as Helm does: mappings deeply, everything else by replacing."""
    if not isinstance(first, dict) or not isinstance(second, dict):
        return second
    common = {key: merged(first[key], second[key]) for key in first.keys() & second.keys()}
    return {**first, **second, **common}


@pytest.mark.parametrize("path", WITH_CATALOG, ids=name_of)
def test_examples_are_a_catalog_without_mistakes(path: Path, tmp_path: Path) -> None:
    parts: dict[str, dict[str, Any]] = defaultdict(dict)
    for name in ("flavors", "images"):
        parts[name] = yaml.safe_load((ROOT / "profiles" / f"{name}.yaml").read_text("utf-8"))
    for name, text in captioned(path):
        if CATALOG_FILE.fullmatch(name):
            parts[Path(name).stem].update(yaml.safe_load(text))
    for name, content in parts.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    assert len(read_directory(tmp_path).profiles) == len(parts) - 2


def test_there_are_examples() -> None:
    assert len(WITH_CATALOG) >= 4
    assert WITH_VALUES


@pytest.mark.parametrize("chart", ["4.4.0", "5.0.0-dev"])
@pytest.mark.parametrize("path", WITH_VALUES, ids=name_of)
def test_helm_values_are_valid_for_the_chart(path: Path, chart: str) -> None:
    if not CHARTS.is_dir():
        pytest.skip("the recordings of the z2jh chart, ../shared/data/z2jh, are absent")
    schema = json.loads((CHARTS / chart / "values.schema.json").read_text("utf-8"))
    values = yaml.safe_load((CHARTS / chart / "values.yaml").read_text("utf-8"))
    for name, text in captioned(path):
        if name == "values.yaml":
            jsonschema.Draft7Validator(schema).validate(merged(values, yaml.safe_load(text)))


@pytest.mark.parametrize("path", LAYERS, ids=name_of)
def test_every_layer_parses_as_a_catalog(path: Path) -> None:
    if "\napiVersion:" in path.read_text("utf-8"):
        pytest.skip("it is for kubectl")
    values = yaml.safe_load(path.read_text("utf-8"))
    settings = values["hub"].get("config", {}).get("GPUSpawner", {})
    if path.stem == "limits-and-groups":
        whole = yaml.safe_load((path.parent / "whole-gpu.yaml").read_text("utf-8"))
        settings = merged(whole["hub"]["config"]["GPUSpawner"], settings)
    read_settings(GPUSpawner, Config({"GPUSpawner": settings}))
    if "profiles" in settings:
        mapping = {
            **settings["profiles"],
            "flavors": settings.get("flavors", {}),
            "images": settings["images"],
        }
        assert len(read_mapping(mapping).profiles) == len(settings["profiles"])


def python_blocks() -> Iterator[Any]:
    for path in PAGES:
        for number, text in enumerate(PYTHON.findall(path.read_text(encoding="utf-8"))):
            yield pytest.param(text, id=f"{name_of(path)}-{number}")


@pytest.mark.hosts
@pytest.mark.parametrize("text", [*python_blocks()])
def test_settings_are_taken(text: str) -> None:
    c = Config()
    exec(text, {"c": c})
    settings = read_settings(GPUSpawner, c)
    read_limits(settings.limits, source="the example")
    unknown = [name for name in c.GPUSpawner if not hasattr(GPUSpawner, name)]
    assert unknown == []


@pytest.mark.parametrize("name", FEATURES)
def test_the_page_about_security_has_every_right(name: str) -> None:
    text = (DOCS / "explanation" / "security.md").read_text(encoding="utf-8")
    (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}`")]
    _, _, in_cluster, in_namespace, _ = row.split("|")
    feature = FEATURES[name]
    for rules, cell in ((feature.in_cluster, in_cluster), (feature.in_namespace, in_namespace)):
        named = set(re.findall(r"[a-z/]+", cell)) - {"and"}
        every = {word for rule in rules for word in (*rule.resources, *rule.verbs)}
        assert named == every


# What is shown as a command line

TOOLS = {"cat", "cp", "curl", "docker", "git", "helm", "kubectl", "nvidia-smi", "python3"}


def command_lines(path: Path) -> Iterator[list[str]]:
    """Yield every command of a page, as words: each part of a pipe on its own."""
    text = path.read_text(encoding="utf-8")
    for block in re.findall(
        r"^```(?:console|shell|sh|bash)\n(.*?)^```", text, re.MULTILINE | re.DOTALL
    ):
        joined = re.sub(r"\\\n\s*", "", block)
        for line in joined.splitlines():
            if line.startswith("$ "):
                words = shlex.split(line[2:], comments=True)
                yield from split_at(words, {"|", "&&", ";"})
    for inline in re.findall(r"`(gpu-spawner [a-z][^`]*)`", text):
        yield from split_at(shlex.split(inline), {"|", "&&", ";"})


def split_at(words: list[str], marks: set[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for word in [*words, ";"]:
        if word not in marks:
            part.append(word)
        elif part:
            yield part
            part = []


def subcommands() -> dict[str, argparse.ArgumentParser]:
    (action,) = [
        one for one in make_parser()._actions if isinstance(one, argparse._SubParsersAction)
    ]
    return dict(action.choices)


def every_command() -> Iterator[Any]:
    for path in TEXTS:
        for words in command_lines(path):
            yield pytest.param(words, id=f"{name_of(path)}: {' '.join(words)[:60]}")


@pytest.mark.parametrize("words", [*every_command()])
def test_commands_and_their_options_exist(words: list[str]) -> None:
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    program, rest = Path(words[0]).name, words[1:]
    if program == "gpu-spawner":
        known = subcommands()
        assert rest[0] in known, f"there is no gpu-spawner {rest[0]}"
        options = {word.partition("=")[0] for word in rest[1:] if re.match(r"--?[a-z]", word)}
        real = set(known[rest[0]]._option_string_actions)
        assert options <= real, f"{rest[0]} has no {options - real}"
    elif program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in rest if "=" not in word} <= set(targets)
    else:
        assert program in TOOLS or (ROOT / ".venv" / "bin" / program).exists()
    files = [word for word in rest if re.match(r"(helm-values|docs|tests|gpu_spawner)/", word)]
    assert [word for word in files if not (ROOT / word).exists()] == []
