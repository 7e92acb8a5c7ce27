"""What is inside every simulated image: the Python environment of the demo, and a little more.

A pod's process gets an environment built from nothing: the PATH leads to the environment this
program runs in (where ``jupyterhub-singleuser`` is), to an ``nvidia-smi`` that shows the pod's
simulated GPUs, and to the system. No variable of the demo's own process gets in.
"""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from gpu_spawner.sim.model_server import ADDRESS_VARIABLE
from gpu_spawner.sim.node import nvidia_smi

__all__ = ["PodPrograms"]

_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
_BUSYBOX = "/bin/busybox"

# As an image would configure its notebook server. In a container root is harmless, and the demo
# itself may be run as root (in CI, say). The rest keeps JupyterLab from asking the internet, and
# from asking the user whether it may.
# A login shell, Jupyter's choice for terminals, would set its own PATH.
_SHELL = shutil.which("bash", path=_SYSTEM_PATH) or "/bin/sh"
_JUPYTER_CONFIG = {
    "ServerApp": {"allow_root": True, "terminado_settings": {"shell_command": [_SHELL]}},
    "LabApp": {
        "news_url": None,
        "check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
    },
}
_PAGE_CONFIG = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}


class PodPrograms:
    """The files that all pods share, written below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._programs = folder / "bin"
        self._config = folder / "etc" / "jupyter"
        self._programs.mkdir(parents=True, exist_ok=True)
        self._config.mkdir(parents=True, exist_ok=True)
        config = self._config / "jupyter_server_config.json"
        config.write_text(json.dumps(_JUPYTER_CONFIG), encoding="utf-8")
        page_config = self._config / "labconfig" / "page_config.json"
        page_config.parent.mkdir(exist_ok=True)
        page_config.write_text(json.dumps(_PAGE_CONFIG), encoding="utf-8")
        script = shlex.join([sys.executable, "-I", "-S", str(Path(nvidia_smi.__file__).resolve())])
        self._write("nvidia-smi", f'exec {script} "$@"')
        # Copied elsewhere it still runs what its first argument names: this machine may have none.
        self._write("busybox", 'exec "$@"')

    def _write(self, name: str, line: str) -> None:
        program = self._programs / name
        program.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        program.chmod(0o755)

    def locate(self, word: str) -> str:
        """Return a word of a command, or where it points to if images have it and we do not."""
        return str(self._programs / "busybox") if word == _BUSYBOX else word

    def environment(self, *, hostname: str, home: Path, address: str) -> Mapping[str, str]:
        """Return the variables an image sets, before those of the pod."""
        # Not resolved: in a virtual environment the interpreter is a link to another one's.
        python = Path(sys.executable).parent
        return {
            "PATH": os.pathsep.join([str(self._programs), str(python), _SYSTEM_PATH]),
            "HOME": str(home),
            "HOSTNAME": hostname,
            ADDRESS_VARIABLE: address,
            "LANG": "C.UTF-8",
            "SHELL": _SHELL,
            "JUPYTER_CONFIG_PATH": str(self._config),
        }
