"""What the pods of servers name and do not bring: accounts, secrets, classes, queues, schedulers.

A pod that names one of these in vain is refused, or waits for ever. What is named is read from the
pods themselves, so that it does not matter which setting of the site or of a profile put it there.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from gpu_spawner.core.catalog.examination import Finding, Verdict
from gpu_spawner.core.wording import listed

__all__ = ["NamedObject", "Presence", "examine_named", "is_cluster_wide", "named_in"]

_DEFAULT_SCHEDULER: Final = "default-scheduler"
_QUEUE: Final = "kueue.x-k8s.io/queue-name"
_QUEUE_PRIORITY: Final = "kueue.x-k8s.io/priority-class"
_SCHEDULER: Final = "scheduler"
_CLUSTER_WIDE: Final = frozenset(
    {"PriorityClass", "RuntimeClass", "WorkloadPriorityClass", _SCHEDULER}
)
_OF_MECHANISMS: Final = frozenset({"hami", "kai", "runai", "volcano"})
"""Their schedulers are known by what they add to the API, whether or not they bound a pod yet."""
_MOST_NAMED: Final = 5
_CURES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ConfigMap": "Create it there, or mark it optional.",
        "LocalQueue": "Create it there, or name another one in kueue.queue.",
        "PriorityClass": "Create it, or remove priority_class_name: such pods are refused.",
        "RuntimeClass": "Install it, or name another one: such pods are refused.",
        "Secret": "Create it there: kubectl create secret. What needs it does not start before.",
        "ServiceAccount": "Create it there, or name another one: such pods are refused.",
        "WorkloadPriorityClass": "Create it, or remove kueue.priority_class.",
        _SCHEDULER: "Look at the name, and at whether that scheduler runs: until it does, such "
        "servers stay pending.",
    }
)


class Presence(StrEnum):
    """Whether something that pods name is there."""

    THERE = "is there"
    ABSENT = "is not there"
    UNREADABLE = "may not be read"
    UNSEEN = "has not bound any pod yet"
    """Of a scheduler, which is no object: it shows only in what it does."""


@dataclass(frozen=True, slots=True, order=True)
class NamedObject:
    """Something that a pod names.

    Attributes:
        kind: Kubernetes' word; ``scheduler`` for what schedules, which is no object.
        name: of it, in the namespace of the servers where its kind has namespaces.
    """

    kind: str
    name: str


def is_cluster_wide(one: NamedObject) -> bool:
    """Tell whether it is in no namespace."""
    return one.kind in _CLUSTER_WIDE


def named_in(pod: Mapping[str, Any], *, mechanism: str = "") -> frozenset[NamedObject]:
    """Return what a pod names; what is optional is left out.

    Args:
        pod: as Kubernetes' JSON.
        mechanism: by which it has its GPUs.
    """
    return frozenset(
        NamedObject(kind, name)
        for kind, name in _names(pod)
        if name and not (kind == _SCHEDULER and mechanism in _OF_MECHANISMS)
    )


def _names(pod: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    spec = pod.get("spec") or {}
    yield "ServiceAccount", spec.get("serviceAccountName") or spec.get("serviceAccount") or ""
    yield "PriorityClass", spec.get("priorityClassName") or ""
    yield "RuntimeClass", spec.get("runtimeClassName") or ""
    scheduler = spec.get("schedulerName") or ""
    yield _SCHEDULER, "" if scheduler == _DEFAULT_SCHEDULER else scheduler
    for secret in _items(spec, "imagePullSecrets"):
        yield "Secret", secret.get("name") or ""
    labels = (pod.get("metadata") or {}).get("labels") or {}
    yield "LocalQueue", labels.get(_QUEUE) or ""
    yield "WorkloadPriorityClass", labels.get(_QUEUE_PRIORITY) or ""
    for container in (*_items(spec, "initContainers"), *_items(spec, "containers")):
        for variable in _items(container, "env"):
            source = variable.get("valueFrom") or {}
            yield "Secret", _needed(source.get("secretKeyRef"), "name")
            yield "ConfigMap", _needed(source.get("configMapKeyRef"), "name")
        for source in _items(container, "envFrom"):
            yield "Secret", _needed(source.get("secretRef"), "name")
            yield "ConfigMap", _needed(source.get("configMapRef"), "name")
    for volume in _items(spec, "volumes"):
        sources = (volume, *_items(volume.get("projected") or {}, "sources"))
        for source in sources:
            of_volume = "secretName" if source is volume else "name"
            yield "Secret", _needed(source.get("secret"), of_volume)
            yield "ConfigMap", _needed(source.get("configMap"), "name")


def _items(holder: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    return holder.get(key) or ()


def _needed(reference: Mapping[str, Any] | None, key: str) -> str:
    if not reference or reference.get("optional"):
        return ""
    return str(reference.get(key) or "")


def examine_named(
    found: Mapping[NamedObject, Presence],
    named_by: Mapping[NamedObject, Collection[str]],
    *,
    namespace: str,
) -> list[Finding]:
    """Return what was found of everything that pods name, in the order of kinds and names.

    Args:
        found: whether it is there.
        named_by: who names it, such as "profile pytorch-gpus".
        namespace: of the servers.
    """
    return [_finding(one, found[one], named_by[one], namespace) for one in sorted(found)]


def _finding(
    one: NamedObject, presence: Presence, named_by: Iterable[str], namespace: str
) -> Finding:
    where = "" if is_cluster_wide(one) else f" in the namespace {namespace}"
    what = f"The {one.kind} {one.name} {presence.value}{where}"
    if presence is Presence.THERE:
        return Finding(verdict=Verdict.GOOD, what=f"{what}.")
    users = sorted(named_by)
    more = [f"{len(users) - _MOST_NAMED} more"] if len(users) > _MOST_NAMED else []
    who = listed([*users[:_MOST_NAMED], *more])
    return Finding(
        verdict=Verdict.TROUBLE if presence is Presence.ABSENT else Verdict.ADVICE,
        what=f"{what}; it is named by {who}.",
        cure=_CURES[one.kind],
    )
