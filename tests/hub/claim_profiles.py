"""A catalog with every way of obtaining a share, for the tests of claims and of rendered pods."""

from typing import Any

H200 = {"gpu.nvidia.com/productName": ["NVIDIA H200"]}

FLAVORS: dict[str, Any] = {
    "h200": {
        "display_name": "NVIDIA H200",
        "memory": "141GB",
        "node_labels": {"nvidia.com/gpu.product": "NVIDIA-H200"},
        "dra": {"attributes": H200},
    },
    "b200": {
        "display_name": "NVIDIA B200",
        "memory": "183GB",
        "node_labels": {"nvidia.com/gpu.product": "NVIDIA-B200"},
        "mig": {"profiles": ["1g.23gb", "3g.90gb"]},
        "dra": {
            "mig_device_class": "mig.nvidia.com",
            "attributes": {"productName": ["NVIDIA B200"]},
            "tolerations": [{"key": "gpu.nvidia.com/unmonitored", "operator": "Exists"}],
            "constraints": [{"match_attribute": "resource.kubernetes.io/pcieRoot"}],
            "slices_of_one_gpu": True,
        },
    },
    "l40s": {
        "display_name": "NVIDIA L40S",
        "memory": "48GB",
        "node_labels": {"nvidia.com/gpu.product": "NVIDIA-L40S"},
        "dra": {
            "attributes": {"productName": ["NVIDIA L40S"]},
            "memory_capacity": "memory",
            "claims": {
                "with-nic": {
                    "display_name": "A GPU and a network card",
                    "spec": {
                        "devices": {
                            "requests": [
                                {"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com"}},
                                {"name": "nic", "exactly": {"deviceClassName": "nic.example.com"}},
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
            },
        },
    },
}

CATALOG: dict[str, Any] = {
    "flavors": FLAVORS,
    "images": {
        "scipy": {"image": "example.org/scipy:1", "display_name": "SciPy", "size": "1GB"},
        "torch": {"image": "example.org/torch:1", "display_name": "PyTorch", "size": "9GB"},
    },
    "10-cpu": {"display_name": "CPU", "images": ["scipy"], "default": True},
    "20-whole": {
        "display_name": "Whole GPUs",
        "images": ["torch"],
        "gpu": {"flavors": ["h200", "b200"], "share": "whole", "count": [1, 2]},
        "resources": {"cpu": {"request": 2, "limit": 4}, "memory": {"request": "4Gi"}},
    },
    "30-slices": {
        "display_name": "Slices",
        "images": ["torch"],
        "gpu": {"flavors": ["b200"], "share": {"mig": ["1g.23gb", "3g.90gb"]}, "count": [1, 2]},
    },
    "40-parts": {
        "display_name": "Parts of a GPU",
        "images": ["torch"],
        "gpu": {"flavors": ["l40s"], "share": {"memory": ["10Gi", "20Gi"]}},
    },
    "50-own": {
        "display_name": "A claim of the site's own",
        "images": ["torch"],
        "gpu": {"flavors": ["l40s"], "share": {"claim": "with-nic"}},
    },
    "60-beside": {
        "display_name": "A model server beside the notebook",
        "images": ["torch"],
        "gpu": {"flavors": ["h200"], "share": "whole"},
        "resources": {"memory": {"request": "2Gi", "limit": "4Gi"}, "shm": "1Gi"},
        "sidecars": [
            {
                "name": "server",
                "image": "torch",
                "command": ["serve"],
                "port": 8000,
                "gpu": "shared",
                "resources": {"cpu": {"request": 1}, "memory": {"request": "2Gi"}},
                "env": {"MODE": "{fast}"},
                "env_from_secret": {"HF_TOKEN": {"secret": "hugging-face", "key": "token"}},
            },
            {"name": "second", "image": "example.org/second:1", "gpu": {"count": 2}},
        ],
        "service_account": "notebooks",
        "start_timeout_seconds": 900,
    },
    "70-queued": {
        "display_name": "Queued",
        "images": ["torch"],
        "gpu": {"flavors": ["h200"], "share": "whole"},
        "kueue": {"queue": "research", "priority_class": "interactive"},
    },
}
"""As ``c.GPUSpawner.profiles`` takes it."""
