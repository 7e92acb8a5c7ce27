"""The watcher against a real HTTP API server: what it shows, whatever happens in between."""

import asyncio
from typing import Any

import pytest
import yaml
from cluster_objects import Objects
from faulty_proxy import (
    FaultyProxy,
    answering,
    chopping,
    cutting,
    delaying,
    ending,
    expiring,
    hanging_up,
    inserting,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes_asyncio.client import Configuration

from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.errors import ClusterError, ConfigError
from gpu_spawner.core.placement.seats import count_seats, request_from_pod
from gpu_spawner.kube.client import ClusterClient
from gpu_spawner.kube.conditions import KINDS, Condition
from gpu_spawner.kube.reflector import Clocks
from gpu_spawner.kube.watcher import ClusterWatcher, read_once
from gpu_spawner.sim.apiserver.server import ApiServer

DEADLINE_SECONDS = 20.0
TOKEN = "secret-token"

GPU_POD = {
    "spec": {"containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": "2"}}}]}
}


class Time:
    """A wall clock and a monotonic clock that tests push forward; pauses last 10 ms at most."""

    def __init__(self) -> None:
        self.offset = 0.0

    def clocks(self) -> Clocks:
        return Clocks(monotonic=self.monotonic, sleep=self._sleep, chance=lambda: 0.5)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self.offset

    @staticmethod
    async def _sleep(seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


async def until(watcher: ClusterWatcher, condition: Any) -> Snapshot:
    """Wait until a snapshot fulfils a condition; it is asked after every change."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            serial = watcher.serial
            snapshot = watcher.snapshot()
            if condition(snapshot):
                return snapshot
            await watcher.wait_for_change(serial, DEADLINE_SECONDS)


def client_for(url: str) -> ClusterClient:
    configuration = Configuration(host=url)
    configuration.api_key["BearerToken"] = f"Bearer {TOKEN}"
    return ClusterClient(configuration)


@pytest.fixture
async def server():
    server = ApiServer(users={TOKEN: "admin"})
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def objects(server):
    return Objects(server)


@pytest.fixture
def time():
    return Time()


@pytest.fixture
async def watch(time):
    """Start watchers that are stopped at the end."""
    watchers: list[ClusterWatcher] = []

    async def watch(url: str, **traits: Any) -> ClusterWatcher:
        watcher = ClusterWatcher(clocks=time.clocks(), wall_clock=time.monotonic, **traits)
        watchers.append(watcher)
        await watcher.start(client_for(url))
        return watcher

    yield watch
    for watcher in watchers:
        await watcher.stop()


def status_of(watcher: ClusterWatcher, kind: str) -> Any:
    return next(each for each in watcher.status() if each.kind == kind)


async def test_shows_what_is_there_and_every_change_of_it(server, objects, watch):
    objects.put_node("a")
    objects.put_pod("p", "a", 2)
    watcher = await watch(server.url)
    assert await watcher.wait_synced(DEADLINE_SECONDS)
    request = request_from_pod(GPU_POD)
    assert count_seats(watcher.snapshot(), request).free == 3
    objects.put_pod("q", "a", 2)
    await until(watcher, lambda shown: count_seats(shown, request).free == 2)
    objects.put_pod("q", "a", 2, phase="Succeeded")
    await until(watcher, lambda shown: count_seats(shown, request).free == 3)
    objects.remove("pods", "p")
    await until(watcher, lambda shown: count_seats(shown, request).free == 4)
    objects.put_node("a", unschedulable=True)
    await until(watcher, lambda shown: count_seats(shown, request).free == 0)
    objects.remove("nodes", "a")
    await until(watcher, lambda shown: not shown.nodes)


async def test_before_the_first_answer_everything_is_unknown(server, watch):
    watcher = await watch(server.url)
    shown = watcher.snapshot()
    assert (shown.nodes, shown.pods, shown.as_of) == (None, None, None)
    assert dict(shown.unknown) == dict.fromkeys([kind.name for kind in KINDS], "not read yet")


async def test_a_snapshot_never_changes(server, objects, watch):
    objects.put_node("a")
    watcher = await watch(server.url)
    await watcher.wait_synced(DEADLINE_SECONDS)
    before = await until(watcher, lambda shown: shown.nodes and shown.pods is not None)
    objects.put_pod("p", "a")
    after = await until(watcher, lambda shown: shown.pods)
    assert before.nodes["a"].pod_count == 0
    assert after.nodes["a"].pod_count == 1
    assert after.changed_nodes_since(before) == {"a"}


async def test_thousands_of_pods_arrive_in_pages_and_the_loop_keeps_turning(server, objects, watch):
    objects.put_node("a")
    for number in range(5000):
        objects.put_pod(f"p{number}", "a")
    watcher = await watch(server.url)
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    ticker = asyncio.create_task(tick())
    shown = await until(watcher, lambda shown: shown.pods and shown.nodes)
    ticker.cancel()
    assert len(shown.pods) == 5000
    # At least a turn before, between and after the ten pages; in fact one for every packet.
    assert turns > 20
    assert status_of(watcher, "pods").lists == 1


async def test_a_large_list_is_taken_in_while_others_read_and_write(server, objects, watch):
    """The list goes in through a thread: nobody sees half of it, and no event gets lost."""
    objects.put_node("a")
    for number in range(5000):
        objects.put_pod(f"p{number}", "a")
    watcher = await watch(server.url)
    seen = set()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while 5000 not in seen:
            objects.put_node("a", gpus=len(seen) + 1)
            shown = watcher.snapshot()
            seen.add(None if shown.pods is None else len(shown.pods))
            await asyncio.sleep(0)
    assert seen == {None, 5000}
    objects.put_node("a", gpus=77)
    shown = await until(
        watcher, lambda shown: shown.nodes["a"].node.allocatable.amount("nvidia.com/gpu") == 77
    )
    assert shown.nodes["a"].pod_count == 5000


async def test_a_burst_of_events_does_not_keep_the_loop_from_turning(server, objects, watch):
    watcher = await watch(server.url)
    await watcher.wait_synced(DEADLINE_SECONDS)
    for number in range(5000):
        objects.put_pod(f"p{number}", "a")
    most = 0
    async with asyncio.timeout(DEADLINE_SECONDS):
        while (before := status_of(watcher, "pods").events) < 5000:
            await asyncio.sleep(0)
            most = max(most, status_of(watcher, "pods").events - before)
    assert 0 < most <= 50
    assert len(watcher.snapshot().pods) == 5000


async def test_waiting_ends_with_a_change_or_with_the_time(server, objects, watch):
    watcher = await watch(server.url)
    await watcher.wait_synced(DEADLINE_SECONDS)
    serial = watcher.serial
    assert await watcher.wait_for_change(serial, 0.01) == serial
    waiters = [asyncio.create_task(watcher.wait_for_change(serial, 10)) for _ in range(3)]
    objects.put_node("a")
    assert all(result > serial for result in await asyncio.gather(*waiters))
    assert await watcher.wait_for_change(serial, 10) > serial


async def test_what_did_not_change_is_the_same_object(server, watch, time):
    watcher = await watch(server.url)
    await watcher.wait_synced(DEADLINE_SECONDS)
    first = watcher.snapshot()
    assert watcher.snapshot() is first
    time.offset += 2
    assert watcher.snapshot().as_of >= first.as_of + 2


async def test_forbidden_kinds_are_unknown_and_the_rest_goes_on(server, objects, watch):
    """And rights that are granted later take effect without a restart."""
    objects.put_node("a")
    denied = True

    async def deny_pods(request, forward):
        if denied and request.path.endswith("/pods"):
            return await answering(403, "Forbidden")(request, forward)
        return await chopping(1 << 20)(request, forward)

    async with FaultyProxy(server.url) as proxy:
        proxy.spoil(always=deny_pods)
        watcher = await watch(proxy.url)
        assert await watcher.wait_synced(DEADLINE_SECONDS)
        shown = watcher.snapshot()
        assert set(shown.nodes) == {"a"}
        assert shown.pods is None
        assert dict(shown.unknown) == {"pods": "the hub may not read pods in the whole cluster"}
        assert shown.as_of is not None
        seats = count_seats(shown, request_from_pod(GPU_POD))
        assert (seats.free, seats.total) == (None, 4)
        assert status_of(watcher, "pods").condition is Condition.FORBIDDEN
        assert "403" in status_of(watcher, "pods").reason
        objects.put_node("b")
        await until(watcher, lambda shown: set(shown.nodes) == {"a", "b"})
        denied = False
        await until(watcher, lambda shown: shown.pods is not None)
        await watcher.stop()


async def test_an_unreachable_server_makes_everything_unknown_in_time_and_comes_back(
    server, objects, watch, time
):
    objects.put_node("a")
    async with FaultyProxy(server.url) as proxy:
        watcher = await watch(proxy.url, max_age_seconds=30)
        await watcher.wait_synced(DEADLINE_SECONDS)
        before = watcher.snapshot()
        await proxy.down()
        await until(watcher, lambda _: status_of(watcher, "nodes").condition is Condition.FAILING)
        await until(watcher, lambda _: status_of(watcher, "pods").condition is Condition.FAILING)
        time.offset += 20
        shown = watcher.snapshot()
        assert set(shown.nodes) == {"a"}, "what is known stays good for a while"
        assert 19 < time.monotonic() - shown.as_of < 25
        time.offset += 25
        shown = watcher.snapshot()
        assert (shown.nodes, shown.pods, shown.as_of) == (None, None, None)
        assert shown.unknown["nodes"].startswith("not heard from the API server for 4")
        assert shown.changed_nodes_since(before) is None
        assert count_seats(shown, request_from_pod(GPU_POD)).free is None
        objects.put_node("b")
        await proxy.up()
        shown = await until(watcher, lambda shown: set(shown.nodes or ()) == {"a", "b"})
        shown = await until(watcher, lambda shown: shown.pods is not None)
        assert time.monotonic() - shown.as_of < 1
        await watcher.stop()


async def test_those_who_wait_hear_when_data_becomes_too_old(server, watch):
    async with FaultyProxy(server.url) as proxy:
        watcher = await watch(proxy.url, max_age_seconds=1)
        await watcher.wait_synced(DEADLINE_SECONDS)
        await proxy.down()
        await until(watcher, lambda shown: "nodes" in shown.unknown and "pods" in shown.unknown)
        await watcher.stop()


async def test_a_server_that_is_restarted_on_its_port_is_followed_on(objects, server, watch):
    objects.put_node("a")
    watcher = await watch(server.url)
    await watcher.wait_synced(DEADLINE_SECONDS)
    port = int(server.url.rpartition(":")[2])
    await server.stop()
    objects.put_node("b")
    again = ApiServer(server.store, users={TOKEN: "admin"})
    await again.start(port=port)
    try:
        await until(watcher, lambda shown: set(shown.nodes) == {"a", "b"})
        objects.put_node("c")
        await until(watcher, lambda shown: set(shown.nodes) == {"a", "b", "c"})
        await watcher.stop()
    finally:
        await again.stop()


async def test_a_server_that_lost_its_history_is_listed_again(objects, server, watch):
    objects.put_node("a")
    async with FaultyProxy(server.url) as proxy:
        watcher = await watch(proxy.url)
        await watcher.wait_synced(DEADLINE_SECONDS)
        await proxy.down()
        objects.put_node("b")
        objects.remove("nodes", "a")
        objects.forget_history()
        await proxy.up()
        await until(watcher, lambda shown: set(shown.nodes) == {"b"})
        assert status_of(watcher, "nodes").lists == 2
        await watcher.stop()


async def test_a_slow_server_is_waited_for(objects, server, watch):
    objects.put_node("a")
    async with FaultyProxy(server.url) as proxy:
        proxy.spoil(always=delaying(0.3))
        watcher = await watch(proxy.url)
        assert not await watcher.wait_synced(0.05)
        assert watcher.snapshot().nodes is None
        await until(watcher, lambda shown: shown.nodes)
        await watcher.stop()


async def test_stopping_closes_everything_and_what_was_seen_grows_old(objects, server, time):
    objects.put_node("a")
    watcher = ClusterWatcher(clocks=time.clocks(), wall_clock=time.monotonic)
    await watcher.start(client_for(server.url))
    with pytest.raises(RuntimeError, match="running already"):
        await watcher.start()
    await watcher.wait_synced(DEADLINE_SECONDS)
    await watcher.stop()
    await watcher.stop()
    assert set(watcher.snapshot().nodes) == {"a"}
    time.offset += 60
    assert watcher.snapshot().nodes is None


async def test_a_bug_in_one_kind_is_logged_with_its_object_and_does_not_end_the_others(
    objects, server, watch, monkeypatch, caplog
):
    watcher = await watch(server.url)
    await watcher.wait_synced(DEADLINE_SECONDS)
    real = watcher._state.apply
    broken = True

    def apply(kind: str, event_type: str, obj: Any) -> None:
        if broken and kind == "pods":
            raise ZeroDivisionError("a bug")
        real(kind, event_type, obj)

    monkeypatch.setattr(watcher._state, "apply", apply)
    objects.put_pod("culprit", "a")
    await until(watcher, lambda shown: shown.pods)
    objects.put_node("a")
    await until(watcher, lambda shown: shown.nodes)
    text = caplog.text
    assert "pods: crashed, starting over" in text
    assert "ZeroDivisionError" in text
    assert "culprit" in text
    broken = False
    objects.put_pod("next", "a")
    await until(watcher, lambda shown: len(shown.pods) == 2)


FAULTS = st.sampled_from(
    [
        answering(500),
        answering(429, Retry_After="1"),
        answering(401),
        answering(403),
        answering(404),
        answering(410),
        hanging_up(),
        cutting(0),
        cutting(100),
        cutting(700),
        ending(),
        ending(300),
        chopping(7),
        expiring(),
        inserting(b"<html>\n"),
        inserting(b'{"type":"ADDED","object":{"metadata":{"name":7}}}\n'),
        delaying(0.01),
    ]
)
STEPS = st.one_of(
    FAULTS,
    st.tuples(st.just("put node"), st.integers(0, 3), st.integers(0, 8)),
    st.tuples(st.just("remove node"), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("put pod"), st.integers(0, 5), st.integers(0, 3)),
    st.tuples(st.just("remove pod"), st.integers(0, 5), st.just(0)),
    st.just("break"),
    st.just("forget"),
    st.just("turn"),
)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, min_size=3, max_size=25))
def test_whatever_happened_a_healthy_server_is_shown_as_it_is(steps):
    asyncio.run(_live_through(steps))


async def _live_through(steps: list[Any]) -> None:
    server, time = ApiServer(users={TOKEN: "admin"}), Time()
    await server.start()
    objects = Objects(server)
    async with FaultyProxy(server.url) as proxy:
        watcher = ClusterWatcher(
            clocks=time.clocks(), wall_clock=time.monotonic, page_size=2, watch_timeout_seconds=1.0
        )
        await watcher.start(client_for(proxy.url))
        try:
            for step in steps:
                match step:
                    case ("put node", number, gpus):
                        objects.put_node(f"n{number}", gpus)
                    case ("remove node", number, _):
                        objects.remove("nodes", f"n{number}")
                    case ("put pod", number, node):
                        objects.put_pod(f"p{number}", f"n{node}")
                    case ("remove pod", number, _):
                        objects.remove("pods", f"p{number}")
                    case "break":
                        await proxy.down()
                        await proxy.up()
                    case "forget":
                        objects.forget_history()
                    case "turn":
                        for _ in range(20):
                            await asyncio.sleep(0)
                    case fault:
                        proxy.spoil(fault)
            await proxy.used_up(2.0)
            proxy.heal()
            objects.put_node("last")
            objects.put_pod("last", "n0")
            async with client_for(server.url) as client:
                expected = await read_through(client)
            await until(
                watcher,
                lambda shown: (
                    (shown.nodes, shown.pods, shown.stray)
                    == (expected.nodes, expected.pods, expected.stray)
                ),
            )
        finally:
            await watcher.stop()
            await server.stop()


async def read_through(client: ClusterClient) -> Snapshot:
    """List everything by other means than the watcher's."""
    items = []
    for path, kind in (("/api/v1/nodes", "Node"), ("/api/v1/pods", "Pod")):
        body = await client.get(path, {}, doing="listing", timeout_seconds=10)
        items += [{**each, "kind": kind} for each in yaml.safe_load(body)["items"]]
    return Snapshot.from_objects(items)


async def test_reading_once(objects, server, tmp_path):
    objects.put_node("a")
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(server.kubeconfig()))
    shown = await read_once(path)
    assert set(shown.nodes) == {"a"}
    assert shown.as_of is not None


async def test_reading_once_what_is_forbidden(objects, server, tmp_path):
    objects.put_node("a")
    async with FaultyProxy(server.url) as proxy:
        config = server.kubeconfig()
        config["clusters"][0]["cluster"]["server"] = proxy.url
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        proxy.spoil(answering(403, "Forbidden"))
        shown = await read_once(path)
        assert shown.nodes is None
        assert shown.pods is not None
        proxy.spoil(answering(500))
        with pytest.raises(ClusterError, match="listing nodes: 500 Injected"):
            await read_once(path)
    with pytest.raises(ClusterError, match="listing nodes: no answer"):
        await read_once(path)
    with pytest.raises(ConfigError):
        await read_once(tmp_path / "absent")
