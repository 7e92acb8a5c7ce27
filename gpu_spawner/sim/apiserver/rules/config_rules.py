"""Defaults and refusals for ConfigMaps and Secrets."""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gpu_spawner.sim.apiserver.field_errors import (
    FieldError,
    forbidden_field,
    invalid_value,
    required,
    too_long,
)
from gpu_spawner.sim.apiserver.names import config_key_problems

__all__ = [
    "check_config_map",
    "check_config_map_update",
    "check_secret",
    "check_secret_update",
    "default_secret",
]

Obj = Mapping[str, Any]

_MAX_BYTES: Final = 1024 * 1024
_FROZEN: Final = "field is immutable when `immutable` is set"
# What the types of Secret that Kubernetes knows must contain.
_NEEDED_KEYS: Final = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_JSON_TYPES: Final = ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson")


def default_secret(secret: dict[str, Any]) -> None:
    """Fill in the type, and take over what was written in plain text."""
    secret.setdefault("type", "Opaque")
    plain = secret.pop("stringData", {})
    if plain:
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in plain.items()}
        secret["data"] = {**secret.get("data", {}), **encoded}


def check_secret(secret: Obj) -> Iterator[FieldError]:
    """Check a Secret."""
    data = secret.get("data", {})
    yield from _check_keys(data, "data")
    size = sum(len(base64.b64decode(value)) for value in data.values())
    if size > _MAX_BYTES:
        yield too_long("data", _MAX_BYTES)
    kind = secret["type"]
    if kind == "kubernetes.io/service-account-token":
        account = "kubernetes.io/service-account.name"
        if not secret["metadata"].get("annotations", {}).get(account):
            yield required(f"metadata.annotations[{account}]")
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & data.keys():
        yield required("data[username]")
        yield required("data[password]")
    for key in _NEEDED_KEYS.get(kind, ()):
        if key not in data:
            yield required(f"data[{key}]")
        elif kind in _JSON_TYPES and not _is_json_object(data[key]):
            detail = "invalid character looking for beginning of value"
            yield invalid_value(f"data[{key}]", "<secret contents redacted>", detail)


def check_secret_update(new: Obj, old: Obj) -> Iterator[FieldError]:
    """Check a change of a Secret: its type stays."""
    if new["type"] != old["type"]:
        yield invalid_value("type", new["type"], "field is immutable")
    yield from _check_frozen(new, old, "data")
    yield from check_secret(new)


def check_config_map(config_map: Obj) -> Iterator[FieldError]:
    """Check a ConfigMap."""
    data, binary = config_map.get("data", {}), config_map.get("binaryData", {})
    yield from _check_keys(data, "data")
    for key in sorted(data.keys() & binary.keys()):
        yield invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData")
    yield from _check_keys(binary, "binaryData")
    size = sum(len(text.encode()) for text in data.values())
    size += sum(len(base64.b64decode(value)) for value in binary.values())
    if size > _MAX_BYTES:
        yield too_long("", _MAX_BYTES)


def check_config_map_update(new: Obj, old: Obj) -> Iterator[FieldError]:
    """Check a change of a ConfigMap."""
    yield from _check_frozen(new, old, "data", "binaryData")
    yield from check_config_map(new)


def _check_keys(data: Mapping[str, str], path: str) -> Iterator[FieldError]:
    for key in sorted(data):
        for problem in config_key_problems(key):
            yield invalid_value(f"{path}[{key}]", key, problem)


def _check_frozen(new: Obj, old: Obj, *fields: str) -> Iterator[FieldError]:
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield forbidden_field("immutable", _FROZEN)
    for key in fields:
        if new.get(key) != old.get(key):
            yield forbidden_field(key, _FROZEN)


def _is_json_object(encoded: str) -> bool:
    try:
        return isinstance(json.loads(base64.b64decode(encoded)), dict)
    except ValueError:
        return False
