"""Answering requests about objects: each HTTP method meets the layer that decides it."""

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any, Final

from aiohttp import web

from gpu_spawner.sim.apiserver.access import Authenticator, User
from gpu_spawner.sim.apiserver.api_errors import (
    bad_request,
    method_not_allowed,
    not_implemented,
)
from gpu_spawner.sim.apiserver.codec import (
    Strictness,
    decode_body,
    decode_options,
    parse_body,
    parse_strictness,
)
from gpu_spawner.sim.apiserver.deletion import delete, parse_delete_options
from gpu_spawner.sim.apiserver.faults import Fault
from gpu_spawner.sim.apiserver.housekeeping import Housekeeping
from gpu_spawner.sim.apiserver.listing import (
    ListOptions,
    Page,
    list_head,
    list_page,
    parse_list_options,
    render_list,
)
from gpu_spawner.sim.apiserver.negotiation import Form, negotiate
from gpu_spawner.sim.apiserver.patching import parse_patch
from gpu_spawner.sim.apiserver.pod_logs import LogSource, LogUnavailableError, parse_log_request
from gpu_spawner.sim.apiserver.rbac import Authorizer
from gpu_spawner.sim.apiserver.registry import Registry, Target
from gpu_spawner.sim.apiserver.reviews import answer_review, request_token
from gpu_spawner.sim.apiserver.routes import Route
from gpu_spawner.sim.apiserver.subresources import bind, evict
from gpu_spawner.sim.apiserver.watching import Look, Watch
from gpu_spawner.sim.apiserver.wire.wire_types import decode, type_name

__all__ = ["ResourceHandlers"]

_log = logging.getLogger(__name__)

Obj = dict[str, Any]

_DEFAULT_WATCH_SECONDS: Final = 1800.0
_NO_FAULT: Final = Fault()


