"""The templates of this hub's claims: there before a pod names them, gone when nobody does.

A claim itself is the control plane's: it is made from the template when the pod is there, it
belongs to the pod, and it is freed with it. A template's name is made of its contents, so that many
servers, and several hubs, share one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from gpu_spawner.core.catalog.claims import ClaimTemplate
from gpu_spawner.core.errors import ClusterError, ConfigError
from gpu_spawner.hub.claim_refusal import (
    foreign_template,
    not_kept,
    refused_by_server,
    unstable,
)
from gpu_spawner.hub.connection import connect
from gpu_spawner.hub.settings import HubSettings
from gpu_spawner.hub.start_metrics import CLAIM_TEMPLATES_COLLECTED, CLAIM_TEMPLATES_MADE
from gpu_spawner.kube.claim_templates import ClaimTemplates, StoredTemplate
from gpu_spawner.kube.client import ClusterClient
from gpu_spawner.kube.failures import ThrottledError, may_pass
from gpu_spawner.kube.kept_fields import added_fields, dropped_fields
from gpu_spawner.kube.pacing import Backoff
from gpu_spawner.kube.reflector import Clocks

__all__ = ["Claims", "Patience"]

_TRUST_SECONDS: Final = 300.0
"""How long a template that was seen is taken to be there still. Where it is not, the pod waits for
a claim that nobody can make, which the spawner notices."""
_ROUNDS: Final = 3
"""How often a template is made anew within one call: it may go in between, or be a bad one."""
_COLLECT_SECONDS: Final = 60.0
_LONGEST_PERIOD_SECONDS: Final = 600.0
_FIRST_RETRY_SECONDS: Final = 0.2
_LONGEST_RETRY_SECONDS: Final = 5.0

_Key = tuple[str, str]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for the API server, as KubeSpawner is configured to.

    Attributes:
        request_seconds: for one request.
        total_seconds: for all tries together.
    """

    request_seconds: float = 3.0
    total_seconds: float = 30.0


