"""Places in a queue of Kueue, as far as Kueue tells them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from kubernetes_asyncio.client import Configuration
from scripted_api import Answer, ScriptedApi, listing, raw, refusal

from gpu_spawner.core.cluster.objects import Pod
from gpu_spawner.core.errors import ClusterError
from gpu_spawner.core.resources import ResourceVector
from gpu_spawner.hub.queues import Queues
from gpu_spawner.hub.settings import HubSettings
from gpu_spawner.kube.client import ClusterClient
from gpu_spawner.kube.kueue import Standing, read_standing

pytestmark = pytest.mark.hosts

NOT_SERVED = refusal(404, "NotFound")
VISIBILITY = "/apis/visibility.kueue.x-k8s.io"
FORBIDDEN = refusal(403, "Forbidden")
WHY = "couldn't assign flavors to pod set main: insufficient unused quota"
RESERVED = [
    {"status": {"conditions": [{"type": "QuotaReserved", "status": "False", "message": WHY}]}}
]


def pending(uid: str, position: int) -> dict[str, Any]:
    return {
        "metadata": {"name": f"pod-{uid}", "ownerReferences": [{"kind": "Pod", "uid": uid}]},
        "positionInLocalQueue": position,
    }


@asynccontextmanager
async def kueue(*answers: Answer) -> AsyncIterator[tuple[ScriptedApi, ClusterClient]]:
    async with ScriptedApi(*answers) as api, ClusterClient(Configuration(host=api.url)) as client:
        yield api, client


async def ask(client: ClusterClient) -> Standing:
    return await read_standing(
        client, namespace="hub", queue="gpus", pod_uid="u2", timeout_seconds=5.0
    )


async def test_position_and_reason() -> None:
    queue = listing([pending("u1", 0), pending("u2", 1), pending("u3", 2)])
    async with kueue(queue, listing(RESERVED)) as (api, client):
        assert await ask(client) == Standing(position=2, length=3, reason=WHY)
    assert api.requests == [
        (
            f"{VISIBILITY}/v1beta2/namespaces/hub/localqueues/gpus/pendingworkloads",
            {"limit": "1000"},
        ),
        (
            "/apis/kueue.x-k8s.io/v1beta2/namespaces/hub/workloads",
            {"labelSelector": "kueue.x-k8s.io/job-uid=u2"},
        ),
    ]


async def test_an_older_version() -> None:
    answers = (NOT_SERVED, listing([pending("u2", 0)]), NOT_SERVED, listing(RESERVED))
    async with kueue(*answers) as (api, client):
        assert await ask(client) == Standing(position=1, length=1, reason=WHY)
    assert [path.split("/")[3] for path, _ in api.requests] == ["v1beta2", "v1beta1"] * 2


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param((NOT_SERVED, NOT_SERVED, NOT_SERVED, NOT_SERVED), id="no Kueue"),
        pytest.param((FORBIDDEN, FORBIDDEN), id="no rights"),
        pytest.param((listing([pending("u9", 0)]), listing()), id="not in the queue"),
        pytest.param((raw(b"[1]"), raw(b"nonsense")), id="nonsense"),
        pytest.param(
            (raw(b'{"items": [1, {"metadata": 2}]}'), raw(b'{"items": [{"status": 3}]}')),
            id="other shapes",
        ),
    ],
)
async def test_what_is_not_told_is_left_out(answers: tuple[Answer, ...]) -> None:
    async with kueue(*answers) as (_, client):
        assert await ask(client) == Standing()


async def test_a_broken_server_is_an_error() -> None:
    async with kueue(refusal(500, "InternalError")) as (_, client):
        with pytest.raises(ClusterError):
            await ask(client)


class TestWatching:
    """What the progress page asks each second is asked of Kueue each ten seconds."""

    POD = Pod(
        namespace="hub",
        name="ann",
        uid="u2",
        is_gated=True,
        labels={"kueue.x-k8s.io/queue-name": "gpus"},
        requests=ResourceVector({}),
    )

    async def test_the_last_answer_stands_until_there_is_a_new_one(self) -> None:
        now = 100.0
        first, second = listing([pending("u2", 1)]), listing([pending("u2", 0)])
        broken = refusal(500, "InternalError")
        async with kueue(first, listing(), second, listing(), broken) as (api, client):

            async def open_client(_: HubSettings) -> ClusterClient:
                return client

            queues = Queues(HubSettings(), open_client=open_client, clock=lambda: now)
            assert queues.standing(self.POD) is None
            await queues.settle()
            told = queues.standing(self.POD)
            assert told is not None
            assert told.position == 2
            assert len(api.requests) == 2
            now += 11
            assert queues.standing(self.POD) == told
            await queues.settle()
            moved = queues.standing(self.POD)
            assert moved is not None
            assert moved.position == 1
            now += 11
            queues.standing(self.POD)
            await queues.settle()
            assert queues.standing(self.POD) == moved

    def test_nothing_is_asked_of_what_is_in_no_queue(self) -> None:
        queues = Queues(HubSettings())
        for fields in ({"is_gated": False}, {"labels": {}}, {"uid": ""}):
            assert queues.standing(_changed(self.POD, fields)) is None


def _changed(pod: Pod, fields: dict[str, Any]) -> Pod:
    known = {name: getattr(pod, name) for name in pod.__struct_fields__}
    return Pod(**known | fields)
