"""What a researcher reads of GPUs had by claims and of parts of cards, one situation after another.

The sentences are in ``tests/golden/catalog/offer-sentences.txt``, for a person to review. Run with
``UPDATE_GOLDEN=1`` to write the file anew.
"""

import copy
import json
import os
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from catalog_builders import REPOSITORY
from pseudo_language import left_in_english

from gpu_spawner.catalog_files import read_mapping
from gpu_spawner.core.catalog.options import parse_options
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.messages import joined
from gpu_spawner.core.offers.board import OfferBoard
from gpu_spawner.hub.languages import choose_language, shipped_languages

GOLDEN = REPOSITORY / "tests" / "golden" / "catalog"
ITEMS: list[dict[str, Any]] = json.loads((GOLDEN / "cluster.json").read_text("utf-8"))["items"]
DRIVER = "gpu.nvidia.com"
GIB = 1024

FLAVORS: dict[str, Any] = {
    "h200": {"memory": "141GB", "dra": {"attributes": {"productName": "NVIDIA H200"}}},
    "l40s": {
        "memory": "48GB",
        "dra": {"attributes": {"productName": "NVIDIA L40S"}, "memory_capacity": "memory"},
    },
    "b200": {
        "memory": "180GB",
        "dra": {
            "attributes": {"productName": "NVIDIA B200"},
            "mig_device_class": "mig.nvidia.com",
        },
        "mig": {"profiles": ["1g.23gb", "3g.90gb"]},
    },
    "failing": {"dra": {"selectors": ["device.attributes['gpu.nvidia.com'].nothing == 'x'"]}},
    "unheard-of": {"dra": {"selectors": ["ip('1.2.3.4').family() == 4"]}},
    "hami": {
        "memory": "16Gi",
        "node_labels": {"nvidia.com/gpu.product": "Tesla-T4-HAMI"},
        "hami": {},
    },
    "kai": {
        "memory": "16Gi",
        "node_labels": {"nvidia.com/gpu.product": "Tesla-T4-KAI"},
        "kai": {"queue": "research"},
    },
}


def say(items: Iterable[dict[str, Any]], flavor: str, share: Any = "whole", count: int = 1) -> str:
    catalog = read_mapping(
        {
            "flavors": {flavor: {"display_name": flavor, **FLAVORS[flavor]}},
            "images": {"base": {"image": "quay.io/site/base:1", "display_name": "Base"}},
            "10-it": {
                "display_name": "It",
                "images": ["base"],
                "gpu": {"flavors": [flavor], "share": share, "count": count},
            },
        }
    )
    board = OfferBoard(catalog)
    board.update(Snapshot.from_objects(items, as_of=0.0))
    offer = board.offer_of(parse_options(catalog, {"profile": "it"}, groups=()))
    return joined(": ", (f"{offer.free} of {offer.total}", offer.because))


def cluster(change: Callable[[dict[str, Any]], bool] | None = None) -> list[dict[str, Any]]:
    """Return the demo's cluster without claims; what the change refuses is left out."""
    items = [copy.deepcopy(item) for item in ITEMS if item["kind"] != "ResourceClaim"]
    return [item for item in items if change is None or change(item)]


def claim(pool: str, *devices: str, memory: str = "") -> dict[str, Any]:
    results = [
        {"request": "gpu", "driver": DRIVER, "pool": pool, "device": device}
        | ({"shareID": f"{device}-0", "consumedCapacity": {"memory": memory}} if memory else {})
        for device in devices
    ]
    name = f"of-{pool}-{'-'.join(devices)}"[:60]
    return {
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "x", "uid": name},
        "spec": {"devices": {"requests": []}},
        "status": {"allocation": {"devices": {"results": results}}},
    }


def gpus(*numbers: int) -> list[str]:
    return [f"gpu-{number}" for number in numbers]


def slices(number: int, size: str, *positions: int) -> list[str]:
    return [f"gpu-{number}-mig-{size}-{position}" for position in positions]


def taint(*devices: str) -> Callable[[dict[str, Any]], bool]:
    def change(item: dict[str, Any]) -> bool:
        if item["kind"] == "ResourceSlice" and item["spec"]["pool"]["name"] == "h200-1":
            for device in item["spec"]["devices"]:
                device.pop("taints", None)
                if device["name"] in devices:
                    device["taints"] = [{"key": "ill", "effect": "NoSchedule"}]
        return True

    return change


def without(kind: str) -> Callable[[dict[str, Any]], bool]:
    return lambda item: item["kind"] != kind


