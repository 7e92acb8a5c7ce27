"""``gpu-spawner doctor`` on a cluster: what it names can be mended by what it says."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster_thread import NAMESPACE, ClusterThread
from hub_account import Account

from gpu_spawner.kube.rights import FEATURES

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(240)]

PROGRAM = str(Path(sys.executable).parent / "gpu-spawner")
KUBECTL = str(Path(sys.executable).parent / "kubectl")


def run(*words: object, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
    command = list(map(str, words))
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


def doctor(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return run(PROGRAM, "doctor", *arguments)


def apply(cluster: ClusterThread, command: str) -> None:
    """Run a command that prints manifests, and hand them to kubectl, as its reader would."""
    program, *words = shlex.split(command)
    assert program == "gpu-spawner"
    printed = run(PROGRAM, *words)
    assert printed.returncode == 0, printed.stderr
    kubectl = (KUBECTL, "--kubeconfig", cluster.kubeconfig, "apply", "-f", "-")
    applied = run(*kubectl, stdin=printed.stdout)
    assert applied.returncode == 0, applied.stderr


def commands_of(printed: str) -> list[str]:
    """Return the commands for kubectl that the doctor prints."""
    return re.findall(r"(gpu-spawner rbac [^|]*) \| kubectl apply -f -", printed)


def lacking(printed: str) -> list[str]:
    return re.findall(r"(?m)^ *(?:trouble|advice)  .* lacks rights for (\w+)", printed)


class TestRights:
    def common(self, cluster: ClusterThread, account: Account) -> tuple[object, ...]:
        where = ("--kubeconfig", cluster.kubeconfig, "--namespace", NAMESPACE)
        return (*where, "--service-account", account.name, "--release", account.name)

    def test_it_names_what_a_hub_lacks_and_one_command_grants_it(
        self, cluster: ClusterThread, make_account: Callable[[str], Account]
    ) -> None:
        account = make_account("hub-examined")
        account.grant("claims")
        common = self.common(cluster, account)
        done = doctor(*common)
        assert done.returncode == 1, done.stderr
        assert "hub-examined has the rights for claims" in done.stdout
        assert "lacks rights for availability: list, watch of nodes" in done.stdout
        assert "4 nvidia.com/gpu" in done.stdout
        (command,) = commands_of(done.stdout)
        apply(cluster, command)
        done = doctor(*common)
        assert lacking(done.stdout) == []
        assert done.returncode == 0, done.stdout

    def test_features_can_be_granted_one_after_another(
        self, cluster: ClusterThread, make_account: Callable[[str], Account]
    ) -> None:
        account = make_account("hub-step-by-step")
        where = f"--namespace {NAMESPACE} --service-account {account.name}"
        remaining = lacking(doctor(*self.common(cluster, account)).stdout)
        # There is no Kueue in this cluster.
        assert set(remaining) == set(FEATURES) - {"queues"}
        for feature in remaining:
            apply(cluster, f"gpu-spawner rbac {feature} {where} --release {account.name}")
        assert lacking(doctor(*self.common(cluster, account)).stdout) == []

    def test_as_an_administrator_nothing_is_missing(self, cluster: ClusterThread) -> None:
        done = doctor("--kubeconfig", cluster.kubeconfig, "--namespace", NAMESPACE)
        assert "lacks" not in done.stdout
        assert done.returncode == 0, done.stdout


CONFIG = """
c = get_config()
c.JupyterHub.spawner_class = "gpu"
c.KubeSpawner.namespace = "{namespace}"
c.KubeSpawner.image_pull_secrets = ["regcred"]
c.KubeSpawner.environment = {{
    "TOKEN": {{"valueFrom": {{"secretKeyRef": {{"name": "of-{{username}}", "key": "token"}}}}}},
}}
c.GPUSpawner.preload = False
c.GPUSpawner.images = {{"scipy": {{"image": "example.org/scipy:1", "display_name": "SciPy"}}}}
c.GPUSpawner.profiles = {{
    "10-cpu": {{
        "display_name": "CPU",
        "images": ["scipy"],
        "service_account": "does-not-exist",
        "scheduler_name": "not-there",
        "kubespawner_override": {{"priority_class_name": "nope"}},
        "sidecars": [
            {{
                "name": "helper",
                "image": "scipy",
                "env_from_secret": {{"KEY": {{"secret": "no-such", "key": "k"}}}},
            }},
        ],
    }},
}}
"""


class TestCatalog:
    def test_whatever_servers_name_is_looked_for(
        self, cluster: ClusterThread, tmp_path: Path
    ) -> None:
        config = tmp_path / "jupyterhub_config.py"
        config.write_text(CONFIG.format(namespace=NAMESPACE))
        common = ("--kubeconfig", cluster.kubeconfig, "--config", config)
        done = doctor(*common)
        assert done.returncode == 1, done.stderr
        for absent in (
            f"trouble  The Secret no-such is not there in the namespace {NAMESPACE}; it is named",
            "trouble  The Secret regcred is not there",
            "trouble  The ServiceAccount does-not-exist is not there",
            "trouble  The PriorityClass nope is not there",
            "advice  The scheduler not-there has not bound any pod yet",
        ):
            assert absent in done.stdout
        assert "of-" not in done.stdout
        assert "No rights are needed for queues: the cluster has no kueue.x-k8s.io" in done.stdout
        assert "No rights are needed for preload: preload is off" in done.stdout

    def test_a_scheduler_that_lets_pods_wait(self, cluster: ClusterThread, tmp_path: Path) -> None:
        config = tmp_path / "jupyterhub_config.py"
        config.write_text(CONFIG.format(namespace=NAMESPACE))
        pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "waits-for-ever"},
            "spec": {
                "schedulerName": "not-there",
                "containers": [{"name": "a", "image": "example.org/a:1"}],
            },
        }
        client = cluster.cluster.client
        cluster.call(client.create(pods, pod))
        try:
            done = doctor("--kubeconfig", cluster.kubeconfig, "--config", config)
        finally:
            cluster.call(client.delete(f"{pods}/waits-for-ever"))
        assert "trouble  The scheduler not-there is not there; " in done.stdout


class TestPullSecret:
    def test_one_that_is_not_there(self, cluster: ClusterThread) -> None:
        common = ("--kubeconfig", cluster.kubeconfig, "--namespace", NAMESPACE)
        done = doctor(*common, "--pull-secret", "regcred")
        assert done.returncode == 1, done.stderr
        assert "The Secret regcred is not there" in done.stdout

    def test_a_name_is_a_name_and_no_path(self, cluster: ClusterThread) -> None:
        common = ("--kubeconfig", cluster.kubeconfig, "--namespace", NAMESPACE)
        done = doctor(*common, "--pull-secret", "a/../../../../nodes?x=")
        assert done.returncode == 2
        assert "is no name that Kubernetes takes" in done.stderr
