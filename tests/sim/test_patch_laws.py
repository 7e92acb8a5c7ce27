"""The laws of the three patches."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.sim.apiserver.wire.json_patch import (
    JsonPatchError,
    PatchFormatError,
    apply_json_patch,
    check_operations,
)
from gpu_spawner.sim.apiserver.wire.patches import PatchError, merge_patch, strategic_merge_patch

KEYS = st.sampled_from(["a", "b", "c~d/e", ""])
SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "x"])
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, JSON, max_size=3)
POINTERS = st.lists(st.sampled_from(["a", "b", "c~0d~1e", "0", "1", "-", ""]), max_size=3).map(
    lambda parts: "".join(f"/{part}" for part in parts)
)
OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {
            "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]),
            "path": POINTERS,
        },
        optional={"value": JSON, "from": POINTERS},
    ),
    max_size=4,
)
# Every word of the strategic patch's language, in and out of place.
WORDS = st.sampled_from(
    [
        "name",
        "value",
        "env",
        "ports",
        "containerPort",
        "containers",
        "spec",
        "metadata",
        "finalizers",
        "labels",
        "$patch",
        "$retainKeys",
        "$setElementOrder/containers",
        "$deleteFromPrimitiveList/finalizers",
        "$setElementOrder/finalizers",
    ]
)
WILD = st.recursive(
    st.none() | st.integers(0, 2) | st.sampled_from(["delete", "replace", "merge", "a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=10,
)
NAMES = st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True, max_size=4)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value


def _difference(old: Any, new: Any) -> Any:
    """Return the merge patch from one object to another."""
    patch = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old:
            patch[key] = value
        elif isinstance(value, dict) and isinstance(old[key], dict):
            patch[key] = _difference(old[key], value)
        elif json.dumps(value) != json.dumps(old[key]):
            patch[key] = value
    return patch


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_is_idempotent_and_changes_nothing_it_was_given(
    target: Any, patch: Any
) -> None:
    before = copy.deepcopy((target, patch))
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once
    assert (target, patch) == before


@given(OBJECTS, OBJECTS)
def test_the_difference_leads_to_the_other_object(old: Any, new: Any) -> None:
    new = _without_nulls(new)
    assert merge_patch(old, _difference(old, new)) == new


@given(OBJECTS)
def test_an_empty_patch_changes_nothing(target: Any) -> None:
    assert merge_patch(target, {}) == target
    assert apply_json_patch(target, []) == target
    assert strategic_merge_patch("core.v1.Pod", target, {}) == target


@given(JSON, OPERATIONS)
def test_a_json_patch_applies_wholly_or_not_at_all(target: Any, operations: Any) -> None:
    before = copy.deepcopy(target)
    try:
        changed = apply_json_patch(target, check_operations(operations))
    except JsonPatchError:
        changed = None
    assert json.dumps(target) == json.dumps(before)
    json.dumps(changed)


@given(OBJECTS, KEYS, JSON)
def test_what_was_added_is_there_and_can_be_removed(target: Any, key: str, value: Any) -> None:
    path = "/" + key.replace("~", "~0").replace("/", "~1")
    added = apply_json_patch(
        target,
        [{"op": "add", "path": path, "value": value}, {"op": "test", "path": path, "value": value}],
    )
    assert added[key] == value
    removed = apply_json_patch(added, [{"op": "remove", "path": path}])
    assert removed == {name: item for name, item in target.items() if name != key}


@pytest.mark.parametrize("patch", [{}, "x", 1, None, ["x"], [{"op": 1}], [{"path": []}]])
def test_other_things_are_no_json_patch(patch: Any) -> None:
    with pytest.raises(PatchFormatError, match="cannot unmarshal"):
        check_operations(patch)


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ({"op": "remove", "path": "/none"}, "missing path"),
        ({"op": "replace", "path": "/none", "value": 1}, "missing path"),
        ({"op": "add", "path": "/none/x", "value": 1}, "missing path"),
        ({"op": "add", "path": "/list/5", "value": 1}, "out of bounds"),
        ({"op": "add", "path": "/list/x", "value": 1}, "invalid index"),
        ({"op": "add", "path": "/a"}, "missing value"),
        ({"op": "test", "path": "/a", "value": True}, "testing value"),
        ({"op": "test", "path": "/a", "value": 2}, "testing value"),
        ({"op": "move", "from": "/list", "path": "/list/0"}, "into itself"),
        ({"op": "add", "path": "a", "value": 1}, "invalid JSON pointer"),
    ],
)
def test_operations_that_do_not_fit(operation: Any, words: str) -> None:
    with pytest.raises(JsonPatchError, match=words):
        apply_json_patch({"a": 1, "list": [1]}, [operation])


@given(st.dictionaries(WORDS, WILD, max_size=3), st.dictionaries(WORDS, WILD, max_size=3))
def test_any_strategic_patch_is_applied_or_refused(metadata: Any, spec: Any) -> None:
    target = _pod(["a", "b"], "1") | {"metadata": {"finalizers": ["a"], "labels": {"name": "x"}}}
    target["spec"]["containers"][0]["env"] = [{"name": "a", "value": "b"}]
    patch = {"metadata": metadata, "spec": spec}
    before = copy.deepcopy((target, patch))
    try:
        changed = strategic_merge_patch("core.v1.Pod", target, patch)
    except PatchError:
        changed = {}
    assert isinstance(changed, dict)
    assert (target, patch) == before


def _pod(names: list[str], image: str) -> dict[str, Any]:
    containers = [{"name": name, "image": image} for name in names]
    return {"spec": {"containers": containers}}


def _names(pod: dict[str, Any]) -> list[str]:
    return [item["name"] for item in pod["spec"]["containers"]]


@given(NAMES, NAMES)
def test_items_are_merged_by_their_key(old: list[str], new: list[str]) -> None:
    merged = strategic_merge_patch("core.v1.Pod", _pod(old, "1"), _pod(new, "2"))
    assert set(_names(merged)) == {*old, *new}
    assert len(_names(merged)) == len(set(_names(merged)))
    for item in merged["spec"]["containers"]:
        assert item["image"] == ("2" if item["name"] in new else "1")
    assert strategic_merge_patch("core.v1.Pod", merged, _pod(new, "2")) == merged


@given(NAMES, NAMES)
def test_what_a_client_side_apply_sends_gives_its_order(old: list[str], new: list[str]) -> None:
    order = [{"name": name} for name in new]
    gone = [{"name": name, "$patch": "delete"} for name in old if name not in new]
    patch = _pod(new, "2")
    patch["spec"]["containers"] += gone
    patch["spec"]["$setElementOrder/containers"] = order
    changed = strategic_merge_patch("core.v1.Pod", _pod(old, "1"), patch)
    assert _names(changed) == new


@given(NAMES, NAMES, NAMES)
def test_scalars_are_added_and_taken_away(old: list[str], more: list[str], less: list[str]) -> None:
    more = [name for name in more if name not in less]
    target = {"metadata": {"finalizers": old}}
    patch = {"metadata": {"finalizers": more, "$deleteFromPrimitiveList/finalizers": less}}
    changed = strategic_merge_patch("core.v1.Pod", target, patch)
    assert set(changed["metadata"]["finalizers"]) == {*old, *more} - set(less)


def test_directives() -> None:
    target = {"spec": {"containers": [{"name": "a"}], "nodeSelector": {"x": "1", "y": "2"}}}
    replaced = strategic_merge_patch(
        "core.v1.Pod", target, {"spec": {"containers": [{"name": "b"}, {"$patch": "replace"}]}}
    )
    assert _names(replaced) == ["b"]
    selector = {"nodeSelector": {"$patch": "replace", "z": "3"}}
    changed = strategic_merge_patch("core.v1.Pod", target, {"spec": selector})
    assert changed["spec"]["nodeSelector"] == {"z": "3"}
    volumes = {"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}}
    patch = {"name": "v", "emptyDir": {}, "$retainKeys": ["name", "emptyDir"]}
    other = strategic_merge_patch("core.v1.Pod", volumes, {"spec": {"volumes": [patch]}})
    assert other["spec"]["volumes"] == [{"name": "v", "emptyDir": {}}]
    with pytest.raises(PatchError, match="does not contain declared merge key: name"):
        strategic_merge_patch("core.v1.Pod", target, {"spec": {"containers": [{"image": "i"}]}})
