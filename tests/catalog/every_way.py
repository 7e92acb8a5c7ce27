"""A catalog with a flavor for every way of obtaining GPUs, and a profile for every wish."""

from typing import Any

from gpu_spawner.catalog_files import read_mapping
from gpu_spawner.core.catalog.model import Catalog, Profile, Selection

__all__ = ["EVERYTHING", "selections_of", "with_profile"]

GFD = "nvidia.com/gpu.product"

FLAVORS: dict[str, Any] = {
    "plain": {"node_labels": {GFD: "NVIDIA-H100"}, "memory": "80GB"},
    "mi300": {
        "node_labels": {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"},
        "resource": "amd.com/gpu",
    },
    "mi300-part": {
        "node_labels": {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"},
        "resource": "amd.com/cpx_nps4",
    },
    "arc": {
        "node_labels": {"gpu.intel.com/family": "Max_Series"},
        "resource": "gpu.intel.com/xe",
    },
    "gaudi": {
        "node_labels": {"habana.ai/gaudi.present": "true"},
        "resource": "habana.ai/gaudi",
        "extra_resources": {"hugepages-2Mi": "9500Mi"},
    },
    "neuron": {
        "node_labels": {"node.kubernetes.io/instance-type": "trn2.48xlarge"},
        "resource": "aws.amazon.com/neuroncore",
    },
    "tpu": {
        "node_labels": {
            "cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice",
            "cloud.google.com/gke-tpu-topology": "2x4",
        },
        "resource": "google.com/tpu",
    },
    "behind-class": {"resource": "deviceclass.resource.kubernetes.io/h200"},
    "mig-mixed": {
        "node_labels": {GFD: "NVIDIA-A100"},
        "memory": "80GB",
        "mig": {"profiles": ["1g.10gb", "1g.10gb+me", "2g.20gb", "1g.20gb", "3g.40gb"]},
    },
    "mig-single": {
        "node_labels": {GFD: "NVIDIA-A100"},
        "mig": {"strategy": "single", "profiles": ["3g.40gb"]},
    },
    "sliced": {
        "node_labels": {GFD: "Tesla-T4"},
        "memory": "16GB",
        "sharing": {"strategy": "time-slicing", "replicas": 4},
        "mechanisms": ["replica"],
    },
    "renamed": {
        "node_labels": {GFD: "Tesla-T4"},
        "sharing": {"strategy": "time-slicing", "replicas": 4, "renamed": True},
    },
    "mps": {
        "node_labels": {GFD: "NVIDIA-L4"},
        "memory": "24GB",
        "sharing": {"strategy": "mps", "replicas": 2},
    },
    "gke": {
        "node_labels": {"cloud.google.com/gke-accelerator": "nvidia-l4"},
        "memory": "24GB",
        "sharing": {"strategy": "time-slicing", "replicas": 8},
        "mig": {"profiles": ["1g.5gb"]},
    },
    "dra": {
        "memory": "141GB",
        "dra": {
            "attributes": {"productName": ["NVIDIA H200", "NVIDIA H200 NVL"]},
            "constraints": [{"match_attribute": "resource.kubernetes.io/pcieRoot"}],
            "tolerations": [{"key": "gpu.example.org/old-firmware", "operator": "Exists"}],
        },
    },
    "dra-second": {"dra": {"attributes": {"productName": "NVIDIA B200"}, "min_memory": "170Gi"}},
    "dra-in-pool": {
        "node_labels": {GFD: "NVIDIA-H200", "pool": "research"},
        "dra": {"attributes": {"productName": "NVIDIA H200"}},
    },
    "dra-sliced": {
        "memory": "180GB",
        "dra": {"mig_device_class": "mig.nvidia.com", "slices_of_one_gpu": True},
        "mig": {"profiles": ["1g.23gb", "2g.45gb"]},
    },
    "dra-memory": {"memory": "48GB", "dra": {"memory_capacity": "memory"}},
    "dra-shares": {"dra": {"share_capacity": "shares", "shares": 10}},
    "dra-in-turns": {
        "dra": {
            "config": [
                {
                    "parameters": {
                        "apiVersion": "resource.nvidia.com/v1beta1",
                        "kind": "GpuConfig",
                        "sharing": {"strategy": "TimeSlicing"},
                    }
                }
            ]
        }
    },
    "dra-amd": {
        "resource": "amd.com/gpu",
        "mechanisms": ["dra-whole"],
        "dra": {"driver": "gpu.amd.com", "attributes": {"type": "amdgpu"}},
    },
    "dra-own": {
        "dra": {
            "claims": {
                "gpu-and-nic": {
                    "display_name": "A GPU with its network card",
                    "spec": {
                        "devices": {
                            "requests": [
                                {"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com"}},
                                {"name": "nic", "exactly": {"deviceClassName": "rdma.example.org"}},
                            ],
                            "constraints": [
                                {
                                    "requests": ["gpu", "nic"],
                                    "matchAttribute": "resource.kubernetes.io/pcieRoot",
                                }
                            ],
                        }
                    },
                }
            }
        }
    },
    "hami": {"node_labels": {GFD: "NVIDIA-A40"}, "memory": "48GB", "hami": {}},
    "volcano": {"node_labels": {GFD: "NVIDIA-A40"}, "memory": "48GB", "volcano": {}},
    "kai": {"node_labels": {GFD: "NVIDIA-A40"}, "memory": "48GB", "kai": {"queue": "research"}},
    "runai": {"node_labels": {GFD: "NVIDIA-A40"}, "memory": "48GB", "runai": {"project": "nlp"}},
    "both": {
        "node_labels": {"pool": "both"},
        "memory": "48GB",
        "mechanisms": ["dra-capacity", "mig", "whole"],
        "mig": {"profiles": ["2g.12gb"]},
        "dra": {"memory_capacity": "memory", "attributes": {"productName": "NVIDIA A30"}},
    },
}

WISHES: dict[str, dict[str, Any]] = {
    "whole-of-every-vendor": {
        "flavors": ["plain", "mi300", "mi300-part", "arc", "gaudi", "neuron", "tpu"],
        "share": "whole",
        "count": 2,
    },
    "whole-by-class": {"flavors": ["behind-class"], "share": "whole", "count": 2},
    "whole-on-gke": {"flavors": ["gke"], "share": "whole"},
    "whole-by-claim": {
        "flavors": ["dra", "dra-second", "dra-in-pool", "dra-in-turns", "dra-amd"],
        "share": "whole",
        "count": [1, 2],
    },
    "whole-by-others": {"flavors": ["hami", "volcano", "kai", "runai"], "share": "whole"},
    "slices": {"flavors": ["mig-mixed"], "share": {"mig": ["1g.10gb+me", "3g.40gb"]}},
    "slices-of-nodes-cut-alike": {"flavors": ["mig-single"], "share": {"mig": "3g.40gb"}},
    "slices-on-gke": {"flavors": ["gke"], "share": {"mig": "1g.5gb"}},
    "slices-by-claim": {"flavors": ["dra-sliced"], "share": {"mig": "1g.23gb"}, "count": [1, 2]},
    "replicas": {
        "flavors": ["sliced", "renamed", "mps", "gke", "dra-shares"],
        "share": {"replica": 1},
    },
    "memory": {
        "flavors": ["mig-mixed", "dra-sliced", "dra-memory", "hami", "volcano", "kai", "runai"],
        "share": {"memory": ["10GB", "18Gi"]},
    },
    "memory-several-ways": {"flavors": ["both"], "share": {"memory": "10Gi"}},
    "memory-capped": {"flavors": ["mps", "sliced"], "share": {"memory": "3Gi"}},
    "fractions": {
        "flavors": ["dra-memory", "hami", "volcano", "kai", "runai", "mps"],
        "share": {"fraction": [0.5, 0.25]},
    },
    "own-claim": {"flavors": ["dra-own"], "share": {"claim": "gpu-and-nic"}},
}

SIDECAR: dict[str, Any] = {
    "name": "model",
    "image": "nvcr.io/site/model:1",
    "port": 8000,
    "env": {"MODE": "fast {and} literal"},
    "env_from_secret": {"NGC_API_KEY": {"secret": "ngc", "key": "api-key"}},
    "resources": {"cpu": {"request": 1, "limit": 2}, "memory": {"limit": "8Gi"}},
    "readiness": {"path": "/ready"},
}

PROFILES: dict[str, dict[str, Any]] = {
    **{name: {"gpu": wish} for name, wish in WISHES.items()},
    "queued": {
        "gpu": {"flavors": ["dra-second", "dra-amd"], "share": "whole"},
        "kueue": {"queue": "gpu-notebooks", "priority_class": "interactive"},
    },
    "shared-sidecar": {
        "gpu": {"flavors": ["dra", "plain"][:1], "share": "whole"},
        "sidecars": [{**SIDECAR, "gpu": "shared"}],
        "resources": {"memory": {"limit": "16Gi"}, "shm": "4Gi"},
    },
    "own-sidecar": {
        "gpu": {"flavors": ["plain", "dra", "mig-mixed"], "share": "whole"},
        "sidecars": [{**SIDECAR, "gpu": {"count": 2}}, {"name": "proxy", "image": "site/proxy:1"}],
        "start_timeout_seconds": 900,
        "service_account": "trainer",
    },
}


def with_profile(profile: dict[str, Any], **flavors: Any) -> dict[str, Any]:
    """Return a mapping with every flavor and this one profile, as an admin writes it."""
    named = {
        name: {"display_name": name, **flavor} for name, flavor in {**FLAVORS, **flavors}.items()
    }
    return {
        "flavors": named,
        "images": {"base": {"image": "quay.io/site/base:1", "display_name": "Base"}},
        "10-it": {"display_name": "It", "images": ["base"], **profile},
    }


def _everything() -> Catalog:
    mapping = with_profile({})
    del mapping["10-it"]
    for number, (name, profile) in enumerate(PROFILES.items(), start=10):
        mapping[f"{number}-{name}"] = {"display_name": name, "images": ["base"], **profile}
    return read_mapping(mapping, source="everything")


EVERYTHING = _everything()


def selections_of(profile: Profile) -> dict[str, Selection]:
    """Return every choice of a profile as a selection, by key."""
    return {
        choice.key: Selection(
            profile=choice.profile,
            flavor=choice.flavor,
            flavors=choice.flavors,
            share=choice.share,
            count=choice.count,
            image=profile.images[0],
        )
        for choice in profile.choices
    }
