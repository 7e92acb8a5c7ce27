"""What an API server refuses in any object's metadata."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from gpu_spawner.sim.apiserver.field_errors import (
    FieldError,
    forbidden_field,
    invalid_value,
    required,
    too_long,
)
from gpu_spawner.sim.apiserver.names import (
    dns_label_problems,
    label_value_problems,
    qualified_name_problems,
)

__all__ = ["check_labels", "check_metadata", "check_metadata_update", "check_selector"]

Obj = Mapping[str, Any]

_MAX_ANNOTATIONS_BYTES: Final = 256 * 1024
_ORPHAN: Final = "orphan"
_FOREGROUND: Final = "foregroundDeletion"
_IMMUTABLE: Final = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)


def check_metadata(
    metadata: Obj,
    *,
    is_namespaced: bool,
    name_problems: Callable[[str], list[str]],
    path: str = "metadata",
) -> Iterator[FieldError]:
    """Check the metadata of an object as it would be stored.

    Args:
        metadata: the metadata.
        is_namespaced: whether the kind lives in namespaces.
        name_problems: the kind's rule for names.
        path: where the metadata is.
    """
    prefix = metadata.get("generateName", "")
    if prefix:
        # A prefix may end in a dash, because something follows it.
        masked = f"{prefix[:-1]}a" if prefix.endswith("-") else prefix
        for problem in name_problems(masked):
            yield invalid_value(f"{path}.generateName", prefix, problem)
    name = metadata.get("name", "")
    if not name:
        yield required(f"{path}.name", "name or generateName is required")
    else:
        for problem in name_problems(name):
            yield invalid_value(f"{path}.name", name, problem)
    namespace = metadata.get("namespace", "")
    if is_namespaced:
        for problem in dns_label_problems(namespace):
            yield invalid_value(f"{path}.namespace", namespace, problem)
    elif namespace:
        yield forbidden_field(f"{path}.namespace", "not allowed on this type")
    yield from _check_common(metadata, path)
    yield from _check_finalizers(metadata.get("finalizers", ()), f"{path}.finalizers")


def check_metadata_update(new: Obj, old: Obj, path: str = "metadata") -> Iterator[FieldError]:
    """Check what a change may do to metadata."""
    if old.get("deletionTimestamp"):
        extra = sorted({*new.get("finalizers", ())} - {*old.get("finalizers", ())})
        if extra:
            listed = ", ".join(f'"{name}"' for name in extra)
            yield forbidden_field(
                f"{path}.finalizers",
                "no new finalizers can be added if the object is being deleted, found new "
                f"finalizers []string{{{listed}}}",
            )
    for key in _IMMUTABLE:
        if new.get(key) != old.get(key):
            yield invalid_value(f"{path}.{key}", new.get(key, ""), "field is immutable")
    yield from _check_common(new, path)


def check_labels(labels: Mapping[str, str], path: str) -> Iterator[FieldError]:
    """Check label keys and values."""
    for key in sorted(labels):
        for problem in qualified_name_problems(key):
            yield invalid_value(path, key, problem)
        for problem in label_value_problems(labels[key]):
            yield invalid_value(path, labels[key], problem)


def check_selector(selector: Obj | None, path: str) -> Iterator[FieldError]:
    """Check a label selector inside an object."""
    if selector is None:
        return
    yield from check_labels(selector.get("matchLabels", {}), f"{path}.matchLabels")
    for index, clause in enumerate(selector.get("matchExpressions", ())):
        here = f"{path}.matchExpressions[{index}]"
        operator, values = clause["operator"], clause.get("values", [])
        if operator in {"In", "NotIn"}:
            if not values:
                detail = "must be specified when `operator` is 'In' or 'NotIn'"
                yield required(f"{here}.values", detail)
        elif operator in {"Exists", "DoesNotExist"}:
            if values:
                detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                yield forbidden_field(f"{here}.values", detail)
        else:
            yield invalid_value(f"{here}.operator", operator, "not a valid selector operator")
        for problem in qualified_name_problems(clause["key"]):
            yield invalid_value(f"{here}.key", clause["key"], problem)
        for number, value in enumerate(values):
            for problem in label_value_problems(value):
                yield invalid_value(f"{here}.values[{number}]", value, problem)


def _check_common(metadata: Obj, path: str) -> Iterator[FieldError]:
    yield from check_labels(metadata.get("labels", {}), f"{path}.labels")
    yield from _check_annotations(metadata.get("annotations", {}), f"{path}.annotations")
    yield from _check_owners(metadata.get("ownerReferences", ()), f"{path}.ownerReferences")


def _check_annotations(annotations: Mapping[str, str], path: str) -> Iterator[FieldError]:
    for key in sorted(annotations):
        for problem in qualified_name_problems(key.lower()):
            yield invalid_value(path, key, problem)
    size = sum(len(key.encode()) + len(text.encode()) for key, text in annotations.items())
    if size > _MAX_ANNOTATIONS_BYTES:
        yield too_long(path, _MAX_ANNOTATIONS_BYTES)


def _check_owners(owners: Sequence[Obj], path: str) -> Iterator[FieldError]:
    controller = ""
    for owner in owners:
        if not owner["apiVersion"]:
            yield invalid_value(f"{path}.apiVersion", "", "version must not be empty")
        for key in ("kind", "name", "uid"):
            if not owner[key]:
                yield invalid_value(f"{path}.{key}", "", "must not be empty")
        if not owner.get("controller"):
            continue
        name = f"{owner['kind']}/{owner['name']}"
        if controller:
            yield invalid_value(
                path,
                list(owners),
                'Only one reference can have Controller set to true. Found "true" in references '
                f"for {controller} and {name}",
            )
        controller = controller or name


def _check_finalizers(finalizers: Sequence[str], path: str) -> Iterator[FieldError]:
    for name in finalizers:
        for problem in qualified_name_problems(name):
            yield invalid_value(path, name, problem)
    if _ORPHAN in finalizers and _FOREGROUND in finalizers:
        detail = f"finalizer {_ORPHAN} and {_FOREGROUND} cannot be both set"
        yield invalid_value(path, list(finalizers), detail)
