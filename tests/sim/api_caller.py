"""A plain HTTP caller of the API server, and objects to call it with."""

import contextlib
import io
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy

from gpu_spawner.sim.apiserver.server import ApiServer

CORE = "/api/v1"
PODS = "/api/v1/namespaces/default/pods"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int
    headers: CIMultiDictProxy[str]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)

    @property
    def message(self) -> str:
        return str(self.body["message"])

    @property
    def reason(self) -> str:
        return str(self.body["reason"])


@dataclass(slots=True)
class Api:
    """One caller; ``token`` is the administrator's unless a call says otherwise."""

    server: ApiServer
    session: aiohttp.ClientSession
    token: str

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        sent = dict(headers or {})
        if token != "":
            sent["Authorization"] = f"Bearer {token or self.token}"
        data = None
        if body is not None:
            sent["Content-Type"] = content_type
            text = body if isinstance(body, str | bytes) else json.dumps(body)
            data = io.BytesIO(text.encode() if isinstance(text, str) else text)
        async with self.session.request(
            method, self.server.url + path, data=data, headers=sent
        ) as response:
            return Reply(response.status, response.headers, await response.text())

    async def get(self, path: str) -> Any:
        reply = await self.call("GET", path)
        assert reply.status == 200, reply.text
        return reply.body

    async def exists(self, path: str) -> bool:
        return (await self.call("GET", path)).status == 200

    async def create(self, path: str, body: Obj) -> Obj:
        reply = await self.call("POST", path, body)
        assert reply.status == 201, reply.text
        created: Obj = reply.body
        return created

    async def merge(self, path: str, patch: Obj) -> Obj:
        reply = await self.call("PATCH", path, patch, MERGE)
        assert reply.status == 200, reply.text
        changed: Obj = reply.body
        return changed

    async def delete(self, path: str, **options: Any) -> Reply:
        return await self.call("DELETE", path, options or None)

    async def names(self, path: str) -> list[str]:
        return [item["metadata"]["name"] for item in (await self.get(path))["items"]]

    @contextlib.asynccontextmanager
    async def watch(self, path: str) -> AsyncGenerator["Frames"]:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.session.get(self.server.url + path, headers=headers) as response:
            assert response.status == 200, await response.text()
            yield Frames(response.content)


@dataclass(slots=True)
class Frames:
    """What a watch sends."""

    stream: aiohttp.StreamReader

    async def next(self) -> tuple[str, Obj]:
        """Wait for a frame; its type is empty at the end of the stream."""
        line = await self.stream.readline()
        if not line:
            return "", {}
        frame = json.loads(line)
        return frame["type"], frame["object"]

    async def seen(self, count: int) -> list[tuple[str, str]]:
        """Wait for some frames and tell the type and name of each."""
        frames = [await self.next() for _ in range(count)]
        return [(kind, obj["metadata"]["name"]) for kind, obj in frames]

    async def rest(self) -> list[tuple[str, Obj]]:
        """Wait for the end of the stream."""
        frames = []
        while True:
            kind, obj = await self.next()
            if not kind:
                return frames
            frames.append((kind, obj))


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncGenerator[Api]:
    """Run a server for one administrator."""
    server = ApiServer(**options)
    await server.start()
    try:
        token = server.kubeconfig()["users"][0]["user"]["token"]
        async with aiohttp.ClientSession() as session:
            yield Api(server, session, token)
    finally:
        await server.stop()


def config_map(name: str, **metadata: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata},
    }


def pod(name: str, **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i:1"}], **spec},
    }


def node(name: str) -> Obj:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}


def owned_by(owner: Obj, **more: Any) -> Obj:
    """Return metadata that names an owner."""
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        **more,
    }
    return {"ownerReferences": [reference]}
