"""The folders of this machine that stand for a pod's volumes.

A claim is a folder that stays for as long as the state directory; an emptyDir is one that goes with
the pod; secrets and config maps are written out as files. Host paths are never touched: a simulated
pod has no business in the folders of the machine it happens to run on.
"""

import base64
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from gpu_spawner.sim.node.containers import HOME, Mounts

__all__ = ["PodFolders", "VolumeFolders", "decoded_secret"]


def decoded_secret(secret: Mapping[str, Any]) -> dict[str, str]:
    """Return a secret's data as text."""
    data = secret.get("data") or {}
    return {name: base64.b64decode(value).decode(errors="replace") for name, value in data.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFolders:
    """The folders of one pod.

    Attributes:
        home: stands for the home directory of the container.
        mounts: every path of the container that has a folder.
    """

    home: Path
    mounts: Mounts


class VolumeFolders:
    """All folders of a cluster's pods below ``root``."""

    def __init__(self, root: Path) -> None:
        self._claims = root / "volumes"
        self._pods = root / "pods"

    def pod_folder(self, pod_uid: str) -> Path:
        """Return the folder of everything that goes with the pod, made if need be."""
        folder = self._pods / pod_uid
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def remove_pod(self, pod_uid: str) -> None:
        """Remove everything that goes with the pod."""
        shutil.rmtree(self._pods / pod_uid, ignore_errors=True)

    def mount(
        self,
        pod: Mapping[str, Any],
        container: Mapping[str, Any],
        files: Mapping[str, Mapping[str, str]],
    ) -> PodFolders:
        """Make the folders of a container's mounts.

        ``files`` is what is in volumes made of secrets and config maps, by volume name.
        """
        volumes = {each["name"]: each for each in pod["spec"].get("volumes") or ()}
        folders: dict[str, Path] = {}
        for mount in container.get("volumeMounts") or ():
            volume = volumes.get(mount["name"], {"name": mount["name"]})
            folder = self._volume(pod, volume, files.get(mount["name"], {}))
            folder = _below(folder, mount.get("subPath") or "")
            folder.mkdir(parents=True, exist_ok=True)
            folders[mount["mountPath"].rstrip("/") or "/"] = folder
        home = folders.get(HOME)
        if home is None:
            home = folders[HOME] = self.pod_folder(pod["metadata"]["uid"]) / "home"
            home.mkdir(exist_ok=True)
        _link_inner_mounts(home, folders)
        return PodFolders(home=home, mounts=Mounts(folders))

    def _volume(
        self, pod: Mapping[str, Any], volume: Mapping[str, Any], files: Mapping[str, str]
    ) -> Path:
        metadata = pod["metadata"]
        if claim := volume.get("persistentVolumeClaim"):
            return self._claims.joinpath(metadata["namespace"], claim["claimName"])
        folder = self.pod_folder(metadata["uid"]).joinpath("volumes", volume["name"])
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            path = _below(folder, name)
            path.touch(mode=0o600)
            path.write_text(text, encoding="utf-8")
        return folder


def _below(folder: Path, inner: str) -> Path:
    parts = [part for part in PurePosixPath(inner).parts if part not in ("..", "/")]
    return folder.joinpath(*parts)


def _link_inner_mounts(home: Path, folders: Mapping[str, Path]) -> None:
    """Show mounts inside the home directory there, as a container would."""
    for path, folder in folders.items():
        if path.startswith(f"{HOME}/"):
            link = _below(home, path[len(HOME) + 1 :])
            if not link.exists() and not link.is_symlink():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(folder, target_is_directory=True)
