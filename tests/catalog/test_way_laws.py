"""Laws of mechanisms and compiling, over flavors, wishes and counts of every sort."""

import json
import random
import re
from typing import Any

from every_way import SIDECAR, selections_of, with_profile
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.catalog_files import read_mapping
from gpu_spawner.core.catalog.claims import template_of
from gpu_spawner.core.catalog.compile import PodFragment, compile_ways
from gpu_spawner.core.catalog.device_selectors import attribute_selector, capacity_selector
from gpu_spawner.core.catalog.mechanisms import MECHANISMS, describe_share
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.catalog.shares import parse_share
from gpu_spawner.core.catalog.site_pod import SitePod, claims_of, request_of, settings_of
from gpu_spawner.core.devices.cel import compile_selector
from gpu_spawner.core.devices.facts import DeviceFacts
from gpu_spawner.core.errors import ConfigError
from gpu_spawner.sim.apiserver.rules.device_rules import check_template, default_template_claim

LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
SLICES = ["1g.5gb", "1g.10gb", "1g.10gb+me", "2g.20gb", "7g.80gb"]

dra = st.fixed_dictionaries(
    {},
    optional={
        "mig_device_class": st.just("mig.nvidia.com"),
        "attributes": st.just({"productName": ["A", "B"]}),
        "memory_capacity": st.just("memory"),
        "share_capacity": st.just("shares"),
        "min_memory": st.just("40Gi"),
        "constraints": st.just([{"distinct_attribute": "uuid"}]),
        "config": st.just([{"parameters": {"kind": "GpuConfig"}}]),
        "slices_of_one_gpu": st.booleans(),
    },
)
flavors = st.fixed_dictionaries(
    {
        "node_labels": st.sampled_from(
            [
                {"nvidia.com/gpu.product": "NVIDIA-A100"},
                {"cloud.google.com/gke-accelerator": "nvidia-l4"},
                {},
            ]
        ),
    },
    optional={
        "resource": st.sampled_from(["nvidia.com/gpu", "nvidia.com/gpu", "example.com/h200"]),
        "memory": st.sampled_from(["16GB", "80GB"]),
        "sharing": st.fixed_dictionaries(
            {
                "strategy": st.sampled_from(["mps", "time-slicing"]),
                "replicas": st.sampled_from([2, 4]),
            }
        ),
        "mig": st.fixed_dictionaries(
            {
                "strategy": st.sampled_from(["mixed", "single"]),
                "profiles": st.lists(st.sampled_from(SLICES), unique=True, max_size=3),
            }
        ),
        "dra": dra,
        "hami": st.just({}),
        "volcano": st.just({}),
        "kai": st.just({"queue": "q"}),
        "runai": st.just({"project": "p"}),
        "mechanisms": st.sampled_from([[], [], ["replica"], ["dra-whole", "whole", "mig"]]),
    },
)
changes = st.sampled_from(
    [
        {},
        {"node_labels": {"pool": "others"}},
        {"dra": {"attributes": {"productName": "C"}, "memory_capacity": "memory"}},
        {"resource": "amd.com/gpu"},
    ]
)
wishes = st.sampled_from(
    [
        "whole",
        {"mig": "1g.10gb"},
        {"mig": ["2g.20gb", "1g.10gb+me"]},
        {"replica": 1},
        {"memory": ["4Gi", "10GB"]},
        {"fraction": [0.25, 0.5]},
    ]
)
counts = st.sampled_from([1, 1, 1, 2, 4, 33])
extras = st.fixed_dictionaries(
    {},
    optional={
        "kueue": st.just({"queue": "q"}),
        "scheduler_name": st.sampled_from(["", "other"]),
        "sidecars": st.sampled_from(
            [[{**SIDECAR, "gpu": "shared"}], [{**SIDECAR, "gpu": {"count": 1}}], [SIDECAR]]
        ),
    },
)


def read(one: Any, changes: Any, wish: Any, count: int, more: Any) -> Catalog | None:
    """Read a profile over two flavors that differ a little; None where it was refused."""
    gpu = {"flavors": ["one", "other"], "share": wish, "count": count}
    flavors = {"one": one, "other": {**one, **changes}}
    try:
        return read_mapping(with_profile({"gpu": gpu, **more}, **flavors))
    except ConfigError:
        return None


