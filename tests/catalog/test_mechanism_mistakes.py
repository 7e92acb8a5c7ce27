"""What cannot work of GPUs and sidecars is refused when it is configured, in these words."""

from typing import Any

import pytest
from every_way import SIDECAR, with_profile

from gpu_spawner.catalog_files import read_mapping
from gpu_spawner.core.errors import ConfigError

WHOLE_DRA = {"flavors": ["dra"], "share": "whole"}
WHOLE = {"flavors": ["plain"], "share": "whole"}
CLAIM = {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com"}}]}


def told(profile: dict[str, Any], **flavors: Any) -> list[str]:
    """Return what is told of a profile over every flavor, some of them replaced."""
    with pytest.raises(ConfigError) as caught:
        read_mapping(with_profile(profile, **flavors), source="profiles")
    return [
        str(problem).removeprefix("profiles: ").removeprefix("10-it.")
        for problem in caught.value.problems
    ]


def gpu(flavor: str, share: Any, count: Any = 1) -> dict[str, Any]:
    return {"gpu": {"flavors": [flavor], "share": share, "count": count}}


@pytest.mark.parametrize(
    ("profile", "problem"),
    [
        pytest.param(
            gpu("plain", {"memory": "10Gi"}),
            "gpu.share: got 'memory-10Gi', but flavor 'plain' declares no way to divide its GPUs "
            "by memory. Declare one in the flavor: mig.profiles, dra.memory_capacity, hami, "
            "volcano, kai, runai, or sharing with strategy mps.",
            id="a fraction of an extended resource",
        ),
        pytest.param(
            gpu("plain", {"fraction": 0.5}),
            "gpu.share: got 'fraction-0.5', but flavor 'plain' declares no way to divide its GPUs "
            "by memory. Declare one in the flavor: mig.profiles, dra.memory_capacity, hami, "
            "volcano, kai, runai, or sharing with strategy mps.",
            id="half a GPU",
        ),
        pytest.param(
            gpu("mig-mixed", {"memory": "60Gi"}),
            "gpu.share.memory: got 60 GiB; the slices of flavor 'mig-mixed' are 1g.10gb, "
            "1g.10gb+me, 2g.20gb, 1g.20gb, 3g.40gb. "
            "Ask for less, or add a larger slice to the flavor's mig.profiles.",
            id="more than the largest slice",
        ),
        pytest.param(
            gpu("plain", {"mig": "9g.999gb"}),
            "gpu.share.mig: got '9g.999gb'; a GPU of flavor 'plain' has 80 GB of memory. "
            "Name a slice that such a GPU can be cut into.",
            id="more than there is to slice",
        ),
        pytest.param(
            gpu("plain", {"mig": "7g.80gb"}),
            None,
            id="all of it as one slice",
        ),
        pytest.param(
            gpu("gke", {"memory": "4Gi"}),
            None,
            id="a slice is enough",
        ),
        pytest.param(
            gpu("mps", {"memory": "16Gi"}),
            "gpu.share.memory: got 16 GiB; one of 2 replicas of flavor 'mps' has 12 GB. "
            "Ask for less, or have fewer replicas.",
            id="more than a replica",
        ),
        pytest.param(
            gpu("dra-memory", {"memory": "64Gi"}),
            "gpu.share.memory: got 64 GiB; a GPU of flavor 'dra-memory' has 48 GB. Ask for less.",
            id="more than a GPU",
        ),
        pytest.param(
            gpu("dra-memory", {"memory": "8Gi"}, 2),
            "gpu.count: got 2; without a distinct_attribute all of them may be of one GPU. "
            "Write count: [1], or add dra.constraints: [{distinct_attribute: uuid}].",
            id="two parts of perhaps one GPU",
        ),
        pytest.param(
            gpu("dra", "whole", 33),
            "gpu.count: got 33; a claim can be given at most 32 devices. Write 32 or less.",
            id="more devices than a claim holds",
        ),
        pytest.param(
            gpu("dra-shares", "whole"),
            "gpu.share: got 'whole', but the GPUs of flavor 'dra-shares' are handed out in shares: "
            "a claim for a device is given one of them. "
            "Use share: {replica: 1}, or take share_capacity out of the flavor.",
            id="whole GPUs that are handed out in shares",
        ),
        pytest.param(
            gpu("dra-own", {"claim": "other"}),
            "gpu.share.claim: got 'other'; flavor 'dra-own' has gpu-and-nic. "
            "Name one of these, or add it to the flavor's dra.claims.",
            id="no such claim",
        ),
        pytest.param(
            {**gpu("kai", {"memory": "8Gi"}), "scheduler_name": "release-user-scheduler"},
            "scheduler_name: got 'release-user-scheduler', but kai needs the scheduler "
            "'kai-scheduler'. Leave scheduler_name out.",
            id="a scheduler that cannot divide GPUs",
        ),
        pytest.param(
            {**gpu("dra", "whole", 2), "kueue": {"queue": "gpus"}},
            "kueue: Kueue admits no claim with constraints. "
            "Remove kueue, or have the GPUs in another way.",
            id="a queue that takes no constraints",
        ),
        pytest.param(
            {**gpu("dra-memory", {"memory": "8Gi"}), "kueue": {"queue": "gpus"}},
            "kueue: Kueue admits no claim with a consumed capacity. "
            "Remove kueue, or have the GPUs in another way.",
            id="a queue that takes no parts",
        ),
        pytest.param(
            {"gpu": WHOLE, "sidecars": [{**SIDECAR, "gpu": "shared"}]},
            "sidecars: 'model' is to share the notebook's GPU, which takes a claim; flavor 'plain' "
            "is had by whole. "
            "Give it a GPU of its own with gpu: {count: 1}, or use a flavor with dra.",
            id="a device plugin's GPU for two containers",
        ),
        pytest.param(
            {**gpu("kai", {"memory": "8Gi"}), "sidecars": [{**SIDECAR, "gpu": {"count": 1}}]},
            "sidecars: 'model' has a GPU of its own, but kai gives parts of GPUs to one container "
            "of a pod. Remove its gpu, or have the GPUs in another way.",
            id="two parts in one pod",
        ),
        pytest.param(
            {"sidecars": [{**SIDECAR, "gpu": {"count": 1}}]},
            "sidecars[0].gpu: is set, but the profile has no gpu. Add gpu to the profile.",
            id="a GPU beside none",
        ),
        pytest.param(
            {"sidecars": [SIDECAR, {**SIDECAR, "port": 8001}]},
            "sidecars[1].name: got 'model', which is the name of another sidecar. Rename it.",
            id="a name twice",
        ),
        pytest.param(
            {"sidecars": [SIDECAR, {**SIDECAR, "name": "other"}]},
            "sidecars[1].port: got 8000, on which sidecar 'model' listens: the containers of a "
            "server share one network. Use another port.",
            id="a port twice",
        ),
        pytest.param(
            {"sidecars": [{**SIDECAR, "port": 8888}]},
            "sidecars[0].port: got 8888, on which the notebook server listens: the containers of a "
            "server share one network. Use another port.",
            id="the notebook's port",
        ),
        pytest.param(
            {"sidecars": [{**SIDECAR, "name": "notebook"}]},
            "sidecars[0].name: got 'notebook', which is the name of the notebook. Rename it.",
            id="the notebook's name",
        ),
        pytest.param(
            {"sidecars": [{**SIDECAR, "image": "bass"}]},
            "sidecars[0].image: got 'bass', which is neither a key of images.yaml nor a reference "
            "with a registry or a tag. Did you mean 'base'?",
            id="an image that is misspelled",
        ),
        pytest.param(
            {"sidecars": [{**SIDECAR, "env": {"HF_TOKEN": "hf_123"}}]},
            "sidecars[0]: env.HF_TOKEN looks like a secret, which anybody who may see pods would "
            "read. Put it in a Secret and name that in env_from_secret.",
            id="a secret in plain sight",
        ),
        pytest.param(
            {"sidecars": [{"name": "a", "image": "x/y:1", "readiness": {}}]},
            "sidecars[0]: readiness has no port to ask at. Add port.",
            id="nowhere to ask",
        ),
    ],
)
def test_a_profile(profile: dict[str, Any], problem: str | None) -> None:
    if problem is None:
        assert read_mapping(with_profile(profile))
    else:
        assert told(profile) == [problem]


@pytest.mark.parametrize(
    ("dra", "problem"),
    [
        pytest.param(
            {"selectors": ["device.attributes["]},
            "flavors.x.dra.selectors[0]: the expression is not a selector:",
            id="CEL that does not compile",
        ),
        pytest.param(
            {"selectors": ["1 + 1"]},
            "flavors.x.dra.selectors[0]: the expression is not a selector:",
            id="CEL that tells no truth",
        ),
        pytest.param(
            {"attributes": {'a"]; true || device.attributes["b': "x"}},
            "flavors.x.dra.attributes",
            id="an attribute that would be CEL",
        ),
        pytest.param(
            {"attributes": {"productName": "a\nb"}},
            "flavors.x.dra.attributes.productName: got 'a\N{REPLACEMENT CHARACTER}b'; a text of",
            id="a value with a line break",
        ),
        pytest.param(
            {"constraints": [{}]},
            "flavors.x.dra.constraints[0]: exactly one of match_attribute and distinct_attribute",
            id="a constraint of nothing",
        ),
        pytest.param(
            {"shares": 4},
            "flavors.x.dra.shares: is set, but there is no share_capacity.",
            id="shares of nothing",
        ),
        pytest.param(
            {"claims": {"it": {"spec": {"devices": {"requests": []}}}}},
            "flavors.x.dra.claims.it.spec.devices.requests: is empty; at least one entry",
            id="a claim for nothing",
        ),
        pytest.param(
            {
                "claims": {
                    "it": {
                        "spec": {
                            "devices": {
                                "requests": [
                                    {
                                        "name": "gpu",
                                        "firstAvailable": [
                                            {"name": f"r{number}", "deviceClassName": "gpu"}
                                            for number in range(9)
                                        ],
                                    }
                                ]
                            }
                        }
                    }
                }
            },
            "flavors.x.dra.claims.it.spec.devices.requests[0].firstAvailable: has more than 8 "
            "entries.",
            id="nine alternatives",
        ),
        pytest.param(
            {
                "claims": {
                    "it": {
                        "spec": {
                            "devices": {**CLAIM, "constraints": [{"matchAttribute": "a/b"}]},
                            "node": "x",
                        }
                    }
                }
            },
            "flavors.x.dra.claims.it.spec.node: unknown key 'node'; allowed: devices.",
            id="an unknown key of a claim",
        ),
        pytest.param(
            {
                "claims": {
                    "it": {
                        "spec": {
                            "devices": {
                                "requests": [
                                    {
                                        "name": f"r{number}",
                                        "exactly": {"deviceClassName": "gpu", "count": 17},
                                    }
                                    for number in range(2)
                                ]
                            }
                        }
                    }
                }
            },
            "flavors.x.dra.claims.it.spec.devices: asks for 34 devices; a claim can be given at "
            "most 32.",
            id="34 devices in one claim",
        ),
    ],
)
def test_a_flavor(dra: dict[str, Any], problem: str) -> None:
    (found,) = told({}, x={"dra": dra})
    assert found.startswith(problem), found


def test_all_at_once() -> None:
    profile = {
        "gpu": {"flavors": ["plain", "dra"], "share": {"memory": "10Gi"}},
        "sidecars": [{**SIDECAR, "port": 8888, "image": "bass"}],
    }
    found = told(profile, x={"dra": {"shares": 4}})
    assert len(found) == 5, found
