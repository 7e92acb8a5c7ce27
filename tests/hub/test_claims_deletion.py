"""A pod that may hold a device is never deleted at once, whichever way KubeSpawner takes."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kubernetes_asyncio.client import Configuration
from kubespawner import KubeSpawner
from kubespawner.clients import load_config
from traitlets.config import Config

from gpu_spawner import GPUSpawner
from gpu_spawner.kube.client import ClusterClient, Request
from gpu_spawner.sim.apiserver.faults import RequestFacts
from gpu_spawner.sim.apiserver.server import ApiServer

pytestmark = pytest.mark.hosts

PODS = "/api/v1/namespaces/default/pods"
CLAIMED: dict[str, Any] = {
    "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "gpu-spawner-0"}]
}
PLUGGED = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
PLAIN: dict[str, Any] = {}


@dataclass
class World:
    """An API server without a kubelet, and what it was asked to delete."""

    client: ClusterClient
    deletions: list[dict[str, Any]] = field(default_factory=list)

    def note(self, facts: RequestFacts) -> None:
        if facts.verb == "delete" and facts.resource == "pods":
            self.deletions.append(json.loads(facts.body))

    @property
    def graces(self) -> list[int]:
        return [each["gracePeriodSeconds"] for each in self.deletions]

    async def send(self, method: str, path: str, body: Any = None, kind: str = "") -> Any:
        request = Request(method, path, body=body, content_type=kind or "application/json")
        return json.loads(await self.client.send(request, doing="preparing", timeout_seconds=5.0))

    async def create(
        self, spawner: GPUSpawner, spec: dict[str, Any], container: dict[str, Any] | None = None
    ) -> None:
        """Create the spawner's pod as one that runs, and have the spawner know it."""
        manifest = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": spawner.pod_name,
                "labels": {"component": "singleuser-server", "app": "jupyterhub"},
            },
            "spec": {
                "nodeName": "n",
                "containers": [{"name": "notebook", "image": "i", **(container or {})}],
                **spec,
            },
        }
        await self.send("POST", PODS, manifest)
        await self.known(spawner)

    async def report(self, spawner: GPUSpawner, status: dict[str, Any]) -> None:
        await self.send(
            "PATCH",
            f"{PODS}/{spawner.pod_name}/status",
            {"status": status},
            "application/merge-patch+json",
        )

    async def known(self, spawner: GPUSpawner) -> None:
        await spawner._start_watching_pods()
        await until(lambda: pod_of(spawner) is not None)

    async def end_gracefully(self, spawner: GPUSpawner) -> None:
        """Do the kubelet's part: the containers are gone, so the pod may go."""
        await until(lambda: "deletionTimestamp" in (pod_of(spawner) or {}).get("metadata", {}))
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        await self.send("DELETE", f"{PODS}/{spawner.pod_name}", options)
        self.deletions.pop()


def pod_of(spawner: GPUSpawner) -> Any:
    return spawner.pod_reflector.pods.get(f"default/{spawner.pod_name}")


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the reflector tells nobody
            await asyncio.sleep(0.01)


@pytest.fixture
def no_shared_state(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """KubeSpawner keeps reflectors, clients and its configuration for the whole process."""
    before = getattr(Configuration, "_default", None)
    load_config.cache_clear()
    monkeypatch.setattr(KubeSpawner, "reflectors", {})
    yield
    load_config.cache_clear()
    Configuration._default = before


@pytest.fixture
async def world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[World]:
    request.getfixturevalue("no_shared_state")
    server = ApiServer()
    await server.start()
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(server.kubeconfig()))
    # The client library read the variable when it was imported.
    monkeypatch.setattr(
        "kubernetes_asyncio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path)
    )
    async with await ClusterClient.connect(path) as client:
        found = World(client)
        server.faults = found.note
        yield found
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await server.stop()


def make_spawner(**settings: Any) -> GPUSpawner:
    return GPUSpawner(
        config=Config({"KubeSpawner": {"namespace": "default", "start_timeout": 20, **settings}}),
        _mock=True,
    )


