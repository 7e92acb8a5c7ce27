"""The process of a hub, forked from one that has imported what hubs need.

Imports are two thirds of what a hub's start costs, and the tests start a hundred hubs. What a hub
does after its imports is the same; measure with ``start_afresh``, which starts one as admins do.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import kubernetes_asyncio.config
import kubernetes_asyncio.config.kube_config

__all__ = ["HubProcess", "start_afresh", "start_forked"]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "jupyterhub.app",
        "alembic.command",
        "sqlalchemy.dialects.sqlite",
        "kubespawner",
        "gpu_spawner.hub.spawner",
    ]
)


class _Forked:
    """Like ``subprocess.Popen``, as far as the tests of hubs go."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._process = _context.Process(
            target=_be_a_hub, args=(folder, {**os.environ, **environment}), daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("jupyterhub", timeout or 0)
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


HubProcess = subprocess.Popen[bytes] | _Forked


def start_forked(folder: Path, environment: Mapping[str, str]) -> HubProcess:
    """Start a hub with the ``jupyterhub_config.py`` of a folder; it writes ``hub.log`` there."""
    return _Forked(folder, environment)


def start_afresh(folder: Path, environment: Mapping[str, str]) -> HubProcess:
    """Do the same with a Python that has imported nothing."""
    with (folder / "hub.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(folder / "jupyterhub_config.py")],
            cwd=folder,
            env={**os.environ, **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _be_a_hub(folder: Path, environment: Mapping[str, str]) -> None:
    from jupyterhub.app import main  # noqa: PLC0415 - the tests themselves do without

    log = os.open(folder / "hub.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    # The one thing that is read from the environment at import.
    default = environment.get("KUBECONFIG", "~/.kube/config")
    kubernetes_asyncio.config.KUBE_CONFIG_DEFAULT_LOCATION = default
    kubernetes_asyncio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION = default
    sys.argv = ["jupyterhub", "-f", str(folder / "jupyterhub_config.py")]
    main()
