"""Claim templates: made before a pod needs them, checked, shared, and collected when old."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from kubernetes_asyncio.client import Configuration
from traitlets.config import Config

from gpu_spawner.core.catalog.claims import ClaimTemplate, template_of
from gpu_spawner.core.errors import ClusterError
from gpu_spawner.hub.claims import Claims, Patience
from gpu_spawner.hub.refusal import REASON_CLAIM, SpawnRefused
from gpu_spawner.hub.settings import HubSettings
from gpu_spawner.kube.claim_templates import ClaimTemplates, template_manifest
from gpu_spawner.kube.client import ClusterClient, Request
from gpu_spawner.kube.reflector import Clocks
from gpu_spawner.sim.apiserver.api_errors import ApiError
from gpu_spawner.sim.apiserver.faults import Fault, RequestFacts
from gpu_spawner.sim.apiserver.server import ApiServer

pytestmark = pytest.mark.hosts

PATH = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaimtemplates"
PODS = "/api/v1/namespaces/default/pods"
HOUR = 3600.0
PATIENCE = Patience(request_seconds=5.0, total_seconds=30.0)


def wish(**more: Any) -> dict[str, Any]:
    return {"deviceClassName": "gpu.example.com", **more}


def template(**more: Any) -> ClaimTemplate:
    return template_of({"devices": {"requests": [{"name": "gpu", "exactly": wish(**more)}]}})


WHOLE = template()
SLICE = template(capacity={"requests": {"memory": "8192Mi"}}, tolerations=[{"operator": "Exists"}])
EITHER = template_of(
    {
        "devices": {
            "requests": [
                {
                    "name": "gpu",
                    "firstAvailable": [wish(name="a"), wish(name="b", count=2)],
                }
            ],
            "config": [
                {
                    "requests": ["gpu/a"],
                    "opaque": {"driver": "gpu.example.com", "parameters": {"kind": "A", "n": 1}},
                }
            ],
        }
    }
)


@dataclass
class World:
    """An API server, a hub's claims on it, a clock that the test turns, and what was asked."""

    server: ApiServer
    client: ClusterClient
    now: float = 1_700_000_000.0
    pauses: list[float] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    faults: list[Fault | None] = field(default_factory=list)
    hook: Callable[[RequestFacts], Fault | None] | None = None

    def claims(self, **settings: Any) -> Claims:
        async def open_client(_: HubSettings) -> ClusterClient:
            return self.client

        config = Config({"HubSettings": {"namespace": "default", **settings}})
        hub = HubSettings(config=config, log=logging.getLogger("tests.claims"))
        return Claims(
            hub,
            clocks=Clocks(monotonic=lambda: self.now, sleep=self._sleep, chance=lambda: 0.0),
            wall_clock=lambda: self.now,
            open_client=open_client,
        )

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def fault(self, facts: RequestFacts) -> Fault | None:
        if facts.resource != "resourceclaimtemplates":
            return None
        self.asked.append(facts.verb)
        if self.hook is not None:
            return self.hook(facts)
        return self.faults.pop(0) if self.faults else None

    async def get(self, path: str) -> Any:
        return json.loads(await self.client.get(path, {}, doing="looking", timeout_seconds=5.0))

    async def names(self, path: str = PATH) -> list[str]:
        return [item["metadata"]["name"] for item in (await self.get(path))["items"]]

    async def create(self, path: str, body: dict[str, Any]) -> Any:
        sent = await self.client.send(
            Request("POST", path, body=body), doing="making", timeout_seconds=5.0
        )
        return json.loads(sent)

    async def create_pod(self, name: str, claim_template: ClaimTemplate) -> None:
        spec = {
            "containers": [{"name": "c", "image": "i", "resources": {"claims": [{"name": "gpu"}]}}],
            "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": claim_template.name}],
        }
        await self.create(
            PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        )


@pytest.fixture
async def world() -> AsyncIterator[World]:
    holder: list[World] = []
    users = {"all": "admin", "none": "nobody"}
    server = ApiServer(clock=lambda: holder[0].now if holder else World.now, users=users)
    await server.start()
    configuration = Configuration(host=server.url)
    configuration.api_key["BearerToken"] = "Bearer all"
    async with ClusterClient(configuration) as client:
        holder.append(World(server, client))
        server.faults = holder[0].fault
        yield holder[0]
    await server.stop()


async def ensure(claims: Claims, *templates: ClaimTemplate, **more: Any) -> None:
    await claims.ensure("default", templates, holder="pod", patience=PATIENCE, **more)


def refused(status: int, reason: str, message: str, seconds: int = 0) -> Fault:
    details = {"retryAfterSeconds": seconds} if seconds else {}
    return Fault(error=ApiError(status, reason, message, details))


