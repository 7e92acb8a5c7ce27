"""The configuration that most of these tests run with."""

from collections.abc import Callable

from running_hub import RunningHub

MakeHub = Callable[..., RunningHub]
"""What the fixture ``make_hub`` is."""

PROFILES = """
c.JupyterHub.spawner_class = "gpu"
c.GPUSpawner.flavors = {
    "h100": {
        "display_name": "NVIDIA H100",
        "memory": "80GB",
        "node_labels": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
    },
}
c.GPUSpawner.images = {
    "scipy": {"image": "example.org/scipy:1", "display_name": "SciPy", "size": "1GB"},
    "torch": {"image": "example.org/torch:1", "display_name": "PyTorch", "size": "9GB"},
    "torch-old": {"image": "example.org/torch:0", "display_name": "PyTorch (old)"},
}
c.GPUSpawner.profiles = {
    "10-cpu": {
        "display_name": "Data science on CPU",
        "images": ["scipy"],
        "default": True,
        "resources": {"cpu": {"request": 1, "limit": 2}, "memory": {"request": "1Gi"}},
    },
    "20-gpus": {
        "display_name": "PyTorch on whole GPUs",
        "images": ["torch", "torch-old"],
        "gpu": {"flavors": ["h100"], "share": "whole", "count": [1, 2, 4]},
        "resources": {"cpu": {"request": 2}, "memory": {"request": "4Gi"}, "shm": "1Gi"},
    },
    "30-secret": {
        "display_name": "For the research group",
        "images": ["torch"],
        "gpu": {"flavors": ["h100"], "share": "whole", "count": 1},
        "resources": {"cpu": {"request": 1}, "memory": {"request": "1Gi"}},
        "allowed_groups": ["research"],
    },
}
"""

STUCK = f"""{PROFILES}
c.GPUSpawner.stuck_seconds = 0
c.GPUSpawner.profiles["60-stuck"] = {{
    **c.GPUSpawner.profiles["10-cpu"],
    "display_name": "Stuck",
    "default": False,
    "kubespawner_override": {{
        "volumes": [{{"name": "more", "secret": {{"secretName": "gone"}}}}],
        "volume_mounts": [{{"name": "more", "mountPath": "/more"}}],
    }},
}}
"""
"""Has a profile whose servers get a node and wait there for ever."""
