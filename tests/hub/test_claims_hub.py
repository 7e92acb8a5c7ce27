"""Servers with claims, from the request to the last trace of them, on a simulated cluster."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_schemas import misfits
from claim_cluster import CONFIG, EITHER, PART, WHOLE, ClaimCluster, kept
from cluster_thread import NAMESPACE
from other_process import wait_until
from running_hub import Browser, RunningHub, running_hub

from gpu_spawner.sim.apiserver.faults import Fault, RequestFacts

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def claims(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClaimCluster]:
    running = ClaimCluster(tmp_path_factory.mktemp("claim-cluster"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, claims: ClaimCluster) -> Iterator[RunningHub]:
    folder = tmp_path_factory.mktemp("claim-hub")
    with running_hub(folder, CONFIG, kubeconfig=claims.kubeconfig) as running:
        yield running


@pytest.fixture(autouse=True)
def no_faults(claims: ClaimCluster) -> Iterator[None]:
    yield
    claims.suffer(None)
    claims.disable()


def started(hub: RunningHub, name: str, options: Any) -> None:
    assert hub.start(name, options).status_code in (201, 202)
    with hub.progress(name) as events:
        last = list(events)[-1]
    assert last.get("ready"), last


def metrics(hub: RunningHub) -> str:
    return hub.rest("GET", "../metrics").text


def gpus(hub: RunningHub) -> list[tuple[str, Any]]:
    answer = hub.rest("GET", "gpu-spawner/inventory").json()
    assert misfits(answer, "inventory") == []
    return [(node["name"], gpu) for node in answer["nodes"] for gpu in node["gpus"]]


def holders_of(hub: RunningHub, node_name: str) -> dict[str, list[str]]:
    """Return who holds each device of a node, by the device's name."""
    return {
        gpu["device"]: [holder["user"] for holder in gpu["holders"]]
        for name, gpu in gpus(hub)
        if name == node_name and gpu["holders"]
    }


def parts_of(hub: RunningHub, users: set[str]) -> dict[str, int]:
    """Return how much memory of one shared GPU users hold; nothing until all of them do."""
    for _, gpu in gpus(hub):
        parts = {one["user"]: one["part"].get("memory", 0) for one in gpu["holders"]}
        if users <= parts.keys() and all(parts.values()):
            return parts
    return {}


class TestLife:
    def test_a_server_has_its_gpu_and_gives_it_back(
        self, hub: RunningHub, claims: ClaimCluster, user: str
    ) -> None:
        asked: list[str] = []
        claims.suffer(kept(asked))
        started(hub, user, WHOLE)

        ((pod,),) = [claims.pods(user)]
        (notebook,) = pod["spec"]["containers"]
        assert notebook["resources"]["claims"] == [{"name": "gpu"}]
        (claim,) = claims.claims()
        (result,) = claim["status"]["allocation"]["devices"]["results"]
        assert result["pool"] == "h200-1"
        assert asked == ["create resourceclaimtemplates", "create pods"]
        assert holders_of(hub, "h200-1")[result["device"]] == [user]
        wait_until(lambda: "gpu_spawner_claim_templates 1.0" in metrics(hub), "it is counted")
        assert "gpu_spawner_claim_templates_made_total 1.0" in metrics(hub)

        hub.stop(user)
        wait_until(lambda: not claims.claims(), "the claim is gone")
        started(hub, user, WHOLE)
        assert asked[2:] == ["create pods"]
        hub.stop(user)

    def test_parts_of_one_gpu(self, hub: RunningHub, claims: ClaimCluster, user: str) -> None:
        other = hub.add_user(f"{user}-too")
        for name in (user, other):
            started(hub, name, PART)
        parts = wait_until(
            lambda: parts_of(hub, {user, other}), "the inventory has what each of them holds"
        )
        assert parts[user] == parts[other]
        shares = [
            result
            for claim in claims.claims()
            for result in claim["status"]["allocation"]["devices"]["results"]
        ]
        assert [share["consumedCapacity"]["memory"] for share in shares] == ["10Gi", "10Gi"]
        assert len({share["device"] for share in shares}) == 1
        assert len(claims.templates()) >= 1
        hub.stop(other)

    def test_a_slice_or_a_part_whichever_is_free_first(
        self, hub: RunningHub, claims: ClaimCluster, user: str
    ) -> None:
        """One claim asks for both; what it became stands in it."""
        page = Browser(hub, user).get("spawn").text
        assert "depends on the GPU you get; see below." in page
        started(hub, user, EITHER)
        ((pod,),) = [claims.pods(user)]
        (notebook,) = pod["spec"]["containers"]
        environment = {one["name"]: one.get("value") for one in notebook["env"]}
        assert environment["GPU_SPAWNER_MECHANISM"] == "dra-mig,dra-capacity"
        (claim,) = claims.claims()
        (request,) = claim["spec"]["devices"]["requests"]
        assert [one["name"] for one in request["firstAvailable"]] == ["b200", "l40s"]
        (result,) = claim["status"]["allocation"]["devices"]["results"]
        # Which of them it is depends on where the image is, too.
        became = (result["request"], result["pool"], "consumedCapacity" in result)
        assert became in {("gpu/b200", "b200-1", False), ("gpu/l40s", "l40s-1", True)}
        hub.stop(user)
        wait_until(lambda: not claims.claims(), "the claim is gone")


