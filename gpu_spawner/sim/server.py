"""The API server of the embedded cluster, over HTTP.

It listens on the loopback interface, knows its callers by bearer token, and hands every request to
the layer that decides it. Nothing here knows a kind of object by name.
"""

import asyncio
import contextlib
import hmac
import json
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from aiohttp import web

from gpu_spawner.sim.api_errors import (
    ApiError,
    bad_request,
    method_not_allowed,
    route_not_found,
    success,
    unauthorized,
    unsupported_media_type,
)
from gpu_spawner.sim.kinds import Resource
from gpu_spawner.sim.listing import list_page, parse_list_options, render_list
from gpu_spawner.sim.patches import merge_patch
from gpu_spawner.sim.registry import Registry, Target
from gpu_spawner.sim.routes import Route, UnknownGroupError, parse_route, verb_of
from gpu_spawner.sim.store import Store
from gpu_spawner.sim.watching import Watch

__all__ = ["ApiServer"]

_log = logging.getLogger(__name__)
_MAX_BODY_BYTES: Final = 3 * 1024 * 1024
_DEFAULT_WATCH_SECONDS: Final = 1800.0


class ApiServer:
    """A Kubernetes API server on a loopback port."""

    def __init__(
        self,
        store: Store | None = None,
        *,
        clock: Callable[[], float] = time.time,
        users: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare a server.

        Args:
            store: the objects; a new empty cluster by default.
            clock: unix seconds, for timestamps.
            users: user name by bearer token; by default one administrator with a random token.
        """
        self.store = store if store is not None else Store()
        self.registry = Registry(self.store, clock)
        self._users = dict(users) if users else {secrets.token_urlsafe(24): "admin"}
        self._runner: web.AppRunner | None = None
        self._watches: set[Watch] = set()
        self._url = ""

    @property
    def url(self) -> str:
        """Where the server listens, once started."""
        return self._url

    def kubeconfig(self, user: str = "admin") -> dict[str, Any]:
        """Return a kubeconfig that kubectl and every client library understand."""
        token = next(token for token, name in self._users.items() if name == user)
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "sim", "cluster": {"server": self._url}}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "sim", "context": {"cluster": "sim", "user": user}}],
            "current-context": "sim",
        }

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 picks a free one."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        self._runner = runner
        await web.TCPSite(runner, host, port).start()
        bound_host, bound_port = runner.addresses[0][:2]
        self._url = f"http://{bound_host}:{bound_port}"

    async def stop(self) -> None:
        """End every watch and stop listening."""
        for watch in tuple(self._watches):
            watch.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            self._authenticate(request)
            return await self._answer(request)
        except ApiError as error:
            return _json(error.body(), error.code)
        except UnknownGroupError:
            return web.Response(text="404 page not found\n", status=404)

    def _authenticate(self, request: web.Request) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Bearer":
            for known, user in self._users.items():
                if hmac.compare_digest(known.encode(), token.strip().encode()):
                    return user
        raise unauthorized()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw_path = request.raw_path.partition("?")[0].strip("/")
        parts = [unquote(part) for part in raw_path.split("/")]
        if len(parts) < (3 if parts[0] == "api" else 4) or parts[0] not in {"api", "apis"}:
            raise UnknownGroupError
        route = parse_route(parts)
        if not route.resource.is_stored:
            raise route_not_found()
        query = request.query
        if request.method == "GET" and (not route.name or "watch" in query):
            options = parse_list_options(route.resource, query, name=route.name)
            if verb_of("GET", route, is_watch=options.is_watch) == "watch":
                seconds = options.timeout_seconds or _DEFAULT_WATCH_SECONDS
                return await self._watch(request, route, options, seconds)
            if not route.name:
                page = list_page(self.store, route.resource, route.namespace, options)
                return _raw(render_list(route.resource, page))
        return await self._write(request, route)

    async def _write(self, request: web.Request, route: Route) -> web.StreamResponse:
        resource = route.resource
        target = Target(
            resource=resource,
            namespace=route.namespace or "",
            name=route.name,
            subresource=route.subresource,
            is_dry_run=request.query.get("dryRun") == "All",
        )
        if request.method == "GET":
            return _raw(self.registry.get(target).raw)
        body = await self._body(request, resource)
        if request.method == "POST" and route.subresource == "binding":
            return _json(self._bind(target, body), 201)
        if request.method == "POST" and not route.name:
            return _json(self.registry.create(target, body), 201)
        if request.method == "PUT":
            obj, created = self.registry.update(target, lambda _: body)
            return _json(obj, 201 if created else 200)
        if request.method == "PATCH":
            obj, _ = self.registry.update(target, lambda old: merge_patch(old, body))
            return _json(obj)
        if request.method == "DELETE" and route.name:
            record = self.registry.get(target)
            self.store.remove(record)
            return _json(record.decode())
        raise method_not_allowed()

    def _bind(self, target: Target, body: dict[str, Any]) -> dict[str, Any]:
        def assign(pod: dict[str, Any]) -> dict[str, Any]:
            pod["spec"]["nodeName"] = body["target"]["name"]
            return pod

        pod_target = Target(resource=target.resource, namespace=target.namespace, name=target.name)
        self.registry.update(pod_target, assign)
        return success(201)

    async def _body(self, request: web.Request, resource: Resource) -> dict[str, Any]:
        raw = await request.read()
        if not raw:
            return {}
        if request.content_type not in {"application/json", "application/merge-patch+json"}:
            raise unsupported_media_type(
                "the body of the request was in an unknown format - accepted media types include: "
                "application/json, application/yaml, application/vnd.kubernetes.protobuf"
            )
        try:
            body = json.loads(raw)
        except ValueError as error:
            raise bad_request(
                f"the object provided is unrecognized (must be of type {resource.kind}): "
                f"couldn't get version/kind; json parse error: {error}"
            ) from None
        if not isinstance(body, dict):
            raise bad_request("the body must be an object")
        return body

    async def _watch(
        self, request: web.Request, route: Route, options: Any, seconds: float
    ) -> web.StreamResponse:
        bookmark = {"kind": route.resource.kind, "apiVersion": route.resource.api_version}
        watch = Watch(self.store, route.resource, route.namespace, options, bookmark=bookmark)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        self._watches.add(watch)
        try:
            await response.prepare(request)
            async with contextlib.aclosing(watch.frames(seconds)) as frames:
                async for frame in frames:
                    await response.write(frame)
            await response.write_eof()
        except (ConnectionError, asyncio.CancelledError):
            _log.debug("a watcher of %s went away", route.resource.plural)
            raise
        finally:
            self._watches.discard(watch)
        return response


def _raw(raw: bytes, code: int = 200) -> web.Response:
    return web.Response(body=raw, status=code, content_type="application/json")


def _json(body: dict[str, Any], code: int = 200) -> web.Response:
    return _raw(msgspec.json.encode(body), code)
