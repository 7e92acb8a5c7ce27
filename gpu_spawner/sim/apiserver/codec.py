"""From a request's body to an object with its defaults.

Content-Type, JSON or YAML, ``apiVersion`` and ``kind``, unknown and repeated fields as strictly as
the client asked, types, defaults.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import yaml

from gpu_spawner.sim.apiserver.api_errors import ApiError, bad_request, unsupported_media_type
from gpu_spawner.sim.apiserver.kinds import Resource, resource_for_kind
from gpu_spawner.sim.apiserver.strategies import strategy_for
from gpu_spawner.sim.apiserver.wire.go_json import DuplicateKeys, GoJsonError, parse_json
from gpu_spawner.sim.apiserver.wire.protobuf import ProtobufError, decode_protobuf
from gpu_spawner.sim.apiserver.wire.wire_types import DecodeError, decode, type_name

__all__ = [
    "Strictness",
    "complete",
    "decode_body",
    "decode_options",
    "parse_body",
    "parse_strictness",
]

Obj = dict[str, Any]

_JSON: Final = "application/json"
_YAML: Final = "application/yaml"
_PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
_ACCEPTED: Final = (
    "the body of the request was in an unknown format - accepted media types include: "
    f"{_JSON}, {_YAML}, {_PROTOBUF}"
)
_SCHEME: Final = "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"
_SUMMARY_LENGTH: Final = 30


class Strictness:
    """What to do about fields that nobody knows, and which have been found."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.warnings: list[str] = []

    def report(self, complaints: list[str]) -> None:
        """Remember complaints as warnings, unless the client ignores them.

        Raises:
            StrictError: when the client wants them refused.
        """
        if self.mode == "Strict" and complaints:
            raise StrictError(f"strict decoding error: {', '.join(complaints)}")
        if self.mode == "Warn":
            self.warnings += complaints


class StrictError(ValueError):
    """A field that nobody knows, and a client that insists."""


def parse_strictness(query: Mapping[str, str]) -> Strictness:
    """Read ``fieldValidation``; without it an API server warns."""
    mode = query.get("fieldValidation", "") or "Warn"
    if mode not in {"Ignore", "Strict", "Warn"}:
        raise ApiError(
            422,
            "Invalid",
            f'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: '
            f'"{mode}": supported values: "", "Ignore", "Strict", "Warn"',
            {"group": "meta.k8s.io", "kind": "CreateOptions"},
        )
    return Strictness(mode)


def parse_body(content_type: str, raw: bytes, kind: str) -> Any:
    """Parse a body by its Content-Type; none at all means JSON."""
    if content_type in {_JSON, "", "application/octet-stream"}:
        try:
            return parse_json(raw)
        except GoJsonError as error:
            why = f"couldn't get version/kind; json parse error: {error}"
            raise _unrecognised(kind, why, raw) from None
    if content_type == _YAML:
        try:
            return _load_yaml(raw)
        except (yaml.YAMLError, TypeError, ValueError) as error:
            why = f"yaml: {error}"
            raise _unrecognised(kind, why, raw) from None
    if content_type == _PROTOBUF:
        try:
            return decode_protobuf(raw)
        except ProtobufError as error:
            raise unsupported_media_type(str(error)) from None
    raise unsupported_media_type(_ACCEPTED)


def decode_body(resource: Resource, body: Any, strictness: Strictness, raw: bytes) -> Obj:
    """Read a parsed body as an object of a kind, with defaults.

    Raises:
        ApiError: 400 with the reason.
    """
    if not isinstance(body, dict):
        why = (
            "couldn't get version/kind; json parse error: json: cannot unmarshal "
            f"{_go_kind(body)} into Go value of type struct {{ APIVersion string "
            '"json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
        )
        raise _unrecognised(resource.kind, why, raw)
    _check_kind(resource, body)
    sent_kind = body.get("kind") or ""
    try:
        return complete(resource, body, strictness)
    except (DecodeError, StrictError) as error:
        if not sent_kind:
            raise _unrecognised(resource.kind, str(error), raw) from None
        raise _unfit(resource, sent_kind, resource.version, str(error)) from None


