"""The map of which changed copies are cheap: a mapping, and never changed by its builder."""

import gc

from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.core.cluster.objects import Pod
from gpu_spawner.core.cluster.sharded_map import ShardedMap, ShardedMapBuilder
from gpu_spawner.core.resources import EMPTY

PAIRS = {f"key-{number}": number for number in range(1000)}


def test_it_is_a_mapping() -> None:
    sharded = ShardedMap.of(PAIRS.items())

    assert sharded == PAIRS
    assert dict(sharded.items()) == PAIRS
    assert sorted(sharded.values()) == sorted(PAIRS.values())
    assert sorted(sharded) == sorted(PAIRS)
    assert (len(sharded), len(sharded.values()), len(sharded.items())) == (1000, 1000, 1000)
    assert ("key-7" in sharded, "key-x" in sharded) == (True, False)
    assert (sharded["key-7"], sharded.get("key-x")) == (7, None)


def test_a_later_pair_replaces_an_earlier_one() -> None:
    assert ShardedMap.of([("a", 1), ("a", 2)]) == {"a": 2}


def test_it_reads_like_its_content() -> None:
    assert repr(ShardedMap.of([("a", 1)])) == "ShardedMap({'a': 1})"


def test_what_was_built_never_changes() -> None:
    builder = ShardedMap.of(PAIRS.items()).builder()
    before = builder.build()

    builder["key-1"] = -1
    builder["new"] = 0
    builder.discard("key-2")
    builder.discard("never was")
    after = builder.build()

    assert before == PAIRS
    assert len(builder) == 1000
    assert after == {key: value for key, value in PAIRS.items() if key != "key-2"} | {
        "key-1": -1,
        "new": 0,
    }


def test_a_builder_of_a_map_leaves_the_map_alone() -> None:
    first = ShardedMap.of(PAIRS.items())
    builder = first.builder()
    builder["key-1"] = -1

    assert first["key-1"] == 1
    assert (builder.get("key-1"), builder.get("key-x")) == (-1, None)


def test_an_empty_builder_builds_an_empty_map() -> None:
    empty: ShardedMapBuilder[str, int] = ShardedMapBuilder()

    assert empty.build() == {}


texts = st.text("ab\0/", max_size=4)


@given(
    st.dictionaries(texts | st.tuples(texts, texts), st.integers()),
    st.lists(texts | st.tuples(texts, texts)),
)
def test_any_names_are_keys(content: dict[object, int], removed: list[object]) -> None:
    builder = ShardedMap.of(content.items()).builder()
    assert builder.build() == content
    for key in removed:
        content.pop(key, None)
        builder.discard(key)
    built = builder.build()
    assert (built == content, set(built), len(built)) == (True, set(content), len(content))
    assert set(built.items()) == set(content.items())
    for key in removed:
        assert (key in built, built.get(key)) == (False, None)


def test_pods_are_nothing_to_the_garbage_collector() -> None:
    """A full collection takes as long with 150,000 pods as without."""
    builder: ShardedMapBuilder[tuple[str, str], Pod] = ShardedMapBuilder()
    before = len(gc.get_objects())
    for number in range(5_000):
        pod = Pod(namespace="hub", name=f"pod-{number}", requests=EMPTY)
        builder[pod.key] = pod
    held = builder.build()
    assert len(held) == 5_000
    assert len(gc.get_objects()) - before < 100
