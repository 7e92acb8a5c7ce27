"""Sidecars as Kubernetes writes containers, with their GPUs and without a single secret value."""

from collections.abc import Mapping
from typing import Any, Final

from gpu_spawner.core.catalog.amounts import Amount
from gpu_spawner.core.catalog.claims import CLAIM_NAME
from gpu_spawner.core.catalog.model import Image, Sidecar
from gpu_spawner.core.quantity import format_bytes, format_cpu

__all__ = ["SHM_PATH", "SHM_VOLUME", "claim_name_of", "compile_sidecar"]

SHM_VOLUME: Final = "gpu-spawner-shm"
SHM_PATH: Final = "/dev/shm"  # noqa: S108 - a mount point, not a temporary file


def claim_name_of(sidecar: Sidecar) -> str:
    """Return the pod-local name of the claim for a sidecar's own devices."""
    return f"{CLAIM_NAME}-{sidecar.name}"


def compile_sidecar(
    sidecar: Sidecar,
    images: Mapping[str, Image],
    resources: Mapping[str, int],
    claim: str,
    *,
    has_shm: bool,
) -> dict[str, Any]:
    """Return a sidecar's container.

    Args:
        sidecar: as the profile describes it.
        images: of the catalog; the sidecar may name one of them.
        resources: extended resources of its own.
        claim: the pod-local name of the claim it uses; empty for none.
        has_shm: whether the profile has a ``/dev/shm`` of its own, which sidecars with a GPU share.
    """
    image = images.get(sidecar.image)
    container: dict[str, Any] = {
        "name": sidecar.name,
        "image": image.reference if image is not None else sidecar.image,
    }
    if sidecar.command:
        container["command"] = list(sidecar.command)
    if sidecar.args:
        container["args"] = list(sidecar.args)
    environment = _environment(sidecar)
    if environment:
        container["env"] = environment
    if sidecar.port is not None:
        container["ports"] = [{"containerPort": sidecar.port}]
    found = _resources(sidecar, resources, claim)
    if found:
        container["resources"] = found
    if sidecar.readiness is not None:
        container["readinessProbe"] = _probe(sidecar)
    if has_shm and sidecar.gpu is not None:
        container["volumeMounts"] = [{"name": SHM_VOLUME, "mountPath": SHM_PATH}]
    return container


def _environment(sidecar: Sidecar) -> list[dict[str, Any]]:
    plain = dict(sidecar.environment)
    if sidecar.gpu is None:
        # As for servers without a GPU: an image for GPUs would otherwise see all of its node's.
        plain["NVIDIA_VISIBLE_DEVICES"] = "void"
    return [
        *({"name": name, "value": value} for name, value in plain.items()),
        *(
            {
                "name": secret.variable,
                "valueFrom": {"secretKeyRef": {"name": secret.secret, "key": secret.key}},
            }
            for secret in sidecar.secrets
        ),
    ]


def _resources(sidecar: Sidecar, extended: Mapping[str, int], claim: str) -> dict[str, Any]:
    devices = {name: str(amount) for name, amount in extended.items()}
    requests = {**_part(sidecar.cpu, sidecar.memory, "request"), **devices}
    limits = {**_part(sidecar.cpu, sidecar.memory, "limit"), **devices}
    found: dict[str, Any] = {}
    if requests:
        found["requests"] = requests
    if limits:
        found["limits"] = limits
    if claim:
        found["claims"] = [{"name": claim}]
    return found


def _part(cpu: Amount, memory: Amount, part: str) -> dict[str, str]:
    cpu_milli, memory_bytes = getattr(cpu, part), getattr(memory, part)
    found = {}
    if cpu_milli is not None:
        found["cpu"] = format_cpu(cpu_milli)
    if memory_bytes is not None:
        found["memory"] = format_bytes(memory_bytes)
    return found


def _probe(sidecar: Sidecar) -> dict[str, Any]:
    probe = sidecar.readiness
    if probe is None:
        return {}
    how: dict[str, Any] = (
        {"httpGet": {"path": probe.path, "port": probe.port}}
        if probe.path
        else {"tcpSocket": {"port": probe.port}}
    )
    return {
        **how,
        "periodSeconds": probe.period_seconds,
        "failureThreshold": max(1, -(-probe.patience_seconds // probe.period_seconds)),
    }
