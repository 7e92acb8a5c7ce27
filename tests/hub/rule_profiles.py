"""More profiles, with everything that decides who may pick what, and how long it runs."""

RULES = """
c.JupyterHub.load_roles[0]["scopes"].append("admin:groups")
c.GPUSpawner.profiles["15-choosing"] = {
    "display_name": "CPU to choose",
    "images": ["scipy"],
    "category": "Teaching",
    "resources": {"cpu": {"choices": [1, 2, 1000]}, "memory": {"choices": ["1Gi", "2Gi"]}},
    "own_image": {"allowed": ["quay.io/jupyter/*"]},
    "max_lifetime": "12h",
}
c.GPUSpawner.profiles["20-gpus"] |= {
    "renamed_from": ["old-gpus"],
    "restrict": [
        {"count": [4], "allowed_groups": ["research"], "allowed_users": ["ada"],
         "when_denied": {"message": "Four GPUs are for <research>; ask Ada."}},
        {"images": ["torch-old"], "allowed_groups": ["research"]},
    ],
}
c.GPUSpawner.profiles["40-closed"] = {
    "display_name": "Closed",
    "images": ["scipy"],
    "allowed_groups": ["research"],
    "when_denied": {"message": "Write to research@example.org."},
}
c.GPUSpawner.images["scipy"]["renamed_from"] = ["scientific"]
"""

BOUNDED = """
c.GPUSpawner.profiles["16-bounded"] = {
    "display_name": "Bounded",
    "images": ["scipy"],
    "resources": {"cpu": {"choices": [1, 2]}, "memory": {"choices": ["1Gi", "2Gi"]}},
    "own_image": {"allowed": ["quay.io/jupyter/*"]},
    "restrict": [
        {"options": ["own_image", "memory"], "allowed_groups": ["research"],
         "when_denied": {"message": "More is for <research>."}},
        {"options": ["cpu"], "allowed_groups": ["research"]},
    ],
}
"""
