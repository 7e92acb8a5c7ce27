"""``gpu-spawner check`` and ``whatif`` as an admin runs them: a command, its output, its status."""

import gzip
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from admin_command import run, run_installed

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "tests" / "data" / "scheduler-cases-nodes-and-pods.jsonl.gz"


@pytest.fixture(scope="module")
def case() -> dict[str, Any]:
    """Take one recorded cluster that seats some pods on one node."""
    with gzip.open(RECORDED) as lines:
        recorded: dict[str, Any] = json.loads(next(iter(lines)))
    return recorded


@pytest.fixture
def files(case: dict[str, Any], tmp_path: Path) -> tuple[Path, Path]:
    cluster, pod = tmp_path / "cluster.json", tmp_path / "pod.yaml"
    cluster.write_text(json.dumps(case["cluster"]))
    pod.write_text(yaml.safe_dump(case["pod"]))
    return cluster, pod


class TestWhatif:
    def test_json_has_seats_and_reasons(
        self, case: dict[str, Any], files: tuple[Path, Path]
    ) -> None:
        finished = run_installed("whatif", "--cluster", files[0], "--pod", files[1], "--json")

        answer = json.loads(finished.stdout)
        assert finished.returncode == 0
        assert answer["seats"] == case["expected"]["seats"]
        assert {
            name: node["seats"] for name, node in answer["nodes"].items() if node["seats"]
        } == case["expected"]["nodes"]
        assert all(node["reasons"] for node in answer["nodes"].values())

    def test_yaml_json_and_separate_documents_say_the_same(
        self, case: dict[str, Any], files: tuple[Path, Path], tmp_path: Path
    ) -> None:
        as_list, documents = tmp_path / "list.yaml", tmp_path / "documents.yaml"
        as_list.write_text(yaml.safe_dump(case["cluster"]))
        documents.write_text(yaml.safe_dump_all(case["cluster"]["items"]))

        printed = {
            run("whatif", "--cluster", path, "--pod", files[1]).stdout
            for path in (files[0], as_list, documents)
        }

        (table,) = printed
        assert table.startswith(f"seats: {case['expected']['seats']}\n")

    def test_a_cluster_can_come_from_a_pipe(
        self, case: dict[str, Any], files: tuple[Path, Path]
    ) -> None:
        finished = run_installed(
            "whatif", "--cluster", "-", "--pod", files[1], stdin=json.dumps(case["cluster"])
        )

        assert finished.stdout.startswith("seats: ")

    def test_a_pod_can_come_from_a_named_pipe(
        self, files: tuple[Path, Path], tmp_path: Path
    ) -> None:
        """As in ``--pod <(...)`` of a shell."""
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        writing = threading.Thread(target=pipe.write_text, args=[files[1].read_text()], daemon=True)
        writing.start()

        finished = run_installed("whatif", "--cluster", files[0], "--pod", pipe)

        assert finished.stdout.startswith("seats: ")

    def test_what_cannot_be_known_is_not_a_number(self, files: tuple[Path, Path]) -> None:
        pod = yaml.safe_load(files[1].read_text())
        pod["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": "gpu"}]
        files[1].write_text(yaml.safe_dump(pod))

        finished = run("whatif", "--cluster", files[0], "--pod", files[1], "--json")
        table = run("whatif", "--cluster", files[0], "--pod", files[1])

        answer = json.loads(finished.stdout)
        assert answer["seats"] is None
        assert "claim" in answer["reason"]
        assert table.stdout.startswith("seats: unknown (")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("{", "neither JSON nor YAML"),
            ("a: [1", "neither JSON nor YAML"),
            ("", "lists no nodes"),
            ("[1]", "expected a Kubernetes object"),
            ('{"kind": "List", "items": [{"kind": "Node"}]}', "metadata.name"),
            (
                "{kind: Node, metadata: {name: a}, status: {allocatable: {cpu: many}}}",
                "'many' is not a quantity",
            ),
        ],
    )
    def test_a_file_that_is_no_cluster_is_explained(
        self, files: tuple[Path, Path], text: str, words: str
    ) -> None:
        files[0].write_text(text)

        finished = run("whatif", "--cluster", files[0], "--pod", files[1])

        said = finished.stderr + finished.stdout
        assert words in said
        assert "Traceback" not in said
        assert finished.returncode == 1 or finished.stdout.startswith("seats: unknown")

    def test_two_pods_are_one_too_many(self, files: tuple[Path, Path]) -> None:
        pod = files[1].read_text()
        files[1].write_text(f"{pod}---\n{pod}")

        finished = run("whatif", "--cluster", files[0], "--pod", files[1])

        assert finished.returncode == 1
        assert "expected one Pod, found Pod, Pod" in finished.stderr


