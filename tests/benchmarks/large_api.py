"""An API server at Kubernetes' published limits, as lean as can be, in a process of its own.

``python tests/benchmarks/large_api.py PORT NODES PODS EVENTS_A_SECOND`` serves a list of nodes, a
paged list of pods of some 6.4 KB each, and a watch of pods in which they finish and run again. One
node is different: its only GPU is taken and given back every two seconds (``MARKER``), so that
whoever watches can tell how late an event arrives. ``/marker`` says since when it is how it is.
Everything else that a hub asks for is empty or not served.
"""

import asyncio
import json
import random
import sys
import time
from typing import Any

from aiohttp import web
from pods_wire import wire_event, wire_node, wire_pod

__all__ = ["GPU_NODES_SHARE", "MARKER", "MODELS", "LargeApi"]

MODELS = ("NVIDIA-A100-SXM4-80GB", "NVIDIA-H100-80GB-HBM3", "NVIDIA-L4", "Tesla-T4")
MARKER = "NVIDIA-Marker"
GPU_NODES_SHARE = 5
"""Every fifth node has GPUs."""
MARKER_SECONDS = 2.0
WITH_GPUS = 4
NAMED = 987_654_321  # the numbers of which a template is made
ON_NODE = 876_543_210


class LargeApi:
    """The cluster, made up from numbers as it is asked for."""

    def __init__(self, nodes: int, pods: int, events_a_second: float) -> None:
        self._node_count = nodes
        self._pod_count = pods
        self._rate = events_a_second
        self._version = 1_000_000
        self._random = random.Random(3)
        self._finished: set[int] = set()
        self._watches: set[asyncio.Queue[bytes]] = set()
        self._marker = {"is_taken": False, "since": time.time()}
        self._templates = {gpus: _template(gpus) for gpus in (0, 1, 2)}
        self._longest_queue = 0

    def app(self) -> web.Application:
        """Return what serves it."""
        app = web.Application()
        app.router.add_get("/marker", self._tell_marker)
        app.router.add_get("/api/v1/nodes", self._nodes)
        app.router.add_get("/api/v1/pods", self._pods)
        app.router.add_get("/api/v1/namespaces/{path:.*}", self._nothing)
        app.router.add_route("*", "/{path:.*}", self._not_served)
        app.on_startup.append(self._begin)
        return app

    async def _begin(self, _app: web.Application) -> None:
        self._tasks = [asyncio.create_task(self._happen()), asyncio.create_task(self._mark())]

    async def _happen(self) -> None:
        """Let pods finish and run again, at the rate, also after a delay."""
        began, sent = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began) * self._rate)
            for _ in range(due - sent):
                number = self._random.randrange(self._pod_count)
                self._finished ^= {number}
                self._send(self._pod(number))
            sent = due
            await asyncio.sleep(0.005)

    async def _mark(self) -> None:
        while True:
            await asyncio.sleep(MARKER_SECONDS)
            is_taken = not self._marker["is_taken"]
            pod = wire_pod(self._pod_count + 1, 1)
            pod["spec"]["nodeName"] = "node-marker"
            pod["spec"]["containers"][0]["resources"] = {"requests": {"nvidia.com/gpu": "1"}}
            pod["status"]["phase"] = "Running" if is_taken else "Succeeded"
            self._marker = {"is_taken": is_taken, "since": time.time()}
            self._send(json.dumps(pod).encode())

    def _send(self, pod: bytes) -> None:
        self._version += 1
        line = wire_event("MODIFIED", {}).replace(b"{}", pod) + b"\n"
        for queue in self._watches:
            queue.put_nowait(line)
            self._longest_queue = max(self._longest_queue, queue.qsize())

    def _pod(self, number: int) -> bytes:
        layer, node = divmod(number, self._node_count)
        has_gpus = node % GPU_NODES_SHARE == 0 and layer < WITH_GPUS
        text = self._templates[1 + layer % 2 if has_gpus else 0]
        text = text.replace(b"%d" % NAMED, b"%d" % number).replace(b"%d" % ON_NODE, b"%d" % node)
        return text.replace(b'"Running"', b'"Succeeded"') if number in self._finished else text

    async def _tell_marker(self, _request: web.Request) -> web.Response:
        return web.json_response({**self._marker, "longest_queue": self._longest_queue})

    async def _nodes(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return await self._watch(request, queue=None)
        nodes = [_gpu_node(number) for number in range(self._node_count)]
        marker = wire_node(0)
        marker["metadata"]["name"] = "node-marker"
        marker["metadata"]["labels"]["nvidia.com/gpu.product"] = MARKER
        marker["status"]["allocatable"]["nvidia.com/gpu"] = "1"
        return self._list([json.dumps(node).encode() for node in [*nodes, marker]], "")

    async def _pods(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return await self._watch(request, asyncio.Queue())
        first = int(request.query.get("continue") or 0)
        upto = min(first + int(request.query.get("limit") or self._pod_count), self._pod_count)
        token = str(upto) if upto < self._pod_count else ""
        return self._list([self._pod(number) for number in range(first, upto)], token)

    def _list(self, items: list[bytes], token: str) -> web.Response:
        metadata = {"resourceVersion": str(self._version), "continue": token}
        head = b'{"kind":"List","apiVersion":"v1","metadata":%s,"items":[' % (
            json.dumps(metadata).encode()
        )
        return web.Response(
            body=b"".join((head, b",".join(items), b"]}")), content_type="application/json"
        )

    async def _watch(
        self, request: web.Request, queue: asyncio.Queue[bytes] | None
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        seconds = float(request.query.get("timeoutSeconds") or 3600)
        if queue is None:
            await asyncio.sleep(seconds)
            return response
        self._watches.add(queue)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await response.write(await queue.get())
        except (TimeoutError, ConnectionResetError):
            return response
        finally:
            self._watches.discard(queue)

    async def _nothing(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return await self._watch(request, queue=None)
        return self._list([], "")

    async def _not_served(self, _request: web.Request) -> web.Response:
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}
        return web.json_response(status, status=404)


def _template(gpus: int) -> bytes:
    pod: dict[str, Any] = wire_pod(NAMED, 1)
    pod["spec"]["nodeName"] = f"node-{ON_NODE}"
    requests = {"cpu": "2", "memory": "8Gi", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    pod["spec"]["containers"][0]["resources"] = {"requests": requests, "limits": requests}
    return json.dumps(pod, separators=(",", ":")).encode()


def _gpu_node(number: int) -> dict[str, Any]:
    node = wire_node(number)
    if number % GPU_NODES_SHARE == 0:
        model = MODELS[number // GPU_NODES_SHARE % len(MODELS)]
        node["metadata"]["labels"]["nvidia.com/gpu.product"] = model
    node["status"]["images"] = [
        {"names": [f"registry.example/layer-{image}:1"], "sizeBytes": 10**9} for image in range(50)
    ]
    return node


def main() -> None:
    """Serve until it is killed."""
    port, nodes, pods, rate = map(int, sys.argv[1:])
    web.run_app(
        LargeApi(nodes, pods, rate).app(), host="127.0.0.1", port=port, access_log=None, print=None
    )


if __name__ == "__main__":
    main()