class ResourceHandlers:
    """Everything below ``/api/v1`` and ``/apis/GROUP/VERSION``."""

    def __init__(
        self,
        registry: Registry,
        housekeeping: Housekeeping,
        authenticator: Authenticator,
        authorizer: Authorizer,
    ) -> None:
        self._registry = registry
        self._housekeeping = housekeeping
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._watches: set[Watch] = set()
        self.log_source: LogSource | None = None

    def close_watches(self) -> None:
        """End every watch."""
        for watch in tuple(self._watches):
            watch.close()

    async def answer(
        self, request: web.Request, route: Route, user: User, fault: Fault = _NO_FAULT
    ) -> web.StreamResponse:
        """Answer a request that is allowed."""
        form = negotiate(request.headers.get("Accept", ""), request.query.get("includeObject", ""))
        if not route.resource.is_stored:
            return await self._review(request, route, user)
        is_read = request.method in {"GET", "HEAD"}
        if route.subresource not in {"", "status"}:
            return await self._subresource(request, route, "GET" if is_read else request.method)
        if not is_read:
            return await self._write(request, route, _target(request, route), form)
        options = parse_list_options(route.resource, request.query, name=route.name)
        if options.is_watch and not route.subresource:
            return await self._watch(request, route, options, form, fault)
        return self._get(route, form) if route.name else self._list(route, options, form)

    def _get(self, route: Route, form: Form) -> web.Response:
        target = Target(resource=route.resource, namespace=route.namespace or "", name=route.name)
        record = self._registry.get(target)
        if not form.shape and not form.is_yaml:
            return _raw(record.raw, form)
        now = self._registry.clock()
        return _raw(form.write_object(route.resource, record.decode(), now), form)

    async def _write(
        self, request: web.Request, route: Route, target: Target, form: Form
    ) -> web.Response:
        resource, method = route.resource, request.method
        raw = await request.read()
        if method == "DELETE" and not route.subresource:
            return self._delete(request, route, target, raw, form)
        if resource.missing_controller and method in {"POST", "PUT"}:
            raise not_implemented(f"creating {resource.plural}: no {resource.missing_controller}")
        if method == "POST" and not route.name:
            strictness, obj = _decode(request, route, raw)
            return self._done(form, route, self._registry.create(target, obj), 201, strictness)
        if method == "PUT" and route.name:
            strictness, obj = _decode(request, route, raw)
            changed, is_new = self._registry.update(target, lambda _: obj)
            return self._done(form, route, changed, 201 if is_new else 200, strictness)
        if method == "PATCH" and route.name:
            strictness = parse_strictness(request.query)
            change = parse_patch(resource, _content_type(request), raw, strictness)
            # A patch never creates: an object that is not there is 404.
            self._registry.get(target)
            changed, _ = self._registry.update(target, change)
            return self._done(form, route, changed, 200, strictness)
        raise method_not_allowed()

    def _done(
        self, form: Form, route: Route, obj: Obj, code: int, strictness: Strictness
    ) -> web.Response:
        body = form.write_object(route.resource, obj, self._registry.clock())
        self._housekeeping.settle()
        response = _raw(body, form, code)
        for warning in strictness.warnings:
            quoted = warning.replace("\\", "\\\\").replace('"', '\\"')
            response.headers.add("Warning", f'299 - "{quoted}"')
        return response

    def _delete(
        self, request: web.Request, route: Route, target: Target, raw: bytes, form: Form
    ) -> web.Response:
        sent = decode_options(_content_type(request), raw, "meta.v1.DeleteOptions")
        options = parse_delete_options(sent, request.query)
        if route.name:
            body = delete(self._registry, target, options)
            self._housekeeping.settle()
            return _raw(form.write(body), form)
        if "deletecollection" not in route.resource.verbs:
            raise method_not_allowed()
        listing = parse_list_options(route.resource, request.query)
        page = list_page(self._registry.store, route.resource, route.namespace, listing)
        answer = render_list(route.resource, page)
        for record in page.records:
            item = Target(resource=route.resource, namespace=record.namespace, name=record.name)
            delete(self._registry, item, options)
        self._housekeeping.settle()
        return _raw(answer, form)

    def _list(self, route: Route, options: ListOptions, form: Form) -> web.Response:
        resource = route.resource
        page: Page = list_page(self._registry.store, resource, route.namespace, options)
        if form.shape or form.is_yaml:
            head = list_head(resource, page)
            now = self._registry.clock()
            return _raw(form.write_list(resource, page.records, head, now), form)
        return _raw(render_list(resource, page), form)

    async def _subresource(
        self, request: web.Request, route: Route, method: str
    ) -> web.StreamResponse:
        key = (route.resource.kind, route.subresource, method)
        target = _target(request, route)
        if key == ("Pod", "log", "GET"):
            return await self._log_text(request, target)
        types = {
            ("Pod", "binding", "POST"): "core.v1.Binding",
            ("Pod", "eviction", "POST"): "policy.v1.Eviction",
            ("ServiceAccount", "token", "POST"): "authentication.v1.TokenRequest",
        }
        if key not in types:
            raise not_implemented(f"{method} on {route.resource.plural}/{route.subresource}")
        body = decode_options(_content_type(request), await request.read(), types[key])
        if route.subresource == "binding":
            answer = bind(self._registry, target, body)
        elif route.subresource == "eviction":
            answer = evict(self._registry, target, body)
        else:
            account = self._registry.get(target)
            answer = request_token(account, body, self._authenticator, self._registry.clock())
        self._housekeeping.settle()
        return _raw(_PLAIN.write(answer), _PLAIN, 201)

    async def _review(self, request: web.Request, route: Route, user: User) -> web.Response:
        """Answer the kinds that are questions, and the old way to bind a pod."""
        resource = route.resource
        if request.method != "POST" or route.name:
            raise not_implemented(f"{request.method} on {resource.plural}")
        raw = await request.read()
        body = decode_options(_content_type(request), raw, type_name(resource))
        if resource.kind == "Binding":
            answer = bind(self._registry, _target(request, route), body)
            self._housekeeping.settle()
        else:
            head = {"kind": resource.kind, "apiVersion": resource.api_version}
            review = {**head, **body}
            answer = answer_review(resource, review, user, self._authenticator, self._authorizer)
        return _raw(_PLAIN.write(answer), _PLAIN, 201)

    async def _watch(
        self,
        request: web.Request,
        route: Route,
        options: ListOptions,
        form: Form,
        fault: Fault,
    ) -> web.StreamResponse:
        resource = route.resource
        empty = {"kind": resource.kind, "apiVersion": resource.api_version}
        bookmark = {**empty, **decode(type_name(resource), {})[0]}
        look = Look(bookmark, form.renderer(resource, self._registry.clock()))
        watch = Watch(self._registry.store, resource, route.namespace, options, look)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        seconds = options.timeout_seconds or _DEFAULT_WATCH_SECONDS
        self._watches.add(watch)
        try:
            await response.prepare(request)
            writes = 0
            async with contextlib.aclosing(watch.frames(seconds)) as frames:
                async for written in frames:
                    frame = written
                    if fault.spoils_watch is not None:
                        frame = b"".join(fault.spoils_watch(written.splitlines(keepends=True)))
                    await response.write(frame)
                    writes += 1
                    if fault.cuts_watch_after is not None and writes >= fault.cuts_watch_after:
                        _drop(request)
                        return response
            await response.write_eof()
        except ConnectionError:
            # Nobody is left to be told of it.
            _log.debug("a watcher of %s went away", resource.plural)
        finally:
            self._watches.discard(watch)
        return response

    async def _log_text(self, request: web.Request, target: Target) -> web.StreamResponse:
        record = self._registry.get(target)
        wanted = parse_log_request(record, request.query)
        if wanted is None:
            return web.Response(text="")
        if self.log_source is None:
            raise not_implemented("pod logs without a kubelet")
        lines: AsyncIterator[bytes] = self.log_source(wanted)
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        response.enable_chunked_encoding()
        left = wanted.limit_bytes
        try:
            first = await anext(lines, b"")
        except LogUnavailableError as error:
            raise bad_request(str(error)) from None
        await response.prepare(request)
        chunk = first
        while chunk and (left is None or left > 0):
            shown = chunk if left is None else chunk[:left]
            await response.write(shown)
            left = None if left is None else left - len(shown)
            chunk = await anext(lines, b"")
        await response.write_eof()
        return response


_PLAIN: Final = Form()


def _drop(request: web.Request) -> None:
    """Close the connection as a crash would."""
    if request.transport is not None:
        request.transport.abort()


def _content_type(request: web.Request) -> str:
    return request.headers.get("Content-Type", "").partition(";")[0].strip()


def _decode(request: web.Request, route: Route, raw: bytes) -> tuple[Strictness, Obj]:
    strictness = parse_strictness(request.query)
    body = parse_body(_content_type(request), raw, route.resource.kind)
    return strictness, decode_body(route.resource, body, strictness, raw)


def _target(request: web.Request, route: Route) -> Target:
    dry_run = request.query.get("dryRun", "")
    if dry_run not in {"", "All"}:
        raise bad_request(f'dryRun: Unsupported value: "{dry_run}": supported values: "All"')
    return Target(
        resource=route.resource,
        namespace=route.namespace or "",
        name=route.name,
        subresource=route.subresource,
        is_dry_run=dry_run == "All",
    )


def _raw(body: bytes, form: Form, code: int = 200) -> web.Response:
    return web.Response(body=body, status=code, headers={"Content-Type": form.content_type})
