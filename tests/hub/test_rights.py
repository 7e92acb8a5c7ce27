"""A hub that may do exactly what ``gpu-spawner rbac`` prints does all; with less it says so."""

import asyncio
from collections.abc import Callable

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
        hub.wait_counted()
        assert free(hub, user) is None
        page = Browser(hub, user).get("spawn").text
        assert "not known" in page
        start_and_stop(hub, user)
        assert "Traceback" not in hub.log()

    @pytest.mark.parametrize("missing", sorted(FEATURES.keys() - {"spawn"}))
    def test_without_those_of_one_feature_it_spawns(
        self, make_hub: MakeHub, make_account: Callable[[str], Account], missing: str
    ) -> None:
        account = make_account(f"hub-without-{missing}")
        account.grant(*(name for name in FEATURES if name != missing))
        hub = make_hub(PROFILES, kubeconfig=account.kubeconfig)
        user = hub.add_user(f"without-{missing}")
        hub.wait_counted()
        knows = missing != "availability"
        wait_until(lambda: (free(hub, user) == 4) == knows, "what is free is told, or unknown")
        assert knows or free(hub, user) is None
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
