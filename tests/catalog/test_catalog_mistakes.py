"""Mistakes in profiles, flavors and images: each is told in exactly these words."""

from typing import Any

import pytest
from catalog_builders import documents

from gpu_spawner.catalog_files import read_mapping
from gpu_spawner.core.errors import ConfigError


def tell(changes: dict[str, Any]) -> list[str]:
    """Change the small catalog at paths like ``20-gpus.gpu.count``, and list what is told."""
    mapping = documents()
    for path, value in changes.items():
        *parents, last = path.split(".", 3) if "node_labels" in path else path.split(".")
        here: Any = mapping
        for part in parents:
            here = here.setdefault(part, {}) if isinstance(here, dict) else here[int(part)]
        here[last] = value
    with pytest.raises(ConfigError) as caught:
        read_mapping(mapping, source="profiles")
    return [str(problem).removeprefix("profiles: ") for problem in caught.value.problems]


ONE_TO_128 = "a whole number from 1 to 128 is expected."
NAME = "a name of at most 40 small letters, digits, dots and dashes is expected."
SHARES = "whole, {mig: [...]}, {memory: [10Gi]}, {fraction: [0.5]}, {replica: 1}, {claim: [...]}"
OWNED = "may not be set: the profile owns it."


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        # Shape.
        pytest.param(
            "10-cpu.image",
            "base",
            "10-cpu.image: unknown key 'image'; allowed: allowed_groups, allowed_users, category, "
            "default, description, description_html, display_name, gpu, idle_timeout, images, "
            "kubespawner_override, "
            "kueue, max_lifetime, max_wait, node_selector, own_image, preload, renamed_from, "
            "resources, restrict, scheduler_name, service_account, sidecars, "
            "start_timeout_seconds, tolerations, when_denied. Did you mean 'images'?",
            id="unknown key with a near one",
        ),
        pytest.param(
            "20-gpus.gpu.zzz",
            1,
            "20-gpus.gpu.zzz: unknown key 'zzz'; allowed: allowed_groups, allowed_users, count, "
            "flavors, share, when_denied. Remove it.",
            id="unknown key",
        ),
        pytest.param(
            "20-gpus.resources.cpu.requests",
            1,
            "20-gpus.resources.cpu.requests: unknown key 'requests'; allowed: choices, limit, "
            "request. Did you mean 'request'?",
            id="unknown key inside",
        ),
        pytest.param(
            "30-slices.gpu.1.flavours",
            [],
            "30-slices.gpu[1].flavours: unknown key 'flavours'; "
            "allowed: allowed_groups, allowed_users, count, flavors, share, when_denied. "
            "Did you mean 'flavors'?",
            id="unknown key in a list of blocks",
        ),
        pytest.param(
            "10-cpu",
            {"images": ["base"]},
            "10-cpu.display_name: is missing. Add display_name.",
            id="missing",
        ),
        pytest.param(
            "10-cpu.display_name",
            "",
            "10-cpu.display_name: is empty; a text is expected.",
            id="empty text",
        ),
        pytest.param(
            "10-cpu.display_name",
            "x" * 201,
            "10-cpu.display_name: is longer than 200 characters.",
            id="long text",
        ),
        pytest.param(
            "10-cpu.display_name",
            "a\u202eb",
            "10-cpu.display_name: got 'a\ufffdb', which has control characters. Remove them.",
            id="control character",
        ),
        pytest.param(
            "10-cpu.images",
            [],
            "10-cpu.images: is empty; at least one entry is expected.",
            id="none",
        ),
        pytest.param(
            "10-cpu.images", "base", "10-cpu.images: got 'base'; a list is expected.", id="no list"
        ),
        pytest.param(
            "20-gpus.gpu",
            "h100",
            "20-gpus.gpu: got 'h100'; a mapping is expected.",
            id="no mapping",
        ),
        pytest.param(
            "10-cpu.default",
            "yes",
            "10-cpu.default: got 'yes'; true or false is expected.",
            id="no truth value",
        ),
        pytest.param(
            "10-cpu.preload",
            "on_demand",
            "10-cpu.preload: got 'on_demand'; allowed: always, on-demand, never. "
            "Did you mean 'on-demand'?",
            id="not one of the words",
        ),
        pytest.param(
            "images.base.python",
            3.1,
            "images.base.python: got 3.1; a text is expected. Put it in quotes.",
            id="version as number",
        ),
        # Names.
        pytest.param(
            "10-cpu.images",
            ["bse"],
            "10-cpu.images[0]: got 'bse'; images.yaml has base, torch. Did you mean 'base'?",
            id="unknown image",
        ),
        pytest.param(
            "10-cpu.images",
            ["base", "base"],
            "10-cpu.images[1]: 'base' is listed twice. Remove one.",
            id="image twice",
        ),
        pytest.param(
            "20-gpus.gpu.flavors",
            ["h200"],
            "20-gpus.gpu.flavors[0]: got 'h200'; flavors.yaml has a100, h100, mi300, t4. "
            "Did you mean 'h100'?",
            id="unknown flavor",
        ),
        pytest.param(
            "20-gpus.gpu.flavors",
            ["zzz"],
            "20-gpus.gpu.flavors[0]: got 'zzz'; flavors.yaml has a100, h100, mi300, t4. "
            "Add it to flavors.yaml.",
            id="unknown flavor, none near",
        ),
        pytest.param("images.Base", {}, f"images.Base: got 'Base'; {NAME}", id="name of an image"),
        pytest.param(
            "flavors.any",
            {"display_name": "Any", "node_labels": {"a": "b"}},
            "flavors.any: 'any' is a reserved word. Rename the flavor.",
            id="reserved flavor",
        ),
        # Shares and counts.
        pytest.param(
            "20-gpus.gpu.share",
            "half",
            f"20-gpus.gpu.share: got 'half', which this version cannot give; allowed: {SHARES}.",
            id="unknown share",
        ),
        pytest.param(
            "20-gpus.gpu.share",
            {"memory": ["10Gi"]},
            "20-gpus.gpu.share: got 'memory-10Gi', but flavor 'h100' declares no way to divide its "
            "GPUs by memory. Declare one in the flavor: mig.profiles, dra.memory_capacity, hami, "
            "volcano, kai, runai, or sharing with strategy mps.",
            id="memory that nothing divides",
        ),
        pytest.param(
            "20-gpus.gpu.share",
            {"whole": None, "replica": 1},
            f"20-gpus.gpu.share: got 2 keys; exactly one is allowed of {SHARES}.",
            id="two shares",
        ),
        pytest.param(
            "20-gpus.gpu.share",
            0.5,
            f"20-gpus.gpu.share: got 0.5; allowed: {SHARES}.",
            id="fraction as share",
        ),
        pytest.param(
            "20-gpus.gpu.share",
            {"whole": 0.5},
            "20-gpus.gpu.share: a whole GPU takes no value; write share: whole.",
            id="fraction of a whole GPU",
        ),
        pytest.param(
            "20-gpus.gpu.count",
            0.5,
            "20-gpus.gpu.count: got 0.5; a device plugin's GPU cannot be asked for in fractions. "
            "For a part of a GPU use share: {mig: [...]} or share: {replica: 1}.",
            id="fraction of an extended resource",
        ),
        pytest.param(
            "20-gpus.gpu.count", [0], f"20-gpus.gpu.count[0]: got 0; {ONE_TO_128}", id="0"
        ),
        pytest.param(
            "20-gpus.gpu.count", "2", f"20-gpus.gpu.count: got '2'; {ONE_TO_128}", id="text count"
        ),
        pytest.param(
            "20-gpus.gpu.count", True, f"20-gpus.gpu.count: got true; {ONE_TO_128}", id="true"
        ),
        pytest.param(
            "20-gpus.gpu.count", [1, 1], "20-gpus.gpu.count[1]: 1 is listed twice. Remove one."
        ),
        pytest.param(
            "30-slices.gpu.0.share",
            {"mig": ["1g.5gb"]},
            "30-slices.gpu[0].share.mig: got '1g.5gb'; flavor 'a100' has 1g.10gb, 3g.40gb. "
            "Name one of these, or add it to the flavor's mig.profiles.",
            id="MIG profile the flavor has not",
        ),
        pytest.param(
            "30-slices.gpu.0.share",
            {"mig": ["10gb"]},
            "30-slices.gpu[0].share: got '10gb'; a MIG profile looks like 1g.10gb or 3g.40gb.",
            id="not a MIG profile",
        ),
        pytest.param(
            "30-slices.gpu.0.share",
            {"mig": []},
            "30-slices.gpu[0].share: the list is empty; "
            "name at least one MIG profile, such as 1g.10gb.",
            id="no MIG profile",
        ),
        pytest.param(
            "30-slices.gpu.0.share",
            {"mig": ["1g.10gb", "1g.10gb"]},
            "30-slices.gpu[0].share: '1g.10gb' is listed twice.",
            id="MIG profile twice",
        ),
        pytest.param(
            "30-slices.gpu.0.flavors",
            ["mi300"],
            "30-slices.gpu[0].share: got 'mig', but flavor 'mi300' is amd.com/gpu; "
            "MIG is NVIDIA's. Use share: whole, or a flavor of NVIDIA GPUs.",
            id="MIG of another vendor",
        ),
        pytest.param(
            "30-slices.gpu.1.flavors",
            ["h100"],
            "30-slices.gpu[1].share: got 'replica', but flavor 'h100' says nothing about sharing. "
            "Add sharing: {strategy: time-slicing, replicas: 4} to the flavor.",
            id="replica of a GPU that is not shared",
        ),
        pytest.param(
            "30-slices.gpu.1.share",
            {"replica": 2},
            "30-slices.gpu[1].share: got 2; only 1 is allowed: "
            "two replicas may be the same GPU and buy no extra compute.",
            id="two replicas",
        ),
        pytest.param(
            "30-slices.gpu.1.count",
            2,
            "30-slices.gpu[1].count: got 2; a server gets one replica: "
            "two may be the same GPU and buy no extra compute. Write count: [1].",
            id="two replicas by count",
        ),
        pytest.param(
            "flavors.h100.node_labels",
            {"nvidia.com/gpu.product": "NVIDIA-H100-SHARED"},
            "20-gpus.gpu.share: got 'whole', but flavor 'h100' is recognised by the product "
            "'NVIDIA-H100-SHARED', whose nodes hand out parts of a GPU. "
            "Write 'NVIDIA-H100' in the flavor, or use share: {replica: 1} or {mig: [...]}.",
            id="whole GPUs of shared nodes",
        ),
        pytest.param(
            "20-gpus.gpu",
            [
                {"flavors": ["h100"], "share": "whole", "count": [1, 2]},
                {"flavors": ["a100", "h100"], "share": "whole", "count": 2},
            ],
            "20-gpus.gpu[1]: 2 x h100 as whole is offered by block 1 already. "
            "Remove it from one of them.",
            id="choice twice",
        ),
        # Amounts.
        pytest.param(
            "20-gpus.resources.memory.request",
            64,
            "20-gpus.resources.memory.request: got 64, which is 64 bytes; an amount such as 64Gi "
            "is expected. Add the unit: Mi, Gi or Ti.",
            id="memory without unit",
        ),
        pytest.param(
            "20-gpus.resources.memory.request",
            "64 gigs",
            "20-gpus.resources.memory.request: got '64 gigs'; an amount such as 64Gi is expected.",
            id="no amount",
        ),
        pytest.param(
            "20-gpus.resources.cpu.request",
            "eight",
            "20-gpus.resources.cpu.request: got 'eight'; a number of CPUs such as 8, 0.5 or 500m "
            "is expected.",
            id="no number of CPUs",
        ),
        pytest.param(
            "20-gpus.resources.cpu.request",
            float("nan"),
            "20-gpus.resources.cpu.request: got nan; a number of CPUs such as 8, 0.5 or 500m "
            "is expected.",
            id="NaN CPUs",
        ),
        pytest.param(
            "20-gpus.resources.cpu.request",
            4,
            "20-gpus.resources.cpu: the request is larger than the limit (4 > 2). "
            "Raise the limit or lower the request.",
            id="request above limit",
        ),
        pytest.param(
            "20-gpus.resources.per_gpu",
            {"memory": {"request": "2Gi", "limit": "1Gi"}},
            "20-gpus.resources.per_gpu.memory: the request is larger than the limit "
            "(2 GiB > 1 GiB). Raise the limit or lower the request.",
            id="request above limit, per GPU",
        ),
        pytest.param(
            "20-gpus.resources.shm",
            "4Gi",
            "20-gpus.resources.shm: 4 GiB is more than the memory limit, 2 GiB, against which it "
            "counts. Raise memory.limit or lower shm.",
            id="shm above the limit",
        ),
        pytest.param(
            "10-cpu.resources",
            {"per_gpu": {"shm": "1Gi"}},
            "10-cpu.resources.per_gpu: is set, but the profile has no gpu. Remove it.",
            id="per GPU without GPU",
        ),
        # What Kubernetes would refuse.
        pytest.param(
            "images.base.image",
            "Quay.io/Site/Base",
            "images.base.image: got 'Quay.io/Site/Base'; an image reference such as "
            "quay.io/jupyter/pytorch-notebook:latest is expected.",
            id="image reference",
        ),
        pytest.param(
            "flavors.h100.resource",
            "gpu",
            "flavors.h100.resource: got 'gpu'; an extended resource such as nvidia.com/gpu is "
            "expected.",
            id="resource name",
        ),
        pytest.param(
            "flavors.h100.node_labels",
            {},
            "flavors.h100: nothing tells this GPU from others: there are no node_labels, no dra "
            "and no resource. Add node_labels: {nvidia.com/gpu.product: ...}, or dra for GPUs had "
            "by claims.",
            id="no labels",
        ),
        pytest.param(
            "flavors.h100.node_labels",
            {"nvidia.com/gpu.product": ["NVIDIA H100"]},
            "flavors.h100.node_labels.nvidia.com/gpu.product[0]: got 'NVIDIA H100'; a label value "
            "(at most 63 letters, digits, '-', '_', '.') is expected.",
            id="label value",
        ),
        pytest.param(
            "10-cpu.node_selector",
            {"pool": 1},
            "10-cpu.node_selector.pool: got 1; a label value "
            "(at most 63 letters, digits, '-', '_', '.') is expected. Write a text in quotes.",
            id="number as label",
        ),
        pytest.param(
            "10-cpu.node_selector",
            {"my pool": "x"},
            "10-cpu.node_selector.my pool: got 'my pool'; "
            "a label key such as nvidia.com/gpu.product is expected.",
            id="label key",
        ),
        pytest.param(
            "10-cpu.tolerations",
            [{"key": "a", "operator": "Exists", "value": "b"}],
            "10-cpu.tolerations[0].value: operator Exists takes no value. Remove it.",
            id="toleration with a value too many",
        ),
        pytest.param(
            "10-cpu.tolerations",
            [{"value": "b"}],
            "10-cpu.tolerations[0]: a toleration without key. Add the taint's key.",
            id="toleration without key",
        ),
        pytest.param(
            "images.torch.cuda",
            12,
            "images.torch.cuda: got 12; a version such as '12.4' is expected. Put it in quotes.",
            id="CUDA version",
        ),
        pytest.param(
            "flavors.t4.sharing.replicas",
            1,
            "flavors.t4.sharing.replicas: got 1; at least 2 is expected.",
            id="replicas",
        ),
        # The escape hatch.
        *(
            pytest.param(
                "20-gpus.kubespawner_override",
                override,
                f"20-gpus.kubespawner_override.{key}: {OWNED} {cure}",
                id=f"override {key}",
            )
            for override, key, cure in (
                ({"image": "x"}, "image", "Use images in the profile."),
                ({"mem_limit": "1G"}, "mem_limit", "Use resources in the profile."),
                (
                    {"extra_resource_guarantees": {"nvidia.com/mig-1g.10gb": 1}},
                    "extra_resource_guarantees",
                    "Use gpu in the profile: a device's request and limit must be equal and whole.",
                ),
                ({"tolerations": []}, "tolerations", "Use tolerations in the profile."),
                (
                    {"extra_container_config": {"resources": {"claims": []}}},
                    "extra_container_config.resources",
                    "Use resources in the profile.",
                ),
                (
                    {"extra_pod_config": {"node_selector": {}}},
                    "extra_pod_config.node_selector",
                    "Use node_selector in the profile, or node_labels in the flavor.",
                ),
                (
                    {"extra_pod_config": {"schedulerName": "x"}},
                    "extra_pod_config.schedulerName",
                    "Use scheduler_name in the profile.",
                ),
                (
                    {"environment": {"NVIDIA_VISIBLE_DEVICES": "all"}},
                    "environment.NVIDIA_VISIBLE_DEVICES",
                    "Remove it: the device plugin sets it, and a server without GPU gets 'void'.",
                ),
            )
        ),
    ],
)
def test_each_mistake_has_its_words(path: str, value: Any, told: str) -> None:
    assert tell({path: value}) == [told]


