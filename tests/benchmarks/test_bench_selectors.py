"""What device selectors cost: compiling one, and asking one about a device."""

import time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from gpu_spawner.core.devices.cel import compile_selector
from gpu_spawner.core.devices.facts import DeviceFacts, SemanticVersion

pytestmark = pytest.mark.benchmark(timer=time.thread_time)

EXPRESSION = (
    'device.driver == "gpu.nvidia.com" && device.attributes["gpu.nvidia.com"].type == "gpu"'
    ' && device.attributes["gpu.nvidia.com"].cudaComputeCapability.compareTo(semver("8.0.0")) >= 0'
    ' && device.capacity["gpu.nvidia.com"].memory.compareTo(quantity("70Gi")) >= 0'
)
H100 = DeviceFacts(
    driver="gpu.nvidia.com",
    attributes=(
        ("gpu.nvidia.com/architecture", "Hopper"),
        ("gpu.nvidia.com/cudaComputeCapability", SemanticVersion("9.0.0")),
        ("gpu.nvidia.com/driverVersion", SemanticVersion("580.65.6")),
        ("gpu.nvidia.com/productName", "NVIDIA H100 80GB HBM3"),
        ("gpu.nvidia.com/type", "gpu"),
        ("gpu.nvidia.com/uuid", "GPU-18db0e85-99e9-c746-8531-ffeb86328b39"),
        ("resource.kubernetes.io/pcieRoot", "pci0000:01"),
    ),
    capacity=(("gpu.nvidia.com/memory", 80 * 2**30 * 10**9),),
)


def test_asking_about_a_device(benchmark: BenchmarkFixture) -> None:
    selector = compile_selector(EXPRESSION)

    assert benchmark(selector.matches, H100)

    benchmark.extra_info["target"] = "20 us"


def test_compiling(benchmark: BenchmarkFixture) -> None:
    def compile_afresh() -> bool:
        compile_selector.cache_clear()
        return compile_selector(EXPRESSION).matches(H100)

    assert benchmark(compile_afresh)

    benchmark.extra_info["target"] = "2 ms"
