"""The cluster outlives its server when it has a directory."""

import json
from pathlib import Path
from typing import Any

import pytest
from api_caller import CONFIG_MAPS, Api, config_map, owned_by, serving


def _lines(directory: Path) -> list[dict[str, Any]]:
    text = (directory / "objects.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


async def _fill(directory: Path) -> dict[str, Any]:
    async with serving(state_dir=directory) as api:
        await api.create(CONFIG_MAPS, config_map("gone"))
        await api.delete(f"{CONFIG_MAPS}/gone")
        await api.create(CONFIG_MAPS, config_map("a"))
        await api.merge(f"{CONFIG_MAPS}/a", {"data": {"x": "y"}})
        listed: dict[str, Any] = await api.get(CONFIG_MAPS)
        return listed


async def test_objects_and_versions_outlive_the_server(tmp_path: Path) -> None:
    before = await _fill(tmp_path)
    async with serving(state_dir=tmp_path) as api:
        assert await api.get(CONFIG_MAPS) == before
        later = await api.create(CONFIG_MAPS, config_map("b"))
        version = int(before["metadata"]["resourceVersion"])
        assert int(later["metadata"]["resourceVersion"]) == version + 1


async def test_a_watcher_of_the_old_server_lists_again(tmp_path: Path) -> None:
    before = await _fill(tmp_path)
    version = int(before["metadata"]["resourceVersion"])
    async with serving(state_dir=tmp_path) as api:
        async with api.watch(f"{CONFIG_MAPS}?watch=1&resourceVersion={version - 1}") as frames:
            assert (await frames.next())[1]["code"] == 410
        # Nothing happened since the last version, so who knows that one misses nothing.
        async with api.watch(f"{CONFIG_MAPS}?watch=1&resourceVersion={version}") as frames:
            await api.create(CONFIG_MAPS, config_map("b"))
            assert await frames.seen(1) == [("ADDED", "b")]


async def test_a_line_cut_off_by_a_crash_is_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await _fill(tmp_path)
    path = tmp_path / "objects.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    async with serving(state_dir=tmp_path) as api:
        assert "data" not in await api.get(f"{CONFIG_MAPS}/a")
        await api.create(CONFIG_MAPS, config_map("b"))
    assert "not written to its end" in caplog.text
    async with serving(state_dir=tmp_path) as api:
        assert await api.names(CONFIG_MAPS) == ["a", "b", "kube-root-ca.crt"]


async def test_the_file_is_written_anew_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu_spawner.sim.apiserver.journal._COMPACT_AFTER", 10)
    async with serving(state_dir=tmp_path) as api:
        await api.create(CONFIG_MAPS, config_map("a"))
        objects = len(api.server.store.records())
        for number in range(5 * objects):
            await api.merge(f"{CONFIG_MAPS}/a", {"data": {"x": str(number)}})
        assert len(_lines(tmp_path)) <= 2 * objects + 12
    async with serving(state_dir=tmp_path) as api:
        assert (await api.get(f"{CONFIG_MAPS}/a"))["data"] == {"x": str(5 * objects - 1)}


async def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    async with serving(state_dir=directory, tls=True) as api:
        assert api.server.url.startswith("https://127.0.0.1:")
        for name in ("objects.jsonl", "apiserver.pem", "credentials.json"):
            assert (directory / name).stat().st_mode & 0o777 == 0o600


async def test_the_certificate_outlives_the_server(tmp_path: Path) -> None:
    def authority(api: Api) -> str:
        text: str = api.server.kubeconfig()["clusters"][0]["cluster"]["certificate-authority-data"]
        return text

    async with serving(state_dir=tmp_path, tls=True) as api:
        before = authority(api)
    async with serving(state_dir=tmp_path, tls=True) as api:
        assert authority(api) == before


async def test_tokens_outlive_the_server(tmp_path: Path) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    async with serving(state_dir=tmp_path) as api:
        admin = api.token
        account = (await api.create(path, {}))["status"]["token"]
    async with serving(state_dir=tmp_path) as api:
        assert (await api.call("GET", CONFIG_MAPS, token=admin)).status == 200
        assert (await api.call("GET", CONFIG_MAPS, token=account)).status == 403
    async with serving() as api:
        for token in (admin, account):
            assert (await api.call("GET", CONFIG_MAPS, token=token)).status == 401


async def test_owners_are_known_after_a_restart(tmp_path: Path) -> None:
    async with serving(state_dir=tmp_path) as api:
        owner = await api.create(CONFIG_MAPS, config_map("owner"))
        await api.create(CONFIG_MAPS, config_map("owned", **owned_by(owner)))
    async with serving(state_dir=tmp_path) as api:
        await api.delete(f"{CONFIG_MAPS}/owner")
        assert await api.names(CONFIG_MAPS) == ["kube-root-ca.crt"]
