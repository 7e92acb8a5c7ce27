"""The map of which changed copies are cheap: a mapping, and never changed by its builder."""

from gpu_spawner.core.cluster.sharded_map import ShardedMap, ShardedMapBuilder

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
