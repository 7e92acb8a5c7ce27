"""``gpu-spawner render`` and ``availability`` as an admin runs them."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from admin_command import run, run_installed

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = "NVIDIA-H100-80GB-HBM3"


def node(name: str, gpus: int, **status: Any) -> dict[str, Any]:
    allocatable = {"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/gpu": str(gpus)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"nvidia.com/gpu.product": PRODUCT, "kubernetes.io/arch": "amd64"},
        },
        "status": {
            "allocatable": allocatable,
            "conditions": [{"type": "Ready", "status": "True"}],
            **status,
        },
    }


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.json"
    path.write_text(json.dumps({"kind": "List", "items": [node("a", 2), node("b", 1)]}))
    return path


class TestRender:
    def test_the_pod_of_a_choice(self) -> None:
        finished = run_installed(
            "render", "pytorch-gpus", "--choice", "flavor=h100-80gb", "--choice=count=2"
        )

        assert finished.returncode == 0, finished.stderr
        (pod,) = yaml.safe_load_all(finished.stdout)
        (notebook,) = pod["spec"]["containers"]
        assert notebook["resources"]["limits"]["nvidia.com/gpu"] == "2"
        assert "&id" not in finished.stdout

    def test_a_choice_by_its_key(self) -> None:
        by_key = run("render", "pytorch-gpus/h100-80gb/whole/2", "--user", "ada")

        (pod,) = yaml.safe_load_all(by_key.stdout)
        assert pod["metadata"]["labels"]["gpu-spawner.jupyter.org/count"] == "2"
        assert pod["metadata"]["annotations"]["hub.jupyter.org/username"] == "ada"

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["pytorch"], "there are data-science-cpu, pytorch-gpus"),
            (["pytorch-gpus", "--choice=count=3"], "there is 1, 2, 4 or 8"),
            (["pytorch-gpus", "--choice=flavor=v100"], "there is any, h100-80gb or a100-80gb"),
            (["pytorch-gpus", "--choice=image=scipy"], "there is pytorch-cuda13 or pytorch-cuda12"),
            (["pytorch-gpus", "--choice=color=red"], "there are profile, flavor"),
            (["pytorch-gpus", "--mechanism=hami"], "there is whole"),
            (["a/b/c"], "cannot be read"),
        ],
    )
    def test_what_there_is_not_is_answered_with_what_there_is(
        self, arguments: list[str], words: str
    ) -> None:
        finished = run("render", *arguments)

        assert finished.returncode == 1
        assert words in finished.stderr
        assert finished.stdout == ""

    def test_an_option_without_a_value(self) -> None:
        finished = run("render", "pytorch-gpus", "--choice", "count")

        assert finished.returncode == 2
        assert "is not KEY=VALUE" in finished.stderr

    def test_the_settings_of_a_hub(self, tmp_path: Path) -> None:
        config = tmp_path / "jupyterhub_config.py"
        config.write_text(
            "c.KubeSpawner.namespace = 'jhub'\nc.KubeSpawner.storage_pvc_ensure = True\n"
            f"c.GPUSpawner.profiles_dir = {str(ROOT / 'profiles')!r}\n"
        )
        finished = run("render", "data-science-cpu", "--config", config)

        claim, pod = yaml.safe_load_all(finished.stdout)
        assert (claim["kind"], pod["metadata"]["namespace"]) == ("PersistentVolumeClaim", "jhub")

    def test_a_configuration_that_fails(self, tmp_path: Path) -> None:
        config = tmp_path / "jupyterhub_config.py"
        config.write_text("import z2jh_of_nobody\n")
        finished = run_installed("render", "data-science-cpu", "--config", config)

        assert finished.returncode == 1
        assert "z2jh_of_nobody" in finished.stderr
        assert "Traceback" not in finished.stderr

    def test_the_namespace(self) -> None:
        finished = run("render", "gpu-memory", "--namespace", "classes")

        template, pod = yaml.safe_load_all(finished.stdout)
        assert template["metadata"]["namespace"] == pod["metadata"]["namespace"] == "classes"

    def test_what_an_admin_has_to_make_is_said_first(self) -> None:
        finished = run("render", "experiments")

        (pod,) = yaml.safe_load_all(finished.stdout)
        account = pod["spec"]["serviceAccountName"]
        assert finished.stdout.startswith(f"# The service account '{account}' and its rights")
        assert "helm-values/experiments-rbac.yaml" in finished.stdout


class TestAvailability:
    def test_a_table(self, cluster: Path) -> None:
        finished = run_installed("availability", "--cluster", cluster)

        heading, *lines = finished.stdout.splitlines()
        assert finished.returncode == 0, finished.stderr
        assert heading.split() == ["choice", "state", "free", "image", "why", "instead"]
        rows = {line.split()[0]: line for line in lines}
        assert rows["pytorch-gpus/h100-80gb/whole/1"].split()[2] == "3/3"
        assert rows["pytorch-gpus/h100-80gb/whole/2"].split()[2] == "1/1"
        assert rows["pytorch-gpus/h100-80gb/whole/4"].split()[1] == "impossible"
        assert rows["pytorch-gpus/h100-80gb/whole/4"].split()[-1].startswith("pytorch-gpus/")

    def test_json_is_that_of_the_hub(self, cluster: Path) -> None:
        finished = run("availability", "--cluster", cluster, "--json")

        document = json.loads(finished.stdout)
        assert {"as_of", "age_seconds", "profiles"} <= set(document)
        choices = [choice for one in document["profiles"] for choice in one["choices"]]
        one = next(each for each in choices if each["key"] == "pytorch-gpus/h100-80gb/whole/1")
        assert (one["free"], one["total"]) == (3, 3)

    def test_what_is_not_known_is_not_a_number(self, tmp_path: Path) -> None:
        path = tmp_path / "cluster.json"
        path.write_text(json.dumps(node("a", 2, conditions=None, allocatable={"cpu": "many"})))
        finished = run("availability", "--cluster", path)

        rows = finished.stdout.splitlines()[1:]
        assert "Traceback" not in finished.stderr
        assert finished.returncode == 1 or all("?/?" in row for row in rows)

    def test_without_a_name_it_asks_the_cluster_of_the_environment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        missing = tmp_path / "kubeconfig"
        monkeypatch.setenv("KUBECONFIG", str(missing))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

        finished = run_installed("availability")

        assert finished.returncode == 1
        assert f"{missing}: there is no such file" in finished.stderr
        assert "Traceback" not in finished.stderr
