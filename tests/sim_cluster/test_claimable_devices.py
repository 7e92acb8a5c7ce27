"""What the simulated driver publishes: the shape of NVIDIA's, within an API server's limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.core.errors import ConfigError
from gpu_spawner.core.quantity import parse_nano
from gpu_spawner.sim.apiserver.rules.slice_rules import check_slice
from gpu_spawner.sim.claimable_devices import claimable_devices, slice_specs
from gpu_spawner.sim.fleet import default_fleet, parse_fleet
from gpu_spawner.sim.fleet_gpu import Gpu
from gpu_spawner.sim.mig import cut, placements

B200_MIB = 183359
PROFILES = ("1g.23gb", "1g.45gb", "2g.45gb", "3g.90gb", "4g.90gb", "7g.180gb")


def gpus() -> dict[str, Gpu]:
    return {
        group.name: group.gpu
        for group in default_fleet().nodes
        if group.gpu is not None and group.gpu.dra
    }


@pytest.mark.parametrize("name", ["h200", "b200", "l40s"])
def test_slices_are_what_an_api_server_takes(name: str) -> None:
    gpu = gpus()[name]
    contents = slice_specs(gpu, claimable_devices(gpu, f"{name}-1"), {0: [], 1: []})
    for content in contents:
        pool = {"name": f"{name}-1", "generation": 1, "resourceSliceCount": len(contents)}
        spec = {"driver": "gpu.nvidia.com", "nodeName": f"{name}-1", "pool": pool, **content}
        assert not list(check_slice({"spec": spec}))


def test_each_profile_can_be_made_as_often_as_nvidia_says() -> None:
    counts = {profile: len(placements(profile, B200_MIB)) for profile in PROFILES}
    assert list(counts.values()) == [7, 4, 3, 2, 1, 1]
    assert not placements("1g.5gb", B200_MIB)


@given(st.lists(st.sampled_from(PROFILES), max_size=8))
def test_instances_fit_together_by_counters_exactly_when_a_gpu_can_be_cut_so(
    wanted: list[str],
) -> None:
    """Placements that do not overlap never exceed a counter, and overlapping ones always do."""
    gpu = gpus()["b200"]
    devices = {each.name: each for each in claimable_devices(gpu, "n") if not each.gpu_number}
    amounts = {profile: wanted.count(profile) for profile in wanted}
    try:
        (made,) = cut(amounts, 1, B200_MIB)
    except ValueError:
        return
    left = {
        name: parse_nano(counter["value"])
        for name, counter in slice_specs(gpu, tuple(devices.values()), {})[0]["sharedCounters"][0][
            "counters"
        ].items()
    }
    for place in made:
        name = f"gpu-0-mig-{place.profile.replace('.', '')}-{place.profile_id}-{place.start}"
        (used,) = devices[name].manifest["consumesCounters"]
        for counter, amount in used["counters"].items():
            left[counter] -= parse_nano(amount["value"])
    assert min(left.values()) >= 0


def test_slices_made_beforehand_are_devices_and_their_gpu_is_none() -> None:
    gpu = Gpu(
        product="NVIDIA-H100-80GB-HBM3",
        family="hopper",
        compute="9.0",
        count=2,
        memory_mib=81559,
        device_plugin=False,
        dra="whole",
        mig={"1g.10gb": 3, "3g.40gb": 1},
        mig_gpus=1,
    )
    devices = claimable_devices(gpu, "n")
    assert [device.mig_profile for device in devices] == ["1g.10gb"] * 3 + ["3g.40gb", ""]
    assert {device.manifest["attributes"]["type"]["string"] for device in devices} == {
        "gpu",
        "mig",
    }
    assert devices[0].manifest["capacity"]["memorySlice4"] == {"value": "1"}
    assert all(device.id for device in devices)


@pytest.mark.parametrize(
    ("gpu", "expected"),
    [
        ("dra: whole", "device_plugin: false"),
        ("dra: whole, device_plugin: false, mig_profiles: [1g.10gb]", "go together"),
        ("dra: dynamic-mig, device_plugin: false", "go together"),
        ("dra: dynamic-mig, device_plugin: false, mig_profiles: [1g.5gb]", "not a MIG profile"),
        ("dra: memory-shares, device_plugin: false, mig: {1g.10gb: 1}, mig_gpus: 1", "dra: whole"),
        ("dra: whole, device_plugin: false, mig: {7g.80gb: 2}, mig_gpus: 1", "do not fit on 1"),
        ("dra: whole, device_plugin: false, unhealthy: {2: 79}", "numbered from 0 to 1"),
        ("unhealthy: {0: 79}", "needs dra"),
    ],
)
def test_gpus_that_cannot_be_are_refused(gpu: str, expected: str) -> None:
    facts = 'product: X, family: hopper, compute: "9.0", count: 2, memory_mib: 81559'
    text = f"nodes: [{{name: a, cpu: 1, memory: 1Gi, gpu: {{{facts}, {gpu}}}}}]"
    with pytest.raises(ConfigError, match=expected):
        parse_fleet(text, source="f.yaml")
