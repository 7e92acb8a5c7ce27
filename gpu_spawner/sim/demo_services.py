"""The two real services of the demo, hub and proxy: their configuration and how they are started.

The proxy is Traefik with routes in a file: a process the hub does not own, so that notebooks stay
reachable while the hub is away. The hub reads ``data/jupyterhub_config.py`` and the settings that
are written here.
"""

import importlib.resources
import json
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpu_spawner.core.errors import GpuSpawnerError
from gpu_spawner.sim.provisioner import STORAGE_CLASS
from gpu_spawner.sim.supervisor import Service

__all__ = ["DemoSite", "hub_service", "kept_port", "proxy_service"]

_SETTINGS_VARIABLE = "GPU_SPAWNER_DEMO_SETTINGS"
# Of a hub or a cluster that the demo itself may be running in.
_FOREIGN_PREFIXES = ("JUPYTERHUB_", "JPY_", "KUBERNETES_")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSite:
    """Where everything of one demo is.

    Attributes:
        port: what the user's browser goes to.
        hub_port, proxy_api_port: only the services themselves use these.
        pull_bytes_per_second: of the fleet's slowest node; the page's estimates rest on it.
    """

    state_dir: Path
    profiles_dir: Path
    kubeconfig: Path
    namespace: str
    port: int
    hub_port: int
    proxy_api_port: int
    pull_bytes_per_second: int

    @property
    def logs(self) -> Path:
        """Where the logs go."""
        return self.state_dir / "logs"

    @property
    def rules_file(self) -> Path:
        """The routes, which the hub writes and the proxy follows."""
        return self.state_dir / "proxy" / "rules.toml"


def kept_port(record: Path) -> int:
    """Return a free port of the loopback interface: the one in ``record`` if there is one.

    Servers that come back with a kept state know the hub by the port it had.
    """
    try:
        port = _free_port(int(record.read_text(encoding="utf-8")))
    except (OSError, ValueError, OverflowError):
        port = _free_port(0)
    record.write_text(str(port), encoding="utf-8")
    return port


def _free_port(wanted: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", wanted))
        port: int = probe.getsockname()[1]
        return port


def proxy_service(site: DemoSite) -> Service:
    """Write the proxy's configuration and return how to run it.

    Raises:
        GpuSpawnerError: there is no Traefik.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    program = shutil.which("traefik", path=path)
    if program is None:
        raise GpuSpawnerError(
            "the proxy, traefik, is not installed: pip install 'jupyterhub-gpuspawner[demo]'"
        )
    config = site.state_dir / "proxy" / "traefik.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(
        "\n".join(
            [
                "[global]",
                "checkNewVersion = false",
                "sendAnonymousUsage = false",
                "[api]",
                "[log]",
                'level = "ERROR"',
                "[entryPoints.http]",
                f'address = "127.0.0.1:{site.port}"',
                # Uploads may take longer than the default of a minute.
                "[entryPoints.http.transport.respondingTimeouts]",
                "readTimeout = 0",
                "[entryPoints.auth_api]",
                f'address = "127.0.0.1:{site.proxy_api_port}"',
                "[providers]",
                'providersThrottleDuration = "0s"',
                "[providers.file]",
                f"filename = {json.dumps(str(site.rules_file))}",
                "watch = true",
                "",
            ]
        ),
        encoding="utf-8",
    )
    # Traefik does not start to follow a file that is not there; and what a former hub wrote would
    # keep the present one out. The hub puts the routes of servers that run back by itself.
    site.rules_file.touch(mode=0o600)
    site.rules_file.write_text("", encoding="utf-8")
    return Service(
        name="proxy",
        argv=[program, "--configfile", str(config)],
        environment=_environment(),
        folder=site.state_dir,
        log_file=site.logs / "proxy.log",
        pid_file=site.state_dir / "run" / "proxy.pid",
        stop_grace_seconds=1.0,
    )


def hub_service(site: DemoSite) -> Service:
    """Write the hub's settings and return how to run it."""
    folder = site.state_dir / "hub"
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "bind_url": f"http://127.0.0.1:{site.port}",
        "hub_port": site.hub_port,
        "proxy_api_url": f"http://127.0.0.1:{site.proxy_api_port}",
        "proxy_api_password": secrets.token_urlsafe(24),
        "rules_file": str(site.rules_file),
        "database": f"sqlite:///{folder / 'jupyterhub.sqlite'}",
        "cookie_secret_file": str(folder / "cookie_secret"),
        "profiles_dir": str(site.profiles_dir),
        "pull_bytes_per_second": site.pull_bytes_per_second,
        "namespace": site.namespace,
        "storage_class": STORAGE_CLASS,
    }
    settings_file = folder / "settings.json"
    settings_file.touch(mode=0o600)
    settings_file.write_text(json.dumps(settings, indent=2), encoding="utf-8")
    config = importlib.resources.files("gpu_spawner.sim") / "data" / "jupyterhub_config.py"
    return Service(
        name="hub",
        argv=[sys.executable, "-m", "jupyterhub", "-f", str(config)],
        environment=_environment(
            {"KUBECONFIG": str(site.kubeconfig), _SETTINGS_VARIABLE: str(settings_file)}
        ),
        folder=folder,
        log_file=site.logs / "hub.log",
        pid_file=site.state_dir / "run" / "hub.pid",
        hopeless_statuses=frozenset({os.EX_CONFIG}),
    )


def _environment(own: Mapping[str, str] | None = None) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN_PREFIXES) and name != "KUBECONFIG"
    }
    return kept | dict(own or {})
