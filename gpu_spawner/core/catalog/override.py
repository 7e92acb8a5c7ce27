"""The escape hatch ``kubespawner_override``: what it may not touch, and how it is merged.

A profile owns what its offers are counted from: image, cpu, memory, GPUs and where the pod may go.
Were the escape hatch to change one of these, the page would count seats of a pod that is never
created. Everything else of KubeSpawner may be set.

Merging never loses what the site has set: mappings are merged, lists are appended to, and only
plain values are replaced. (KubeSpawner's own override replaces lists, and with them for example the
init container with which zero-to-jupyterhub blocks the cloud's metadata server.)
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

__all__ = ["find_owned", "merge_setting"]

_DEVICES: Final = "NVIDIA_VISIBLE_DEVICES"
_RESOURCES: Final = "Use resources in the profile."
_GPU: Final = "Use gpu in the profile: a device's request and limit must be equal and whole."
_NODES: Final = "Use node_selector in the profile, or node_labels in the flavor."
_SCHEDULER: Final = "Use scheduler_name in the profile."

_OWNED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "image": "Use images in the profile.",
        "cpu_guarantee": _RESOURCES,
        "cpu_limit": _RESOURCES,
        "mem_guarantee": _RESOURCES,
        "mem_limit": _RESOURCES,
        "extra_resource_guarantees": _GPU,
        "extra_resource_limits": _GPU,
        "node_selector": _NODES,
        "node_affinity_required": _NODES,
        "pod_affinity_required": "Remove it: the seats of such a profile cannot be counted.",
        "pod_anti_affinity_required": "Remove it: the seats of such a profile cannot be counted.",
        "tolerations": "Use tolerations in the profile.",
        "scheduler_name": _SCHEDULER,
        "profile_list": "Remove it: profiles cannot be nested.",
    }
)
_OWNED_IN_CONTAINER: Final[Mapping[str, str]] = MappingProxyType(
    {"resources": _RESOURCES, "image": "Use images in the profile."}
)
_OWNED_IN_POD: Final[Mapping[str, str]] = MappingProxyType(
    {
        "affinity": _NODES,
        "nodename": _NODES,
        "nodeselector": _NODES,
        "tolerations": "Use tolerations in the profile.",
        "schedulername": _SCHEDULER,
        "resources": _RESOURCES,
        "resourceclaims": _GPU,
        "overhead": "Remove it: Kubernetes sets it from the runtime class.",
        "containers": "Use extra_containers in kubespawner_override.",
        "initcontainers": "Use init_containers in kubespawner_override.",
        "topologyspreadconstraints": "Remove it: the seats of such a profile cannot be counted.",
    }
)


def find_owned(override: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the path of each setting that the profile owns, with what to do instead."""
    for key, value in override.items():
        if key in _OWNED:
            yield (key,), _OWNED[key]
        elif key == "extra_container_config":
            yield from _find_inside(key, value, _OWNED_IN_CONTAINER)
        elif key == "extra_pod_config":
            yield from _find_inside(key, value, _OWNED_IN_POD)
        elif key == "environment" and isinstance(value, Mapping) and _DEVICES in value:
            yield (
                (key, _DEVICES),
                "Remove it: the device plugin sets it, and a server without GPU gets 'void'.",
            )


def _find_inside(
    key: str, value: Any, owned: Mapping[str, str]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Look one level down; KubeSpawner takes camelCase and snake_case there."""
    if isinstance(value, Mapping):
        for inner in value:
            cure = owned.get(str(inner).replace("_", "").lower())
            if cure is not None:
                yield (key, str(inner)), cure


def merge_setting(current: Any, addition: Any) -> Any:
    """Return ``current`` with ``addition`` merged in; neither is changed.

    Where KubeSpawner takes a list or a mapping of the same things (``volumes``), the site's form is
    kept unless only a list can hold both.

    >>> merge_setting({"a": 1, "b": {"c": 2}}, {"b": {"d": 3}})
    {'a': 1, 'b': {'c': 2, 'd': 3}}
    >>> merge_setting([{"key": "x"}], [{"key": "x"}, {"key": "y"}])
    [{'key': 'x'}, {'key': 'y'}]
    """
    if isinstance(current, Mapping) and isinstance(addition, Mapping):
        merged = dict(current)
        for key, value in addition.items():
            merged[key] = merge_setting(merged[key], value) if key in merged else value
        return merged
    if _is_many(current) and _is_many(addition):
        items = _items(current)
        return [*items, *(item for item in _items(addition) if item not in items)]
    return addition


def _is_many(value: Any) -> bool:
    return isinstance(value, (list, tuple, Mapping))


def _items(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, Mapping) else list(value)
