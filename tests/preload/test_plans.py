"""Plans that a person can review: the shipped profiles on a mixed cluster.

Run with ``UPDATE_GOLDEN=1`` to write the files anew, and review the difference.
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from preload_model import ModelCluster, catalog_of, make_node

from gpu_spawner.catalog_files import read_directory
from gpu_spawner.core.cluster.pullers import PullState
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.preload.plan import World, make_plan
from gpu_spawner.core.preload.policy import Policy, Strategy
from gpu_spawner.core.preload.puller_set import build_set
from gpu_spawner.core.preload.report import describe_plan
from gpu_spawner.core.preload.wishes import Wish, used_on_demand, wishes_of

REPOSITORY = Path(__file__).resolve().parents[2]
GOLDEN = REPOSITORY / "tests" / "golden" / "preload"
TORCH = "quay.io/site/torch:1"
BASE = "quay.io/site/base:1"


def compare(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")

    assert path.read_text() == text + "\n"


def shipped_cluster() -> ModelCluster:
    path = REPOSITORY / "tests" / "golden" / "catalog" / "cluster.json"
    items: list[dict[str, Any]] = json.loads(path.read_text())["items"]
    return ModelCluster([item for item in items if item["kind"] == "Node"])


def test_the_first_plan_for_the_shipped_profiles() -> None:
    cluster = shipped_cluster()
    wishes = wishes_of(read_directory(REPOSITORY / "profiles"))

    compare("first-plan.txt", describe_plan(cluster.plan(wishes)))


def test_sidecars_are_wished_for_after_the_servers_they_stand_beside() -> None:
    """A key of the catalog brings its size; of a plain reference nobody knows it."""
    catalog = catalog_of(
        {
            "10-gpus": {
                "display_name": "GPUs",
                "images": ["torch"],
                "gpu": {"flavors": ["h100"], "share": "whole"},
                "preload": "always",
                "sidecars": [
                    {"name": "proxy", "image": "base"},
                    {"name": "model", "image": "nvcr.io/nim/model:1.8", "gpu": {"count": 1}},
                ],
            }
        }
    )
    cluster = ModelCluster([make_node("gpu-1"), make_node("t4-1", "Tesla-T4")])

    compare("sidecars.txt", describe_plan(cluster.plan(wishes_of(catalog))))


def test_the_daemon_sets_of_every_strategy() -> None:
    wish = wishes_of(catalog_of())[0]
    cluster = ModelCluster([make_node("gpu-1")])
    change = cluster.plan([wish]).changes[0]
    for strategy in Strategy:
        built = build_set(change.spec, Policy(strategy=strategy, namespace="hub"))
        compare(f"{strategy}.yaml", yaml.safe_dump(built, sort_keys=False).rstrip())


def test_a_rollout_from_the_first_node_to_the_last() -> None:
    """Nodes are admitted as the bounds allow; the report tells where each image stands."""
    nodes = [make_node(f"gpu-{number}") for number in range(4)]
    cluster = ModelCluster(nodes, Policy(pulls_in_cluster=2))
    wishes = wishes_of(catalog_of())
    reports = []
    for step in range(6):
        plan = cluster.plan(wishes)
        reports.append(f"--- step {step}\n{describe_plan(plan)}")
        cluster.carry_out(plan)
        cluster.run_daemons()
        cluster.finish()
        cluster.now += 60
    compare("rollout.txt", "\n".join(reports))


def only(wishes: tuple[Wish, ...], image: str) -> tuple[Wish, ...]:
    return tuple(wish for wish in wishes if wish.image == image)


def test_a_new_version_arrives_while_the_old_one_stays_usable() -> None:
    """What no profile names any more stays for the grace period, then goes."""
    cluster = ModelCluster([make_node("gpu-1")], Policy(grace_seconds=600))
    cluster.settle(wishes_of(catalog_of()))
    old = {one.name for one in cluster.sets if one.image == TORCH}
    images = dict(catalog_of().images)
    new = catalog_of(
        {
            "images": {
                "base": {"image": BASE, "display_name": "Base"},
                "torch": {"image": "quay.io/site/torch:2", "display_name": images["torch"].name},
            }
        }
    )
    cluster.settle(wishes_of(new))

    assert old < cluster.manifests.keys()
    assert "quay.io/site/torch:2" in cluster.images["gpu-1"]

    cluster.now += 601
    cluster.settle(wishes_of(new))

    assert not old & cluster.manifests.keys()


def version(tag: int) -> tuple[Wish, ...]:
    """Wish for a version of an image that takes 30 GB on a disk."""
    reference = f"quay.io/site/torch:{tag}"
    images = {"torch": {"image": reference, "display_name": "PyTorch", "size": "10GB"}}
    profile = {
        "display_name": "GPUs",
        "images": ["torch"],
        "gpu": {"flavors": ["h100"], "share": "whole"},
        "preload": "always",
    }
    return wishes_of(catalog_of({"images": images, "10-gpus": profile, "20-cpu": None}))


@pytest.mark.parametrize(("disk", "held"), [("70G", 1), ("130G", 2), ("1T", 4)])
def test_old_versions_stay_only_while_the_disk_has_room_for_the_new_one(
    disk: str, held: int
) -> None:
    """Four versions within the grace period: what is held never exceeds the share of the disk."""
    cluster = ModelCluster([make_node("gpu-1", disk=disk)], Policy(disk_share=0.5))
    for tag in range(1, 5):
        cluster.now += 60
        cluster.settle(version(tag))

        assert f"quay.io/site/torch:{tag}" in {pod.image for pod in cluster.pods.values()}

    assert len(cluster.pods) == held


def test_an_old_version_stays_where_the_new_one_would_not_fit_without_it_either() -> None:
    cluster = ModelCluster([make_node("gpu-1", disk="70G")], Policy(disk_share=0.5))
    cluster.settle(version(1))
    bigger = [replace(wish, size_bytes=20_000_000_000) for wish in version(2)]
    cluster.settle(bigger)

    assert {pod.image for pod in cluster.pods.values()} == {"quay.io/site/torch:1"}


def test_pods_that_are_never_made_are_told_of_and_hold_up_nothing() -> None:
    """A quota or a webhook refuses the pods of one image; the DaemonSet itself was accepted."""
    cluster = ModelCluster([make_node("gpu-1")], Policy(first_retry_seconds=600))
    wishes = wishes_of(catalog_of())
    for _ in range(4):
        cluster.carry_out(cluster.plan(wishes))
        cluster.run_daemons(refusing=TORCH)
        cluster.finish()
        cluster.now += 121
    plan = cluster.plan(wishes)
    blocked = {outlook.wish.image: outlook.blocked for outlook in plan.outlooks if outlook.blocked}

    assert cluster.images == {"gpu-1": {BASE}}
    assert list(blocked) == [TORCH]
    assert "no pod was made for the node" in str(blocked[TORCH])


def test_what_is_wanted_again_within_the_grace_period_stays() -> None:
    cluster = ModelCluster([make_node("gpu-1")], Policy(grace_seconds=600))
    wishes = wishes_of(catalog_of())
    cluster.settle(wishes)
    cluster.settle(only(wishes, BASE))
    cluster.settle(wishes)
    cluster.now += 700

    assert cluster.plan(wishes).is_empty


def test_on_demand_means_while_somebody_uses_it() -> None:
    """Nothing is pulled ahead; with the first server the image goes to all nodes that fit."""
    catalog = catalog_of({"10-gpus": None})
    cluster = ModelCluster([make_node("cpu-1", ""), make_node("cpu-2", "")])
    server = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "jupyter-ada",
            "namespace": "hub",
            "labels": {
                "gpu-spawner.jupyter.org/profile": "cpu",
                "gpu-spawner.jupyter.org/image": "base",
            },
        },
        "spec": {"nodeName": "cpu-1", "containers": [{"name": "notebook"}]},
        "status": {"phase": "Running"},
    }

    assert wishes_of(catalog) == ()

    # Nobody who may only make pods elsewhere decides what is pulled.
    assert used_on_demand(Snapshot.from_objects([server]), "another") == frozenset()

    used = used_on_demand(Snapshot.from_objects([server]), "hub")
    cluster.settle(wishes_of(catalog, used=used))

    assert cluster.images == {"cpu-1": {BASE}, "cpu-2": {BASE}}


def test_a_moved_tag_is_noticed_and_pulled_again() -> None:
    """Nodes hold different images under one tag: one asks what it means, the others follow."""
    cluster = ModelCluster([make_node(f"gpu-{number}") for number in range(3)])
    wishes = only(wishes_of(catalog_of()), TORCH)
    cluster.settle(wishes)
    registry = {"gpu-0": "sha256:old", "gpu-1": "sha256:old", "gpu-2": "sha256:new"}
    serials: dict[str, str] = {}

    def digest(node: str, name: str) -> str:
        # A pod that was made after the refresh began holds what the registry says now.
        known = serials.setdefault(node, name)
        return registry[node] if name == known else "sha256:new"

    reports = []
    for _ in range(12):
        cluster.pods = {
            key: msgspec.structs.replace(
                pod, image_id=f"quay.io/site/torch@{digest(key[1], pod.name)}"
            )
            for key, pod in cluster.pods.items()
        }
        plan = cluster.plan(wishes)
        reports.append(max(outlook.versions for outlook in plan.outlooks))
        cluster.carry_out(plan)
        cluster.run_daemons()
        cluster.now += 5
        cluster.finish()

    assert reports[0] == 2
    assert reports[-1] == 0
    assert cluster.plan(wishes).is_empty
    assert all(pod.image_id.endswith("new") for pod in cluster.pods.values())


def test_one_image_by_two_kinds_of_names_is_no_moved_tag() -> None:
    """One runtime tells the digest of the configuration, another that of the manifest."""
    cluster = ModelCluster([make_node("gpu-0"), make_node("gpu-1")])
    wishes = only(wishes_of(catalog_of()), TORCH)
    cluster.settle(wishes)
    names = {"gpu-0": "sha256:1111", "gpu-1": "quay.io/site/torch@sha256:2222"}
    cluster.pods = {
        key: msgspec.structs.replace(pod, image_id=names[key[1]])
        for key, pod in cluster.pods.items()
    }
    plan = cluster.plan(wishes)

    assert plan.is_empty
    assert all(outlook.versions == 0 for outlook in plan.outlooks)


def test_a_full_disk_takes_a_node_out_until_it_has_room() -> None:
    cluster = ModelCluster([make_node("gpu-1"), make_node("gpu-2")])
    wishes = only(wishes_of(catalog_of()), TORCH)
    cluster.carry_out(cluster.plan(wishes))
    cluster.run_daemons()
    pressure = {"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}
    taints = cluster.nodes["gpu-1"]["spec"]["taints"]
    cluster.nodes["gpu-1"]["spec"]["taints"] = [*taints, pressure]
    cluster.finish(failing=["gpu-1"], why="Evicted")
    cluster.settle(wishes)

    assert "gpu-1" not in {pod.node for pod in cluster.pods.values()}

    cluster.nodes["gpu-1"]["spec"]["taints"] = taints
    cluster.now += 3601
    cluster.settle(wishes)

    assert {pod.node for pod in cluster.pods.values()} == {"gpu-1", "gpu-2"}


def test_an_outlook_tells_since_when_and_when_next() -> None:
    """What an admin wants to know of a pull that goes on, and of one that failed."""
    cluster = ModelCluster([make_node("gpu-1")], Policy(first_retry_seconds=60))
    wishes = only(wishes_of(catalog_of()), TORCH)
    cluster.carry_out(cluster.plan(wishes))
    began = cluster.now
    cluster.run_daemons()
    cluster.now += 30
    gpu, *_ = cluster.plan(wishes).outlooks

    assert (gpu.pulling, gpu.pulling_since, gpu.next_try) == (("gpu-1",), began, 0)

    cluster.finish(failing=[TORCH])
    cluster.carry_out(cluster.plan(wishes))
    cluster.run_daemons()
    gpu, *_ = cluster.plan(wishes).outlooks

    assert list(gpu.blocked.values()) == [("gpu-1",)]
    assert (gpu.pulling_since, gpu.next_try) == (0, cluster.now + 60)


def test_a_registry_that_throttles_is_left_alone_by_all_of_its_images() -> None:
    cluster = ModelCluster([make_node(f"gpu-{n}") for n in range(4)], Policy(pulls_in_cluster=1))
    wishes = wishes_of(catalog_of())
    cluster.carry_out(cluster.plan(wishes))
    cluster.run_daemons()
    cluster.finish(failing=[TORCH])
    cluster.pods = {
        key: msgspec.structs.replace(pod, message="429 Too Many Requests: toomanyrequests")
        for key, pod in cluster.pods.items()
    }
    cluster.carry_out(cluster.plan(wishes))
    cluster.run_daemons()
    pulls = len(cluster.pulls)
    for _ in range(3):
        cluster.carry_out(cluster.plan(wishes))
        cluster.run_daemons()
        cluster.finish()

    assert len(cluster.pulls) == pulls

    cluster.now += 61
    cluster.settle(wishes)

    assert all(pod.state is PullState.READY for pod in cluster.pods.values())


def test_without_the_right_to_list_nodes_images_go_one_after_another() -> None:
    cluster = ModelCluster([])
    wishes = wishes_of(catalog_of())

    plan = make_plan(wishes, World(snapshot=Snapshot()), Policy(), now=1)

    assert [change.spec.wish.image for change in plan.changes] == [TORCH]
    cluster.carry_out(plan)
    terms = cluster.manifests[plan.changes[0].spec.name]["spec"]["template"]["spec"]["affinity"]
    assert "NVIDIA-H100" in json.dumps(terms)
