"""The store's laws: lists and watches tell the same story."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.sim.apiserver.kinds import RESOURCES
from gpu_spawner.sim.apiserver.listing import ListOptions, list_page
from gpu_spawner.sim.apiserver.store import Change, ChangeKind, HistoryGoneError, Record, Store

KINDS = {item.kind: item for item in RESOURCES}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "remove"]),
        st.sampled_from(["ConfigMap", "Secret"]),
        st.sampled_from(["a", "a-b", "b"]),
        st.sampled_from(["x", "y", "z"]),
        st.sampled_from(["red", "blue"]),
    ),
    max_size=30,
)

Step = tuple[str, str, str, str, str]
State = dict[str, tuple[int, bytes]]


def _apply(store: Store, step: Step) -> None:
    action, kind, namespace, name, color = step
    resource = KINDS[kind]
    if action == "put":
        metadata = {"name": name, "namespace": namespace, "labels": {"color": color}}
        store.put(resource, {"metadata": metadata})
        return
    record = store.get(resource, namespace, name)
    if record is not None:
        store.remove(record)


def _state(records: list[Record]) -> State:
    return {record.key: (record.version, record.raw) for record in records}


def _replay(state: State, changes: list[Change]) -> State:
    state = dict(state)
    for change in changes:
        record = change.record
        if change.kind is ChangeKind.DELETED:
            assert record.key in state
            del state[record.key]
        else:
            assert (change.kind is ChangeKind.ADDED) == (record.key not in state)
            state[record.key] = (record.version, record.raw)
    return state


@given(STEPS, STEPS)
def test_a_list_and_the_changes_since_make_the_later_list(
    before: list[Step], after: list[Step]
) -> None:
    store = Store()
    for step in before:
        _apply(store, step)
    resource, version = KINDS["ConfigMap"], store.version
    listed = _state(store.list_records(resource))
    for step in after:
        _apply(store, step)
    changes = store.changes_since(resource, version)
    assert _replay(listed, changes) == _state(store.list_records(resource))
    versions = [change.version for change in changes]
    assert versions == sorted(set(versions))
    assert all(number > version for number in versions)


@given(STEPS, st.integers(1, 4), st.data())
def test_a_list_as_of_a_version_is_the_list_at_that_time(
    steps: list[Step], limit: int, data: st.DataObject
) -> None:
    store = Store()
    resource = KINDS["ConfigMap"]
    states: dict[int, State] = {0: {}}
    for step in steps:
        _apply(store, step)
        states[store.version] = _state(store.list_records(resource))
    version = data.draw(st.sampled_from(sorted(states)))
    assert _state(store.list_records(resource, at=version)) == states[version]
    # Pages, however small, give the same list, whatever happens between them.
    options = ListOptions(version=str(version or 1), version_match="Exact", limit=limit)
    if not store.version:
        return
    version = version or 1
    seen: list[Record] = []
    while True:
        page = list_page(store, resource, None, options)
        seen += page.records
        assert page.version == version
        if not page.token:
            break
        _apply(store, ("put", "ConfigMap", "a", "w", "red"))
        options = ListOptions(token=page.token, limit=limit)
    assert [record.key for record in seen] == sorted(record.key for record in seen)
    assert _state(seen) == states[version]


@given(STEPS)
def test_a_namespace_is_a_part_of_the_whole(steps: list[Step]) -> None:
    store = Store()
    for step in steps:
        _apply(store, step)
    for kind in ("ConfigMap", "Secret"):
        records = store.list_records(KINDS[kind])
        for namespace in ("a", "a-b", "b"):
            part = [record for record in records if record.namespace == namespace]
            assert store.list_records(KINDS[kind], namespace) == part


@given(STEPS, st.integers(0, 5))
def test_what_is_forgotten_is_refused_and_never_wrong(steps: list[Step], limit: int) -> None:
    whole, short = Store(), Store(history_limit=limit)
    for step in steps:
        _apply(whole, step)
        _apply(short, step)
    resource = KINDS["ConfigMap"]
    for version in range(whole.version + 1):
        expected = [change.version for change in whole.changes_since(resource, version)]
        try:
            found = [change.version for change in short.changes_since(resource, version)]
        except HistoryGoneError:
            assert len(expected) > limit
        else:
            assert found == expected


def test_readers_cannot_change_the_store() -> None:
    store = Store()
    sent: dict[str, Any] = {"metadata": {"name": "x", "namespace": "a"}, "data": {"k": "v"}}
    store.put(KINDS["ConfigMap"], sent)
    sent["data"]["k"] = "changed"
    record = store.get(KINDS["ConfigMap"], "a", "x")
    assert record is not None
    record.decode()["data"]["k"] = "changed"
    assert record.decode()["data"] == {"k": "v"}


def test_a_version_belongs_to_one_change() -> None:
    store = Store()
    with pytest.raises(KeyError):
        store.put(KINDS["ConfigMap"], {"metadata": {"namespace": "a"}})
    assert store.version == 0
