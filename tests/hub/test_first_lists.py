"""A hub that starts while the API server is not well ends no server that runs."""

import asyncio
import time
from functools import partial
from pathlib import Path

import pytest
from claim_cluster import is_over, is_ready
from fault_hooks import InTurn
from faulty_cluster import SETTINGS, FaultyCluster, hub_of, own_tracebacks
from foreign_server import embedded_only
from other_process import wait_until
from traitlets.config import Config

from gpu_spawner.hub.first_lists import UnreadError
from gpu_spawner.hub.rendering import idle_spawner
from gpu_spawner.sim.apiserver.api_errors import ApiError
from gpu_spawner.sim.apiserver.faults import Fault, RequestFacts

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.timeout(240),
    embedded_only("it is the embedded server that is not well"),
]

FAULTS = [
    Fault(error=ApiError(503, "ServiceUnavailable", "not yet")),
    Fault(drops_connection=True),
    Fault(error=ApiError(410, "Expired", "too old resource version")),
    Fault(error=ApiError(403, "Forbidden", "the hub's rights are yet to arrive")),
]

KUBESPAWNERS_PATIENCE_SECONDS = 60
"""With a list that never comes; with any other request it is eight seconds here."""


def test_servers_run_on(faulty: FaultyCluster, tmp_path: Path) -> None:
    users = ["ada", "grace"]
    with hub_of(faulty, tmp_path / "hub") as hub:
        faulty.expect_sets()
        for name in users:
            hub.add_user(name)
            assert hub.start(name, {"profile": "cpu"}).status_code in (201, 202)
        for name in users:
            wait_until(partial(is_ready, hub, name), f"{name} runs", 60)
        hub.process.kill()
        hub.process.wait()
    spoil = InTurn(faulty.account.username, "list", {"pods", "events"}, FAULTS)
    faulty.suffer(spoil)
    with hub_of(faulty, tmp_path / "hub") as hub:
        for name in users:
            wait_until(partial(is_ready, hub, name), f"{name} still runs", 60)
        assert spoil.met["pods"] == len(FAULTS)
        wait_until(lambda: "ada still running" in hub.log(), "the hub has asked for ada", 60)
        wait_until(lambda: "grace still running" in hub.log(), "the hub has asked for grace", 60)
        assert "appears to have stopped" not in hub.log()
        assert own_tracebacks(hub.log()) == []
        assert hub.start("ada", {"profile": "cpu"}).status_code == 400
        for name in users:
            hub.stop(name)
        faulty.settle(hub, users)


def test_a_start_is_told_that_a_list_is_missing(faulty: FaultyCluster, tmp_path: Path) -> None:
    """It waits as long as for any other request, and what comes after it waits for nothing."""
    fault = Fault(error=ApiError(403, "Forbidden", "it may not"))

    def spoil(facts: RequestFacts) -> Fault | None:
        is_spoilt = facts.verb == "list" and facts.resource == "events"
        return fault if is_spoilt and facts.user == faulty.account.username else None

    def told() -> str:
        began = time.monotonic()
        answer = hub.start("ada", {"profile": "cpu"})
        # Told to who follows a slow start, or at once.
        said = hub.failure("ada") if answer.ok else answer.json()["message"]
        wait_until(partial(is_over, hub, "ada"), "the start is over", 60)
        assert time.monotonic() - began < KUBESPAWNERS_PATIENCE_SECONDS
        return str(said)

    with hub_of(faulty, tmp_path / "hub") as hub:
        faulty.expect_sets()
        faulty.suffer(spoil)
        assert "the hub lacks the right to list events in the namespace gpu-demo." in told()
        fault = Fault(never_answers=True)
        assert "does not say which events there are (TimeoutError). Try again in" in told()
        faulty.suffer(None)
        assert hub.start("ada", {"profile": "cpu"}).ok
        wait_until(partial(is_ready, hub, "ada"), "ada's server runs")
        hub.stop("ada")
        faulty.settle(hub, ["ada"])
        assert own_tracebacks(hub.log()) == []


class Unheard:
    """A reflector whose list never comes."""

    def __init__(self, **_settings: object) -> None:
        self.first_load_future = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        await self.first_load_future


async def test_who_began_at_the_same_time_gives_up_at_the_same_time() -> None:
    config = Config({**SETTINGS, "KubeSpawner": {"k8s_api_request_retry_timeout": 1}})
    with idle_spawner(config, "ada") as spawner:
        begin = partial(spawner._start_reflector, "events", reflector_class=Unheard)
        asked = [asyncio.ensure_future(begin())]
        for _ in range(3):  # until the first has begun to read, and the second waits for it
            await asyncio.sleep(0)
            asked.append(asyncio.ensure_future(begin()))
        await asyncio.sleep(0)
        # The hub has something else to do until the time of all of them is over.
        time.sleep(1.1)  # noqa: ASYNC251 - it is not to turn meanwhile
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [UnreadError] * 4
        assert not spawner.reflectors
