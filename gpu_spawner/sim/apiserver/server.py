"""The API server of the embedded cluster, over HTTP.

It listens on the loopback interface, knows its callers by bearer token, asks whether they may, and
hands every request to the layer that decides it. Nothing here knows a kind of object.
"""

import asyncio
import base64
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import unquote

import msgspec
from aiohttp import web

from gpu_spawner.sim.apiserver.access import (
    ADMIN,
    ANONYMOUS,
    Authenticator,
    User,
    impersonated,
    named_user,
)
from gpu_spawner.sim.apiserver.api_errors import ApiError, not_implemented, unauthorized
from gpu_spawner.sim.apiserver.bootstrap import bootstrap
from gpu_spawner.sim.apiserver.credentials import load_or_create_credentials
from gpu_spawner.sim.apiserver.discovery import find_document
from gpu_spawner.sim.apiserver.faults import Fault, FaultHook, RequestFacts
from gpu_spawner.sim.apiserver.handlers import ResourceHandlers
from gpu_spawner.sim.apiserver.housekeeping import Housekeeping
from gpu_spawner.sim.apiserver.journal import Journal
from gpu_spawner.sim.apiserver.kinds import RESOURCES, is_known_group
from gpu_spawner.sim.apiserver.pod_logs import LogSource
from gpu_spawner.sim.apiserver.rbac import Attributes, Authorizer, denial
from gpu_spawner.sim.apiserver.registry import Registry
from gpu_spawner.sim.apiserver.routes import Route, UnknownGroupError, parse_route, verb_of
from gpu_spawner.sim.apiserver.store import Store
from gpu_spawner.sim.apiserver.tls import load_or_create_identity
from gpu_spawner.sim.listener import Listener

__all__ = ["ApiServer"]

_log = logging.getLogger(__name__)

Obj = dict[str, Any]

# What Kubernetes accepts at most.
_MAX_BODY_BYTES: Final = 3 * 1024 * 1024
_SERVICE_ACCOUNTS: Final = next(item for item in RESOURCES if item.kind == "ServiceAccount")
_HEALTH_PATHS: Final = frozenset({"healthz", "livez", "readyz"})


