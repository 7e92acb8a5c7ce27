# ruff: noqa: INP001  not a module: JupyterHub runs it
"""The hub of ``gpu-spawner demo``: what a site would write, plus what makes it a demo.

Values that differ from run to run come from a file that the demo writes.
"""

import json
import os
from pathlib import Path

import gpu_spawner

c = get_config()  # type: ignore[name-defined]  # noqa: F821  JupyterHub puts it there
demo = json.loads(Path(os.environ["GPU_SPAWNER_DEMO_SETTINGS"]).read_text(encoding="utf-8"))

# The plugin. This, and profiles, is all a site that runs KubeSpawner already would add.
gpu_spawner.configure(
    c,
    profiles_dir=demo["profiles_dir"],
    pull_bytes_per_second=demo["pull_bytes_per_second"],
)

# Servers, as with plain KubeSpawner: a home volume for each user, JupyterLab in it.
c.KubeSpawner.namespace = demo["namespace"]
c.KubeSpawner.default_url = "/lab"
c.KubeSpawner.start_timeout = 600
c.KubeSpawner.http_timeout = 120
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.storage_class = demo["storage_class"]
c.KubeSpawner.storage_access_modes = ["ReadWriteOnce"]
c.KubeSpawner.storage_capacity = "10Gi"
c.KubeSpawner.pvc_name_template = "home-{user_server}"
c.KubeSpawner.volumes = {
    "home": {"name": "home", "persistentVolumeClaim": {"claimName": "home-{user_server}"}}
}
c.KubeSpawner.volume_mounts = {"home": {"name": "home", "mountPath": "/home/jovyan"}}
c.JupyterHub.allow_named_servers = True

# The hub listens on this machine only; everybody may log in.
c.JupyterHub.bind_url = demo["bind_url"]
c.JupyterHub.hub_ip = "127.0.0.1"
c.JupyterHub.hub_port = demo["hub_port"]
c.JupyterHub.hub_connect_ip = "127.0.0.1"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {"admin"}
# Who may start servers that launch jobs (profiles/80-experiments.yaml).
c.JupyterHub.load_groups = {"experimenters": {"users": ["ada", "admin"]}}
c.JupyterHub.template_vars = {
    "announcement": "Demo: the cluster and its GPUs are simulated.",
    "announcement_login": (
        "Demo: the cluster and its GPUs are simulated. "
        "Log in with any name and no password; admin is an administrator."
    ),
}

# The proxy runs beside the hub, so that servers stay reachable while the hub restarts.
c.JupyterHub.proxy_class = "traefik_file"
c.TraefikProxy.should_start = False
c.TraefikProxy.traefik_api_url = demo["proxy_api_url"]
c.TraefikProxy.traefik_api_username = "hub"
c.TraefikProxy.traefik_api_password = demo["proxy_api_password"]
c.TraefikFileProviderProxy.dynamic_config_file = demo["rules_file"]
c.JupyterHub.cleanup_proxy = False
c.JupyterHub.cleanup_servers = False

# State that outlives a restart of the hub.
c.JupyterHub.db_url = demo["database"]
c.JupyterHub.cookie_secret_file = demo["cookie_secret_file"]
c.JupyterHub.upgrade_db = True
# When everything starts at once, servers come back later than the hub; it need not wait for them.
c.JupyterHub.init_spawners_timeout = 2
