"""What the cluster will not have: one image's pods or DaemonSet, or an owner that is gone.

The others arrive, what is refused is said with the cluster's own words, and nothing is written in a
hot loop.
"""

import logging
from collections.abc import Callable

import pytest
from preloading import (
    BASE,
    NAMESPACE,
    TORCH,
    ApiFaults,
    MakePreloader,
    Running,
    daemon_sets,
    eventually,
)

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.core.preload.policy import Policy
from gpu_spawner.preload.refusals import Refusals
from gpu_spawner.sim.apiserver.api_errors import ApiError
from gpu_spawner.sim.apiserver.faults import Fault, RequestFacts
from gpu_spawner.sim.cluster import Cluster

GPU_NODES = ("gpu-1", "gpu-2")
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
WEBHOOK = 'admission webhook "policy" denied the request: torch is not allowed'
QUOTA = "exceeded quota: sets, requested: count/daemonsets.apps=1, used: 1, limited: 1"


def blocked(running: Running, image: str) -> str:
    return " ".join(
        why
        for outlook in running.readiness.outlooks
        if outlook.wish.image == image
        for why in outlook.blocked
    )


def refuses_torch(error: ApiError) -> Callable[[RequestFacts], Fault | None]:
    def rule(facts: RequestFacts) -> Fault | None:
        is_write = facts.resource == "daemonsets" and facts.method in ("POST", "PUT")
        return Fault(error=error) if is_write and TORCH.encode() in facts.body else None

    return rule


@pytest.mark.parametrize(
    "error",
    [
        ApiError(422, "Invalid", "ValidatingAdmissionPolicy denied it"),
        ApiError(403, "Forbidden", WEBHOOK),
        ApiError(403, "Forbidden", QUOTA),
        ApiError(500, "InternalError", "failed calling webhook: refused"),
    ],
    ids=["a policy", "a webhook", "a quota", "a webhook that fails"],
)
async def test_a_daemon_set_that_is_refused_holds_up_no_other_image(
    faults: ApiFaults,
    make_preloader: MakePreloader,
    caplog: pytest.LogCaptureFixture,
    error: ApiError,
) -> None:
    faults.rule = refuses_torch(error)
    long = {"pulls_in_cluster": 1, "first_retry_seconds": 600, "longest_retry_seconds": 600}
    with caplog.at_level(logging.WARNING):
        running = await make_preloader(policy=long)
        await running.until_pulled(BASE, *GPU_NODES)

    assert error.message in blocked(running, TORCH)
    assert sum(error.message in record.message for record in caplog.records) == 1
    assert not any("right to write" in record.message for record in caplog.records)


async def test_what_is_accepted_again_is_made(
    faults: ApiFaults, make_preloader: MakePreloader
) -> None:
    faults.rule = refuses_torch(ApiError(403, "Forbidden", WEBHOOK))
    running = await make_preloader()
    await running.until_pulled(BASE, *GPU_NODES)
    faults.rule = lambda _: None
    await running.until_pulled(TORCH, *GPU_NODES)


async def test_an_owner_that_is_made_anew_owns_what_is_there(
    cluster: Cluster, faults: ApiFaults, make_preloader: MakePreloader
) -> None:
    """The cluster collects what names the old one; what is made then names the new one."""
    await cluster.client.create(SECRETS, {"metadata": {"name": "hub"}})
    running = await make_preloader(resync_seconds=0.2)
    for image in (TORCH, BASE):
        await running.until_pulled(image, *GPU_NODES)
    await cluster.client.delete(f"{SECRETS}/hub")
    await cluster.client.create(SECRETS, {"metadata": {"name": "hub"}})
    uid = (await cluster.client.get(f"{SECRETS}/hub"))["metadata"]["uid"]
    before = faults.count("create", "daemonsets")

    async def names_the_new_one() -> bool:
        made = await daemon_sets(cluster)
        owners = [one["metadata"].get("ownerReferences", [{}])[0].get("uid") for one in made]
        return owners == [uid, uid]

    await eventually(names_the_new_one, "both name the new Secret")
    for image in (TORCH, BASE):
        await running.until_pulled(image, *GPU_NODES)

    assert faults.count("create", "daemonsets") - before <= 4


async def test_an_owner_that_comes_late_is_found(
    cluster: Cluster, make_preloader: MakePreloader
) -> None:
    running = await make_preloader(resync_seconds=0.2)
    await running.until_pulled(BASE, *GPU_NODES)
    await cluster.client.create(SECRETS, {"metadata": {"name": "hub"}})

    async def is_owned() -> bool:
        made = await daemon_sets(cluster)
        return len(made) == 2 and all(one["metadata"].get("ownerReferences") for one in made)

    await eventually(is_owned, "all name the Secret")


async def test_what_somebody_deletes_again_and_again_is_not_made_in_a_hot_loop(
    cluster: Cluster, faults: ApiFaults, make_preloader: MakePreloader
) -> None:
    running = await make_preloader(
        policy={"first_retry_seconds": 600, "longest_retry_seconds": 600}
    )
    for image in (TORCH, BASE):
        await running.until_pulled(image, *GPU_NODES)

    async def delete_torch() -> bool:
        for one in await daemon_sets(cluster):
            if TORCH in str(one["metadata"]["annotations"]):
                path = f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets"
                await cluster.client.delete(f"{path}/{one['metadata']['name']}")
        return "as soon as it is made" in blocked(running, TORCH)

    await eventually(delete_torch, "it is told who is in the way")
    made = [one for one in faults.seen if one.verb == "create" and one.resource == "daemonsets"]

    assert sum(TORCH.encode() in one.body for one in made) <= 3


def test_pauses_double_and_end_with_an_accepted_write() -> None:
    refusals = Refusals(Policy(first_retry_seconds=10, longest_retry_seconds=40))
    error = ClusterError("creating", status=403, reason="Forbidden", message=QUOTA)

    assert refusals.refuse("one", error, 0)
    assert refusals.next_at(0) == 10
    assert not refusals.at(10)
    assert not refusals.refuse("one", error, 10)
    assert refusals.next_at(10) == 30

    refusals.accepted("one")

    assert not refusals.at(11)
    assert refusals.refuse("one", error, 11)