def card_node(name: str, product: str, cards: int, **annotations: str) -> dict[str, Any]:
    labels = {"nvidia.com/gpu.product": product, "nvidia.com/gpu.memory": str(16 * GIB)}
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "status": {
            "allocatable": {
                "cpu": "64",
                "memory": "256Gi",
                "pods": "110",
                "nvidia.com/gpu": str(cards),
            },
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def hami_node(cards: int, *, ill: int = 0, slots: int = 10) -> dict[str, Any]:
    register = [
        {
            "id": f"GPU-{number}",
            "count": slots,
            "devmem": 16 * GIB,
            "devcore": 100,
            "type": "NVIDIA-T4",
            "health": number >= ill,
        }
        for number in range(cards)
    ]
    text = json.dumps(register)
    return card_node("hami", "Tesla-T4-HAMI", cards * 10, **{"hami.io/node-nvidia-register": text})


def hami_pod(card: int, gib: int) -> dict[str, Any]:
    parts = f"GPU-{card},NVIDIA,{gib * GIB},0:;"
    return {
        "kind": "Pod",
        "metadata": {
            "name": f"on-{card}",
            "annotations": {"hami.io/vgpu-devices-allocated": parts},
        },
        "spec": {"nodeName": "hami", "containers": [{"name": "notebook"}]},
    }


def kai_pods(gib: int) -> list[dict[str, Any]]:
    group = {"runai-gpu-group": "g"}
    reservation = {
        "kind": "Pod",
        "metadata": {"name": "r", "namespace": "kai-resource-reservation", "labels": group},
        "spec": {
            "nodeName": "kai",
            "containers": [{"name": "x", "resources": {"limits": {"nvidia.com/gpu": "1"}}}],
        },
        "status": {"phase": "Running"},
    }
    part = {
        "kind": "Pod",
        "metadata": {
            "name": "p",
            "labels": group,
            "annotations": {"gpu-memory": str(gib * GIB)},
        },
        "spec": {
            "nodeName": "kai",
            "schedulerName": "kai-scheduler",
            "containers": [{"name": "x"}],
        },
        "status": {"phase": "Running"},
    }
    return [reservation, part]


def situations() -> Iterable[tuple[str, str]]:
    whole, ill = cluster(taint()), cluster(taint("gpu-7"))
    yield "all are free", say(whole, "h200")
    yield "one is ill, the others are free", say(ill, "h200")
    held = claim("h200-1", *gpus(0, 1, 2, 3, 4, 5, 6))
    last = claim("h200-1", *gpus(7))
    yield "all are in use", say([*whole, held, last], "h200")
    yield "one is ill, the others are in use", say([*ill, held], "h200")
    yield (
        "one is ill, seven are wanted, one is in use",
        say([*ill, claim("h200-1", *gpus(0))], "h200", count=7),
    )
    yield "one is ill, eight are wanted", say(ill, "h200", count=8)
    yield "all are ill", say(cluster(taint(*gpus(*range(8)))), "h200")
    yield "nothing is in the cluster", say([], "h200")
    yield "there is no driver", say(cluster(without("ResourceSlice")), "h200")
    yield "there is no class", say(cluster(without("DeviceClass")), "h200")
    yield "a selector fails", say(whole, "failing")
    yield "a selector is not known", say(whole, "unheard-of")
    small = {"mig": "1g.23gb"}
    large = {"mig": "3g.90gb"}
    yield "small slices can be cut", say(whole, "b200", small)
    one_each = [claim("b200-1", *slices(number, "1g23gb-19", 0, 4)) for number in range(8)]
    yield "small slices leave no place for large ones", say([*whole, *one_each], "b200", large)
    yield (
        "small slices leave place for one large one, two are wanted",
        say([*whole, *one_each[:7], claim("b200-1", *slices(7, "1g23gb-19", 0))], "b200", large, 2),
    )
    yield (
        "large slices of whole GPUs",
        say([*whole, claim("b200-1", *gpus(*range(8)))], "b200", large),
    )
    part = {"memory": "20Gi"}
    yield "parts are free", say(whole, "l40s", part)
    yield (
        "parts are too large for what is left",
        say(
            [*whole, *[claim("l40s-1", name, memory="40Gi") for name in gpus(0, 1, 2, 3)]],
            "l40s",
            part,
        ),
    )
    yield (
        "all memory of the cards is given out",
        say(
            [*whole, *[claim("l40s-1", name, memory="48Gi") for name in gpus(0, 1, 2, 3)]],
            "l40s",
            part,
        ),
    )
    yield "HAMi: parts are free", say([hami_node(2)], "hami", {"memory": "12Gi"})
    yield (
        "HAMi: parts are too large for what is left",
        say([hami_node(2), hami_pod(0, 8), hami_pod(1, 10)], "hami", {"memory": "12Gi"}),
    )
    yield (
        "HAMi: one card is ill, the other is too full",
        say([hami_node(2, ill=1), hami_pod(1, 10)], "hami", {"memory": "12Gi"}),
    )
    yield (
        "HAMi: cards are shared by as many as may",
        say([hami_node(1, slots=1), hami_pod(0, 1)], "hami", {"memory": "12Gi"}),
    )
    yield (
        "HAMi: two cards are wanted, one has room",
        say([hami_node(2), hami_pod(0, 8)], "hami", {"memory": "12Gi"}, 2),
    )
    yield "HAMi: more than a card has", say([hami_node(2)], "hami", {"memory": "16Gi"}, 3)
    kai = card_node("kai", "Tesla-T4-KAI", 1)
    yield "KAI: parts are free", say([kai], "kai", {"memory": "6Gi"})
    yield (
        "KAI: parts are too large for what is left",
        say([kai, *kai_pods(12)], "kai", {"memory": "6Gi"}),
    )


@pytest.fixture(scope="module")
def told() -> list[tuple[str, str]]:
    return list(situations())


def test_every_sentence_can_be_translated(told: list[tuple[str, str]]) -> None:
    numbers = {"of", "None of None"}  # what this test writes in front
    assert {left_in_english(sentence) for _, sentence in told} == numbers


@pytest.mark.parametrize("tag", shipped_languages())
def test_every_situation_has_its_sentence(told: list[tuple[str, str]], tag: str) -> None:
    say = choose_language(tag, [tag]).say
    text = "".join(f"{what}\n    {say(sentence)}\n" for what, sentence in told)
    path = GOLDEN / ("offer-sentences.txt" if tag == "en" else f"offer-sentences.{tag}.txt")
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
