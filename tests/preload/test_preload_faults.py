"""The preloader among things that fail.

Other images arrive, nothing is pulled in a hot loop, and nothing is called ready that is not: the
last is checked by ``Running`` whenever readiness changes.
"""

import logging
from typing import Any

import pytest
from preload_model import catalog_of
from preloading import (
    BASE,
    NAMESPACE,
    TORCH,
    ApiFaults,
    MakePreloader,
    Running,
    daemon_sets,
    eventually,
    puller_pods,
)

from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.preload.following import PODS, SETS
from gpu_spawner.preload.service import LEASE_NAME
from gpu_spawner.sim.apiserver.api_errors import ApiError
from gpu_spawner.sim.apiserver.faults import Fault, RequestFacts
from gpu_spawner.sim.cluster import Cluster
from gpu_spawner.sim.node.disk import DiskPolicy

WRITES = ("create", "update", "patch", "delete")
GPU_NODES = ("gpu-1", "gpu-2")


def catalog_with(reference: str) -> Catalog:
    """Make a catalog whose first image is this one, and whose second can be had."""
    return catalog_of(
        {
            "images": {
                "bad": {"image": reference, "display_name": "Bad", "size": "1GB"},
                "base": {"image": BASE, "display_name": "Base", "size": "1GB"},
            },
            "10-gpus": {
                "display_name": "GPUs",
                "images": ["bad", "base"],
                "gpu": {"flavors": ["h100"], "share": "whole"},
                "preload": "always",
            },
            "20-cpu": None,
        }
    )


def forbids_daemon_sets(facts: RequestFacts) -> Fault | None:
    if facts.resource != "daemonsets":
        return None
    message = 'daemonsets.apps is forbidden: User "hub" cannot do that'
    return Fault(error=ApiError(403, "Forbidden", message))


async def attempts(cluster: Cluster, image: str) -> dict[str, int]:
    """Count how often a kubelet began to pull an image, by the pod for which it did."""
    listing = await cluster.client.get(
        f"/api/v1/namespaces/{NAMESPACE}/events", fieldSelector="reason=Pulling"
    )
    found: dict[str, int] = {}
    for one in listing["items"]:
        if image in one["message"]:
            name = one["involvedObject"]["name"]
            found[name] = found.get(name, 0) + int(one.get("count") or 1)
    return found


@pytest.mark.parametrize(
    "reference",
    ["quay.io/site/missing:1", "quay.io/other/throttled:1"],
    ids=["an image that does not exist", "a registry that throttles"],
)
async def test_an_image_that_cannot_be_had_holds_up_no_other(
    cluster: Cluster, make_preloader: MakePreloader, reference: str
) -> None:
    running = await make_preloader(
        catalog_with(reference), policy={"first_retry_seconds": 600, "longest_retry_seconds": 600}
    )
    await running.until_pulled(BASE, *GPU_NODES)

    def is_blocked() -> bool:
        return any(
            outlook.wish.image == reference and outlook.blocked
            for outlook in running.readiness.outlooks
        )

    await eventually(is_blocked, "the report says why it is not there")

    async def is_left_alone() -> bool:
        pods = await puller_pods(cluster)
        return not any(reference in str(pod["spec"]) for pod in pods)

    await eventually(is_left_alone, "its pods are gone")
    before = await attempts(cluster, reference)
    for _ in range(3):
        await look_again(running)

    # Each node tried it with one pod, in which the kubelet may have tried again by itself; then
    # nobody does until the pause is over.
    assert len(before) <= len(GPU_NODES)
    assert await attempts(cluster, reference) == before
    assert all(reference not in images for images in running.readiness.pulled.values())


async def test_a_registry_that_recovers_is_asked_again(
    cluster: Cluster, make_preloader: MakePreloader
) -> None:
    cluster.registry.change("*torch*", throttled=True)
    running = await make_preloader()
    await running.until_pulled(BASE, *GPU_NODES)
    cluster.registry.restore("*torch*")
    await running.until_pulled(TORCH, *GPU_NODES)


