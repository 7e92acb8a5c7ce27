"""Logs of pods, passed on from where the kubelet keeps them."""

from collections.abc import AsyncIterator

import pytest
from api_caller import PODS, Api, node, pod

from gpu_spawner.sim.apiserver.pod_logs import LogRequest, LogUnavailableError


async def _make(api: Api, *containers: str) -> None:
    await api.create("/api/v1/nodes", node("n1"))
    spec = [{"name": name, "image": "i"} for name in containers]
    await api.create(PODS, pod("p", containers=spec, nodeName="n1"))


async def test_the_text_comes_from_the_source(api: Api) -> None:
    asked: list[LogRequest] = []

    async def source(request: LogRequest) -> AsyncIterator[bytes]:
        asked.append(request)
        yield b"one\n"
        yield b"two\n"

    api.server.log_source = source
    await _make(api, "c")
    reply = await api.call("GET", f"{PODS}/p/log?tailLines=5&follow=true&timestamps=True")
    assert (reply.text, reply.headers["Content-Type"]) == ("one\ntwo\n", "text/plain")
    (request,) = asked
    assert (request.namespace, request.name, request.container) == ("default", "p", "c")
    assert (request.tail_lines, request.follow, request.with_timestamps) == (5, True, True)
    assert request.uid == (await api.get(f"{PODS}/p"))["metadata"]["uid"]
    short = await api.call("GET", f"{PODS}/p/log?limitBytes=6")
    assert short.text == "one\ntw"


async def test_which_container_must_be_clear(api: Api) -> None:
    await _make(api, "a", "b")
    reply = await api.call("GET", f"{PODS}/p/log")
    assert (reply.status, reply.reason) == (400, "BadRequest")
    assert reply.message == ("a container name must be specified for pod p, choose one of: [a b]")
    wrong = await api.call("GET", f"{PODS}/p/log?container=z")
    assert wrong.message == "container z is not valid for pod p"
    assert (await api.call("GET", f"{PODS}/none/log")).status == 404


async def test_a_log_that_is_not_there_yet(api: Api) -> None:
    async def source(_: LogRequest) -> AsyncIterator[bytes]:
        raise LogUnavailableError('container "c" in pod "p" is waiting to start: PodInitializing')
        yield b""

    api.server.log_source = source
    await _make(api, "c")
    reply = await api.call("GET", f"{PODS}/p/log")
    assert reply.status == 400
    assert "is waiting to start" in reply.message


@pytest.mark.parametrize("query", ["tailLines=x", "sinceSeconds=1.5"])
async def test_numbers_are_numbers(api: Api, query: str) -> None:
    await _make(api, "c")
    assert (await api.call("GET", f"{PODS}/p/log?{query}")).status == 400


async def test_a_pod_without_a_node_has_an_empty_log(api: Api) -> None:
    await api.create(PODS, pod("p"))
    assert (await api.call("GET", f"{PODS}/p/log")).text == ""


async def test_without_a_kubelet_there_is_no_log(api: Api) -> None:
    await _make(api, "c")
    assert (await api.call("GET", f"{PODS}/p/log")).status == 501
