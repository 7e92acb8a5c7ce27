"""What it costs to follow pods, beside KubeSpawner's own reflector in the same run.

``pytest tests/benchmarks --benchmark-only``. Times are in the table; bytes and the longest time the
event loop was held up are in ``extra_info``, which is printed at the end.
"""

import asyncio
import gc
import logging
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import kubespawner.reflector
import pytest
from aiohttp import web
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.watch import Watch
from pods_wire import wire_event, wire_list, wire_node, wire_pod

from gpu_spawner.core.cluster.decoding import decode_list, decode_watch_event
from gpu_spawner.core.cluster.state import ClusterState
from gpu_spawner.kube.client import ClusterClient
from gpu_spawner.kube.watcher import ClusterWatcher
from gpu_spawner.sim.listener import Listener

pytestmark = pytest.mark.hosts

PODS = 5000
PAGE = 500
NODES = 5000
PODS_AT_SCALE = 150_000
PODS_A_NODE = PODS_AT_SCALE // NODES


@pytest.fixture(scope="module")
def pods() -> list[dict[str, Any]]:
    return [wire_pod(number, PODS // PODS_A_NODE) for number in range(PODS)]


@pytest.fixture(scope="module")
def pages(pods) -> list[bytes]:
    return [wire_list(pods[start : start + PAGE]) for start in range(0, PODS, PAGE)]


class KubeSpawners:
    """KubeSpawner's reflector with its API client replaced by one that has the bytes at hand."""

    def __init__(self, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        async def list_pods(**_: Any) -> Any:
            async def read() -> bytes:
                return body

            return SimpleNamespace(ok=True, read=read)

        api = SimpleNamespace(list_pod_for_all_namespaces=list_pods)
        monkeypatch.setattr(kubespawner.reflector, "shared_client", lambda *_: api)
        self.loop = asyncio.new_event_loop()
        self.reflector = self.loop.run_until_complete(self._make())

    async def _make(self) -> Any:
        return kubespawner.reflector.MultiNamespaceResourceReflector(kind="pods")

    def list_all(self) -> dict[str, Any]:
        self.loop.run_until_complete(self.reflector._list_and_update())
        return self.reflector.resources


def kept_bytes(load: Callable[[], Any]) -> int:
    """Measure what stays allocated of the result of a function."""
    load()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        result = load()
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before if result is not None else 0
    finally:
        tracemalloc.stop()


def load_ours(pages: list[bytes]) -> ClusterState:
    state = ClusterState()
    state.replace_all("pods", [pod for page in pages for pod in decode_list("pods", page).items])
    return state


@pytest.mark.benchmark(group=f"list of {PODS} pods: from bytes to what is held")
def test_list_ours(benchmark, pages):
    benchmark(load_ours, pages)
    kept = kept_bytes(lambda: load_ours(pages)) / PODS
    report(benchmark, microseconds_a_pod=benchmark.stats["min"] / PODS * 1e6, bytes_a_pod=kept)
    benchmark.extra_info["target"] = "15 us a pod to decode, 700 bytes a pod"
    assert kept <= 700


@pytest.mark.benchmark(group=f"list of {PODS} pods: from bytes to what is held")
def test_list_kubespawner(benchmark, pods, monkeypatch):
    theirs = KubeSpawners(wire_list(pods), monkeypatch)
    benchmark(theirs.list_all)
    theirs.reflector.resources = {}
    kept = kept_bytes(theirs.list_all) / PODS
    report(benchmark, microseconds_a_pod=benchmark.stats["min"] / PODS * 1e6, bytes_a_pod=kept)
    theirs.loop.close()


@pytest.fixture(scope="module")
def large_state() -> ClusterState:
    """The state at Kubernetes' published limits."""
    state = ClusterState()
    nodes = wire_list([wire_node(number) for number in range(NODES)])
    state.replace_all("nodes", decode_list("nodes", nodes).items)
    found: list[Any] = []
    for start in range(0, PODS_AT_SCALE, PAGE):
        page = wire_list([wire_pod(number, NODES) for number in range(start, start + PAGE)])
        found += decode_list("pods", page).items
    state.replace_all("pods", found)
    return state


@pytest.fixture
def events() -> Iterator[bytes]:
    """Pods that finish and run again, one after another, for ever."""
    lines = []
    for phase in ("Succeeded", "Running"):
        for number in range(500):
            pod = wire_pod(number, NODES)
            pod["status"]["phase"] = phase
            lines.append(wire_event("MODIFIED", pod))

    def endless() -> Iterator[bytes]:
        while True:
            yield from lines

    return endless()


@pytest.mark.benchmark(group="one pod event, from the line to a snapshot")
def test_event_ours_at_150_000_pods(benchmark, large_state, events):
    def take() -> None:
        event = decode_watch_event("pods", next(events))
        large_state.apply("pods", event.type, event.obj)
        large_state.snapshot(0.0)

    benchmark(take)
    report(benchmark, microseconds=benchmark.stats["median"] * 1e6)
    benchmark.extra_info["target"] = "100 us"


@pytest.mark.benchmark(group="one pod event, from the line to a snapshot")
def test_event_kubespawner(benchmark, events, monkeypatch):
    """Their loop body: ``Watch.unmarshal_event``, then one entry of a dictionary."""
    theirs = KubeSpawners(b"", monkeypatch)

    async def make_watch() -> Watch:
        return Watch()

    watch = theirs.loop.run_until_complete(make_watch())
    resources = theirs.reflector.resources

    def take() -> None:
        resource = watch.unmarshal_event(next(events), "")["raw_object"]
        meta = resource["metadata"]
        resources[f"{meta['namespace']}/{meta['name']}"] = resource

    benchmark(take)
    report(benchmark, microseconds=benchmark.stats["median"] * 1e6)
    theirs.loop.run_until_complete(watch.close())
    theirs.loop.close()


class StaticApi:
    """An API server in a thread of its own that serves one list, whole or in pages."""

    def __init__(self, pods: list[dict[str, Any]]) -> None:
        self._whole = wire_list(pods)
        self._pages = [
            wire_list(
                pods[start : start + PAGE],
                continue_token=str(start + PAGE) if start + PAGE < len(pods) else "",
            )
            for start in range(0, len(pods), PAGE)
        ]
        self._nodes = wire_list([wire_node(number) for number in range(100)])
        self._closing = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    async def _start(self) -> str:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._serve)
        self._listener = Listener(app, shutdown_timeout=0.1)
        host, port = await self._listener.start()
        return f"http://{host}:{port}"

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if not request.path.endswith(("nodes", "pods")):
            return web.json_response({"kind": "Status", "code": 404}, status=404)
        if "watch" in request.query:
            response = web.StreamResponse()
            await response.prepare(request)
            await self._closing.wait()
            return response
        if request.path.endswith("nodes"):
            body = self._nodes
        elif "limit" in request.query:
            body = self._pages[int(request.query.get("continue", "0")) // PAGE]
        else:
            body = self._whole
        return web.Response(body=body, content_type="application/json")

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        asyncio.run_coroutine_threadsafe(self._listener.stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module")
def static_api(pods) -> Iterator[StaticApi]:
    api = StaticApi(pods)
    yield api
    api.close()


@pytest.mark.benchmark(group=f"first list of {PODS} pods over HTTP")
def test_first_list_over_http_ours(benchmark, static_api):
    held_up: list[float] = []

    async def first_list() -> None:
        watcher = ClusterWatcher(log=logging.getLogger("benchmark"))
        async with LoopWatch(held_up):
            await watcher.start(ClusterClient(Configuration(host=static_api.url)))
            assert await watcher.wait_synced(60)
        assert len(watcher.snapshot().pods or ()) == PODS
        await watcher.stop()

    benchmark.pedantic(lambda: asyncio.run(first_list()), rounds=5, warmup_rounds=1)
    report(benchmark, milliseconds_loop_held_up=min(held_up) * 1e3)


@pytest.mark.benchmark(group=f"first list of {PODS} pods over HTTP")
def test_first_list_over_http_kubespawner(benchmark, static_api):
    held_up: list[float] = []

    async def first_list() -> None:
        Configuration.set_default(Configuration(host=static_api.url))
        reflector = kubespawner.reflector.MultiNamespaceResourceReflector(kind="pods")
        async with LoopWatch(held_up):
            await reflector._list_and_update()
        assert len(reflector.resources) == PODS
        await reflector.api.api_client.close()

    benchmark.pedantic(lambda: asyncio.run(first_list()), rounds=5, warmup_rounds=1)
    Configuration.set_default(None)
    report(benchmark, milliseconds_loop_held_up=min(held_up) * 1e3)


class LoopWatch:
    """Note the longest time during which the loop ran nothing else."""

    def __init__(self, longest: list[float]) -> None:
        self._longest = longest

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._tick())
        await asyncio.sleep(0)

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _tick(self) -> None:
        longest = 0.0
        before = time.perf_counter()
        try:
            while True:
                await asyncio.sleep(0)
                now = time.perf_counter()
                longest, before = max(longest, now - before), now
        finally:
            self._longest.append(max(longest, time.perf_counter() - before))


def report(benchmark: Any, **numbers: float) -> None:
    benchmark.extra_info.update({name: round(value, 1) for name, value in numbers.items()})