@pytest.mark.parametrize("kind", [SETS, PODS])
async def test_what_is_not_told_any_more_amid_a_round_ends_that_round_only(
    make_preloader: MakePreloader, faults: ApiFaults, kind: str
) -> None:
    """A right may be taken away while the round asks for something else."""
    running = await make_preloader(owner="Secret/hub")

    def lose(facts: RequestFacts) -> Fault | None:
        if facts.resource == "secrets":
            running.preloader._following.forget(kind, "forbidden")
        return None

    faults.rule = lose
    await eventually(lambda: faults.count("get", "secrets"), "the owner is looked for")
    await look_again(running)
    assert not running.is_done
    assert running.readiness.outlooks == ()


async def test_a_node_that_joins_gets_the_images_and_is_ready_only_then(
    cluster: Cluster, make_preloader: MakePreloader
) -> None:
    running = await make_preloader()
    await running.until_pulled(TORCH, *GPU_NODES)
    joined = await cluster.add_node("gpu")
    await running.until_pulled(TORCH, joined)
    await running.until_pulled(BASE, joined)


async def test_a_node_that_vanishes_amid_a_pull_holds_up_nobody(
    cluster: Cluster, make_preloader: MakePreloader
) -> None:
    cluster.registry.change("*torch*", size="1G")
    running = await make_preloader(policy={"pulls_in_cluster": 1})

    async def bound() -> list[str]:
        specs = [pod["spec"] for pod in await puller_pods(cluster)]
        return [spec["nodeName"] for spec in specs if "nodeName" in spec]

    await eventually(bound, "the first pull is under way")
    first = (await bound())[0]
    other = next(name for name in GPU_NODES if name != first)
    await cluster.remove_node(first)
    cluster.registry.restore("*torch*")
    await running.until_pulled(TORCH, other)
    await running.until_pulled(BASE, other)


@pytest.mark.parametrize(
    "disk",
    [
        pytest.param(DiskPolicy(check_seconds=3600), id="the pull fails"),
        pytest.param(DiskPolicy(check_seconds=0.05, relief_seconds=0.2), id="under pressure"),
    ],
)
async def test_a_disk_that_fills_takes_its_node_out_and_no_other(
    cluster: Cluster, make_preloader: MakePreloader
) -> None:
    cluster.fill_disk("gpu-1", 995_000_000)
    running = await make_preloader()
    await running.until_pulled(TORCH, "gpu-2")
    await running.until_pulled(BASE, "gpu-2")
    cluster.fill_disk("gpu-1", 0)
    await running.until_pulled(TORCH, "gpu-1")


async def test_without_the_right_it_watches_and_begins_when_the_right_appears(
    faults: ApiFaults,
    make_preloader: MakePreloader,
    caplog: pytest.LogCaptureFixture,
) -> None:
    faults.rule = forbids_daemon_sets
    with caplog.at_level(logging.WARNING):
        running = await make_preloader()
        await eventually(lambda: SETS in running.readiness.trouble, "it is refused")
        await look_again(running)
        await look_again(running)

    said = [record for record in caplog.records if "right to write DaemonSets" in record.message]
    assert len(said) == 1
    assert not faults.count("create", "daemonsets")

    faults.rule = lambda _: None
    await running.until_pulled(TORCH, *GPU_NODES)