def complete(resource: Resource, body: Obj, strictness: Strictness) -> Obj:
    """Give an object its canonical form and its defaults.

    Raises:
        DecodeError: a value is of the wrong type.
        StrictError: a field nobody knows, if the client refuses those.
    """
    obj, unknown = decode(type_name(resource), body)
    strictness.report(
        [
            *(f'unknown field "{path}"' for path in unknown),
            *(f'duplicate field "{path}"' for path in _duplicates(body, "")),
        ]
    )
    rest = {key: value for key, value in obj.items() if key not in {"kind", "apiVersion"}}
    head = {"kind": resource.kind, "apiVersion": resource.api_version}
    complete_obj: Obj = {**head, "metadata": rest.pop("metadata"), **rest}
    strategy_for(resource).default(complete_obj)
    return complete_obj


def decode_options(content_type: str, raw: bytes, name: str) -> Obj:
    """Read the body of a request that is no stored object (DeleteOptions, Binding, ...).

    Args:
        content_type: of the body.
        raw: the body; empty means nothing was said.
        name: the type in the table of wire types.
    """
    if not raw:
        return {}
    kind = name.rpartition(".")[2]
    body = parse_body(content_type, raw, kind)
    try:
        return decode(name, body)[0]
    except DecodeError as error:
        raise bad_request(str(error)) from None


class _YamlLoader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: a timestamp is text."""


_YamlLoader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _load_yaml(raw: bytes) -> Any:
    # Through JSON, so that nothing JSON cannot say (sets, numbers as keys) comes in.
    loaded = yaml.load(raw, Loader=_YamlLoader)  # noqa: S506 - a SafeLoader
    return json.loads(json.dumps(loaded))


def _check_kind(resource: Resource, body: Obj) -> None:
    kind, version = body.get("kind") or resource.kind, body.get("apiVersion")
    if not isinstance(kind, str) or not isinstance(version or "", str):
        raise bad_request("kind and apiVersion must be strings")
    version = version or resource.api_version
    if (kind, version) == (resource.kind, resource.api_version):
        return
    short = version.rpartition("/")[2]
    found = resource_for_kind(version, kind)
    if found is None:
        why = f'no kind "{kind}" is registered for version "{version}" in scheme "{_SCHEME}"'
    else:
        internal = resource.group.partition(".")[0] or "core"
        why = f"converting (v1.{kind}) to ({internal}.{resource.kind}): unknown conversion"
    raise _unfit(resource, kind, short, why)


def _unfit(resource: Resource, kind: str, version: str, why: str) -> ApiError:
    return bad_request(
        f'{kind} in version "{version}" cannot be handled as a {resource.kind}: {why}'
    )


def _unrecognised(kind: str, why: str, raw: bytes) -> ApiError:
    return bad_request(
        f"the object provided is unrecognized (must be of type {kind}): {why} ({_summary(raw)})"
    )


def _summary(raw: bytes) -> str:
    """Show the beginning of a body: text if it looks like JSON, else hexadecimal."""
    if not raw:
        return "<empty>"
    tail = " ..." if len(raw) > _SUMMARY_LENGTH else ""
    head = raw[:_SUMMARY_LENGTH]
    shown = head.decode(errors="replace") if raw.startswith(b"{") else head.hex()
    return shown + tail


def _duplicates(value: Any, path: str) -> list[str]:
    found: list[str] = []
    if isinstance(value, DuplicateKeys):
        found += (f"{path}.{key}" if path else key for key in value.repeated)
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, dict | list):
                found += _duplicates(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict | list):
                found += _duplicates(item, f"{path}[{index}]")
    return found


def _go_kind(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number"
    return "array" if isinstance(value, list) else "null"