def test_two_defaults() -> None:
    (told,) = tell({"10-cpu.default": True, "20-gpus.default": True})
    assert told == (
        "20-gpus.default: got true, but profiles: 10-cpu is the default already. "
        "Keep default: true in one profile."
    )


def test_too_many_choices() -> None:
    assert tell({"20-gpus.gpu.count": list(range(1, 129))}) == [
        "20-gpus.gpu: gives 256 choices; at most 200 are allowed. Split it."
    ]


def test_all_mistakes_of_a_file_are_told_together() -> None:
    told = tell(
        {
            "20-gpus.gpu.flavors": ["h200", "h100"],
            "20-gpus.gpu.count": [1, 1],
            "20-gpus.images": ["bse"],
            "20-gpus.resources.shm": "4Gi",
            "20-gpus.kubespawner_override": {"image": "x", "cpu_limit": 1},
            "10-cpu.display_name": 5,
            "flavors.h100.memory": "much",
        }
    )
    assert [problem.split(": ")[0] for problem in told] == [
        "10-cpu.display_name",
        "20-gpus.gpu.count[1]",
        "20-gpus.gpu.flavors[0]",
        "20-gpus.images[0]",
        "20-gpus.kubespawner_override.cpu_limit",
        "20-gpus.kubespawner_override.image",
        "20-gpus.resources.shm",
        "flavors.h100.memory",
    ]


def test_a_broken_flavor_is_not_blamed_on_its_profiles() -> None:
    assert tell({"flavors.h100.memory": "much"}) == [
        "flavors.h100.memory: got 'much'; an amount such as 64Gi is expected."
    ]


def test_two_flavors_that_are_the_same_gpus() -> None:
    again = {**documents()["flavors"]["h100"], "display_name": "H100 again"}

    (told,) = tell({"flavors.again": again})
    assert told == (
        "flavors.again.node_labels: 'h100' has the same: both would offer the same GPUs. "
        "Make them differ, or keep one of the two flavors."
    )
