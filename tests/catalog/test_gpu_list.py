"""Every GPU one by one, and who holds it: by claims, by annotations of cards, by numbers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.offers.gpu_list import Gpu
from gpu_spawner.core.offers.inventory import NodeInventory, take_inventory

EMPTY = Catalog(profiles=(), flavors={}, images={})
CARDS = Path(__file__).parents[1] / "core" / "card_share_cases"
MADE = "2026-01-01T00:00:00Z"
MADE_AT = 1767225600
DRIVER = "gpu.nvidia.com"


def node(
    name: str = "a", *, labels: dict[str, str] | None = None, **resources: str
) -> dict[str, Any]:
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": labels or {}},
        "status": {"allocatable": {"cpu": "8", "pods": "110", **resources}},
    }


def pod(name: str, *, on: str = "a", **requests: str) -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "n",
            "uid": f"uid-{name}",
            "creationTimestamp": MADE,
            "annotations": {"hub.jupyter.org/username": name},
        },
        "spec": {
            "nodeName": on,
            "containers": [{"name": "c", "resources": {"limits": requests}}],
        },
        "status": {"phase": "Running"},
    }


def device(name: str, *, memory: str = "80Gi", **more: Any) -> dict[str, Any]:
    attributes = {
        key: {"string": more.pop(key)} for key in ("uuid", "profile", "parentUUID") if key in more
    }
    return {
        "name": name,
        "attributes": {"productName": {"string": "NVIDIA B200"}, **attributes},
        "capacity": {"memory": {"value": memory}},
        **more,
    }


def slice_of(*devices: dict[str, Any], reach: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "kind": "ResourceSlice",
        "metadata": {"name": "a-gpus"},
        "spec": {
            "driver": DRIVER,
            "pool": {"name": "a", "generation": 1, "resourceSliceCount": 1},
            "devices": list(devices),
            **(reach or {"nodeName": "a"}),
        },
    }


def claim(name: str, *pods: str, devices: tuple[str, ...], **more: Any) -> dict[str, Any]:
    results = [
        {"request": "gpu", "driver": DRIVER, "pool": "a", "device": one, **more} for one in devices
    ]
    reserved = [{"resource": "pods", "name": one, "uid": f"uid-{one}"} for one in pods]
    return {
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "n", "uid": f"claim-{name}"},
        "spec": {},
        "status": {"allocation": {"devices": {"results": results}}, "reservedFor": reserved},
    }


def only_node(*items: dict[str, Any]) -> NodeInventory:
    (found,) = take_inventory(Snapshot.from_objects(items), EMPTY).nodes or ()
    return found


def held(gpus: tuple[Gpu, ...]) -> list[tuple[str, str | None, list[str]]]:
    return [(gpu.device, gpu.state, [one.pod for one in gpu.holders]) for gpu in gpus]


def card_cluster(case: str) -> Snapshot:
    cluster = yaml.safe_load((CARDS / f"{case}.yaml").read_text())
    items = [{"kind": "Node", **one} for one in cluster["nodes"]]
    return Snapshot.from_objects(items + [{"kind": "Pod", **one} for one in cluster["pods"]])


class TestClaims:
    def test_each_device_with_its_facts_and_who_holds_it_since_when(self) -> None:
        devices = [device(f"gpu-{number}", uuid=f"GPU-{number}") for number in (10, 2)]
        found = only_node(
            node(), slice_of(*devices), pod("ada"), claim("c", "ada", devices=("gpu-10",))
        )
        assert held(found.gpus) == [("gpu-2", "free", []), ("gpu-10", "held", ["ada"])]
        gpu = found.gpus[1]
        assert (gpu.driver, gpu.pool, gpu.uuid) == (DRIVER, "a", "GPU-10")
        assert (gpu.product, gpu.memory_bytes) == ("NVIDIA B200", 80 * 2**30)
        (holder,) = gpu.holders
        assert (holder.username, holder.namespace, holder.claim) == ("ada", "n", "c")
        assert (holder.since, holder.part) == (MADE_AT, ())

    def test_of_a_shared_device_everybody_has_a_part(self) -> None:
        found = only_node(
            node(),
            slice_of(device("gpu-0", allowMultipleAllocations=True)),
            pod("ada"),
            pod("grace"),
            *(
                claim(
                    who,
                    who,
                    devices=("gpu-0",),
                    shareID=f"share-{who}",
                    consumedCapacity={"memory": amount},
                )
                for who, amount in (("ada", "10Gi"), ("grace", "20Gi"))
            ),
        )
        (gpu,) = found.gpus
        assert {one.pod: dict(one.part) for one in gpu.holders} == {
            "ada": {"memory": 10 * 2**30},
            "grace": {"memory": 20 * 2**30},
        }

    def test_a_slice_says_what_it_is_carved_from_and_the_gpu_that_it_is_cut(self) -> None:
        def uses(amount: int) -> list[dict[str, Any]]:
            return [{"counterSet": "gpu-0-set", "counters": {"slices": {"value": str(amount)}}}]

        devices = [
            device("gpu-0", consumesCounters=uses(7)),
            device("gpu-0-mig-0", profile="1g.23gb", consumesCounters=uses(1)),
            device("gpu-0-mig-1", profile="1g.23gb", consumesCounters=uses(1)),
        ]
        counters = slice_of()
        counters["metadata"]["name"] = "a-counters"
        counters["spec"]["sharedCounters"] = [
            {"name": "gpu-0-set", "counters": {"slices": {"value": "7"}}}
        ]
        items = (node(), slice_of(*devices), counters, pod("ada"))
        for one in (items[1], counters):
            one["spec"]["pool"]["resourceSliceCount"] = 2
        whole = only_node(*items)
        assert held(whole.gpus) == [("gpu-0", "free", [])]
        cut = only_node(*items, claim("c", "ada", devices=("gpu-0-mig-1",)))
        assert held(cut.gpus) == [("gpu-0", "cut", []), ("gpu-0-mig-1", "held", ["ada"])]
        assert (cut.gpus[1].part_of, cut.gpus[1].profile) == ("gpu-0", "1g.23gb")

    def test_a_slice_that_is_always_there_is_listed_whoever_holds_it(self) -> None:
        found = only_node(node(), slice_of(device("m", profile="1g.10gb", parentUUID="GPU-0")))
        assert held(found.gpus) == [("m", "free", [])]
        assert found.gpus[0].part_of == "GPU-0"

    def test_a_claim_that_no_pod_uses_holds_it_as_well(self) -> None:
        found = only_node(node(), slice_of(device("gpu-0")), claim("kept", devices=("gpu-0",)))
        (holder,) = found.gpus[0].holders
        assert (holder.pod, holder.claim, holder.since) == ("", "kept", None)

    def test_without_claims_nobody_is_said_to_hold_it_and_it_is_not_free(self) -> None:
        snapshot = Snapshot.from_objects([node(), slice_of(device("gpu-0"))])
        (found,) = take_inventory(replace(snapshot, claims=None), EMPTY).nodes or ()
        assert held(found.gpus) == [("gpu-0", None, [])]

    def test_devices_of_no_one_node_stand_alone(self) -> None:
        items = [node(), slice_of(device("gpu-0"), reach={"allNodes": True}), pod("ada")]
        items.append(claim("c", "ada", devices=("gpu-0",)))
        inventory = take_inventory(Snapshot.from_objects(items), EMPTY)
        assert inventory.nodes == ()
        assert held(inventory.shared_gpus) == [("gpu-0", "held", ["ada"])]

    def test_channels_between_nodes_are_no_gpus(self) -> None:
        channels = slice_of({"name": "channel-0"})
        channels["spec"]["driver"] = "compute-domain.nvidia.com"
        assert only_node(node(), channels).gpus == ()


class TestUnits:
    def test_which_unit_a_pod_has_is_not_said(self) -> None:
        found = only_node(
            node(
                labels={
                    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
                    "nvidia.com/gpu.memory": "81559",
                },
                **{"nvidia.com/gpu": "4"},
            ),
            pod("ada", **{"nvidia.com/gpu": "2"}),
            pod("grace", **{"nvidia.com/gpu": "1"}),
        )
        assert held(found.gpus) == [
            ("", "held", ["ada"]),
            ("", "held", ["ada"]),
            ("", "held", ["grace"]),
            ("", "free", []),
        ]
        gpu = found.gpus[0]
        assert (gpu.resource, gpu.product) == ("nvidia.com/gpu", "NVIDIA-H100-80GB-HBM3")
        assert (gpu.memory_bytes, gpu.replicas) == (81559 * 2**20, 1)
        assert gpu.holders[0].since == MADE_AT

    def test_shares_and_slices_are_told_as_such(self) -> None:
        found = only_node(
            node(
                labels={
                    "nvidia.com/gpu.product": "Tesla-T4-SHARED",
                    "nvidia.com/gpu.replicas": "4",
                    "nvidia.com/mig-1g.10gb.memory": "9728",
                },
                **{"nvidia.com/gpu": "8", "nvidia.com/mig-1g.10gb": "1"},
            )
        )
        shared, cut = found.gpus[0], found.gpus[-1]
        assert (shared.product, shared.replicas, shared.profile) == ("Tesla-T4", 4, "")
        assert (cut.profile, cut.memory_bytes) == ("1g.10gb", 9728 * 2**20)

    def test_more_than_there_are_is_listed_where_devices_failed_under_pods(self) -> None:
        found = only_node(node(**{"nvidia.com/gpu": "1"}), pod("ada", **{"nvidia.com/gpu": "2"}))
        assert [one.state for one in found.gpus] == ["held", "held"]

    def test_without_pods_it_is_unknown_who_holds_what(self) -> None:
        snapshot = replace(Snapshot.from_objects([node(**{"nvidia.com/gpu": "1"})]), pods=None)
        (found,) = take_inventory(snapshot, EMPTY).nodes or ()
        assert held(found.gpus) == [("", None, [])]

    def test_what_is_too_much_is_told_as_a_number(self) -> None:
        found = only_node(node(**{"nvidia.com/gpu": "80000"}))
        assert (len(found.gpus), found.gpus_left_out) == (256, 80000 - 256)


class TestCards:
    @pytest.mark.parametrize(("case", "driver"), [("hami-json", "hami"), ("volcano", "volcano")])
    def test_they_are_known_by_their_uuid_and_by_the_parts_that_pods_hold(
        self, case: str, driver: str
    ) -> None:
        snapshot = card_cluster(case)
        nodes = take_inventory(snapshot, EMPTY).nodes or ()
        cards = [gpu for one in nodes for gpu in one.gpus if gpu.driver == driver]
        assert cards
        assert all(gpu.device and gpu.memory_bytes for gpu in cards)
        parts = {
            (pod.name, part.uuid)
            for pod in (snapshot.pods or {}).values()
            if pod.held_share is not None and pod.occupies
            for part in pod.held_share.parts
        }
        told = {(one.pod, gpu.device) for gpu in cards for one in gpu.holders}
        assert told == {(name, uuid) for name, uuid in parts if uuid in {c.uuid for c in cards}}
        assert any(dict(one.part).get("memory") for gpu in cards for one in gpu.holders)

    def test_a_card_that_kai_keeps_is_held_by_those_it_is_kept_for(self) -> None:
        nodes = take_inventory(card_cluster("kai"), EMPTY).nodes or ()
        kept = [gpu for one in nodes for gpu in one.gpus if any(h.part for h in gpu.holders)]
        assert kept
        assert all(set(dict(h.part)) <= {"portion", "memory"} for g in kept for h in g.holders)


class TestOneNode:
    def test_it_alone_is_looked_at(self) -> None:
        items = [node("a", **{"nvidia.com/gpu": "1"}), node("b", **{"nvidia.com/gpu": "1"})]
        inventory = take_inventory(Snapshot.from_objects(items), EMPTY, "b")
        assert [one.name for one in inventory.nodes or ()] == ["b"]
        assert take_inventory(Snapshot.from_objects(items), EMPTY, "c").nodes == ()
