"""Watches: resuming, bookmarks, selectors, ends."""

import asyncio

import aiohttp
import pytest
from api_caller import CONFIG_MAPS, PODS, Api, config_map, node, pod, serving

from gpu_spawner.sim.apiserver.kinds import RESOURCES
from gpu_spawner.sim.apiserver.store import Store

MAPS = next(item for item in RESOURCES if item.kind == "ConfigMap")


async def _version(api: Api, path: str = CONFIG_MAPS) -> str:
    version: str = (await api.get(path))["metadata"]["resourceVersion"]
    return version


@pytest.mark.parametrize("word", ["1", "true", "True", "TRUE", "t", ""])
async def test_booleans_are_read_as_go_reads_them(api: Api, word: str) -> None:
    async with api.watch(f"{CONFIG_MAPS}?watch={word}&timeoutSeconds=600") as frames:
        assert await frames.seen(1) == [("ADDED", "kube-root-ca.crt")]


@pytest.mark.parametrize("word", ["0", "false", "False"])
async def test_a_watch_that_is_false_is_a_list(api: Api, word: str) -> None:
    assert (await api.get(f"{CONFIG_MAPS}?watch={word}"))["kind"] == "ConfigMapList"


async def test_a_watch_resumes_where_a_list_ended(api: Api) -> None:
    version = await _version(api)
    await api.create(CONFIG_MAPS, config_map("a"))
    async with api.watch(f"{CONFIG_MAPS}?watch=1&resourceVersion={version}") as frames:
        await api.merge(f"{CONFIG_MAPS}/a", {"data": {"x": "y"}})
        await api.delete(f"{CONFIG_MAPS}/a")
        seen = [await frames.next() for _ in range(3)]
    assert [kind for kind, _ in seen] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(obj["metadata"]["resourceVersion"]) for _, obj in seen]
    assert versions == sorted(set(versions))
    assert seen[2][1]["data"] == {"x": "y"}
    assert seen[2][1]["kind"] == "ConfigMap"


async def test_a_watch_from_a_forgotten_version_is_told_410(api: Api) -> None:
    version = await _version(api)
    await api.create(CONFIG_MAPS, config_map("a"))
    api.server.store.forget_history()
    async with api.watch(f"{CONFIG_MAPS}?watch=1&resourceVersion={version}") as frames:
        ((kind, status),) = await frames.rest()
    assert (kind, status["code"], status["reason"]) == ("ERROR", 410, "Expired")


async def test_history_is_bounded() -> None:
    async with serving(store=Store(history_limit=5)) as api:
        version = await _version(api)
        for number in range(6):
            await api.create(CONFIG_MAPS, config_map(f"m{number}"))
        async with api.watch(f"{CONFIG_MAPS}?watch=1&resourceVersion={version}") as frames:
            assert (await frames.next())[1]["code"] == 410


async def test_initial_events_end_with_a_bookmark(api: Api) -> None:
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    path = f"{CONFIG_MAPS}?{query}&allowWatchBookmarks=true"
    async with api.watch(path) as frames:
        assert await frames.seen(1) == [("ADDED", "kube-root-ca.crt")]
        kind, mark = await frames.next()
        assert kind == "BOOKMARK"
        assert mark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert mark["metadata"]["resourceVersion"] == await _version(api)
        await api.create(CONFIG_MAPS, config_map("a"))
        assert await frames.seen(1) == [("ADDED", "a")]