async def turn(world: World, claims: Claims, verb: str, times: int) -> None:
    """Let the work in the background go on until it has asked for this so many times."""
    before = world.asked.count(verb)
    working = asyncio.ensure_future(claims.run())
    async with asyncio.timeout(20):
        while world.asked.count(verb) < before + times:  # noqa: ASYNC110 - the clock runs in there
            await asyncio.sleep(0)
    working.cancel()
    await asyncio.wait({working})


class TestMaking:
    async def test_a_template_is_made_labelled_and_not_asked_for_again(self, world: World) -> None:
        claims = world.claims()
        for _ in range(3):
            await ensure(claims, WHOLE)
        assert world.asked == ["create"]
        (stored,) = (await world.get(PATH))["items"]
        assert stored["metadata"]["name"] == WHOLE.name
        labels = stored["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "gpu-spawner"
        assert stored["spec"]["metadata"]["labels"].items() <= labels.items()
        (request,) = stored["spec"]["spec"]["devices"]["requests"]
        assert request["exactly"].items() >= wish().items()

    @pytest.mark.parametrize("one", [WHOLE, SLICE, EITHER], ids=["whole", "slice", "either"])
    async def test_what_the_server_adds_and_rewrites_is_no_difference(
        self, world: World, one: ClaimTemplate
    ) -> None:
        await ensure(world.claims(), one)
        await ensure(world.claims(), one)
        assert world.asked == ["create", "create", "get"]
        assert await world.names() == [one.name]

    async def test_one_that_was_seen_long_ago_costs_one_look(self, world: World) -> None:
        claims = world.claims()
        await ensure(claims, WHOLE)
        world.now += HOUR
        await ensure(claims, WHOLE)
        assert world.asked == ["create", "get"]

    async def test_many_starts_at_once_make_it_once(self, world: World) -> None:
        claims = world.claims()
        await asyncio.gather(*(ensure(claims, WHOLE, SLICE) for _ in range(20)))
        assert sorted(world.asked) == ["create", "create"]
        assert sorted(await world.names()) == sorted([WHOLE.name, SLICE.name])

    async def test_one_that_was_removed_is_made_again(self, world: World) -> None:
        claims = world.claims()
        await ensure(claims, WHOLE)
        await world.client.send(
            Request("DELETE", f"{PATH}/{WHOLE.name}"), doing="removing", timeout_seconds=5.0
        )
        await ensure(claims, WHOLE, is_doubted=True)
        assert await world.names() == [WHOLE.name]

    async def test_a_hub_that_died_in_between_leaves_what_the_next_one_uses(
        self, world: World
    ) -> None:
        await ensure(world.claims(), WHOLE)
        await ensure(world.claims(), WHOLE)
        assert await world.names() == [WHOLE.name]


class TestDroppedFields:
    @pytest.mark.parametrize(
        ("gate", "one", "path"),
        [
            ("DRAConsumableCapacity", SLICE, "devices.requests[0].exactly.capacity"),
            ("DRADeviceTaints", SLICE, "devices.requests[0].exactly.tolerations"),
            ("DRAPrioritizedList", EITHER, "devices.requests.firstAvailable"),
        ],
    )
    async def test_the_start_is_refused_with_field_and_gate(
        self, world: World, gate: str, one: ClaimTemplate, path: str
    ) -> None:
        world.server.disabled_gates = frozenset({gate})
        with pytest.raises(SpawnRefused) as refusal:
            await ensure(world.claims(), one)
        assert refusal.value.metric_reason == REASON_CLAIM
        assert path in refusal.value.jupyterhub_message
        assert gate in refusal.value.jupyterhub_message
        assert await world.names() == []

    async def test_a_bad_one_of_before_is_replaced_once_the_gate_is_on(self, world: World) -> None:
        manifest = template_manifest("default", SLICE.name, SLICE.spec)
        world.server.disabled_gates = frozenset({"DRAConsumableCapacity"})
        await world.create(PATH, manifest)
        world.server.disabled_gates = frozenset()
        await ensure(world.claims(), SLICE)
        (stored,) = (await world.get(PATH))["items"]
        (request,) = stored["spec"]["spec"]["devices"]["requests"]
        assert request["exactly"]["capacity"] == {"requests": {"memory": "8Gi"}}

    async def test_one_that_asks_for_more_is_replaced(self, world: World) -> None:
        """Only the plugin's own name for exactly this wish may be trusted to be this wish."""
        planted = dict(template(adminAccess=True).spec)
        await world.create("/api/v1/namespaces", admin_namespace())
        claims = world.claims()
        path = PATH.replace("default", "admins")
        await world.create(path, template_manifest("admins", WHOLE.name, planted))
        await claims.ensure("admins", [WHOLE], holder="pod", patience=PATIENCE)
        (stored,) = (await world.get(path))["items"]
        assert "adminAccess" not in stored["spec"]["spec"]["devices"]["requests"][0]["exactly"]

    async def test_somebody_elses_is_left_alone(self, world: World) -> None:
        manifest = template_manifest("default", WHOLE.name, SLICE.spec)
        del manifest["metadata"]["labels"]
        await world.create(PATH, manifest)
        with pytest.raises(SpawnRefused, match="somebody else"):
            await ensure(world.claims(), WHOLE)
        assert await world.names() == [WHOLE.name]


def admin_namespace() -> dict[str, Any]:
    labels = {"resource.kubernetes.io/admin-access": "true"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "admins", "labels": labels},
    }


