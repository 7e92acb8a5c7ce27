"""Find the parts of a catalog in a directory, by the names of the files."""

import hashlib
import os
import re
from pathlib import Path
from typing import Final

from gpu_spawner.catalog_files.plain_yaml import MAX_FILE_BYTES, read_yaml
from gpu_spawner.core.catalog.building import ProfileDocument, Sources
from gpu_spawner.core.errors import Problem
from gpu_spawner.core.wording import nearest, quoted

__all__ = ["NAME_CURE", "SLUG_PATTERN", "fingerprint", "read_files"]

SLUG_PATTERN: Final = "[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?"
NAME_CURE: Final = (
    "Name a profile with a number and at most 40 small letters, digits and dashes, "
    "such as 20-pytorch-gpus."
)

_MAX_FILES: Final = 500
_PROFILE_STEM: Final = re.compile(rf"([0-9]{{1,6}})-({SLUG_PATTERN})", re.ASCII)
_PARTS: Final = ("flavors", "images")


def fingerprint(path: str | os.PathLike[str]) -> str:
    """Return a text that changes when the catalog in a directory may have changed.

    It is made of the contents, because mounted ConfigMaps change by swapping a symbolic link. What
    cannot be read counts as content of its own kind, so that becoming readable is a change.
    """
    digest = hashlib.sha256()
    try:
        paths = _catalog_files(Path(path))
    except OSError as error:
        return f"unreadable: {error.strerror}"
    for file in paths:
        try:
            with file.open("rb") as stream:
                content = stream.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            content = f"unreadable: {error.strerror}".encode()
        digest.update(f"{file.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _catalog_files(directory: Path) -> list[Path]:
    """List the YAML files; hidden ones (a mounted ConfigMap's ``..data``) are not ours.

    Neither are directories, unless they are named as a part: mounting a file that is not there
    makes a directory in its place.
    """
    return sorted(
        path
        for path in directory.iterdir()
        if path.suffix in (".yaml", ".yml")
        and not path.name.startswith(".")
        and (_names_a_part(path.stem) or not path.is_dir())
    )


def _names_a_part(stem: str) -> bool:
    return stem in _PARTS or _PROFILE_STEM.fullmatch(stem) is not None


def read_files(directory: Path, sources: Sources) -> None:
    """Add the files of a directory to the sources, and what is wrong with them."""
    try:
        paths = _catalog_files(directory)
    except OSError as error:
        sources.problems.append(
            Problem(
                file=str(directory),
                message=f"the directory cannot be read ({error.strerror}).",
                cure="Check the path and its permissions.",
            )
        )
        return
    if len(paths) > _MAX_FILES:
        sources.problems.append(
            Problem(
                file=str(directory),
                message=f"has {len(paths)} files; at most {_MAX_FILES} are read",
            )
        )
        return
    for path in paths:
        _read_file(path, sources)


def _read_file(path: Path, sources: Sources) -> None:
    file = str(path)
    if path.is_dir():
        _tell(sources, file, "is a directory; a file is expected", "Check what is mounted.")
        return
    if path.suffix == ".yml":
        _tell(sources, file, "files end in .yaml here", f"Rename it to {path.stem}.yaml.")
        return
    name = _PROFILE_STEM.fullmatch(path.stem)
    if path.stem not in _PARTS and name is None:
        meant = nearest(path.stem, _PARTS)
        cure = f"Did you mean {meant}.yaml?" if meant else NAME_CURE
        _tell(sources, file, f"{quoted(path.name)} names no part of a catalog", cure)
        return
    document = read_yaml(path, sources.problems)
    if document is None:
        sources.unreadable.add(path.stem)
        return
    if path.stem == "flavors":
        sources.flavors.append(document)
    elif path.stem == "images":
        sources.images.append(document)
    elif name is not None:
        sources.profiles.append(
            ProfileDocument(slug=name.group(2), order=int(name.group(1)), document=document)
        )


def _tell(sources: Sources, file: str, message: str, cure: str) -> None:
    sources.problems.append(Problem(file=file, message=f"{message}.", cure=cure))
