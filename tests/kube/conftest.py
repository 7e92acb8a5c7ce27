"""Fixtures for the tests of ``gpu_spawner.kube``.

- ``haste``: clocks on which pauses are noted and shortened;
- ``connect``: a client for an address, closed at the end;
- ``follow``: a reflector running against an address, stopped at the end.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from kubernetes_asyncio.client import Configuration

from gpu_spawner.kube.client import ClusterClient
from gpu_spawner.kube.conditions import KINDS
from gpu_spawner.kube.reflector import Clocks, Reflector, ReflectorSettings, Store
from gpu_spawner.kube.shared_state import SharedState

DEADLINE_SECONDS = 20.0


@dataclass
class Haste:
    """Clocks in a hurry: a pause lasts 10 ms at most, and is noted as long as it should be."""

    pauses: list[float] = field(default_factory=list)
    offset: float = 0.0

    def clocks(self) -> Clocks:
        return Clocks(monotonic=self.monotonic, sleep=self.sleep, chance=lambda: 0.5)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self.offset

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(min(seconds, 0.01))


class Following:
    """A running reflector, and ways to wait for what it does."""

    reflector: Reflector

    def __init__(self, state: SharedState, haste: Haste) -> None:
        self.state = state
        self.haste = haste
        self.changes = 0
        self._changed = asyncio.Event()

    def note_change(self) -> None:
        self.changes += 1
        self._changed.set()

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until the condition holds; it is looked at after every change."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_pauses(self, count: int) -> None:
        """Wait until so many pauses were made; they are no changes, so they are polled."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(self.haste.pauses) < count:  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.001)

    @property
    def node_names(self) -> set[str]:
        return set(self.state.snapshot(None).nodes or ())


@pytest.fixture
def haste() -> Haste:
    return Haste()


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[str], ClusterClient]]:
    clients: list[ClusterClient] = []

    def connect(url: str, token: str = "") -> ClusterClient:
        configuration = Configuration(host=url)
        if token:
            configuration.api_key["BearerToken"] = f"Bearer {token}"
        clients.append(ClusterClient(configuration))
        return clients[-1]

    yield connect
    for client in clients:
        await client.close()


@pytest.fixture
async def follow(
    connect: Callable[[str], ClusterClient], haste: Haste
) -> AsyncIterator[Callable[..., Following]]:
    tasks: list[asyncio.Task[None]] = []

    def follow(url: str, *, store: Store | None = None, **settings: Any) -> Following:
        state = SharedState()
        following = Following(state, haste)
        following.reflector = Reflector(
            KINDS[0],
            connect(url),
            store or state,
            on_change=following.note_change,
            settings=ReflectorSettings(**settings),
            log=logging.getLogger("tests.kube"),
            clocks=haste.clocks(),
        )
        tasks.append(asyncio.create_task(following.reflector.run()))
        return following

    yield follow
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        assert task.cancelled(), "a reflector ended by itself"