class TestFaults:
    @pytest.mark.parametrize(
        "fault",
        [
            refused(429, "TooManyRequests", "slow down", seconds=7),
            refused(500, "InternalError", "oops"),
            refused(503, "ServiceUnavailable", "later"),
            Fault(drops_connection=True),
        ],
        ids=["429", "500", "503", "dropped"],
    )
    async def test_what_may_pass_is_tried_again(self, world: World, fault: Fault) -> None:
        world.faults = [fault, fault]
        await ensure(world.claims(), WHOLE)
        assert await world.names() == [WHOLE.name]
        assert len(world.pauses) == 2
        assert all(pause > 0 for pause in world.pauses)
        if fault.error is not None and fault.error.code == 429:
            assert world.pauses == [7.0, 7.0]

    async def test_a_server_that_hangs_is_asked_again(self, world: World) -> None:
        world.faults = [Fault(delay_seconds=60.0)]
        patience = Patience(request_seconds=0.05, total_seconds=30.0)
        await world.claims().ensure("default", [WHOLE], holder="pod", patience=patience)
        assert await world.names() == [WHOLE.name]

    async def test_an_outage_is_told_in_the_end(self, world: World) -> None:
        world.hook = lambda _: refused(503, "ServiceUnavailable", "later")
        with pytest.raises(SpawnRefused, match="does not answer") as refusal:
            await ensure(world.claims(), WHOLE)
        assert refusal.value.status_code == 503
        assert sum(world.pauses) <= PATIENCE.total_seconds

    async def test_an_answer_that_was_lost(self, world: World) -> None:
        """The first request made it, and nobody heard so."""
        manifest = template_manifest("default", WHOLE.name, WHOLE.spec)
        await world.create(PATH, manifest)
        world.faults = [Fault(drops_connection=True)]
        await ensure(world.claims(), WHOLE)
        assert await world.names() == [WHOLE.name]

    async def test_a_missing_right_is_named(self, world: World) -> None:
        world.client.api.configuration.api_key["BearerToken"] = "Bearer none"
        with pytest.raises(SpawnRefused, match="right to create resourceclaimtemplates") as refusal:
            await ensure(world.claims(), WHOLE)
        assert "namespace default" in refusal.value.jupyterhub_message
        assert world.pauses == []

    async def test_a_quota_is_no_missing_right(self, world: World) -> None:
        message = "exceeded quota: few, requested: count/resourceclaimtemplates.resource.k8s.io=1"
        world.faults = [refused(403, "Forbidden", message)]
        with pytest.raises(SpawnRefused, match="exceeded quota"):
            await ensure(world.claims(), WHOLE)

    async def test_a_cluster_without_claims(self, world: World) -> None:
        not_served = ApiError(404, "NotFound", "the server could not find the requested resource")
        world.faults = [Fault(error=not_served)]
        with pytest.raises(SpawnRefused, match="no Dynamic Resource Allocation"):
            await ensure(world.claims(), WHOLE)

    async def test_a_namespace_that_is_not_there(self, world: World) -> None:
        with pytest.raises(SpawnRefused, match="namespaces"):
            await world.claims().ensure("nowhere", [WHOLE], holder="pod", patience=PATIENCE)

    async def test_one_that_somebody_removes_all_the_time(self, world: World) -> None:
        def conflict_then_gone(facts: RequestFacts) -> Fault | None:
            if facts.verb == "create":
                return refused(409, "AlreadyExists", "already exists")
            return None

        world.hook = conflict_then_gone
        with pytest.raises(SpawnRefused, match="removed by somebody else"):
            await ensure(world.claims(), WHOLE)


