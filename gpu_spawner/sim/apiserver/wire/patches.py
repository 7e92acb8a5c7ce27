"""Merge patches: JSON's (RFC 7386) and Kubernetes' strategic one.

The strategic merge patch merges lists of objects by a key that the type of the list prescribes, and
knows directives: ``$patch``, ``$retainKeys``, ``$deleteFromPrimitiveList`` and
``$setElementOrder``. Pure functions: they return a new object and leave their arguments alone.
"""

import copy
from collections.abc import Mapping
from typing import Any, Final

from gpu_spawner.sim.apiserver.wire.wire_types import Field, fields_of, is_struct

__all__ = ["PatchError", "merge_patch", "strategic_merge_patch"]

Obj = dict[str, Any]

_DIRECTIVE: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_DELETE_FROM: Final = "$deleteFromPrimitiveList/"
_ORDER: Final = "$setElementOrder/"
_UNKNOWN: Final = Field(kind="any")


class PatchError(ValueError):
    """The patch contradicts itself or the type it is meant for."""


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def strategic_merge_patch(type_name: str, target: Obj, patch: Obj) -> Obj:
    """Apply a strategic merge patch to an object of a type.

    Raises:
        PatchError: a directive is malformed, or an item of a list lacks its key.
    """
    return _merge_struct(type_name, copy.deepcopy(target), copy.deepcopy(patch))


def _merge_struct(kind: str, target: Obj, patch: Obj) -> Obj:
    directive = patch.pop(_DIRECTIVE, None)
    if directive == "replace":
        return patch
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise PatchError(f"unknown patch type [{directive}] in map")
    _retain_keys(target, patch)
    orders = {
        key.removeprefix(_ORDER): patch.pop(key) for key in list(patch) if key.startswith(_ORDER)
    }
    fields = fields_of(kind) if is_struct(kind) else {}
    for key in list(patch):
        value = patch[key]
        if key.startswith(_DELETE_FROM):
            name = key.removeprefix(_DELETE_FROM)
            _delete_scalars(target, name, value)
        elif value is None:
            target.pop(key, None)
        else:
            field = fields.get(key, _UNKNOWN)
            _merge_field(field, target, key, value, orders.pop(key, None))
    for key, order in orders.items():
        _reorder(fields.get(key, _UNKNOWN), target, key, order)
    return target


def _retain_keys(target: Obj, patch: Obj) -> None:
    kept = patch.pop(_RETAIN, None)
    if kept is None:
        return
    if not isinstance(kept, list):
        raise PatchError("invalid patch format of retainKeys")
    for key, value in patch.items():
        is_directive = key.startswith((_DELETE_FROM, _ORDER))
        if value is not None and not is_directive and key not in kept:
            raise PatchError("invalid patch format of retainKeys")
    for key in list(target):
        if key not in kept:
            del target[key]


def _merge_field(field: Field, target: Obj, key: str, value: Any, order: Any) -> None:
    present = target.get(key)
    is_list = isinstance(value, list)
    if isinstance(present, dict) and isinstance(value, dict):
        kind = "" if field.container else field.kind
        target[key] = _merge_struct(kind, present, value)
    elif is_list and field.merge_key is not None and (isinstance(present, list) or order):
        items = present if isinstance(present, list) else []
        merged, without = _merge_list(field, items, value)
        target[key] = _in_order(field, merged, order if order is not None else without, items)
    else:
        cleaned = _without_directives(value)
        if cleaned is None:
            target.pop(key, None)
        else:
            target[key] = cleaned


def _merge_list(field: Field, items: list[Any], patch: list[Any]) -> tuple[list[Any], list[Any]]:
    """Merge two lists; returns the result and the patch without its directives."""
    merge_key = field.merge_key
    if not merge_key:
        for item in patch:
            _check_scalar(item)
        return list(dict.fromkeys([*items, *patch])), patch
    plain = [item for item in patch if _directive_of(item, merge_key) is None]
    if any(_directive_of(item, merge_key) == "replace" for item in patch):
        return [_without_directives(item) for item in plain], plain
    deleted = [item[merge_key] for item in patch if _directive_of(item, merge_key) == "delete"]
    merged = [item for item in items if item.get(merge_key) not in deleted]
    for item in plain:
        for index, each in enumerate(merged):
            if each.get(merge_key) == item[merge_key]:
                merged[index] = _merge_struct(field.kind, each, dict(item))
                break
        else:
            merged.append(_without_directives(item))
    return merged, plain


def _directive_of(item: Any, merge_key: str) -> str | None:
    """Return what an item of a merged list says about itself, if it is well formed."""
    if not isinstance(item, dict):
        raise PatchError(f"expected a map in a list merged by {merge_key}")
    directive = item.get(_DIRECTIVE)
    if directive not in (None, "delete", "replace"):
        raise PatchError(f"unknown patch type [{directive}] in map")
    if directive != "replace":
        _key_value(item, merge_key)
    return directive


def _key_value(item: Any, merge_key: str) -> Any:
    """Return what tells an item from its siblings; a scalar tells itself."""
    if merge_key and isinstance(item, dict):
        if merge_key not in item:
            raise PatchError(
                f"map: {_shown(item)} does not contain declared merge key: {merge_key}"
            )
        item = item[merge_key]
    _check_scalar(item)
    return item


def _check_scalar(item: Any) -> None:
    if isinstance(item, dict | list):
        raise PatchError("invalid patch format of primitive list")


def _reorder(field: Field, target: Obj, key: str, order: Any) -> None:
    items = target.get(key)
    if isinstance(items, list) and field.merge_key is not None:
        target[key] = _in_order(field, items, order, items)


def _in_order(field: Field, merged: list[Any], wanted: Any, before: list[Any]) -> list[Any]:
    """Order a merged list: as the patch wants, with what only the server knows in between.

    An item that the patch does not mention stays before those that followed it until now.
    """
    if not isinstance(wanted, list):
        raise PatchError("invalid patch format of setElementOrder list")
    merge_key = field.merge_key or ""

    def key_of(item: Any) -> Any:
        return _key_value(item, merge_key)

    rank = {key_of(item): index for index, item in enumerate(wanted)}
    old_rank = {key_of(item): index for index, item in enumerate(before)}
    mentioned = sorted(
        (item for item in merged if key_of(item) in rank), key=lambda item: rank[key_of(item)]
    )
    others = [item for item in merged if key_of(item) not in rank]
    ordered: list[Any] = []
    while mentioned and others:
        left, right = old_rank.get(key_of(others[0])), old_rank.get(key_of(mentioned[0]))
        is_first = left is not None and right is not None and left < right
        ordered.append((others if is_first else mentioned).pop(0))
    return [*ordered, *mentioned, *others]


def _delete_scalars(target: Obj, key: str, unwanted: Any) -> None:
    if not isinstance(unwanted, list):
        raise PatchError("invalid patch format of primitive list")
    items = target.get(key)
    if isinstance(items, list):
        target[key] = [item for item in items if item not in unwanted]


def _without_directives(value: Any) -> Any:
    """Return a value as new content: no nulls, no directives; None if it is only a deletion."""
    if isinstance(value, list):
        cleaned = [_without_directives(item) for item in value]
        return [item for item in cleaned if item is not None]
    if not isinstance(value, dict):
        return value
    if value.get(_DIRECTIVE) == "delete":
        return None
    return {
        key: _without_directives(item)
        for key, item in value.items()
        if item is not None and not key.startswith("$")
    }


def _shown(item: Obj) -> str:
    """Show a map as Go prints it."""
    return f"map[{' '.join(f'{key}:{item[key]}' for key in sorted(item))}]"
