"""Turn the models of ``schema`` into the values of ``model`` and ``flavors``."""

from types import MappingProxyType

from gpu_spawner.core.catalog.access_rules import Access, Restriction
from gpu_spawner.core.catalog.access_schema import AccessModel
from gpu_spawner.core.catalog.amounts import Amount, Resources
from gpu_spawner.core.catalog.container_parts import Probe, SecretKey
from gpu_spawner.core.catalog.documents import Document
from gpu_spawner.core.catalog.flavor_reading import tolerations_from
from gpu_spawner.core.catalog.lifetime import Lifetime
from gpu_spawner.core.catalog.model import (
    GpuBlock,
    Image,
    Preload,
    Profile,
    Queue,
    Sidecar,
    SidecarGpu,
)
from gpu_spawner.core.catalog.own_images import OwnImages
from gpu_spawner.core.catalog.schema import GpuModel, ImageModel, ProfileModel, ResourcesModel
from gpu_spawner.core.catalog.sidecar_schema import CpuModel, MemoryModel, SidecarModel

__all__ = [
    "access_from",
    "block_from",
    "image_from",
    "profile_from",
    "resources_from",
    "sidecar_from",
]


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
        renamed_from=tuple(model.renamed_from),
    )


def block_from(model: GpuModel) -> GpuBlock:
    """Make a ``gpu`` block."""
    return GpuBlock(
        flavors=tuple(model.flavors),
        shares=model.share,
        counts=tuple(model.count),
        access=access_from(model),
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
        access=access_from(model),
        restrictions=tuple(
            Restriction(
                access=access_from(rule),
                flavors=frozenset(rule.flavors),
                shares=frozenset(share.label for share in rule.share),
                counts=frozenset(rule.count),
                images=frozenset(rule.images),
                options=frozenset(rule.options),
            )
            for rule in model.restrict
        ),
        is_default=model.default,
        preload=Preload(model.preload),
        node_selector=MappingProxyType(model.node_selector),
        tolerations=tolerations_from(model.tolerations),
        scheduler_name=model.scheduler_name,
        sidecars=tuple(sidecar_from(sidecar) for sidecar in model.sidecars),
        service_account=model.service_account,
        start_timeout_seconds=model.start_timeout_seconds,
        max_wait_seconds=model.max_wait,
        queue=Queue(name=model.kueue.queue, priority_class=model.kueue.priority_class or "")
        if model.kueue
        else None,
        lifetime=Lifetime(max_seconds=model.max_lifetime, idle_seconds=model.idle_timeout),
        own_image=OwnImages(
            allowed=tuple(model.own_image.allowed), max_bytes=model.own_image.max_size
        )
        if model.own_image
        else None,
        description_html=model.description_html,
        category=model.category,
        renamed_from=tuple(model.renamed_from),
        override=MappingProxyType(model.kubespawner_override),
        origin=document.origin,
        lines=document.lines,
    )


def sidecar_from(model: SidecarModel) -> Sidecar:
    """Make a sidecar."""
    gpu, probe = model.gpu, model.readiness
    asked_at = (probe.port or model.port) if probe is not None else None
    return Sidecar(
        name=model.name,
        image=model.image,
        environment=MappingProxyType(model.env),
        secrets=tuple(
            SecretKey(variable=variable, secret=secret.secret, key=secret.key)
            for variable, secret in model.env_from_secret.items()
        ),
        port=model.port,
        command=tuple(model.command),
        args=tuple(model.args),
        cpu=_amount(model.resources.cpu),
        memory=_amount(model.resources.memory),
        gpu=SidecarGpu(
            is_shared=gpu.shared, share=gpu.share[0] if gpu.share else None, count=gpu.count
        )
        if gpu is not None
        else None,
        readiness=Probe(
            path=probe.path,
            port=asked_at,
            period_seconds=probe.period_seconds,
            patience_seconds=probe.patience_seconds,
        )
        if probe is not None and asked_at is not None
        else None,
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
        cpu_choices=tuple(model.cpu.choices),
        memory_choices=tuple(model.memory.choices),
    )


def _amount(model: CpuModel | MemoryModel) -> Amount:
    return Amount(request=model.request, limit=model.limit)


def access_from(model: AccessModel) -> Access:
    """Make a rule of access."""
    return Access(
        groups=_names(model.allowed_groups),
        users=_names(model.allowed_users),
        message=model.when_denied,
    )


def _names(names: list[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)
