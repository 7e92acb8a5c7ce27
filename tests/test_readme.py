"""What the README tells admins to write is true: its code runs and its values are valid."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from traitlets.config import Config

from gpu_spawner.catalog_files import read_directory

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHARTS = ROOT.parent / "shared" / "data" / "z2jh"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def values() -> dict[str, Any]:
    (text,) = [block for block in blocks("yaml") if block.startswith("hub:")]
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


@pytest.mark.hosts
def test_python_configures_a_hub() -> None:
    """Both ways to configure give the same spawner and the same profiles."""
    shipped = str(ROOT / "profiles")
    classes = []
    for block in blocks("python"):
        c = Config()
        exec(block.replace("/etc/jupyterhub/profiles", shipped), {"c": c})
        assert c.GPUSpawner.profiles_dir == shipped
        classes.append(c.JupyterHub.spawner_class)

    assert classes == ["gpu_spawner.GPUSpawner", "gpu"]


def test_values_hold_a_catalog_without_mistakes(tmp_path: Path) -> None:
    """The files that the values mount are a whole catalog, as the hub would read it."""
    for name, entry in values()["hub"]["extraFiles"].items():
        assert Path(entry["mountPath"]).name == name
        (tmp_path / name).write_text(yaml.safe_dump(entry["data"]), encoding="utf-8")

    assert [profile.slug for profile in read_directory(tmp_path).profiles] == ["pytorch-gpus"]


@pytest.mark.parametrize("chart", ["4.4.0", "5.0.0-dev"])
def test_values_are_valid_for_the_chart(chart: str) -> None:
    folder = CHARTS / chart
    if not folder.is_dir():
        pytest.skip(f"the recordings of the z2jh chart are not at {CHARTS.name}/")
    schema = json.loads((folder / "values.schema.json").read_text(encoding="utf-8"))
    merged = yaml.safe_load((folder / "values.yaml").read_text(encoding="utf-8"))
    for key, value in values()["hub"].items():
        merged["hub"][key] = value

    jsonschema.Draft7Validator(schema).validate(merged)


def test_every_file_it_points_to_exists() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)

    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
