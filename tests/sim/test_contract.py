"""The embedded cluster answers as a real one did.

``tests/data/kube-apiserver-transcript.json`` was recorded from kube-apiserver 1.36.2 with its
scheduler and controllers. Every step is a test; they run in order against one cluster, over HTTP,
and compare field by field.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import aiohttp
import pytest
from replay import Replay
from transcript import load_steps

from gpu_spawner.sim.apiserver.server import ApiServer
from gpu_spawner.sim.claim_controller import ClaimController
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.daemonset_controller import DaemonSetController
from gpu_spawner.sim.kubeconfig import endpoint_of
from gpu_spawner.sim.scheduler import Scheduler

STEPS = load_steps()


@contextlib.asynccontextmanager
async def _cluster() -> AsyncGenerator[tuple[str, str]]:
    """Run an API server with the clients that make it a cluster; gives its URL and a token."""
    server = ApiServer()
    await server.start()
    config = server.kubeconfig()
    try:
        async with KubeClient(endpoint_of(config)) as client, asyncio.TaskGroup() as group:
            parts: list[Coroutine[Any, Any, None]] = [
                Scheduler(client).run(),
                ClaimController(client).run(),
                DaemonSetController(client).run(),
            ]
            tasks = [group.create_task(part) for part in parts]
            yield server.url, config["users"][0]["user"]["token"]
            for task in tasks:
                task.cancel()
    finally:
        await server.stop()


async def _replay() -> dict[int, list[str]]:
    async with _cluster() as (url, token):
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            replay = Replay(url, token, session)
            await replay.run(STEPS)
            return replay.outcomes


@pytest.fixture(scope="module")
def outcomes() -> dict[int, list[str]]:
    return asyncio.run(_replay())


@pytest.mark.parametrize(
    "index",
    [pytest.param(index, id=f"{index}-{step['what']}") for index, step in enumerate(STEPS)],
)
def test_answers_as_recorded(outcomes: dict[int, list[str]], index: int) -> None:
    assert not outcomes[index], "\n".join(outcomes[index])
