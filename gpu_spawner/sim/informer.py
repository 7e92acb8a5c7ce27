"""Keep a copy of one kind of object: list once, watch from there, and tell of every change.

The copy survives what a watch does in real life: the server ends it, the connection breaks, the
version is too old (410) and a new list tells what happened meanwhile. Handlers are called in
order, on the event loop, and must not block.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.client import KubeClient

__all__ = ["Informer", "ObjectKey", "key_of"]

_log = logging.getLogger(__name__)

ObjectKey = tuple[str, str]
"""Namespace (empty for cluster-wide kinds) and name."""

Handler = Callable[[str, dict[str, Any]], None]
"""Called with ADDED, MODIFIED or DELETED and the object (its last state when deleted)."""

_FIRST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 5.0


def key_of(obj: Mapping[str, Any]) -> ObjectKey:
    """Return the object's place in its kind."""
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


class Informer:
    """A live copy of the collection at ``path``.

    Attributes:
        synced: set once the first list has been handed to the handlers.
    """

    def __init__(
        self, client: KubeClient, path: str, *handlers: Handler, label_selector: str = ""
    ) -> None:
        self._client = client
        self._path = path
        self._handlers = list(handlers)
        self._query = {"labelSelector": label_selector} if label_selector else {}
        self._objects: dict[ObjectKey, dict[str, Any]] = {}
        self._version = ""
        self._retry_seconds = _FIRST_RETRY_SECONDS
        self._changed = asyncio.Condition()
        self.synced = asyncio.Event()

    @property
    def objects(self) -> Mapping[ObjectKey, dict[str, Any]]:
        """The collection as last seen; objects are replaced, never changed."""
        return MappingProxyType(self._objects)

    def on_change(self, handler: Handler) -> None:
        """Call ``handler`` for every change from now on, and now for everything there is."""
        for obj in list(self._objects.values()):
            handler("ADDED", obj)
        self._handlers.append(handler)

    async def wait_for(
        self, condition: Callable[[Mapping[ObjectKey, dict[str, Any]]], bool]
    ) -> None:
        """Return as soon as ``condition`` holds for the collection."""
        async with self._changed:
            await self._changed.wait_for(lambda: condition(self.objects))

    async def run(self) -> None:
        """Follow the collection until cancelled."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except ClusterError as error:
                if error.status == 410:
                    _log.debug("%s: version too old, listing again", self._path)
                    self._version = ""
                    continue
                _log.debug("%s: %s; again in %.1f s", self._path, error, self._retry_seconds)
                await asyncio.sleep(self._retry_seconds)
                self._retry_seconds = min(2 * self._retry_seconds, _LONGEST_RETRY_SECONDS)

    async def _list(self) -> None:
        answer = await self._client.get(self._path, **self._query)
        listed = {key_of(each): each for each in answer.get("items") or ()}
        for key in [key for key in self._objects if key not in listed]:
            self._tell("DELETED", self._objects[key])
        for key, obj in listed.items():
            known = self._objects.get(key)
            if known is None:
                self._tell("ADDED", obj)
            elif known["metadata"].get("uid") != obj["metadata"].get("uid"):
                self._tell("DELETED", known)
                self._tell("ADDED", obj)
            elif known["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
                self._tell("MODIFIED", obj)
        self._version = answer["metadata"]["resourceVersion"]
        self.synced.set()
        await self._notify()

    async def _watch(self) -> None:
        stream = self._client.watch(self._path, self._version, **self._query)
        async with contextlib.aclosing(stream):
            async for event, obj in stream:
                self._version = obj["metadata"]["resourceVersion"]
                self._retry_seconds = _FIRST_RETRY_SECONDS
                if event != "BOOKMARK":
                    self._tell(event, obj)
                    await self._notify()

    def _tell(self, event: str, obj: dict[str, Any]) -> None:
        if event == "DELETED":
            self._objects.pop(key_of(obj), None)
        else:
            self._objects[key_of(obj)] = obj
        for handler in self._handlers:
            handler(event, obj)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
