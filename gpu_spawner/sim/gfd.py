"""The labels and extended resources that NVIDIA's software puts on a node with given GPUs.

Spelled as GPU feature discovery (GFD) and the device plugin spell them:
https://github.com/NVIDIA/k8s-device-plugin/blob/main/docs/gpu-feature-discovery/README.md
"""

from gpu_spawner.sim.fleet_gpu import Gpu
from gpu_spawner.sim.mig import mig_memory_mib, multiprocessors

__all__ = ["extended_resources", "gpu_labels"]

_MIG_CAPABLE_COMPUTE = (8, 0)


def gpu_labels(gpu: Gpu) -> dict[str, str]:
    """Return the node labels that GFD derives from the GPUs."""
    major, minor = gpu.compute.split(".")
    is_shared = gpu.replicas > 1
    is_mig_capable = (int(major), int(minor)) >= _MIG_CAPABLE_COMPUTE
    labels = {
        "feature.node.kubernetes.io/pci-10de.present": "true",
        "nvidia.com/gpu.present": "true",
        # The suffix says that nvidia.com/gpu here is not a whole GPU (getProductName in GFD).
        "nvidia.com/gpu.product": f"{gpu.product}-SHARED" if is_shared else gpu.product,
        "nvidia.com/gpu.count": str(gpu.count),
        "nvidia.com/gpu.replicas": str(gpu.replicas),
        "nvidia.com/gpu.sharing-strategy": "time-slicing" if is_shared else "none",
        "nvidia.com/gpu.memory": str(gpu.memory_mib),
        "nvidia.com/gpu.family": gpu.family,
        "nvidia.com/gpu.compute.major": major,
        "nvidia.com/gpu.compute.minor": minor,
        "nvidia.com/gpu.mode": "compute",
        "nvidia.com/mig.capable": str(is_mig_capable).lower(),
        "nvidia.com/mps.capable": "false",
        "nvidia.com/vgpu.present": "false",
    }
    if is_mig_capable:
        labels["nvidia.com/mig.strategy"] = "mixed" if gpu.mig else "single"
    return labels | _version_labels(gpu) | _mig_labels(gpu)


def extended_resources(gpu: Gpu) -> dict[str, int]:
    """Return what the device plugin offers of the GPUs; nothing where there is no plugin."""
    if not gpu.device_plugin:
        return {}
    offered = {f"nvidia.com/mig-{profile}": count for profile, count in gpu.mig.items()}
    if whole := (gpu.count - gpu.mig_gpus) * gpu.replicas:
        offered["nvidia.com/gpu"] = whole
    return offered


def _version_labels(gpu: Gpu) -> dict[str, str]:
    driver_major, driver_minor, *rest = gpu.driver.split(".")
    driver_revision = rest[0] if rest else ""
    cuda_major, cuda_minor = gpu.cuda.split(".")
    labels = {
        "nvidia.com/cuda.driver-version.full": gpu.driver,
        "nvidia.com/cuda.driver-version.major": driver_major,
        "nvidia.com/cuda.driver-version.minor": driver_minor,
        "nvidia.com/cuda.driver-version.revision": driver_revision,
        "nvidia.com/cuda.runtime-version.full": gpu.cuda,
        "nvidia.com/cuda.runtime-version.major": cuda_major,
        "nvidia.com/cuda.runtime-version.minor": cuda_minor,
    }
    # Deprecated names, which clusters still carry.
    labels |= {
        "nvidia.com/cuda.driver.major": driver_major,
        "nvidia.com/cuda.driver.minor": driver_minor,
        "nvidia.com/cuda.driver.rev": driver_revision,
        "nvidia.com/cuda.runtime.major": cuda_major,
        "nvidia.com/cuda.runtime.minor": cuda_minor,
    }
    return labels


def _mig_labels(gpu: Gpu) -> dict[str, str]:
    labels: dict[str, str] = {}
    for profile, count in gpu.mig.items():
        slices = profile.partition("g.")[0]
        prefix = f"nvidia.com/mig-{profile}"
        labels |= {
            f"{prefix}.product": f"{gpu.product}-MIG-{profile}",
            f"{prefix}.count": str(count),
            f"{prefix}.replicas": "1",
            f"{prefix}.sharing-strategy": "none",
            f"{prefix}.memory": str(mig_memory_mib(profile)),
            f"{prefix}.multiprocessors": str(multiprocessors(profile)),
            f"{prefix}.slices.gi": slices,
            f"{prefix}.slices.ci": slices,
        }
    return labels
