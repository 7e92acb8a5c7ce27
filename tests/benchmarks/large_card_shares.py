"""Divided cards at scale: 5,000 nodes, 1,000 of them with 8 cards that HAMi divides by ten."""

import random
from functools import cache

import msgspec
from large_cluster import build_nodes

from gpu_spawner.core.cluster.card_shares import HAMI, Card, CardPart, CardRegister, HeldShare
from gpu_spawner.core.cluster.objects import Node, Pod
from gpu_spawner.core.cluster.selectors import Toleration
from gpu_spawner.core.devices.fractions.request import CardAsk, FractionRequest
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.resources import ResourceVector

__all__ = ["build_divided_nodes", "build_share_holders", "build_share_requests", "share_holder"]

CARDS = 8
CARD_MIB = 81_920
RESOURCE = "nvidia.com/gpu"
PARTS = ((10_240, 10), (20_480, 25), (40_960, 50), (8_192, 0))
"""Memory in MiB and percent of compute of the parts that pods hold."""


@cache
def build_divided_nodes() -> tuple[Node, ...]:
    """Build the nodes of the large cluster, their cards divided; each card has its own uuid."""
    found = []
    for node in build_nodes():
        if RESOURCE not in node.allocatable:
            found.append(node)
            continue
        cards = tuple(
            Card(
                uuid=f"GPU-{node.name}-{number}",
                slots=10,
                memory_mib=CARD_MIB,
                model="NVIDIA H100 80GB HBM3",
                mode="hami-core",
            )
            for number in range(CARDS)
        )
        register = CardRegister(scheme=HAMI, cards=cards)
        amounts = {**node.allocatable, RESOURCE: 10 * CARDS}
        found.append(
            msgspec.structs.replace(
                node, card_registers=(register,), allocatable=ResourceVector(amounts)
            )
        )
    return tuple(found)


@cache
def build_share_holders() -> tuple[Pod, ...]:
    """Build up to twelve pods a node that hold parts of cards, no two nodes alike."""
    random_source = random.Random(2)
    return tuple(
        share_holder(number, position, random_source.randrange(CARDS), random_source.choice(PARTS))
        for number in range(1000)
        for position in range(number % 13)
    )


def share_holder(number: int, position: int, card: int, part: tuple[int, int]) -> Pod:
    """Build a pod that holds a part of a card of a node."""
    memory_mib, cores = part
    held = CardPart(uuid=f"GPU-node-{number}-{card}", memory_mib=memory_mib, cores=cores)
    return Pod(
        namespace="users",
        name=f"share-{number}-{position}",
        uid=f"{number:08x}-{position:04x}",
        node_name=f"node-{number}",
        requests=ResourceVector({"cpu": 1000, "memory": 4 << 30, RESOURCE: 1}),
        phase="Running",
        held_share=HeldShare(scheme=HAMI, parts=(held,)),
    )


def build_share_requests() -> tuple[PodRequest, ...]:
    """Build requests for a tenth and a half of a card, for a whole one, and for parts of two."""
    asks = (
        CardAsk(memory_mib=8_192),
        CardAsk(memory_mib=40_960, cores=30),
        CardAsk(percent=100, cores=100),
        CardAsk(cards=2, memory_mib=20_480, cores=20),
    )
    return tuple(
        PodRequest(
            requests=ResourceVector({"cpu": 1000, "memory": 4 << 30, RESOURCE: ask.cards}),
            tolerations=(Toleration(operator="Exists"),),
            fraction=FractionRequest(scheme=HAMI, asks=(ask,)),
        )
        for ask in asks
    )
