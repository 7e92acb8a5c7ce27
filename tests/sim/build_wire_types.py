"""Write gpu_spawner/sim/data/wire-types.json: the fields of every kind the sim serves.

The source is Kubernetes' own OpenAPI document for 1.36, as the PyPI package ``kubernetes-validate``
ships it; descriptions are left out. Run as a script after changing the table of kinds:
``python tests/sim/build_wire_types.py``. ``test_wire_types.py`` fails when the copy is stale.
"""

import json
from pathlib import Path
from typing import Any

from wire_facts import ALWAYS, KEPT, NOT_ALWAYS, parse_facts

from gpu_spawner.sim.apiserver.kinds import RESOURCES

TARGET = Path(__file__).parents[2] / "gpu_spawner" / "sim" / "data" / "wire-types.json"
VERSION = "v1.36.0-local"

_ROOTS = (
    "authentication.v1.TokenRequest",
    "autoscaling.v1.Scale",
    "core.v1.Binding",
    "meta.v1.DeleteOptions",
    "policy.v1.Eviction",
)
_PARTS = {"metadata", "spec", "status"}
_SPECIAL = {
    "resource.Quantity": "quantity",
    "meta.v1.Time": "time",
    "meta.v1.MicroTime": "microtime",
    "intstr.IntOrString": "intstr",
    "runtime.RawExtension": "any",
    "meta.v1.FieldsV1": "any",
}
_GROUPS = {
    "rbac.authorization.k8s.io": "rbac",
    "scheduling.k8s.io": "scheduling",
    "storage.k8s.io": "storage",
    "coordination.k8s.io": "coordination",
    "node.k8s.io": "node",
    "networking.k8s.io": "networking",
    "resource.k8s.io": "resource",
    "authentication.k8s.io": "authentication",
    "authorization.k8s.io": "authorization",
    "": "core",
}


def build() -> str:
    """Return the content of the file."""
    import kubernetes_validate  # noqa: PLC0415 - only here; the test skips without it

    root = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / VERSION
    definitions = json.loads((root / "_definitions.json").read_text())["$defs"]
    by_name = {_short(name): body for name, body in definitions.items()}
    pending = [*_ROOTS, *(_type_of(item.group, item.version, item.kind) for item in RESOURCES)]
    kept, always, never = parse_facts(KEPT), parse_facts(ALWAYS), parse_facts(NOT_ALWAYS)
    types: dict[str, Any] = {}
    while pending:
        name = pending.pop()
        if name in types or name not in by_name:
            continue
        body = by_name[name]
        written = {key for key in body.get("required", ()) if _is_plain(body["properties"][key])}
        written -= never.get(name, set())
        written |= always.get(name, set())
        fields = {}
        for key, schema in sorted(body.get("properties", {}).items()):
            spelled, referenced = _spell(schema)
            if key in written or (key in _PARTS and referenced == spelled):
                spelled += " always"
            if key in kept.get(name, ()):
                spelled += " kept"
            fields[key] = spelled
            if referenced:
                pending.append(referenced)
        types[name] = fields
    lines = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps(types[name], separators=(', ', ': '))}"
        for name in sorted(types)
    )
    return f"{{\n{lines}\n}}\n"


def _is_plain(schema: dict[str, Any]) -> bool:
    """Whether a required field is a scalar or a list; required structs are often pointers."""
    return "$ref" not in schema


def _type_of(group: str, version: str, kind: str) -> str:
    return f"{_GROUPS.get(group, group)}.{version}.{kind}"


def _short(name: str) -> str:
    for prefix in (
        "io.k8s.api.",
        "io.k8s.apimachinery.pkg.apis.",
        "io.k8s.apimachinery.pkg.api.",
        "io.k8s.apimachinery.pkg.util.",
        "io.k8s.apimachinery.pkg.",
    ):
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def _spell(schema: dict[str, Any]) -> tuple[str, str]:
    """Spell a field's type in the words of ``wire_types``; also the type it leads to."""
    if "$ref" in schema:
        name = _short(schema["$ref"].rpartition("/")[2])
        special = _SPECIAL.get(name)
        return (special, "") if special else (name, name)
    kind = schema.get("type")
    kind = next(item for item in kind if item != "null") if isinstance(kind, list) else kind
    if kind == "array":
        inner, referenced = _spell(schema["items"])
        spelled = f"[]{inner}"
        strategy = schema.get("x-kubernetes-patch-strategy", "")
        if "merge" in strategy:
            spelled += " merge=" + schema.get("x-kubernetes-patch-merge-key", "")
        if "retainKeys" in strategy:
            spelled += " retainKeys"
        return spelled, referenced
    if kind == "object" and "additionalProperties" in schema:
        inner, referenced = _spell(schema["additionalProperties"])
        return f"map {inner}", referenced
    return _spell_scalar(kind, schema.get("format", "")), ""


def _spell_scalar(kind: str | None, form: str) -> str:
    match kind:
        case "object" | None:
            return "any"
        case "string":
            return "bytes" if form == "byte" else "string"
        case "integer":
            return form or "int64"
    return {"boolean": "bool", "number": "double"}[kind]


if __name__ == "__main__":
    TARGET.write_text(build())