class TestCollection:
    async def test_old_ones_that_nobody_uses_go(self, world: World) -> None:
        claims = world.claims()
        await ensure(claims, WHOLE, SLICE, EITHER)
        claims.release("pod")
        await world.create_pod("lives", SLICE)
        world.now += 2 * HOUR
        assert await claims.collect() == 2
        assert await world.names() == [SLICE.name]

    async def test_young_ones_stay(self, world: World) -> None:
        claims = world.claims()
        await ensure(claims, WHOLE)
        claims.release("pod")
        world.now += HOUR / 2
        assert await claims.collect() == 0
        assert await world.names() == [WHOLE.name]

    async def test_another_hub_finds_them_too(self, world: World) -> None:
        await ensure(world.claims(), WHOLE)
        world.now += 2 * HOUR
        assert await world.claims().collect() == 1

    async def test_a_start_that_is_under_way_keeps_its_own(self, world: World) -> None:
        claims = world.claims()
        await ensure(claims, WHOLE)
        world.now += 2 * HOUR
        assert await claims.collect() == 0
        claims.release("pod")
        assert await claims.collect() == 1

    async def test_one_that_was_just_used_stays(self, world: World) -> None:
        claims = world.claims()
        await ensure(claims, WHOLE)
        world.now += 2 * HOUR
        await ensure(claims, WHOLE)
        claims.release("pod")
        assert await claims.collect() == 0

    async def test_other_peoples_stay(self, world: World) -> None:
        manifest = template_manifest("default", "theirs", WHOLE.spec)
        manifest["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "helm"
        await world.create(PATH, manifest)
        world.now += 2 * HOUR
        assert await world.claims().collect() == 0
        assert await world.names() == ["theirs"]

    async def test_one_that_was_made_anew_in_between_stays(self, world: World) -> None:
        claims = world.claims()
        await ensure(claims, WHOLE)
        templates = ClaimTemplates(world.client)
        (seen,) = await templates.list_ours("default", timeout_seconds=5.0)
        assert await templates.delete(seen, timeout_seconds=5.0)
        await ensure(claims, WHOLE, is_doubted=True)
        assert not await templates.delete(seen, timeout_seconds=5.0)
        assert await world.names() == [WHOLE.name]

    async def test_a_start_in_the_middle_of_a_collection_has_its_template(
        self, world: World
    ) -> None:
        """The start waits for the deletion, and makes the template anew."""
        claims = world.claims()
        await ensure(claims, WHOLE)
        claims.release("pod")
        world.now += 2 * HOUR
        starts = []

        def start_now(facts: RequestFacts) -> None:
            if facts.verb == "delete" and not starts:
                starts.append(asyncio.ensure_future(ensure(claims, WHOLE)))

        world.hook = start_now
        assert await claims.collect() == 1
        await starts[0]
        assert await world.names() == [WHOLE.name]
        assert await claims.collect() == 0

    async def test_pages_and_namespaces(self, world: World, monkeypatch: Any) -> None:
        monkeypatch.setattr("gpu_spawner.kube.claim_templates._PAGE_SIZE", 2)
        claims = world.claims(enable_user_namespaces=True)
        for name in ("one", "two", "three"):
            namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await world.create("/api/v1/namespaces", namespace)
            await claims.ensure(name, [WHOLE, SLICE], holder=name, patience=PATIENCE)
            claims.release(name)
        world.now += 2 * HOUR
        assert await claims.collect() == 6

    async def test_where_the_whole_cluster_may_not_be_read(self, world: World) -> None:
        claims = world.claims(enable_user_namespaces=True)
        await ensure(claims, WHOLE)
        claims.release("pod")
        world.now += 2 * HOUR
        world.hook = lambda facts: None if facts.namespace else refused(403, "Forbidden", "no")
        assert await claims.collect() == 1

    async def test_a_cluster_without_claims_has_nothing_to_collect(self, world: World) -> None:
        not_served = ApiError(404, "NotFound", "the server could not find the requested resource")
        world.hook = lambda _: Fault(error=not_served)
        assert await world.claims().collect() == 0

    async def test_a_failure_is_the_callers_and_nothing_is_lost(self, world: World) -> None:
        claims = world.claims()
        await ensure(claims, WHOLE)
        claims.release("pod")
        world.now += 2 * HOUR
        world.faults = [refused(500, "InternalError", "oops")]
        with pytest.raises(ClusterError):
            await claims.collect()
        assert await claims.collect() == 1

    async def test_a_hub_without_rights_and_templates_is_quiet(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.client.api.configuration.api_key["BearerToken"] = "Bearer none"
        claims = world.claims()
        await turn(world, claims, "list", 3)
        assert caplog.messages == []

    async def test_a_failure_is_told_once(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.hook = lambda _: refused(500, "InternalError", "oops")
        await turn(world, world.claims(), "list", 3)
        assert len([text for text in caplog.messages if "were not removed" in text]) == 1

    async def test_it_goes_on_in_the_background(self, world: World) -> None:
        claims = world.claims()
        await ensure(claims, WHOLE)
        claims.release("pod")
        world.faults = [refused(500, "InternalError", "oops")]
        await turn(world, claims, "delete", 1)
        assert world.now >= World.now + HOUR
