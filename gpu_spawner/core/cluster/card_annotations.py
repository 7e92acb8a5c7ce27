"""Divided cards as their schedulers write them into annotations and labels.

HAMi and Volcano list a node's cards in one of its annotations, and what a pod holds of them in one
of the pod's. KAI and Run:ai label a pod with the groups of its cards. Decides only how that is
read. Anybody who may write a pod may write such annotations; the schedulers believe them, and so
does the counting.
Source: HAMi 2.10 (pkg/device/devices.go, pkg/device/nvidia), Volcano 1.15
(pkg/scheduler/api/devices/nvidia/vgpu), KAI 0.17 (pkg/common/resources/gpu_sharing.go).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from gpu_spawner.core.cluster.card_shares import (
    HAMI,
    KAI,
    VOLCANO,
    Card,
    CardPart,
    CardRegister,
    HeldShare,
    MigPlace,
    MigProfile,
)
from gpu_spawner.core.cluster.wire import WireAnnotations, WireMeta

__all__ = [
    "card_registers",
    "fraction_from_text",
    "held_share",
    "mib_from_text",
]

_GROUP_LABEL: Final = "runai-gpu-group"
_FURTHER_GROUP: Final = "runai-gpu-group/"
_VENDOR: Final = "NVIDIA"  # the registers may list other vendors' cards, which are asked otherwise
_MAX_CARDS: Final = 1024  # of one node; more are not believed
_FRACTION: Final = re.compile(r"[0-9]{0,3}\.?[0-9]{1,17}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


class _WireMigPlace(msgspec.Struct):
    start: int = 0
    size: int = 0


class _WireMigProfile(msgspec.Struct, rename="camel"):
    name: str = ""
    memory_mb: int = msgspec.field(name="memoryMB", default=0)
    core: int = 0
    slice_count: int = 0
    placements: list[_WireMigPlace] | None = None


class _WireCard(msgspec.Struct):
    """A card as HAMi writes it since 2.5; what is zero or false is left out there."""

    id: str = ""
    count: int = 0
    devmem: int = 0
    devcore: int = 0
    type: str = ""
    mode: str = ""
    health: bool = False
    mig_profiles: list[_WireMigProfile] | None = msgspec.field(name="migProfiles", default=None)


class _WireMigAllocation(msgspec.Struct, rename="camel"):
    gpu_uuid: str = msgspec.field(name="gpuUUID", default="")
    placement: _WireMigPlace | None = None


_decode_cards = msgspec.json.Decoder(list[_WireCard]).decode
_decode_mig_allocations = msgspec.json.Decoder(list[_WireMigAllocation]).decode


def card_registers(annotations: WireAnnotations | None) -> tuple[CardRegister, ...]:
    """Read the cards that are divided on a node from its annotations."""
    registers = []
    if annotations is not None and annotations.hami_register is not None:
        cordoned = frozenset(uuid.strip() for uuid in (annotations.hami_cordon or "").split(","))
        registers.append(_register(HAMI, annotations.hami_register, cordoned - {""}))
    if annotations is not None and annotations.volcano_register is not None:
        registers.append(_register(VOLCANO, annotations.volcano_register, frozenset()))
    return tuple(registers)


def held_share(meta: WireMeta, init_containers: int) -> HeldShare | None:
    """Read what a pod holds of divided cards; None where that is nothing, or cannot be read.

    Args:
        meta: the pod's.
        init_containers: how many of its containers run before the others and give their parts
            back. HAMi lists them first, Volcano does not list them.
    """
    annotations = meta.annotations
    if annotations is not None:
        if annotations.hami_held:
            return _held_parts(HAMI, annotations.hami_held, init_containers, annotations.hami_mig)
        if annotations.volcano_held:
            return _held_parts(VOLCANO, annotations.volcano_held, 0, None)
        if annotations.gpu_fraction is not None or annotations.gpu_memory is not None:
            return _held_portion(meta.labels or {}, annotations)
    if meta.labels and _GROUP_LABEL in meta.labels:
        # It is in whatever namespace the site keeps those, so that only its form tells it.
        return HeldShare(scheme=KAI, groups=(meta.labels[_GROUP_LABEL],), is_reservation=True)
    return None


def _register(scheme: str, text: str, cordoned: frozenset[str]) -> CardRegister:
    try:
        cards = tuple(card for card in _cards(scheme, text) if _VENDOR in card.model.upper())
    except ValueError as error:  # msgspec.DecodeError is one
        return CardRegister(scheme=scheme, unreadable=str(error)[:100])
    return CardRegister(scheme=scheme, cards=cards, cordoned=cordoned)


def _cards(scheme: str, text: str) -> Iterator[Card]:
    if scheme == HAMI and text.lstrip().startswith("["):
        decoded = _decode_cards(text)
        if len(decoded) > _MAX_CARDS:
            raise ValueError(f"it lists {len(decoded)} cards")
        yield from map(_card_from_json, decoded)
        return
    entries = [entry.split(",") for entry in text.split(":") if "," in entry]
    if len(entries) > _MAX_CARDS:
        raise ValueError(f"it lists {len(entries)} cards")
    if not entries and text.strip(": "):
        raise ValueError("it is neither JSON nor a list with colons")
    yield from map(_card_from_volcano if scheme == VOLCANO else _card_from_fields, entries)


def _card_from_json(wire: _WireCard) -> Card:
    if not wire.id or min(wire.count, wire.devmem, wire.devcore) < 0:
        raise ValueError("a card has no id, or less than nothing of something")
    return Card(
        uuid=wire.id,
        slots=wire.count,
        memory_mib=wire.devmem,
        cores=wire.devcore,
        model=wire.type,
        mode=wire.mode,
        is_healthy=wire.health,
        mig_profiles=tuple(
            MigProfile(
                name=profile.name,
                memory_mib=profile.memory_mb,
                cores=profile.core,
                slices=profile.slice_count,
                places=tuple((place.start, place.size) for place in profile.placements or ()),
            )
            for profile in wire.mig_profiles or ()
        ),
    )


def _card_from_fields(fields: list[str]) -> Card:
    """Read ``uuid,slots,memory,cores,model,numa,healthy`` with ``index,mode`` behind it or not."""
    if len(fields) not in (7, 9):
        raise ValueError(f"a card has {len(fields)} fields, not 7 or 9")
    return Card(
        uuid=fields[0],
        slots=_number(fields[1]),
        memory_mib=_number(fields[2]),
        cores=_number(fields[3]),
        model=fields[4],
        is_healthy=_is_true(fields[6]),
        mode=fields[8] if len(fields) == 9 else "hami-core",
    )


def _card_from_volcano(fields: list[str]) -> Card:
    """Read ``uuid,slots,memory,model,healthy,mode``; older plugins leave the mode out."""
    if len(fields) < 5:
        raise ValueError(f"a card has {len(fields)} fields, not 6")
    return Card(
        uuid=fields[0],
        slots=_number(fields[1]),
        memory_mib=_number(fields[2]),
        model=fields[3],
        is_healthy=_is_true(fields[4]),
        mode="mig" if fields[5:6] == ["mig"] else "hami-core",
    )


def _held_parts(scheme: str, text: str, init_containers: int, mig: str | None) -> HeldShare | None:
    """Read ``uuid,kind,memory,cores:`` for a card, with ``;`` after each container.

    What cannot be read counts for nothing, as with the schedulers that wrote it.
    """
    peak: dict[str, list[int]] = {}
    total: dict[str, list[int]] = {}
    try:
        for position, container in enumerate(text.split(";")):
            is_init = position < init_containers
            for entry in container.split(":"):
                if "," not in entry:
                    continue
                uuid, _, memory, cores, *_ = entry.split(",")
                asked = [_number(memory), _number(cores), 1]
                sums = (peak if is_init else total).setdefault(uuid, [0, 0, 0])
                sums[:] = (
                    map(max, sums, asked)
                    if is_init
                    else [have + more for have, more in zip(sums, asked, strict=True)]
                )
        places = _mig_places(mig)
    except ValueError:
        return None
    parts = []
    for uuid in sorted(peak.keys() | total.keys()):
        nothing = [0, 0, 0]
        memory_mib, percent, slots = map(max, peak.get(uuid, nothing), total.get(uuid, nothing))
        known = places.pop(uuid, [])
        parts.append(
            CardPart(
                uuid=uuid,
                memory_mib=memory_mib,
                cores=percent,
                slots=slots,
                mig_place=known.pop(0) if known else None,
            )
        )
        parts += [CardPart(uuid=uuid, slots=0, mig_place=place) for place in known]
    return HeldShare(scheme=scheme, parts=tuple(parts)) if parts else None


def _held_portion(labels: Mapping[str, str], annotations: WireAnnotations) -> HeldShare | None:
    """Read the groups of a pod with a part of one card, or of several."""
    groups = [labels[_GROUP_LABEL]] if _GROUP_LABEL in labels else []
    groups += sorted(value for key, value in labels.items() if key.startswith(_FURTHER_GROUP))
    if not groups:
        return None
    portion = fraction_from_text(annotations.gpu_fraction or "")
    return HeldShare(
        scheme=KAI,
        groups=tuple(dict.fromkeys(groups)),
        portion=portion,
        memory_mib=0 if portion else mib_from_text(annotations.gpu_memory or ""),
    )


def fraction_from_text(text: str) -> float:
    """Return the part of a card an annotation asks for, more than 0 and at most 1; else 0.

    >>> fraction_from_text("0.5"), fraction_from_text("1.5"), fraction_from_text("half")
    (0.5, 0.0, 0.0)
    """
    value = float(text) if _FRACTION.fullmatch(text) else 0.0
    return value if value <= 1 else 0.0


def mib_from_text(text: str) -> int:
    """Return a whole number of MiB; 0 where it is none.

    >>> mib_from_text("8000"), mib_from_text("8Gi")
    (8000, 0)
    """
    return int(text) if _NUMBER.fullmatch(text) else 0


def _mig_places(text: str | None) -> dict[str, list[MigPlace]]:
    places: dict[str, list[MigPlace]] = {}
    for allocation in _decode_mig_allocations(text) if text else ():
        if allocation.placement is not None:
            place = allocation.placement.start, allocation.placement.size
            places.setdefault(allocation.gpu_uuid, []).append(place)
    return places


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"'{text[:40]}' is not a number")
    return int(text)


def _is_true(text: str) -> bool:
    """Read a truth value as Go's ParseBool does."""
    return text in ("1", "t", "T", "TRUE", "true", "True")