@given(flavors, changes, wishes, counts, st.just({}) | extras)
def test_what_is_accepted_compiles_and_always_to_the_same(
    one: Any, change: Any, wish: Any, count: int, more: Any
) -> None:
    catalog = read(one, change, wish, count, more)
    if catalog is None:
        return
    again = read(one, change, wish, count, more)
    for selection in selections_of(catalog.profiles[0]).values():
        ways = compile_ways(catalog, selection)
        assert ways
        assert again is not None
        assert ways == compile_ways(again, selection)
        for way in ways:
            assert_sound(way)
            assert compile_ways(catalog, way.selection) == (way,)


def assert_sound(way: PodFragment) -> None:
    """Hold one way to what every pod must be."""
    for key, value in way.labels.items():
        assert LABEL_VALUE.fullmatch(value), key
    assert json.dumps(settings_of(way, SitePod()))
    names = ["notebook", *(container["name"] for container in way.sidecars)]
    assert len(set(names)) == len(names)
    for claim in claims_of(way):
        assert set(claim.containers) <= set(names)
        template = {
            "metadata": {"name": claim.template.name, "namespace": "hub"},
            "spec": {"spec": json.loads(json.dumps(claim.template.spec))},
        }
        default_template_claim(template)
        assert list(check_template(template)) == []
    request = request_of(way, SitePod())
    assert not request.unknown
    assert bool(way.extended_resources or way.claims or way.fraction)


@given(flavors, wishes, counts)
def test_a_mechanism_serves_or_says_why_not(one: Any, wish: Any, count: int) -> None:
    mapping = with_profile({}, one=one)
    try:
        flavor = read_mapping(mapping).flavors["one"]
    except ConfigError:
        return
    for share in parse_share(wish):
        assert describe_share(flavor, share).isolation
        for mechanism in MECHANISMS.values():
            mistake = mechanism.mistake(flavor, share, count)
            side = mechanism.pod_side(flavor, share, count)
            assert (mistake is None) == (side is not None), mechanism.NAME
            if mistake is not None:
                assert mistake.message
                assert mistake.cure.endswith(".")
                continue
            facts = mechanism.describe(flavor, share)
            assert facts.title
            assert facts.isolation.endswith(".")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), json_values), st.randoms(use_true_random=False))
def test_a_templates_name_is_its_contents(spec: dict[str, Any], order: random.Random) -> None:
    items = list(spec.items())
    order.shuffle(items)
    name = template_of(spec).name
    assert template_of(dict(items)).name == name
    assert re.fullmatch(r"gpu-spawner-[0-9a-f]{16}", name)
    assert template_of({**spec, "other": 1}).name != name or spec.get("other") == 1


@given(
    st.sampled_from(["type", "in", "package", "productName"]),
    st.text(min_size=1, max_size=64).filter(str.isprintable)
    | st.integers(-(2**62), 2**62)
    | st.booleans(),
)
def test_selectors_compare_with_exactly_what_was_written(name: str, value: Any) -> None:
    """No value becomes a part of the expression; a device without the attribute is no error."""
    selector = compile_selector(attribute_selector("gpu.example.org", name, [value]))

    def device(**attributes: Any) -> DeviceFacts:
        named = {f"gpu.example.org/{key}": found for key, found in attributes.items()}
        return DeviceFacts(driver="gpu.example.org", attributes=tuple(sorted(named.items())))

    assert selector.matches(device(**{name: value}))
    assert not selector.matches(device(**{name: "something else entirely, and much longer"}))
    assert not selector.matches(device())
    assert not selector.matches(DeviceFacts(driver="other"))


@given(st.integers(2**20, 2**45), st.integers(2**20, 2**45))
def test_selectors_compare_amounts(has: int, wants: int) -> None:
    selector = compile_selector(capacity_selector("gpu.example.org", "memory", wants))
    device = DeviceFacts(
        driver="gpu.example.org", capacity=(("gpu.example.org/memory", has * 10**9),)
    )
    assert selector.matches(device) == (has >= wants)
    assert not selector.matches(DeviceFacts(driver="gpu.example.org"))
