"""Faults on request."""

import asyncio

import aiohttp
import pytest
from api_caller import CONFIG_MAPS, PODS, config_map, serving

from gpu_spawner.sim.apiserver.api_errors import ApiError
from gpu_spawner.sim.apiserver.faults import Fault, RequestFacts


async def test_the_hook_sees_what_is_asked() -> None:
    seen: list[RequestFacts] = []
    async with serving(faults=seen.append) as api:
        await api.get(PODS)
        await api.call("GET", f"{PODS}/p/log")
        await api.call("DELETE", PODS, {"gracePeriodSeconds": 0})
        await api.get("/version")
    assert [(facts.number, facts.verb, facts.resource, facts.name) for facts in seen] == [
        (1, "list", "pods", ""),
        (2, "get", "pods/log", "p"),
        (3, "deletecollection", "pods", ""),
        (4, "get", "", ""),
    ]
    assert (seen[0].namespace, seen[0].user) == ("default", "admin")
    assert seen[2].body == b'{"gracePeriodSeconds": 0}'


async def test_a_request_can_be_refused() -> None:
    def refuse_second(facts: RequestFacts) -> Fault | None:
        return (
            Fault(error=ApiError(503, "ServiceUnavailable", "later", {}))
            if (facts.number == 2)
            else None
        )

    async with serving(faults=refuse_second) as api:
        statuses = [(await api.call("GET", PODS)).status for _ in range(3)]
    assert statuses == [200, 503, 200]


async def test_a_connection_can_be_dropped() -> None:
    async with serving(faults=lambda _: Fault(drops_connection=True)) as api:
        with pytest.raises(aiohttp.ClientError):
            await api.call("POST", PODS, {})


async def test_a_request_can_go_unanswered() -> None:
    asked = asyncio.Event()

    def say_nothing(_: RequestFacts) -> Fault:
        asked.set()
        return Fault(never_answers=True)

    async with serving(faults=say_nothing) as api:
        waiting = asyncio.create_task(api.call("POST", CONFIG_MAPS, config_map("a")))
        await asked.wait()
        api.server.faults = None
        assert "a" not in await api.names(CONFIG_MAPS)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    # The server stops although somebody waited.


async def test_an_answer_can_be_lost() -> None:
    async with serving(faults=lambda _: Fault(loses_answer=True)) as api:
        with pytest.raises(aiohttp.ClientError):
            await api.call("POST", CONFIG_MAPS, config_map("a"))
        api.server.faults = None
        assert "a" in await api.names(CONFIG_MAPS)


async def test_frames_of_a_watch_can_be_spoilt() -> None:
    async with serving(faults=lambda _: Fault(spoils_watch=lambda frames: frames[::-1])) as api:
        await api.create(CONFIG_MAPS, config_map("a"))
        async with api.watch(f"{CONFIG_MAPS}?watch=1") as frames:
            assert await frames.seen(2) == [("ADDED", "kube-root-ca.crt"), ("ADDED", "a")]


async def test_an_answer_can_be_delayed() -> None:
    async with serving(faults=lambda _: Fault(delay_seconds=60)) as api:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await api.get(PODS)


async def test_a_watch_can_be_cut() -> None:
    def cut(facts: RequestFacts) -> Fault | None:
        return Fault(cuts_watch_after=1) if facts.verb == "watch" else None

    async with serving(faults=cut) as api:
        await api.create(CONFIG_MAPS, config_map("a"))
        async with api.watch(f"{CONFIG_MAPS}?watch=1") as frames:
            assert await frames.seen(2) == [("ADDED", "a"), ("ADDED", "kube-root-ca.crt")]
            with pytest.raises(aiohttp.ClientError):
                await frames.rest()