class ApiServer:
    """A Kubernetes API server on a loopback port.

    Attributes:
        store: every object; tests may look, but should write over HTTP.
        faults: asked before every answer; may be replaced at any time.
    """

    def __init__(  # noqa: PLR0913 - what tests replace are arguments, not branches in the code
        self,
        store: Store | None = None,
        *,
        clock: Callable[[], float] = time.time,
        users: Mapping[str, User | str] | None = None,
        faults: FaultHook | None = None,
        state_dir: Path | None = None,
        tls: bool = False,
    ) -> None:
        """Prepare a server.

        Args:
            store: the objects; by default a new cluster with what every cluster has.
            clock: unix seconds, for timestamps and the age of events and tokens.
            users: by bearer token; a bare name is a user without rights, except ``admin``. By
                default one administrator with a random token.
            faults: asked before every answer, for tests.
            state_dir: where the cluster is kept between runs; by default nowhere.
            tls: speak TLS with a certificate of its own. kubectl needs it: it sends no token over
                plain HTTP.
        """
        self.store = store if store is not None else Store()
        self._journal = Journal(state_dir) if state_dir is not None else None
        if self._journal is not None:
            self._journal.load(self.store)
        self._registry = registry = Registry(self.store, clock)
        credentials = load_or_create_credentials(state_dir)
        given = users if users is not None else {credentials.admin_token: ADMIN}
        known = {token: named_user(user) for token, user in given.items()}
        self._authenticator = Authenticator(
            known, clock, credentials.signing_key, self._account_uid
        )
        self._authorizer = Authorizer(self.store)
        self._identity = load_or_create_identity(state_dir) if tls else None
        authority = self._identity.certificate.decode() if self._identity is not None else ""
        self._housekeeping = Housekeeping(registry, authority)
        self._handlers = ResourceHandlers(
            registry, self._housekeeping, self._authenticator, self._authorizer
        )
        if self._journal is not None:
            self._journal.follow(self.store)
        bootstrap(registry)
        self._housekeeping.settle()
        self.faults = faults
        self._requests = 0
        self._listener: Listener | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """Where the server listens, once started."""
        return self._url

    @property
    def disabled_gates(self) -> frozenset[str]:
        """Feature gates that are off; their fields are dropped from what is created."""
        return self._registry.disabled_gates

    @disabled_gates.setter
    def disabled_gates(self, gates: frozenset[str]) -> None:
        self._registry.disabled_gates = gates

    @property
    def log_source(self) -> LogSource | None:
        """Where pod logs come from; the kubelet registers itself here."""
        return self._handlers.log_source

    @log_source.setter
    def log_source(self, source: LogSource | None) -> None:
        self._handlers.log_source = source

    def kubeconfig(self, user: str = "admin") -> Obj:
        """Return a kubeconfig that kubectl and every client library understand.

        Raises:
            KeyError: there is no such user.
        """
        token = self._authenticator.token_of(user)
        cluster = {"server": self._url}
        if self._identity is not None:
            authority = base64.b64encode(self._identity.certificate).decode()
            cluster["certificate-authority-data"] = authority
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "sim", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "sim", "context": {"cluster": "sim", "user": user}}],
            "current-context": "sim",
        }

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 picks a free one."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        listener = Listener(app, handler_cancellation=True, shutdown_timeout=1.0)
        context = self._identity.context() if self._identity is not None else None
        try:
            bound_host, bound_port = await listener.start(host, port, context=context)
        except OSError:
            await self.stop()
            raise
        self._listener = listener
        scheme = "http" if context is None else "https"
        self._url = f"{scheme}://{bound_host}:{bound_port}"

    async def stop(self) -> None:
        """End every watch, stop listening, and close the state directory."""
        self._handlers.close_watches()
        if self._listener is not None:
            await self._listener.stop()
            self._listener = None
        self._housekeeping.close()
        if self._journal is not None:
            self._journal.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self._requests += 1
        try:
            return await self._answer(request, self._requests)
        except ApiError as error:
            response = _json(error.body(), error.code)
            retry = (error.details or {}).get("retryAfterSeconds")
            if retry:
                response.headers["Retry-After"] = str(retry)
            return response
        except UnknownGroupError:
            return web.Response(text="404 page not found\n", status=404)
        except web.HTTPRequestEntityTooLarge:
            limit = f"limit is {_MAX_BODY_BYTES}"
            too_large = ApiError(
                413, "RequestEntityTooLarge", f"Request entity too large: {limit}", {}
            )
            return _json(too_large.body(), too_large.code)
        except (ConnectionError, web.HTTPException):
            raise
        except Exception:  # noqa: BLE001 - the boundary of one request
            # A request this server cannot answer must not look like a dead server.
            _log.exception("%s %s failed", request.method, request.path)
            failure = ApiError(500, "InternalError", "Internal error occurred", {})
            return _json(failure.body(), failure.code)

    async def _answer(self, request: web.Request, number: int) -> web.StreamResponse:
        user = self._identify(request)
        raw_path = request.raw_path.partition("?")[0]
        parts = [unquote(part) for part in raw_path.strip("/").split("/")]
        route = _route(parts)
        verb = "get"
        if route is not None:
            verb = verb_of(request.method, route, is_watch=_is_watch(request))
        fault = Fault()
        # It may be replaced while the body comes in.
        if (hook := self.faults) is not None:
            facts = RequestFacts(
                number=number,
                method=request.method,
                path=raw_path,
                verb=verb,
                resource=_full_resource(route),
                namespace=(route.namespace or "") if route is not None else "",
                name=route.name if route is not None else "",
                body=await request.read(),
                user=user.name,
            )
            fault = await _suffer(request, hook(facts) or fault)
        asked = _attributes(route, verb, raw_path, request.method)
        if not self._authorizer.allows(user, asked):
            raise denial(user, asked)
        if route is None:
            return _discover(parts, request.host)
        answer = await self._handlers.answer(request, route, user, fault)
        if fault.loses_answer and not answer.prepared:
            _drop(request, "lost on request")
        return answer

    def _account_uid(self, namespace: str, name: str) -> str:
        record = self.store.get(_SERVICE_ACCOUNTS, namespace, name)
        return record.uid if record is not None else ""

    def _identify(self, request: web.Request) -> User:
        user = self._authenticator.identify(request.headers)
        groups = request.headers.getall("Impersonate-Group", [])
        wanted = impersonated(request.headers, groups)
        if wanted is None:
            return user
        asked = Attributes(verb="impersonate", resource="users", name=wanted.name)
        if not self._authorizer.allows(user, asked):
            raise denial(user, asked) if user is not ANONYMOUS else unauthorized()
        return wanted


async def _suffer(request: web.Request, fault: Fault) -> Fault:
    """Do what the hook wants done to this request."""
    if fault.delay_seconds:
        await asyncio.sleep(fault.delay_seconds)
    if fault.never_answers:
        await asyncio.Event().wait()  # which nobody sets: the listener cancels when the client goes
    if fault.drops_connection:
        _drop(request, "dropped on request")
    if fault.error is not None:
        raise fault.error
    return fault


def _drop(request: web.Request, why: str) -> NoReturn:
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError(why)


def _route(parts: list[str]) -> Route | None:
    """Read the path of objects; None for discovery and the like."""
    root = parts[0]
    if (root == "api" and len(parts) >= 3) or (root == "apis" and len(parts) >= 4):
        return parse_route(parts)
    return None


def _is_watch(request: web.Request) -> bool:
    value = request.query.get("watch")
    return value is not None and value != "0" and value.lower() != "false"


def _full_resource(route: Route | None) -> str:
    if route is None:
        return ""
    tail = f"/{route.subresource}" if route.subresource else ""
    return route.resource.plural + tail


def _attributes(route: Route | None, verb: str, path: str, method: str) -> Attributes:
    if route is None:
        return Attributes(verb=method.lower(), path=path)
    return Attributes(
        verb=verb,
        group=route.resource.group,
        resource=route.resource.plural,
        subresource=route.subresource,
        namespace=route.namespace or "",
        name=route.name,
    )


def _discover(parts: list[str], host: str) -> web.Response:
    if parts[0] in _HEALTH_PATHS:
        return web.Response(text="ok")
    body = find_document(parts, host)
    if body is not None:
        return _json(body)
    if len(parts) > 1 and is_known_group(parts[1]):
        raise not_implemented(f"the API group {parts[1]}")
    raise UnknownGroupError


def _json(body: Obj, code: int = 200) -> web.Response:
    raw = msgspec.json.encode(body)
    return web.Response(body=raw, status=code, headers={"Content-Type": "application/json"})