class TestCheck:
    def test_the_shipped_profiles_are_good(self) -> None:
        finished = run("check", ROOT / "profiles")

        assert finished.returncode == 0
        assert "10 profiles, no mistake found" in finished.stdout
        assert run("check", "--profiles", ROOT / "profiles").stdout == finished.stdout
        assert run("check").returncode == 2

    def test_every_mistake_has_file_line_key_and_cure(self, tmp_path: Path) -> None:
        (tmp_path / "images.yaml").write_text("base: {image: 'a/b:1', display_name: Base}\n")
        (tmp_path / "10-one.yaml").write_text("display_name: One\nimages: [bass]\ncolour: red\n")
        (tmp_path / "20-two.yaml").write_text("images: [base]\ngpu: {flavors: [h100], share: half}")

        finished = run_installed("check", tmp_path)

        lines = finished.stderr.splitlines()
        assert finished.returncode == 1
        assert [line.removeprefix(f"{tmp_path}/").split(": ")[:2] for line in lines] == [
            ["10-one.yaml:2", "images[0]"],
            ["10-one.yaml:3", "colour"],
            ["20-two.yaml", "display_name"],
            ["20-two.yaml:2", "gpu.flavors[0]"],
            ["20-two.yaml:2", "gpu.share"],
        ]
        assert "Did you mean 'base'?" in lines[0]

    @pytest.fixture
    def bad_override(self, tmp_path: Path) -> Path:
        """Write a catalog that is right in all but what only KubeSpawner knows."""
        folder = tmp_path / "profiles"
        folder.mkdir()
        (folder / "images.yaml").write_text("base: {image: 'a/b:1', display_name: Base}\n")
        (folder / "10-one.yaml").write_text(
            "display_name: One\nimages: [base]\n"
            "resources: {cpu: {request: 1}, memory: {request: 1Gi}}\n"
            "kubespawner_override:\n  environment:\n    A: 5\n  bogus: 1\n"
        )
        return folder

    def test_what_kubespawner_would_not_take(
        self, bad_override: Path, files: tuple[Path, Path]
    ) -> None:
        told = [
            (
                f"{bad_override}/10-one.yaml:6: kubespawner_override.environment.A: "
                "got a number; a text is expected. Put it in quotes."
            ),
            (
                f"{bad_override}/10-one.yaml:7: kubespawner_override.bogus: "
                "KubeSpawner has no setting 'bogus'. See the documentation of KubeSpawner."
            ),
        ]
        for arguments in ((), ("--cluster", files[0])):
            finished = run("check", bad_override, *arguments)

            assert finished.returncode == 1
            assert finished.stderr.splitlines() == told

    def test_a_demo_tells_the_same_before_it_starts(self, bad_override: Path) -> None:
        finished = run_installed(
            "demo", "--profiles", bad_override, "--state", bad_override / "state"
        )

        assert finished.returncode == 1
        assert "10-one.yaml:6: kubespawner_override.environment.A" in finished.stderr
        assert finished.stdout == ""
        assert not (bad_override / "state").exists()

    def test_a_demo_tells_of_a_bad_kubeconfig_before_it_starts(self, tmp_path: Path) -> None:
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text("a: 1")

        finished = run("demo", "--kubeconfig", kubeconfig, "--state", tmp_path / "state")

        assert finished.returncode == 1
        assert "current-context: is missing" in finished.stderr
        assert finished.stdout == ""
        assert not (tmp_path / "state").exists()

    def test_what_no_node_could_satisfy(self, files: tuple[Path, Path]) -> None:
        """The recorded cluster has other GPUs than the shipped profiles ask for."""
        finished = run("check", ROOT / "profiles", "--cluster", files[0])

        assert finished.returncode == 1
        assert (
            "profiles/20-pytorch-gpus.yaml:10: gpu.flavors: flavor 'h100-80gb'" in finished.stderr
        )
        assert "Traceback" not in finished.stderr

    def test_a_kubeconfig_that_leads_nowhere(self, tmp_path: Path) -> None:
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text("not: a kubeconfig")

        finished = run("check", ROOT / "profiles", "--kubeconfig", kubeconfig)

        assert finished.returncode == 1
        assert finished.stderr.strip()
        assert "Traceback" not in finished.stderr


def test_without_a_command_it_says_which_there_are() -> None:
    finished = run_installed()

    assert finished.returncode == 2
    assert "COMMAND" in finished.stderr


class TestRbac:
    @pytest.mark.parametrize(
        "wrong",
        [
            ("--namespace", "a\nb"),
            ("--namespace", "a.b"),
            ("--namespace", "jhub", "--release", "R_1"),
            ("--namespace", "jhub", "--service-account", "hub;id"),
        ],
    )
    def test_what_kubernetes_would_refuse_is_refused_at_once(self, wrong: tuple[str, ...]) -> None:
        finished = run("rbac", *wrong)
        assert finished.returncode == 2
        assert finished.stdout == ""
        assert "is no name" in finished.stderr

    def test_names_that_it_takes(self) -> None:
        finished = run_installed("rbac", "claims", "--namespace", "a-b", "--release", "hub.v2")
        (role, binding) = yaml.safe_load_all(finished.stdout)
        assert role["metadata"]["name"] == "hub.v2-gpu-spawner-claims"
        assert binding["subjects"][0]["namespace"] == "a-b"
