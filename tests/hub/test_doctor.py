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
        assert set(remaining) == set(FEATURES)
        for feature in tuple(remaining):
            apply(cluster, f"gpu-spawner rbac {feature} {where} --release {account.name}")
            remaining.remove(feature)
            assert lacking(doctor(*self.common(cluster, account)).stdout) == remaining

    def test_as_an_administrator_nothing_is_missing(self, cluster: ClusterThread) -> None:
        done = doctor("--kubeconfig", cluster.kubeconfig, "--namespace", NAMESPACE)
        assert "lacks" not in done.stdout
        assert done.returncode == 0, done.stdout


def test_a_pull_secret_that_is_not_there(cluster: ClusterThread) -> None:
    common = ("--kubeconfig", cluster.kubeconfig, "--namespace", NAMESPACE)
    done = doctor(*common, "--pull-secret", "regcred")
    assert done.returncode == 1, done.stderr
    assert "The pull secret regcred is not there" in done.stdout