class Claims:
    """Every claim template that servers of this hub need.

    Args:
        settings: of the hub.
        clocks: monotonic time, pauses and chance.
        wall_clock: unix time, which the ages of objects are measured with.
        open_client: opens the connection when it is first needed.
    """

    def __init__(
        self,
        settings: HubSettings,
        *,
        clocks: Clocks | None = None,
        wall_clock: Callable[[], float] = time.time,
        open_client: Callable[[HubSettings], Awaitable[ClusterClient]] = connect,
    ) -> None:
        self._settings = settings
        self._log = settings.log
        self._clocks = clocks or Clocks()
        self._wall_clock = wall_clock
        self._open_client = open_client
        self._client: ClusterClient | None = None
        self._opening = asyncio.Lock()
        self._seen_at: dict[_Key, float] = {}
        self._used_at: dict[_Key, float] = {}
        self._holders: dict[_Key, set[str]] = {}
        self._complaint = ""
        self._locks: WeakValueDictionary[_Key, asyncio.Lock] = WeakValueDictionary()

    # Before a pod

    async def ensure(
        self,
        namespace: str,
        templates: Iterable[ClaimTemplate],
        *,
        holder: str,
        patience: Patience,
        is_doubted: bool = False,
    ) -> None:
        """Make sure that templates are in a namespace as they should be, and stay for now.

        A template that was seen a moment ago costs no call, one that was seen before costs one,
        and so does a new one.

        Args:
            namespace: of the pod.
            templates: what its claims are made from.
            holder: who needs them, until ``release``; they are not collected before.
            patience: with the API server.
            is_doubted: whether to look even where one was seen a moment ago.

        Raises:
            SpawnRefused: one cannot be had.
        """
        wanted = {(namespace, template.name): template for template in templates}
        for key in wanted:
            self._holders.setdefault(key, set()).add(holder)
            self._used_at[key] = self._clocks.monotonic()
        for key, template in wanted.items():
            async with self._lock(key):
                if is_doubted or not self._is_trusted(key):
                    await self._make_sure(key, template, patience)

    def release(self, holder: str) -> None:
        """Say that a start is over: its pod, if there is one, speaks for itself now."""
        for key in [key for key, holders in self._holders.items() if holder in holders]:
            self._holders[key].discard(holder)
            if not self._holders[key]:
                del self._holders[key]

    def _is_trusted(self, key: _Key) -> bool:
        seen_at = self._seen_at.get(key)
        return seen_at is not None and self._clocks.monotonic() - seen_at < _TRUST_SECONDS

    def _lock(self, key: _Key) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())

    async def _make_sure(self, key: _Key, template: ClaimTemplate, patience: Patience) -> None:
        namespace, name = key
        began = self._clocks.monotonic()
        try:
            templates = ClaimTemplates(await self._connected())
            for _ in range(_ROUNDS):
                if await self._patiently(
                    lambda: self._try(templates, key, template, patience.request_seconds),
                    began + patience.total_seconds,
                ):
                    self._seen_at[key] = self._clocks.monotonic()
                    return
        except ClusterError as error:
            self._log.error("No claim template %s/%s: %s", namespace, name, error)
            raise refused_by_server(error, namespace) from error
        raise unstable(namespace, name)

    async def _try(
        self, templates: ClaimTemplates, key: _Key, template: ClaimTemplate, seconds: float
    ) -> bool:
        """Create a template or look at the one there is; false where that was of no use."""
        namespace, name = key
        stored = None
        if key in self._seen_at:
            stored = await templates.read(namespace, name, timeout_seconds=seconds)
        is_new = stored is None
        if stored is None:
            try:
                stored = await templates.create(
                    namespace, name, template.spec, timeout_seconds=seconds
                )
                CLAIM_TEMPLATES_MADE.inc()
            except ClusterError as error:
                if error.status != 409:
                    raise
                is_new = False
                stored = await templates.read(namespace, name, timeout_seconds=seconds)
        if stored is None:
            return False
        dropped = dropped_fields(template.spec, stored.claim_spec)
        if not dropped and (is_new or not added_fields(template.spec, stored.claim_spec)):
            return True
        if not stored.is_ours:
            raise foreign_template(namespace, name)
        self._seen_at.pop(key, None)
        await templates.delete(stored, timeout_seconds=seconds)
        if is_new:
            self._log.error("The cluster drops fields of claims: %s", "; ".join(map(str, dropped)))
            raise not_kept(dropped)
        return False

    async def _patiently(self, work: Callable[[], Awaitable[_T]], until: float) -> _T:
        """Do something again and again while its failure may pass and there is time."""
        backoff = Backoff(
            first_seconds=_FIRST_RETRY_SECONDS,
            cap_seconds=_LONGEST_RETRY_SECONDS,
            chance=self._clocks.chance,
        )
        while True:
            try:
                return await work()
            except ClusterError as error:
                pause = backoff.next_seconds()
                if isinstance(error, ThrottledError):
                    pause = max(pause, error.retry_after_seconds)
                if not may_pass(error) or self._clocks.monotonic() + pause > until:
                    raise
            await self._clocks.sleep(pause)

    async def _connected(self) -> ClusterClient:
        async with self._opening:
            if self._client is None:
                self._client = await self._open_client(self._settings)
            return self._client

    # Afterwards

    async def run(self) -> None:
        """Collect templates that nobody needs, for ever; close the connection at the end."""
        age_seconds = self._settings.claim_template_max_age_seconds
        period = min(_LONGEST_PERIOD_SECONDS, age_seconds / 2) or _LONGEST_PERIOD_SECONDS
        try:
            while True:
                await self._clocks.sleep(period)
                if age_seconds:
                    await self._collect_once()
        finally:
            if self._client is not None:
                await self._client.close()

    async def _collect_once(self) -> None:
        try:
            await self.collect()
        except (ClusterError, ConfigError) as error:
            # A hub without the right that has made no templates has none to remove.
            is_harmless = isinstance(error, ClusterError) and error.is_forbidden
            if not (is_harmless and not self._used_at) and str(error) != self._complaint:
                self._log.warning("Claim templates that nobody uses were not removed: %s", error)
            self._complaint = str(error)
        else:
            self._complaint = ""

    async def collect(self) -> int:
        """Delete templates of ours that are old and that no pod and no start needs.

        What is found in the cluster decides, so it does not matter which hub made them, or when.

        Returns:
            How many were deleted.

        Raises:
            ClusterError: the cluster cannot be asked.
            ConfigError: there is no way to reach a cluster.
        """
        templates = ClaimTemplates(await self._connected())
        deleted = 0
        for namespace, stored in (await self._old_ones(templates)).items():
            used = await templates.names_in_use(namespace, timeout_seconds=_COLLECT_SECONDS)
            for one in stored:
                if one.metadata.name not in used:
                    deleted += await self._delete_unless_held(templates, one)
        self._forget()
        return deleted

    async def _old_ones(self, templates: ClaimTemplates) -> Mapping[str, list[StoredTemplate]]:
        try:
            stored = await self._list_ours(templates)
        except ClusterError as error:
            if error.status == 404:  # no Dynamic Resource Allocation: nothing to collect
                return {}
            raise
        found: dict[str, list[StoredTemplate]] = {}
        for one in stored:
            if self._is_old(one):
                found.setdefault(one.metadata.namespace, []).append(one)
        return found

    async def _list_ours(self, templates: ClaimTemplates) -> list[StoredTemplate]:
        """List them where this hub's servers run, or have run since it started."""
        if self._settings.enable_user_namespaces:
            try:
                return await templates.list_ours("", timeout_seconds=_COLLECT_SECONDS)
            except ClusterError as error:
                if not error.is_forbidden:
                    raise
        namespaces = {namespace for namespace, _ in self._used_at}
        if not self._settings.enable_user_namespaces:
            namespaces.add(self._settings.namespace)
        return [
            one
            for namespace in sorted(namespaces)
            for one in await templates.list_ours(namespace, timeout_seconds=_COLLECT_SECONDS)
        ]

    def _is_old(self, stored: StoredTemplate) -> bool:
        oldest = self._settings.claim_template_max_age_seconds
        created_at, used_at = stored.created_at, self._used_at.get(stored.key)
        if created_at is None or self._wall_clock() - created_at < oldest:
            return False
        return used_at is None or self._clocks.monotonic() - used_at >= oldest

    async def _delete_unless_held(self, templates: ClaimTemplates, stored: StoredTemplate) -> bool:
        async with self._lock(stored.key):
            if stored.key in self._holders:
                return False
            # Whoever needs it from now on waits for this, and makes it anew.
            self._seen_at.pop(stored.key, None)
            is_gone = await templates.delete(stored, timeout_seconds=_COLLECT_SECONDS)
        if is_gone:
            CLAIM_TEMPLATES_COLLECTED.inc()
            self._log.info("Removed the claim template %s/%s, which nobody uses", *stored.key)
        return is_gone

    def _forget(self) -> None:
        """Forget what no start has asked for in a long time: users' namespaces come and go."""
        oldest = self._clocks.monotonic() - max(
            _TRUST_SECONDS, self._settings.claim_template_max_age_seconds
        )
        for key in [key for key, used_at in self._used_at.items() if used_at < oldest]:
            if key not in self._holders:
                self._used_at.pop(key)
                self._seen_at.pop(key, None)
