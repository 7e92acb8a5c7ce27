"""Pullers have the credentials of the servers whose images they pull, and no others."""

import pytest
from preload_model import catalog_of
from preloading import NAMESPACE, TORCH, MakePreloader, puller_pods

from gpu_spawner.core.catalog.site_pod import SitePod
from gpu_spawner.core.preload.wishes import wishes_of
from gpu_spawner.sim.cluster import Cluster


async def test_pullers_are_under_the_servers_service_account_without_its_token(
    cluster: Cluster, make_preloader: MakePreloader
) -> None:
    """A site may attach the pull secrets to the account rather than to every server."""
    accounts = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
    await cluster.client.create(accounts, {"metadata": {"name": "servers"}})
    site = SitePod(settings={"service_account": "servers"}, namespace=NAMESPACE)
    running = await make_preloader(site=site)
    await running.until_pulled(TORCH, "gpu-1", "gpu-2")
    specs = [pod["spec"] for pod in await puller_pods(cluster)]

    assert {spec["serviceAccountName"] for spec in specs} == {"servers"}
    assert not any(spec["automountServiceAccountToken"] for spec in specs)


@pytest.mark.parametrize(
    ("account", "namespace", "used"),
    [
        ("servers", "hub", "servers"),
        ("servers", "elsewhere", ""),
        ("user-{username}", "hub", ""),
        (None, "hub", ""),
    ],
    ids=["theirs", "another namespace", "one for each user", "none"],
)
def test_an_account_is_used_where_it_exists(account: str | None, namespace: str, used: str) -> None:
    site = SitePod(settings={"service_account": account}, namespace="hub")
    wishes = wishes_of(catalog_of(), site, namespace=namespace)

    assert {wish.pool.service_account for wish in wishes} == {used}


def test_profiles_with_accounts_of_their_own_have_pullers_of_their_own() -> None:
    profile = {
        "display_name": "One",
        "images": ["torch"],
        "gpu": {"flavors": ["h100"], "share": "whole"},
        "service_account": "team",
        "preload": "always",
    }
    site = SitePod(settings={"service_account": "servers"}, namespace="hub")
    wishes = wishes_of(catalog_of({"30-one": profile}), site, namespace="hub")
    torch = {(wish.pool.service_account, wish.set_name) for wish in wishes if wish.image == TORCH}

    assert {account for account, _ in torch} == {"servers", "team"}
    assert len({name for _, name in torch}) == len(torch)
