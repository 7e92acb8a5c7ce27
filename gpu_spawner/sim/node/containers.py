"""What a container's process is started with: its command, its environment, its paths.

A simulated container is a process of this machine, without a file system of its own. Where the pod
says ``/home/jovyan`` the process must be told of the folder that stands for it: values of variables
and arguments that are a path inside a mount are rewritten to the folder behind it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = ["HOME", "ContainerSources", "Mounts", "build_command", "build_environment"]

HOME = "/home/jovyan"
"""The home directory inside Jupyter's images (docker-stacks)."""

_REFERENCE = re.compile(r"\$(\$|\(([A-Za-z_.-][A-Za-z0-9_.-]*)\))")
_ANNOTATION_FIELD = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_SERVICE_URL = "JUPYTERHUB_SERVICE_URL"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSources:
    """Where the values of variables come from.

    Attributes:
        pod: the pod, with the status fields that ``fieldRef`` can name.
        secrets: decoded data of the secrets the pod names, by name.
        config_maps: data of the config maps the pod names, by name.
    """

    pod: Mapping[str, Any]
    secrets: Mapping[str, Mapping[str, str]]
    config_maps: Mapping[str, Mapping[str, str]]


class Mounts:
    """Which folder of this machine stands for which path of a container."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        # The longest path first: /home/jovyan/work may be a mount inside /home/jovyan.
        self._folders = sorted(folders.items(), key=lambda item: -len(item[0]))

    def translate(self, value: str) -> str:
        """Return ``value``, or where it points to if it is a path inside a mount."""
        for path, folder in self._folders:
            if value == path or value.startswith(f"{path}/"):
                return f"{folder}{value[len(path) :]}"
        return value


def build_environment(
    container: Mapping[str, Any], sources: ContainerSources, mounts: Mounts
) -> dict[str, str]:
    """Return the variables the pod sets for the container, references resolved.

    Raises:
        KeyError: a secret, config map or key that is not optional does not exist; the text is the
            kubelet's.
    """
    environment: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        environment |= _whole_source(source, sources)
    for variable in container.get("env") or ():
        value = _value(variable, container, sources, environment)
        if value is not None:
            environment[variable["name"]] = mounts.translate(value)
    if url := environment.get(_SERVICE_URL):
        environment[_SERVICE_URL] = _at_pod_ip(url, sources.pod)
    return environment


def build_command(
    container: Mapping[str, Any],
    image_command: Sequence[str],
    environment: Mapping[str, str],
    mounts: Mounts,
) -> list[str]:
    """Return the program and its arguments; empty where neither pod nor image names one."""
    command = container.get("command") or ()
    arguments = container.get("args") or ()
    # As a Docker image with a CMD and no ENTRYPOINT: arguments alone replace the CMD.
    words = [*command, *arguments] or list(image_command)
    return [mounts.translate(_expand(word, environment)) for word in words]


def _at_pod_ip(url: str, pod: Mapping[str, Any]) -> str:
    # In a pod "all addresses" means the pod's; here it would take the port from every other pod.
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=f"{pod['status']['podIP']}{port}").geturl()


def _whole_source(source: Mapping[str, Any], sources: ContainerSources) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    for field, kind, known in (
        ("secretRef", "secret", sources.secrets),
        ("configMapRef", "configmap", sources.config_maps),
    ):
        if reference := source.get(field):
            data = known.get(reference["name"])
            if data is None and not reference.get("optional"):
                raise KeyError(f'{kind} "{reference["name"]}" not found')
            return {f"{prefix}{name}": value for name, value in (data or {}).items()}
    return {}


def _value(
    variable: Mapping[str, Any],
    container: Mapping[str, Any],
    sources: ContainerSources,
    environment: Mapping[str, str],
) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return _expand(variable.get("value") or "", environment)
    if reference := source.get("fieldRef"):
        return _field(sources.pod, reference["fieldPath"])
    if reference := source.get("resourceFieldRef"):
        return _resource(container, reference["resource"])
    if reference := source.get("secretKeyRef"):
        return _key("secret", sources.secrets, reference)
    if reference := source.get("configMapKeyRef"):
        return _key("configmap", sources.config_maps, reference)
    return ""


def _key(
    kind: str, known: Mapping[str, Mapping[str, str]], reference: Mapping[str, Any]
) -> str | None:
    data = known.get(reference["name"])
    if data is not None and reference["key"] in data:
        return data[reference["key"]]
    if reference.get("optional"):
        return None
    if data is None:
        raise KeyError(f'{kind} "{reference["name"]}" not found')
    raise KeyError(f"couldn't find key {reference['key']} in {kind} {reference['name']}")


def _field(pod: Mapping[str, Any], path: str) -> str:
    if match := _ANNOTATION_FIELD.fullmatch(path):
        return str((pod["metadata"].get(match.group(1)) or {}).get(match.group(2), ""))
    found: Any = pod
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return "" if found is None else str(found)


def _resource(container: Mapping[str, Any], path: str) -> str:
    section, _, name = path.partition(".")
    resources = container.get("resources") or {}
    return str((resources.get(section) or {}).get(name, "0"))


def _expand(text: str, environment: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` by the variable if there is one, and ``$$`` by ``$``."""

    def replacement(match: re.Match[str]) -> str:
        if match.group(1) == "$":
            return "$"
        return environment.get(match.group(2), match.group(0))

    return _REFERENCE.sub(replacement, text)
