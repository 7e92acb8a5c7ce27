"""What the runtime class of a pod adds to it when the pod is created.

Decides how a manifest changes that names one: overhead, a node selector and tolerations, as the
admission plugin adds them. A pod that was created already has them, and stays as it is.
Source: plugin/pkg/admission/runtimeclass/admission.go and pkg/util/tolerations (1.36).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from gpu_spawner.core.wording import quoted

__all__ = ["with_runtime_class"]


def with_runtime_class(
    pod: Mapping[str, Any], objects: Iterable[Mapping[str, Any]]
) -> tuple[Mapping[str, Any], str]:
    """Return a pod as it would be created, and why that cannot be known; empty where it can.

    Args:
        pod: its manifest.
        objects: the cluster's, as kubectl prints them; the runtime class may be among them.

    Raises:
        ValueError: the API server would refuse the pod for what its runtime class says.
    """
    spec = _mapping(pod, "spec")
    name = spec.get("runtimeClassName")
    if not isinstance(name, str) or not name:
        return pod, ""
    found = next((one for one in objects if _is_runtime_class(one, name)), None)
    if found is None:
        return pod, f"the runtime class {quoted(name)}, which may add to the pod, is not known"
    created = dict(spec)
    overhead = _mapping(_mapping(found, "overhead"), "podFixed")
    if overhead:
        if spec.get("overhead", overhead) != overhead:
            raise ValueError(f"spec.overhead: differs from that of runtime class {quoted(name)}")
        created["overhead"] = overhead
    scheduling = _mapping(found, "scheduling")
    selector, own = _mapping(scheduling, "nodeSelector"), _mapping(spec, "nodeSelector")
    for key in selector.keys() & own.keys():
        if selector[key] != own[key]:
            raise ValueError(f"spec.nodeSelector: {quoted(key)} conflicts with the runtime class")
    if selector:
        created["nodeSelector"] = {**own, **selector}
    tolerations = scheduling.get("tolerations")
    if isinstance(tolerations, list):
        own_tolerations = spec.get("tolerations")
        kept = own_tolerations if isinstance(own_tolerations, list) else []
        created["tolerations"] = [*kept, *(one for one in tolerations if one not in kept)]
    return {**pod, "spec": created}, ""


def _is_runtime_class(item: object, name: str) -> bool:
    return (
        isinstance(item, Mapping)
        and item.get("kind") == "RuntimeClass"
        and _mapping(item, "metadata").get("name") == name
    )


def _mapping(parent: object, key: str) -> Mapping[str, Any]:
    found = parent.get(key) if isinstance(parent, Mapping) else None
    return found if isinstance(found, Mapping) else {}
