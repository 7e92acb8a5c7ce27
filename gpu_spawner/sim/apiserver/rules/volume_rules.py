"""What an API server refuses in a pod's volumes and in claims for storage."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from gpu_spawner.core.quantity import parse_nano
from gpu_spawner.sim.apiserver.field_errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
)
from gpu_spawner.sim.apiserver.names import dns_label_problems, dns_subdomain_problems
from gpu_spawner.sim.apiserver.rules.metadata_rules import check_selector

__all__ = ["check_claim_spec", "check_volumes"]

Obj = Mapping[str, Any]

_HOST_PATH_TYPES: Final = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_ACCESS_MODES: Final = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_MODE_RULE: Final = "must be a number between 0 and 0777 (octal), both inclusive"


def check_volumes(volumes: Sequence[Obj], path: str) -> tuple[dict[str, Obj], list[FieldError]]:
    """Check volumes.

    Returns:
        The good ones by name (a mount of a bad one is an error too), and what is wrong.
    """
    good: dict[str, Obj] = {}
    problems: list[FieldError] = []
    for index, volume in enumerate(volumes):
        here = f"{path}[{index}]"
        name = volume["name"]
        found = list(_check_source(volume, here))
        if not name:
            found.append(required(f"{here}.name"))
        else:
            found += (
                invalid_value(f"{here}.name", name, problem) for problem in dns_label_problems(name)
            )
        if name in good:
            found.append(duplicate(f"{here}.name", name))
        if not found:
            good[name] = volume
        problems += found
    return good, problems


def check_claim_spec(spec: Obj, path: str) -> Iterator[FieldError]:
    """Check what a PersistentVolumeClaim asks for."""
    modes = spec.get("accessModes", ())
    if not modes:
        yield required(f"{path}.accessModes", "at least 1 access mode is required")
    yield from check_selector(spec.get("selector"), f"{path}.selector")
    for mode in modes:
        if mode not in _ACCESS_MODES:
            yield not_supported(f"{path}.accessModes", mode, _ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        detail = "may not use ReadWriteOncePod with other access modes"
        yield forbidden_field(f"{path}.accessModes", detail)
    storage = spec["resources"].get("requests", {}).get("storage")
    where = f"{path}.resources[storage]"
    if storage is None:
        yield required(where)
    elif parse_nano(storage) <= 0:
        yield invalid_value(where, storage, "must be greater than zero")
    name = spec.get("storageClassName", "")
    if name:
        for problem in dns_subdomain_problems(name):
            yield invalid_value(f"{path}.storageClassName", name, problem)
    mode = spec.get("volumeMode", "Filesystem")
    if mode not in {"Block", "Filesystem"}:
        yield not_supported(f"{path}.volumeMode", mode, ("Block", "Filesystem"))


def _check_source(volume: Obj, path: str) -> Iterator[FieldError]:
    kinds = [key for key in volume if key != "name"]
    if not kinds:
        yield required(path, "must specify a volume type")
        return
    for kind in kinds[1:]:
        yield forbidden_field(f"{path}.{kind}", "may not specify more than 1 volume type")
    kind = kinds[0]
    for key in _NEEDED.get(kind, ()):
        if not volume[kind].get(key):
            yield required(f"{path}.{kind}.{key}")
    check = _CHECKS.get(kind)
    if check is not None:
        yield from check(volume[kind], f"{path}.{kind}")


def _check_empty_dir(source: Obj, path: str) -> Iterator[FieldError]:
    if parse_nano(source.get("sizeLimit", "0")) < 0:
        detail = "SizeLimit field must be a valid resource quantity"
        yield forbidden_field(f"{path}.sizeLimit", detail)


def _check_nfs(source: Obj, path: str) -> Iterator[FieldError]:
    if source["path"] and not source["path"].startswith("/"):
        yield invalid_value(f"{path}.path", source["path"], "must be an absolute path")


def _check_ephemeral(source: Obj, path: str) -> Iterator[FieldError]:
    if "volumeClaimTemplate" in source:
        spec = source["volumeClaimTemplate"]["spec"]
        yield from check_claim_spec(spec, f"{path}.volumeClaimTemplate.spec")


def _check_host_path(source: Obj, path: str) -> Iterator[FieldError]:
    if ".." in source["path"].split("/"):
        yield invalid_value(f"{path}.path", source["path"], "must not contain '..'")
    if source["type"] not in _HOST_PATH_TYPES:
        yield not_supported(f"{path}.type", source["type"], _HOST_PATH_TYPES)


def _check_mode(source: Obj, path: str, key: str = "defaultMode") -> Iterator[FieldError]:
    mode = source.get(key)
    if mode is not None and not 0 <= mode <= 0o777:
        yield invalid_value(f"{path}.{key}", mode, _MODE_RULE)


def _check_files(source: Obj, path: str) -> Iterator[FieldError]:
    yield from _check_mode(source, path)
    for index, item in enumerate(source.get("items", ())):
        here = f"{path}.items[{index}]"
        for key in ("key", "path"):
            if not item[key]:
                yield required(f"{here}.{key}")
        yield from _check_local_path(item["path"], f"{here}.path")
        yield from _check_mode(item, here, "mode")


def _check_local_path(text: str, path: str) -> Iterator[FieldError]:
    if text.startswith("/"):
        yield invalid_value(path, text, "must be a relative path")
    if ".." in text.split("/"):
        yield invalid_value(path, text, "must not contain '..'")
    elif text.startswith(".."):
        yield invalid_value(path, text, "must not start with '..'")


def _check_projected(projected: Obj, path: str) -> Iterator[FieldError]:
    yield from _check_mode(projected, path)
    for index, source in enumerate(projected.get("sources") or ()):
        here = f"{path}.sources[{index}]"
        for kind in ("secret", "configMap"):
            if kind in source:
                if not source[kind].get("name"):
                    yield required(f"{here}.{kind}.name")
                yield from _check_files(source[kind], f"{here}.{kind}")
        token = source.get("serviceAccountToken")
        if token is not None:
            seconds = token["expirationSeconds"]
            where = f"{here}.serviceAccountToken"
            if seconds < 600:
                detail = "may not specify a duration less than 10 minutes"
                yield invalid_value(f"{where}.expirationSeconds", seconds, detail)
            if not token["path"]:
                yield required(f"{where}.path")
        if len(source) > 1:
            yield forbidden_field(here, "may not specify more than 1 volume type per source")


# What a source of a kind cannot do without.
_NEEDED: Final[Mapping[str, Sequence[str]]] = {
    "configMap": ("name",),
    "csi": ("driver",),
    "ephemeral": ("volumeClaimTemplate",),
    "hostPath": ("path",),
    "nfs": ("server", "path"),
    "persistentVolumeClaim": ("claimName",),
    "secret": ("secretName",),
}
_CHECKS: Final[Mapping[str, Callable[[Obj, str], Iterator[FieldError]]]] = {
    "configMap": _check_files,
    "downwardAPI": _check_mode,
    "emptyDir": _check_empty_dir,
    "ephemeral": _check_ephemeral,
    "hostPath": _check_host_path,
    "nfs": _check_nfs,
    "projected": _check_projected,
    "secret": _check_files,
}
