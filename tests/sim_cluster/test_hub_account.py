"""The demo's hub has the rights of an installed one and no others, or it is said why not."""

from dataclasses import replace
from pathlib import Path

import pytest
from foreign_server import embedded_only
from lab_pods import NAMESPACE

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.apiserver.api_errors import ApiError
from gpu_spawner.sim.apiserver.faults import Fault, RequestFacts
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.cluster import Cluster, ClusterOptions
from gpu_spawner.sim.fleet import parse_fleet
from gpu_spawner.sim.hub_account import hub_account
from gpu_spawner.sim.kubeconfig import kubeconfig_for, read_kubeconfig

FLEET = parse_fleet("nodes: [{name: cpu, cpu: 8, memory: 32Gi}]", source="tests")


async def test_it_may_do_what_an_installed_hub_may_and_no_more(
    tmp_path: Path, cluster_options: ClusterOptions
) -> None:
    async with Cluster(FLEET, state_dir=tmp_path, options=cluster_options) as cluster:
        for _ in range(2):  # a state that is kept has all of it already
            async with hub_account(cluster, NAMESPACE) as account:
                assert account.unlimited_because == ""
                async with KubeClient(read_kubeconfig(account.kubeconfig)) as hub:
                    for allowed in (
                        "/api/v1/nodes",
                        f"/api/v1/namespaces/{NAMESPACE}/secrets",
                        f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets",
                    ):
                        assert (await hub.get(allowed))["items"] is not None
                    for denied in ("/api/v1/secrets", "/api/v1/namespaces/default/events"):
                        with pytest.raises(ClusterError) as refused:
                            await hub.get(denied)
                        assert refused.value.status == 403


@embedded_only("it is the embedded server that refuses")
@pytest.mark.parametrize("refused", ["clusterroles", "serviceaccounts/token"])
async def test_what_the_cluster_does_not_let_us_do_is_said(
    tmp_path: Path, cluster_options: ClusterOptions, refused: str
) -> None:
    forbidden = Fault(error=ApiError(403, "Forbidden", "not to you", {}))

    def refuse(facts: RequestFacts) -> Fault | None:
        return forbidden if (facts.verb, facts.resource) == ("create", refused) else None

    options = replace(cluster_options, faults=refuse)
    async with (
        Cluster(FLEET, state_dir=tmp_path, options=options) as cluster,
        hub_account(cluster, NAMESPACE) as account,
    ):
        assert account.kubeconfig == cluster.kubeconfig_path
        assert "not to you" in account.unlimited_because


def test_a_kubeconfig_for_somebody_else_finds_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "admin").write_text(
        """
        current-context: here
        contexts: [{name: here, context: {cluster: c, user: u, namespace: n}}]
        clusters:
          - name: c
            cluster: {server: "https://example.org:6443", certificate-authority: pki/ca.crt}
        users: [{name: u, user: {exec: {command: log-in}}}]
        """
    )
    found = kubeconfig_for(tmp_path / "admin", "hub", "the-token")
    assert found["clusters"][0]["cluster"] == {
        "server": "https://example.org:6443",
        "certificate-authority": str(tmp_path / "pki" / "ca.crt"),
    }
    assert found["users"] == [{"name": "hub", "user": {"token": "the-token"}}]
