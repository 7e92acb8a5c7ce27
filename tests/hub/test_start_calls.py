"""What a start asks of the API server: what KubeSpawner asks, and a template where none is yet."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from claim_cluster import CONFIG, WHOLE, ClaimCluster
from foreign_server import embedded_only
from hub_account import Account
from other_process import wait_until
from running_hub import RunningHub, running_hub

from gpu_spawner.kube.rights import FEATURES
from gpu_spawner.sim.apiserver.faults import RequestFacts

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.timeout(240),
    embedded_only("it is the embedded server that tells who asked for what"),
]

PLAIN = """
c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.KubeSpawner.image = "example.org/torch:1"
"""

OF_THE_HUB = ("daemonsets", "leases")
"""What the hub asks for whether or not anybody starts."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClaimCluster]:
    running = ClaimCluster(tmp_path / "cluster")
    yield running
    running.stop()


def calls_of_a_start(
    cluster: ClaimCluster, account: Account, hub: RunningHub, options: object
) -> list[str]:
    """Start a server and stop it; return what was asked from the POST to the pod's creation."""
    calls: list[str] = []
    is_created = [False]

    def note(facts: RequestFacts) -> None:
        is_asked = facts.user == account.username and facts.resource not in ("", *OF_THE_HUB)
        if is_asked and not is_created[0] and facts.verb not in ("list", "watch"):
            calls.append(f"{facts.verb} {facts.resource}")
            is_created[0] = calls[-1] == "create pods"

    user = hub.add_user(f"user{os.urandom(3).hex()}")
    cluster.suffer(note)
    assert hub.start(user, options).status_code in (201, 202)
    wait_until(lambda: is_created[0], "the pod is created")
    cluster.suffer(None)
    hub.stop(user)
    return calls


def test_a_start_asks_for_no_more_than_kubespawner_but_for_a_template(
    cluster: ClaimCluster, tmp_path: Path
) -> None:
    account = Account(cluster, "hub-counted", tmp_path)
    account.grant(*FEATURES)
    with running_hub(tmp_path / "plain", PLAIN, kubeconfig=account.kubeconfig) as hub:
        theirs = calls_of_a_start(cluster, account, hub, None)
    assert theirs[-1] == "create pods"
    config = f"{CONFIG}\nc.GPUSpawner.preload = False\n"
    with running_hub(tmp_path / "ours", config, kubeconfig=account.kubeconfig) as hub:
        assert calls_of_a_start(cluster, account, hub, {"profile": "cpu"}) == theirs
        first = calls_of_a_start(cluster, account, hub, WHOLE)
        assert first == [*theirs[:-1], "create resourceclaimtemplates", "create pods"]
        assert calls_of_a_start(cluster, account, hub, WHOLE) == theirs