class TestEveryWay:
    async def test_stop_in_a_hurry_waits_until_the_pod_is_gone(self, world: World) -> None:
        spawner = make_spawner()
        await world.create(spawner, CLAIMED)
        stopping = asyncio.ensure_future(spawner.stop(now=True))
        await until(lambda: world.graces)
        assert world.graces == [1]
        assert not stopping.done()
        await world.end_gracefully(spawner)
        await stopping
        assert pod_of(spawner) is None

    async def test_stop_with_no_grace_configured(self, world: World) -> None:
        spawner = make_spawner(delete_grace_period=0)
        await world.create(spawner, CLAIMED)
        await asyncio.gather(spawner.stop(), world.end_gracefully(spawner))
        assert world.graces == [1]

    async def test_a_longer_grace_stays(self, world: World) -> None:
        spawner = make_spawner(delete_grace_period=30)
        await world.create(spawner, CLAIMED)
        await asyncio.gather(spawner.stop(), world.end_gracefully(spawner))
        assert world.graces == [30]

    async def test_a_claim_behind_an_extended_resource(self, world: World) -> None:
        spawner = make_spawner()
        await world.create(spawner, PLAIN)
        mapping = {"containerName": "notebook", "resourceName": "a.b/c", "requestName": "r"}
        made = {"resourceClaimName": "c", "requestMappings": [mapping]}
        await world.report(spawner, {"extendedResourceClaimStatus": made})
        await until(lambda: "extendedResourceClaimStatus" in pod_of(spawner)["status"])
        await asyncio.gather(spawner.stop(now=True), world.end_gracefully(spawner))
        assert world.graces == [1]

    async def test_a_device_of_a_device_plugin(self, world: World) -> None:
        spawner = make_spawner()
        await world.create(spawner, PLAIN, PLUGGED)
        await asyncio.gather(spawner.stop(now=True), world.end_gracefully(spawner))
        assert world.graces == [1]

    async def test_a_pod_of_the_same_name_in_the_way(self, world: World) -> None:
        spawner = make_spawner()
        await world.create(spawner, CLAIMED)
        pod = await spawner.get_pod_manifest()
        creating = asyncio.ensure_future(spawner._make_create_pod_request(pod, 5))
        await world.end_gracefully(spawner)
        assert await creating is False
        assert world.graces == [1]
        assert await spawner._make_create_pod_request(pod, 5)

    async def test_a_pod_the_hub_knows_nothing_of(self, world: World) -> None:
        spawner = make_spawner()
        await spawner.stop(now=True)
        assert world.graces == [1]

    async def test_a_hook_that_fails_after_the_pod_was_created(self, world: World) -> None:
        def fail(spawner: Any, pod: Any) -> None:
            del spawner, pod
            raise RuntimeError("the site's hook")

        spawner = make_spawner(
            after_pod_created_hook=fail,
            extra_pod_config={"nodeName": "n", **CLAIMED},
            events_enabled=False,
        )
        starting = spawner.start()
        await until(lambda: spawner.pod_reflector and pod_of(spawner))
        await world.end_gracefully(spawner)
        with pytest.raises(RuntimeError, match="the site's hook"):
            await starting
        assert world.graces == [1]

    async def test_a_server_that_ended_by_itself(self, world: World) -> None:
        spawner = make_spawner()
        await world.create(spawner, CLAIMED)
        ended = {"exitCode": 3, "reason": "Error"}
        notebook = {
            "name": "notebook",
            "image": "i",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": {"terminated": ended},
        }
        await world.report(spawner, {"phase": "Running", "containerStatuses": [notebook]})
        await until(lambda: pod_of(spawner)["status"].get("containerStatuses"))
        exit_code, _ = await asyncio.gather(spawner.poll(), world.end_gracefully(spawner))
        assert exit_code == 3
        assert world.graces == [1]

    async def test_a_pod_that_failed_while_it_started(self, world: World) -> None:
        spawner = make_spawner()
        await world.create(spawner, CLAIMED)
        await asyncio.gather(spawner._remove_pod(), world.end_gracefully(spawner))
        assert world.graces == [1]

    async def test_the_end_of_a_user_deletes_no_pod(self, world: World) -> None:
        spawner = make_spawner()
        await world.create(spawner, CLAIMED)
        await spawner.delete_forever()
        assert world.graces == []

    async def test_a_pod_without_devices_is_kubespawners(self, world: World) -> None:
        spawner = make_spawner()
        await world.create(spawner, PLAIN)
        await spawner.stop(now=True)
        assert world.graces == [0]
