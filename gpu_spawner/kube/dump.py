"""Read a cluster, or one manifest, from a file that ``kubectl get -o json`` or ``-o yaml`` printed.

Accepts a ``List``, a single object, several YAML documents, or any mixture; it does not judge
the objects themselves.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from gpu_spawner.core.errors import ConfigError, Problem

__all__ = ["read_manifest", "read_objects"]

# C speed where PyYAML was built with libyaml: a dump of a real cluster has tens of megabytes.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_objects(path: Path) -> list[Mapping[str, Any]]:
    """Return every Kubernetes object in ``path``, lists flattened, in file order.

    Args:
        path: the file; ``-`` reads standard input.

    Raises:
        ConfigError: the file cannot be read, is neither JSON nor YAML, or holds something that
            is not a Kubernetes object.
    """
    return list(_flatten(_documents(path), str(path)))


def read_manifest(path: Path, kind: str) -> Mapping[str, Any]:
    """Return the single object of ``kind`` in ``path``.

    Raises:
        ConfigError: as ``read_objects``, or there is not exactly one object, or its kind differs.
    """
    objects = read_objects(path)
    if len(objects) != 1 or objects[0].get("kind") != kind:
        found = ", ".join(str(each.get("kind")) for each in objects[:5]) or "nothing"
        raise ConfigError(
            [
                Problem(
                    file=str(path),
                    message=f"expected one {kind}, found {found}.",
                    cure=f"Give a file with a single object of kind {kind}.",
                )
            ]
        )
    return objects[0]


def _documents(path: Path) -> list[Any]:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(
            [Problem(file=str(path), message=f"cannot be read: {reason}.")]
        ) from error
    if text.lstrip()[:1] in ("{", "["):
        try:
            return [json.loads(text)]
        except (json.JSONDecodeError, RecursionError):
            pass  # flow-style YAML begins alike, and its parser gives the better message
    try:
        return [each for each in yaml.load_all(text, Loader=_Loader) if each is not None]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigError(
            [
                Problem(
                    file=str(path),
                    line=line,
                    message=f"is neither JSON nor YAML: {error.problem}.",
                    cure="Write it with kubectl get nodes,pods -A -o json.",
                )
            ]
        ) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(
            [Problem(file=str(path), message=f"is neither JSON nor YAML: {error}.")]
        ) from error


def _flatten(documents: list[Any], source: str) -> Iterator[Mapping[str, Any]]:
    for index, document in enumerate(documents):
        if isinstance(document, Mapping) and "items" in document:
            items = document["items"] or []
            kind = str(document.get("kind") or "").removesuffix("List")
            version = document.get("apiVersion")
            for each in _flatten(items if isinstance(items, list) else [items], source):
                # Items of a raw API list (NodeList) carry neither kind nor apiVersion.
                known = {"kind": kind, "apiVersion": version} if kind else {}
                yield each if each.get("kind") else {**known, **each}
        elif isinstance(document, Mapping):
            yield document
        else:
            found = type(document).__name__
            raise ConfigError(
                [
                    Problem(
                        file=source,
                        key=f"[{index}]",
                        message=f"expected a Kubernetes object, found {found}.",
                        cure="Write it with kubectl get nodes,pods -A -o json.",
                    )
                ]
            )
