"""``gpu-spawner preload`` as an admin runs it: the plan for a saved cluster, and refusals."""

import json
from pathlib import Path

import pytest
from admin_command import run, run_installed

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "tests" / "golden" / "catalog" / "cluster.json"


def test_the_plan_says_which_images_go_where() -> None:
    finished = run_installed(
        "preload", "--plan", "--profiles", ROOT / "profiles", "--cluster", CLUSTER
    )

    assert finished.returncode == 0, finished.stderr
    assert "pytorch-notebook:cuda13" in finished.stdout
    assert "pulling: h100-2" in finished.stdout
    assert "create gpu-preload-" in finished.stdout


def test_what_was_made_before_is_seen_in_a_saved_cluster(tmp_path: Path) -> None:
    """A DaemonSet of ours that no profile wants is to go."""
    listing = json.loads(CLUSTER.read_text())
    labels = {
        "app.kubernetes.io/managed-by": "gpu-spawner",
        "app.kubernetes.io/component": "image-preloader",
    }
    listing["items"].append(
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {
                "name": "gpu-preload-old",
                "namespace": "hub",
                "labels": labels,
                "annotations": {"gpu-spawner.jupyter.org/preload-image": "quay.io/site/old:1"},
            },
            "spec": {},
        }
    )
    saved = tmp_path / "cluster.json"
    saved.write_text(json.dumps(listing))
    finished = run("preload", "--plan", "--profiles", ROOT / "profiles", "--cluster", saved)

    assert "remove gpu-preload-old (quay.io/site/old:1)" in finished.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--cluster", CLUSTER], 2, "--cluster is for --plan only"),
        (["--plan", "--kubeconfig", "missing.yaml"], 2, "is not a file"),
    ],
    ids=["a saved cluster cannot be preloaded", "no such file"],
)
def test_what_cannot_be_done_is_said(arguments: list[object], status: int, says: str) -> None:
    finished = run("preload", *arguments)

    assert finished.returncode == status
    assert says in finished.stderr
