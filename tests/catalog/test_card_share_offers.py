"""From a catalog with parts of GPUs to what a researcher reads."""

import json
from typing import Any

import pytest
from catalog_builders import catalog_of, documents, snapshot_of

from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.errors import ConfigError
from gpu_spawner.core.offers.availability import ChoiceOffer
from gpu_spawner.core.offers.board import OfferBoard

GIB = 1024
LABELS = {"nvidia.com/gpu.product": "Tesla-T4", "nvidia.com/gpu.memory": "16384"}


def catalog_with(
    gpu: dict[str, Any], profile: dict[str, Any] | None = None, **flavor: Any
) -> Catalog:
    raw = documents()
    raw["flavors"]["parts"] = {
        "display_name": "NVIDIA T4",
        "memory": "16Gi",
        "node_labels": {"nvidia.com/gpu.product": "Tesla-T4"},
        **flavor,
    }
    raw["40-parts"] = {
        "display_name": "Parts",
        "images": ["base"],
        "gpu": {"flavors": ["parts"], **gpu},
        **(profile or {}),
    }
    return catalog_of(raw)


def node(name: str, gpu: int, **annotations: str) -> dict[str, Any]:
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": LABELS, "annotations": annotations},
        "status": {
            "allocatable": {
                "cpu": "64",
                "memory": "256Gi",
                "pods": "110",
                "nvidia.com/gpu": str(gpu),
            },
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def hami_node(name: str, cards: int) -> dict[str, Any]:
    register = [
        {
            "id": f"GPU-{name}-{number}",
            "count": 10,
            "devmem": 16 * GIB,
            "devcore": 100,
            "type": "NVIDIA-T4",
            "health": True,
        }
        for number in range(cards)
    ]
    return node(name, cards * 10, **{"hami.io/node-nvidia-register": json.dumps(register)})


def held(name: str, on: str, memory: int, **fields: Any) -> dict[str, Any]:
    parts = f"GPU-{on}-0,NVIDIA,{memory},0:;"
    return {
        "kind": "Pod",
        "metadata": {"name": name, "annotations": {"hami.io/vgpu-devices-allocated": parts}},
        "spec": {"nodeName": on, "containers": [{"name": "notebook", **fields}]},
    }


def offers(catalog: Catalog, *items: dict[str, Any]) -> dict[str, ChoiceOffer]:
    board = OfferBoard(catalog).update(snapshot_of(*items))
    return {
        choice.key: choice for each in board for choice in each.choices if "parts" in choice.key
    }


def test_hami_offers_what_its_cards_have_left() -> None:
    catalog = catalog_with({"share": {"memory": ["4Gi", "12Gi"]}}, hami={})
    found = offers(catalog, hami_node("a", 2), held("alice", "a", 10 * GIB))
    assert {key: (one.free, one.total) for key, one in found.items()} == {
        "parts/parts/memory-4Gi/1": (1 + 4, 8),
        "parts/parts/memory-12Gi/1": (1, 2),
    }


def test_hami_is_busy_when_its_cards_are_though_slots_are_free() -> None:
    catalog = catalog_with({"share": {"memory": ["12Gi"]}}, hami={})
    found = offers(catalog, hami_node("a", 1), held("alice", "a", 10 * GIB))
    one = found["parts/parts/memory-12Gi/1"]
    assert (one.free, one.total) == (0, 1)
    assert one.because == "6 GB is the most that is left on one GPU"


def test_a_cluster_without_hami_has_no_parts() -> None:
    catalog = catalog_with({"share": {"memory": ["4Gi"]}}, hami={})
    found = offers(catalog, node("a", 2))
    assert found["parts/parts/memory-4Gi/1"].total == 0


def test_what_the_register_does_not_tell_is_unknown() -> None:
    catalog = catalog_with({"share": {"memory": ["4Gi"]}}, hami={})
    found = offers(catalog, node("a", 20, **{"hami.io/node-nvidia-register": "[{]"}))
    one = found["parts/parts/memory-4Gi/1"]
    assert one.free is None
    assert "cannot be read" in one.because


def test_kai_offers_parts_of_whole_cards() -> None:
    catalog = catalog_with({"share": {"fraction": [0.5]}}, kai={"queue": "research"})
    found = offers(catalog, node("a", 2))
    one = found["parts/parts/fraction-0.5/1"]
    assert (one.free, one.total) == (4, 4)


@pytest.mark.parametrize(
    "override",
    [
        {"privileged": True},
        {"extra_container_config": {"securityContext": {"privileged": True}}},
    ],
)
def test_a_privileged_server_is_refused_when_the_configuration_is_read(
    override: dict[str, Any],
) -> None:
    with pytest.raises(ConfigError, match="HAMi refuses"):
        catalog_with({"share": {"memory": ["4Gi"]}}, {"kubespawner_override": override}, hami={})


def test_a_foreign_scheduler_is_refused_where_the_parts_need_their_own() -> None:
    with pytest.raises(ConfigError, match="kai-scheduler"):
        catalog_with(
            {"share": {"memory": ["4Gi"]}},
            {"scheduler_name": "user-scheduler"},
            kai={"queue": "research"},
        )
