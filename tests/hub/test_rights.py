"""A hub that may do exactly what ``gpu-spawner rbac`` prints does all; with less it says so."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster_thread import NAMESPACE, ClusterThread
from hub_account import Account
from hub_profiles import PROFILES, MakeHub
from other_process import wait_until
from running_hub import Browser, RunningHub

from gpu_spawner.kube.client import ClusterClient
from gpu_spawner.kube.questions import denied_rights
from gpu_spawner.kube.rights import FEATURES

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(240)]


def free(hub: RunningHub, user: str) -> object:
    profiles = hub.rest("GET", f"gpu-spawner/offers?user={user}").json()["profiles"]
    choices = {choice["key"]: choice for profile in profiles for choice in profile["choices"]}
    return choices["gpus/h100/whole/1"]["free"]


def start_and_stop(hub: RunningHub, user: str) -> None:
    assert hub.start(user, {"profile": "gpus", "count": 1}).status_code in (201, 202)
    wait_until(lambda: hub.user(user)["servers"][""]["ready"], "the server is ready", 60)
    hub.stop(user)


@pytest.fixture
def make_account(cluster: ClusterThread, tmp_path: Path) -> Iterator[Callable[[str], Account]]:
    made: list[Account] = []

    def make(name: str) -> Account:
        made.append(Account(cluster, name, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.revoke()


class TestHub:
    def test_with_all_of_them_it_knows_what_is_free_and_spawns(
        self, make_hub: MakeHub, make_account: Callable[[str], Account]
    ) -> None:
        account = make_account("hub-with-all")
        account.grant(*FEATURES)
        hub = make_hub(PROFILES, kubeconfig=account.kubeconfig)
        user = hub.add_user("with-all-rights")
        wait_until(lambda: free(hub, user) == 4, "all seats are counted")
        start_and_stop(hub, user)
        assert "Forbidden" not in hub.log()
        assert "may not" not in hub.log()

    def test_with_those_of_the_chart_alone_it_spawns_and_says_that_it_does_not_know(
        self, make_hub: MakeHub, make_account: Callable[[str], Account]
    ) -> None:
        account = make_account("hub-of-the-chart")
        account.grant("spawn")
        hub = make_hub(PROFILES, kubeconfig=account.kubeconfig)
        user = hub.add_user("with-few-rights")
        assert free(hub, user) is None
        page = Browser(hub, user).get("spawn").text
        assert "not known" in page
        start_and_stop(hub, user)
        assert "Traceback" not in hub.log()


class TestReview:
    def test_what_is_missing_is_named(
        self, cluster: ClusterThread, make_account: Callable[[str], Account]
    ) -> None:
        account = make_account("hub-asked")
        account.grant("spawn")
        name = f"system:serviceaccount:{NAMESPACE}:{account.name}"

        async def ask(feature: str, asked: str) -> list[str]:
            own = account.kubeconfig if not asked else cluster.kubeconfig
            async with await ClusterClient.connect(own) as client:
                wanted = FEATURES[feature]
                return [
                    str(one)
                    for rules, where in ((wanted.in_cluster, ""), (wanted.in_namespace, NAMESPACE))
                    for one in await denied_rights(client, rules, namespace=where, account=asked)
                ]

        for asked in (name, ""):
            assert asyncio.run(ask("spawn", asked)) == []
            assert "list, watch of nodes" in asyncio.run(ask("availability", asked))
            assert asyncio.run(ask("claims", asked)) == [
                "get, list, create, delete of resourceclaimtemplates.resource.k8s.io"
            ]


class TestDoctor:
    def run(self, *arguments: object) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "gpu_spawner.cli", "doctor", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def test_it_names_what_a_hub_lacks_and_how_to_grant_it(
        self, cluster: ClusterThread, make_account: Callable[[str], Account]
    ) -> None:
        account = make_account("hub-examined")
        account.grant("spawn", "claims")
        common = ("--kubeconfig", cluster.kubeconfig, "--namespace", NAMESPACE)
        done = self.run(*common, "--service-account", account.name, "--pull-secret", "regcred")
        assert done.returncode == 1, done.stderr
        assert "hub-examined has the rights for spawn" in done.stdout
        assert "lacks rights for availability: list, watch of nodes" in done.stdout
        assert f"gpu-spawner rbac availability --namespace {NAMESPACE}" in done.stdout
        assert "The pull secret regcred is not there" in done.stdout
        assert "4 nvidia.com/gpu" in done.stdout

    def test_as_an_administrator_nothing_is_missing(self, cluster: ClusterThread) -> None:
        done = self.run("--kubeconfig", cluster.kubeconfig, "--namespace", NAMESPACE)
        assert "lacks" not in done.stdout
        assert done.returncode == 0, done.stdout