async def test_bookmarks_come_only_to_who_asked(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpu_spawner.sim.apiserver.watching._BOOKMARK_SECONDS", 0.01)
    version = await _version(api)
    path = f"{CONFIG_MAPS}?watch=1&resourceVersion={version}"
    async with api.watch(f"{path}&allowWatchBookmarks=true") as frames:
        kind, mark = await frames.next()
        assert (kind, mark["metadata"]["resourceVersion"]) == ("BOOKMARK", version)
        assert mark["kind"] == "ConfigMap"
    async with api.watch(path) as frames:
        await api.create(CONFIG_MAPS, config_map("a"))
        assert await frames.seen(1) == [("ADDED", "a")]


async def test_a_watch_ends_when_its_time_is_over(api: Api) -> None:
    async with api.watch(f"{PODS}?watch=1&timeoutSeconds=1") as frames:
        assert await frames.rest() == []


async def test_a_watch_ends_when_the_server_stops() -> None:
    async with serving() as api, api.watch(f"{PODS}?watch=1") as frames:
        stopping = asyncio.create_task(api.server.stop())
        assert await frames.rest() == []
        await stopping


async def test_a_selector_turns_changes_into_arrivals_and_departures(api: Api) -> None:
    version = await _version(api)
    path = f"{CONFIG_MAPS}?watch=1&labelSelector=on=yes&resourceVersion={version}"
    async with api.watch(path) as frames:
        await api.create(CONFIG_MAPS, config_map("a"))
        await api.merge(f"{CONFIG_MAPS}/a", {"metadata": {"labels": {"on": "yes"}}})
        await api.merge(f"{CONFIG_MAPS}/a", {"data": {"x": "y"}})
        await api.merge(f"{CONFIG_MAPS}/a", {"metadata": {"labels": {"on": "no"}}})
        await api.delete(f"{CONFIG_MAPS}/a")
        await api.create(CONFIG_MAPS, config_map("b", labels={"on": "yes"}))
        seen = [await frames.next() for _ in range(4)]
    assert [kind for kind, _ in seen] == ["ADDED", "MODIFIED", "DELETED", "ADDED"]
    # What leaves is shown as it was when it last matched, at the version of its leaving.
    assert seen[2][1]["metadata"]["labels"] == {"on": "yes"}
    assert int(seen[2][1]["metadata"]["resourceVersion"]) > int(
        seen[1][1]["metadata"]["resourceVersion"]
    )


async def test_a_watch_by_field_sees_a_pod_arrive_on_its_node(api: Api) -> None:
    await api.create("/api/v1/nodes", node("n1"))
    path = f"{PODS}?watch=1&fieldSelector=spec.nodeName=n1"
    async with api.watch(path) as frames:
        await api.create(PODS, pod("p"))
        binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
        await api.create(f"{PODS}/p/binding", binding)
        assert await frames.seen(1) == [("ADDED", "p")]


async def test_a_watch_on_one_object(api: Api) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    async with api.watch(f"{CONFIG_MAPS}/a?watch=1") as frames:
        await api.create(CONFIG_MAPS, config_map("b"))
        await api.merge(f"{CONFIG_MAPS}/a", {"data": {"x": "y"}})
        assert await frames.seen(2) == [("ADDED", "a"), ("MODIFIED", "a")]


async def test_a_watch_over_all_namespaces(api: Api) -> None:
    version = await _version(api)
    async with api.watch(f"/api/v1/configmaps?watch=1&resourceVersion={version}") as frames:
        await api.create("/api/v1/namespaces", {"metadata": {"name": "n"}})
        _, obj = await frames.next()
    assert obj["metadata"]["namespace"] == "n"


async def test_many_watchers_see_the_same_bytes(api: Api) -> None:
    version = await _version(api)
    path = f"{CONFIG_MAPS}?watch=1&resourceVersion={version}"
    async with api.watch(path) as one, api.watch(path) as other:
        await api.create(CONFIG_MAPS, config_map("a"))
        assert await one.stream.readline() == await other.stream.readline()


async def test_a_watch_may_be_a_table(api: Api) -> None:
    headers = {
        "Accept": "application/json;as=Table;v=v1;g=meta.k8s.io",
        "Authorization": f"Bearer {api.token}",
    }
    await api.create(PODS, pod("p"))
    url = f"{api.server.url}{PODS}?watch=1&timeoutSeconds=1"
    async with api.session.get(url, headers=headers) as response:
        text = await response.text()
    assert '"kind":"Table"' in text
    assert '"p","0/1","Pending"' in text


async def test_a_watcher_that_reads_too_slowly_is_cut_off(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu_spawner.sim.apiserver.watching._MAX_BUFFERED_FRAMES", 3)
    version = await _version(api)
    path = f"{CONFIG_MAPS}?watch=1&resourceVersion={version}"
    async with api.watch(path) as frames:
        # Nothing is sent between changes made in one go.
        for number in range(5):
            metadata = {"name": f"m{number}", "namespace": "default"}
            api.server.store.put(MAPS, {"metadata": metadata})
        assert len(await frames.rest()) == 3


async def test_a_watcher_that_goes_away_is_nobodys_error(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    written = asyncio.Event()

    async def write(*_: object) -> None:
        written.set()
        raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")

    async with api.watch(f"{CONFIG_MAPS}?watch=1") as frames:
        await frames.seen(1)
        monkeypatch.setattr("aiohttp.web.StreamResponse.write", write)
        await api.create(CONFIG_MAPS, config_map("a"))
        async with asyncio.timeout(10):
            await written.wait()
        monkeypatch.undo()
    assert (await api.get(f"{CONFIG_MAPS}/a"))["kind"] == "ConfigMap"
    assert not [each for each in caplog.records if each.levelname == "ERROR"]