class TestQueues:
    def test_a_full_cluster_refuses_nobody_who_can_wait(
        self, hub: RunningHub, claims: ClaimCluster, user: str
    ) -> None:
        other = hub.add_user(f"{user}-too")
        started(hub, other, {"profile": "whole", "flavor": "h200", "count": 2})
        refusal = hub.start(user, {"profile": "whole", "flavor": "h200", "count": 4})
        assert refusal.status_code == 400
        assert hub.start(user, {"profile": "queued"}).status_code in (201, 202)
        ((pod,),) = [wait_until(lambda: claims.pods(user), "the pod waits")]
        assert pod["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "research"
        hub.stop(other)
        with hub.progress(user) as events:
            assert list(events)[-1].get("ready")
        hub.stop(user)


class TestFaults:
    def test_a_field_the_cluster_drops(
        self, hub: RunningHub, claims: ClaimCluster, user: str
    ) -> None:
        claims.remove_templates()
        claims.disable("DRAConsumableCapacity")
        hub.start(user, {"profile": "parts", "share": "memory-20Gi"})
        message = hub.failure(user)
        assert "devices.requests[0].exactly.capacity" in message
        assert "DRAConsumableCapacity" in message
        assert claims.pods(user) == []
        assert claims.templates() == []

    def test_a_template_that_somebody_removes(
        self, hub: RunningHub, claims: ClaimCluster, user: str
    ) -> None:
        """It was there a moment ago, so nobody looks: the pod waits, until the hub mends it."""
        started(hub, user, WHOLE)
        hub.stop(user)
        claims.remove_templates()
        started(hub, user, WHOLE)
        assert claims.has_claims(user)

    def test_a_hub_that_dies_between_template_and_pod(
        self, claims: ClaimCluster, user: str, tmp_path: Path
    ) -> None:
        claims.remove_templates()
        reached = threading.Event()

        def hold(facts: RequestFacts) -> Fault | None:
            if (facts.verb, facts.resource, facts.namespace) != ("create", "pods", NAMESPACE):
                return None
            reached.set()
            return Fault(delay_seconds=1.0, drops_connection=True)

        claims.suffer(hold)
        with running_hub(tmp_path / "hub", CONFIG, kubeconfig=claims.kubeconfig) as first:
            first.start(user, WHOLE)
            assert reached.wait(timeout=30)
            first.process.kill()
            first.process.wait(timeout=20)
        claims.suffer(None)
        assert len(claims.templates()) == 1
        assert claims.pods(user) == []
        with running_hub(tmp_path / "hub", CONFIG, kubeconfig=claims.kubeconfig) as second:
            started(second, user, WHOLE)
            assert len(claims.templates()) == 1
            second.stop(user)
        wait_until(lambda: not claims.claims(), "the claim is gone")


class TestCollection:
    def test_what_nobody_uses_goes(self, claims: ClaimCluster, user: str, tmp_path: Path) -> None:
        config = CONFIG + "c.GPUSpawner.claim_template_max_age_seconds = 1\n"
        with running_hub(tmp_path / "hub", config, kubeconfig=claims.kubeconfig) as hub:
            started(hub, user, WHOLE)
            wait_until(lambda: len(claims.templates()) == 1, "the others are collected")
            hub.stop(user)
            wait_until(lambda: not claims.templates(), "the last one is collected")