async def test_the_right_to_read_alone_writes_nothing_and_says_so_once(
    faults: ApiFaults,
    make_preloader: MakePreloader,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def forbids_writing(facts: RequestFacts) -> Fault | None:
        return forbids_daemon_sets(facts) if facts.verb in WRITES else None

    def tried() -> int:
        """Count the DaemonSets that were to be; a trial of what the server keeps is none."""
        made = [one for one in faults.seen if (one.verb, one.resource) == ("create", "daemonsets")]
        return sum(b"-trial" not in one.body for one in made)

    faults.rule = forbids_writing
    with caplog.at_level(logging.WARNING):
        running = await make_preloader()
        await eventually(lambda: tried() >= 3, "it has tried twice, and heard both answers")

    said = [record for record in caplog.records if "right to write DaemonSets" in record.message]
    assert len(said) == 1

    faults.rule = lambda _: None
    running.preloader.poke()
    await running.until_pulled(TORCH, *GPU_NODES)


async def test_two_at_once_do_the_work_of_one(
    cluster: Cluster, make_preloader: MakePreloader
) -> None:
    both = [await make_preloader(), await make_preloader()]
    for running in both:
        await running.until_pulled(TORCH, *GPU_NODES)
        await running.until_pulled(BASE, *GPU_NODES)
    made = await daemon_sets(cluster)

    assert len(made) == 2
    assert sum((await attempts(cluster, TORCH)).values()) == len(GPU_NODES)


async def test_one_that_only_watches_knows_what_another_does(
    cluster: Cluster, make_preloader: MakePreloader
) -> None:
    observer = await make_preloader(is_observer=True)
    await eventually(lambda: observer.readiness.outlooks, "it knows what is to be done")

    assert await daemon_sets(cluster) == []

    await make_preloader()
    await observer.until_pulled(TORCH, *GPU_NODES)


async def test_two_at_once_without_leases_do_no_harm(
    cluster: Cluster, faults: ApiFaults, make_preloader: MakePreloader
) -> None:
    def forbids_leases(facts: RequestFacts) -> Fault | None:
        if facts.resource != "leases":
            return None
        return Fault(error=ApiError(403, "Forbidden", "leases are forbidden"))

    faults.rule = forbids_leases
    both = [await make_preloader(), await make_preloader()]
    for running in both:
        await running.until_pulled(TORCH, *GPU_NODES)
        await running.until_pulled(BASE, *GPU_NODES)

    assert sum((await attempts(cluster, TORCH)).values()) == len(GPU_NODES)


async def test_another_takes_over_when_the_first_stops(
    cluster: Cluster, make_preloader: MakePreloader
) -> None:
    first = await make_preloader()
    await first.until_pulled(TORCH, *GPU_NODES)
    second = await make_preloader()
    await first.stop()

    async def is_free() -> bool:
        lease = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{LEASE_NAME}"
        return not (await cluster.client.get(lease))["spec"].get("holderIdentity")

    await eventually(is_free, "the lease is given back")
    joined = await cluster.add_node("gpu")
    await second.until_pulled(TORCH, joined)


@pytest.mark.parametrize("step", range(1, 7))
async def test_killed_at_any_step_of_a_rollout_the_next_one_finishes(
    cluster: Cluster, faults: ApiFaults, make_preloader: MakePreloader, step: int
) -> None:
    """The nth write is answered by nobody, and whoever sent it is gone."""
    first = await make_preloader()
    writes = 0

    def kills(facts: RequestFacts) -> Fault | None:
        nonlocal writes
        if facts.resource == "daemonsets" and facts.method in ("POST", "PUT", "PATCH", "DELETE"):
            writes += 1
            if writes == step:
                first.kill()
                return Fault(drops_connection=True)
        return None

    faults.rule = kills
    await eventually(lambda: writes >= step or is_complete(first), "it was killed, or is done")
    await first.stop()
    faults.rule = lambda _: None
    second = await make_preloader()
    await second.until_pulled(TORCH, *GPU_NODES)
    await second.until_pulled(BASE, *GPU_NODES)

    assert len(await daemon_sets(cluster)) == 2


def is_complete(running: Any) -> bool:
    pulled = running.readiness.pulled
    return all({TORCH, BASE} <= pulled.get(node, frozenset()) for node in GPU_NODES)


async def test_when_all_is_done_nothing_is_written_any_more(
    faults: ApiFaults, make_preloader: MakePreloader
) -> None:
    running = await make_preloader()
    await running.until_pulled(TORCH, *GPU_NODES)
    await running.until_pulled(BASE, *GPU_NODES)
    await look_again(running)
    await look_again(running)
    before = sum(faults.count(verb, "daemonsets") for verb in WRITES)
    for _ in range(3):
        await look_again(running)

    assert sum(faults.count(verb, "daemonsets") for verb in WRITES) == before


async def look_again(running: Running) -> None:
    rounds = running.preloader.rounds
    running.preloader.poke()
    await eventually(lambda: running.preloader.rounds > rounds, "one more round")


async def test_an_unreachable_api_server_is_waited_for(
    faults: ApiFaults, make_preloader: MakePreloader
) -> None:
    failures = 6

    def fails(facts: RequestFacts) -> Fault | None:
        nonlocal failures
        if facts.resource != "daemonsets" or failures == 0:
            return None
        failures -= 1
        return Fault(error=ApiError(503, "ServiceUnavailable", "try later"))

    faults.rule = fails
    running = await make_preloader()
    await running.until_pulled(TORCH, *GPU_NODES)
