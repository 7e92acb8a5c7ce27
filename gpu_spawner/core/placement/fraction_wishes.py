"""Parts of cards in a pod's manifest, as HAMi, Volcano, KAI and Run:ai read them.

Decides by which scheduler a pod wants to be served, from the resources and annotations under their
usual names; a site that renamed them says so in its catalog, whose requests are not read from
manifests. What a manifest asks for that is not counted makes its seats unknown.
Source: ``GenerateResourceRequests`` in HAMi 2.10 (pkg/device/nvidia/device.go),
``ExtractResourceRequest`` in Volcano 1.15 (pkg/scheduler/api/devices/util.go),
``updatePodAdditionalFields`` in KAI 0.17 (pkg/scheduler/api/pod_info/pod_info.go).
"""

from collections.abc import Sequence
from typing import Final

from gpu_spawner.core.cluster.card_annotations import fraction_from_text, mib_from_text
from gpu_spawner.core.cluster.card_shares import HAMI, KAI, VOLCANO
from gpu_spawner.core.cluster.pod_resources import effective_requests
from gpu_spawner.core.cluster.wire import WireContainer, WirePodSpec, WireRequestAnnotations
from gpu_spawner.core.devices.fractions.request import GPU, RUNAI, CardAsk, FractionRequest
from gpu_spawner.core.resources import ResourceVector

__all__ = ["HAMI_UNCOUNTED", "fraction_wish"]

_MEMORY: Final = "nvidia.com/gpumem"
_PERCENT: Final = "nvidia.com/gpumem-percentage"
_CORES: Final = "nvidia.com/gpucores"
HAMI_UNCOUNTED: Final = (_MEMORY, _PERCENT, _CORES, "nvidia.com/priority")
"""What HAMi's chart names for its scheduler alone (charts/hami/values.yaml)."""

_VGPU_NUMBER: Final = "volcano.sh/vgpu-number"
_VGPU_MEMORY: Final = "volcano.sh/vgpu-memory"
_VGPU_PERCENT: Final = "volcano.sh/vgpu-memory-percentage"
_VGPU_CORES: Final = "volcano.sh/vgpu-cores"
_RUNAI_SCHEDULER: Final = "runai-scheduler"
_POLICIES: Final = ("", "spread", "binpack")


def fraction_wish(
    annotations: WireRequestAnnotations, scheduler_name: str, containers: Sequence[WireContainer]
) -> tuple[FractionRequest | None, str]:
    """Read which parts of cards a pod asks for.

    Args:
        annotations: the pod's.
        scheduler_name: of its ``spec``.
        containers: its containers; those that run before them are not looked at.

    Returns:
        The parts, None for none, and why they cannot be known; empty where they can.

    Raises:
        ValueError: a quantity is malformed.
    """
    if annotations.gpu_fraction is not None or annotations.gpu_memory is not None:
        return _portion(annotations, scheduler_name)
    amounts = [effective_requests(WirePodSpec(containers=[one]), None) for one in containers]
    if any(_VGPU_NUMBER in one or _VGPU_MEMORY in one for one in amounts):
        return _volcano(annotations, amounts)
    if any(name in one for one in amounts for name in (_MEMORY, _PERCENT, _CORES)):
        return _hami(annotations, amounts)
    return None, ""


def _portion(
    annotations: WireRequestAnnotations, scheduler_name: str
) -> tuple[FractionRequest | None, str]:
    portion = fraction_from_text(annotations.gpu_fraction or "")
    memory = mib_from_text(annotations.gpu_memory or "")
    cards = mib_from_text(annotations.gpu_fraction_num_devices or "1")
    if annotations.gpu_fraction is not None and annotations.gpu_memory is not None:
        return None, "gpu-fraction and gpu-memory exclude each other"
    if not cards or not (memory or 0 < portion < 1):
        return None, "its part of a GPU is neither between 0 and 1 nor a number of MiB"
    scheme = RUNAI if scheduler_name == _RUNAI_SCHEDULER else KAI
    ask = CardAsk(cards=cards, portion=portion, memory_mib=memory)
    return FractionRequest(scheme=scheme, asks=(ask,)), ""


def _hami(
    annotations: WireRequestAnnotations, amounts: Sequence[ResourceVector]
) -> tuple[FractionRequest | None, str]:
    policy = annotations.hami_policy or ""
    if annotations.use_uuid or annotations.nouse_uuid or annotations.numa_bind:
        return None, "which single GPUs or NUMA nodes HAMi may use is not evaluated"
    if policy not in _POLICIES:
        return None, f"HAMi's policy {policy[:40]} is not evaluated"
    asks = tuple(
        CardAsk(
            cards=one.amount(GPU) or 1,
            memory_mib=one.amount(_MEMORY),
            percent=one.amount(_PERCENT) or (0 if one.amount(_MEMORY) else 100),
            cores=_hami_cores(one),
        )
        for one in amounts
        if any(name in one for name in (GPU, _MEMORY, _PERCENT, _CORES))
    )
    return FractionRequest(
        scheme=HAMI,
        asks=asks,
        models=_models(annotations.use_type),
        other_models=_models(annotations.nouse_type),
        mode=annotations.hami_mode or "",
        policy=policy,
        uncounted=HAMI_UNCOUNTED,
    ), ""


def _hami_cores(amounts: ResourceVector) -> int:
    """Return percent of compute; all of it for who asks for all memory and says nothing of it."""
    if _CORES in amounts:
        return amounts.amount(_CORES)
    percent, memory = amounts.amount(_PERCENT), amounts.amount(_MEMORY)
    return 100 if percent == 100 or not (percent or memory) else 0


def _volcano(
    annotations: WireRequestAnnotations, amounts: Sequence[ResourceVector]
) -> tuple[FractionRequest | None, str]:
    if annotations.volcano_use_uuid or annotations.volcano_nouse_uuid:
        return None, "which single GPUs Volcano may use is not evaluated"
    asks = tuple(
        CardAsk(
            cards=one.amount(_VGPU_NUMBER) or 1,
            memory_mib=one.amount(_VGPU_MEMORY),
            percent=one.amount(_VGPU_PERCENT) or (0 if one.amount(_VGPU_MEMORY) else 100),
            cores=one.amount(_VGPU_CORES),
        )
        for one in amounts
        if _VGPU_NUMBER in one or _VGPU_MEMORY in one
    )
    return FractionRequest(
        scheme=VOLCANO,
        asks=asks,
        models=_models(annotations.use_type),
        other_models=_models(annotations.nouse_type),
        mode=annotations.volcano_mode or "",
        resource=_VGPU_NUMBER,
        uncounted=(_VGPU_PERCENT,),
    ), ""


def _models(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())
