"""Turn the models of ``schema`` into the values of ``model``."""

from collections.abc import Iterable
from types import MappingProxyType

from gpu_spawner.core.catalog.documents import Document
from gpu_spawner.core.catalog.flavors import Flavor, LabelIn, MigLayout, Sharing, Toleration
from gpu_spawner.core.catalog.model import Amount, GpuBlock, Image, Preload, Profile, Resources
from gpu_spawner.core.catalog.schema import (
    CpuModel,
    FlavorModel,
    GpuModel,
    ImageModel,
    MemoryModel,
    ProfileModel,
    ResourcesModel,
    TolerationModel,
)

__all__ = ["block_from", "flavor_from", "image_from", "profile_from", "resources_from"]


def flavor_from(name: str, model: FlavorModel, document: Document) -> Flavor:
    """Make a flavor."""
    sharing, mig = model.sharing, model.mig
    return Flavor(
        name=name,
        display_name=model.display_name,
        description=model.description,
        architecture=model.architecture,
        memory_bytes=model.memory,
        node_labels=tuple(
            LabelIn(key=key, values=tuple(values)) for key, values in model.node_labels.items()
        ),
        resource=model.resource,
        tolerations=_tolerations(model.tolerations),
        sharing=Sharing(
            strategy=sharing.strategy, replicas=sharing.replicas, is_renamed=sharing.renamed
        )
        if sharing
        else None,
        mig=MigLayout(strategy=mig.strategy, profiles=tuple(mig.profiles)) if mig else None,
        origin=document.origin,
        line=document.lines.get((name,), 0),
    )


def image_from(name: str, model: ImageModel) -> Image:
    """Make an image.

    A program built with CUDA 12.x runs on every driver for CUDA 12 (NVIDIA's "minor version
    compatibility"), so the first release of the major version is what the driver must support.
    """
    return Image(
        name=name,
        reference=model.image,
        display_name=model.display_name,
        description=model.description,
        size_bytes=model.size,
        python=model.python,
        pytorch=model.pytorch,
        cuda=".".join(map(str, model.cuda)) if model.cuda else "",
        min_cuda=model.min_cuda or (model.cuda and (model.cuda[0], 0)),
        architectures=tuple(model.architectures),
        packages=tuple(model.packages.items()),
        default_url=model.default_url,
        cmd=tuple(model.cmd),
    )


def block_from(model: GpuModel) -> GpuBlock:
    """Make a ``gpu`` block."""
    return GpuBlock(
        flavors=tuple(model.flavors),
        shares=model.share,
        counts=tuple(model.count),
        allowed_groups=_groups(model.allowed_groups),
    )


def profile_from(slug: str, order: int, model: ProfileModel, document: Document) -> Profile:
    """Make a profile."""
    return Profile(
        slug=slug,
        order=order,
        display_name=model.display_name,
        description=model.description,
        images=tuple(model.images),
        gpu=tuple(block_from(block) for block in model.gpu),
        resources=resources_from(model.resources),
        allowed_groups=_groups(model.allowed_groups),
        is_default=model.default,
        preload=Preload(model.preload),
        node_selector=MappingProxyType(model.node_selector),
        tolerations=_tolerations(model.tolerations),
        scheduler_name=model.scheduler_name,
        override=MappingProxyType(model.kubespawner_override),
        origin=document.origin,
        lines=document.lines,
    )


def resources_from(model: ResourcesModel) -> Resources:
    """Make the resources beside the GPUs."""
    each = model.per_gpu
    return Resources(
        cpu=_amount(model.cpu),
        memory=_amount(model.memory),
        shm_bytes=model.shm or 0,
        cpu_per_gpu=_amount(each.cpu),
        memory_per_gpu=_amount(each.memory),
        shm_bytes_per_gpu=each.shm or 0,
    )


def _amount(model: CpuModel | MemoryModel) -> Amount:
    return Amount(request=model.request, limit=model.limit)


def _groups(groups: list[str] | None) -> frozenset[str] | None:
    return None if groups is None else frozenset(groups)


def _tolerations(models: Iterable[TolerationModel]) -> tuple[Toleration, ...]:
    return tuple(
        Toleration(
            key=model.key or "",
            operator=model.operator,
            value=model.value,
            effect=model.effect or "",
            toleration_seconds=model.toleration_seconds,
        )
        for model in models
    )
