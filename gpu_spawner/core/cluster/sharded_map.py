"""A mapping of which changed copies are cheap, for clusters with 150,000 pods.

Decides nothing. A :class:`ShardedMap` never changes. A :class:`ShardedMapBuilder` changes its own
shards in place and copies a shard only while a map it built still holds it, so that an event costs
one small dictionary copy instead of a big one.
"""

from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from itertools import chain
from typing import Any, Final, Generic, TypeVar

__all__ = ["ShardedMap", "ShardedMapBuilder"]

_K = TypeVar("_K")
_V = TypeVar("_V")
_V_co = TypeVar("_V_co", covariant=True)

_Shards = tuple[dict[Any, _V_co], ...]

_SHARDS: Final = 256  # some 600 entries a shard at 150,000 pods, copied in a microsecond

_BETWEEN: Final = "\0"


def _inner(key: Any) -> Any:
    """Return what stands in a shard for a key: for a namespace and a name, one string.

    A dictionary of strings and of what holds no other objects is nothing to Python's collector,
    which would otherwise look at 150,000 pods again and again.
    """
    if type(key) is str:
        return key if _BETWEEN not in key else (key,)
    if type(key) is tuple and len(key) == 2:
        inner = _BETWEEN.join(key)
        return inner if inner.count(_BETWEEN) == 1 else key
    return key


def _outer(inner: Any) -> Any:
    """Return the key that something in a shard stands for."""
    if type(inner) is str:
        return inner if _BETWEEN not in inner else tuple(inner.split(_BETWEEN))
    return inner[0] if type(inner) is tuple and len(inner) == 1 else inner


class ShardedMap(Mapping[_K, _V_co]):
    """An immutable mapping; equal to any mapping with the same content."""

    __slots__ = ("_length", "_shards")

    def __init__(self, shards: _Shards[_V_co], length: int) -> None:
        self._shards: Final = shards
        self._length: Final = length

    @classmethod
    def of(cls, items: Iterable[tuple[_K, _V_co]] = ()) -> "ShardedMap[_K, _V_co]":
        """Build one from pairs; a later pair replaces an earlier one with the same key."""
        builder: ShardedMapBuilder[_K, _V_co] = ShardedMapBuilder()
        for key, value in items:
            builder[key] = value
        return builder.build()

    def __getitem__(self, key: _K) -> _V_co:
        inner = _inner(key)
        try:
            return self._shards[hash(inner) % _SHARDS][inner]
        except KeyError:
            raise KeyError(key) from None

    def __contains__(self, key: object) -> bool:
        inner = _inner(key)
        return inner in self._shards[hash(inner) % _SHARDS]

    def __iter__(self) -> Iterator[_K]:
        return map(_outer, chain.from_iterable(self._shards))

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"ShardedMap({dict(self)!r})"

    def values(self) -> ValuesView[_V_co]:
        """Return a view of the values, which are not looked up key by key."""
        return _Values(self, self._shards)

    def items(self) -> ItemsView[_K, _V_co]:
        """Return a view of the pairs, which are not looked up key by key."""
        return _Items(self, self._shards)

    def builder(self) -> "ShardedMapBuilder[_K, _V_co]":
        """Return a builder that starts from this content and leaves this map as it is."""
        return ShardedMapBuilder(self._shards, self._length)


class _Values(ValuesView[_V_co]):
    __slots__ = ("_shards",)

    def __init__(self, mapping: ShardedMap[Any, _V_co], shards: _Shards[_V_co]) -> None:
        super().__init__(mapping)
        self._shards = shards

    def __iter__(self) -> Iterator[_V_co]:
        return chain.from_iterable([shard.values() for shard in self._shards])


class _Items(ItemsView[_K, _V_co]):
    __slots__ = ("_shards",)

    def __init__(self, mapping: ShardedMap[_K, _V_co], shards: _Shards[_V_co]) -> None:
        super().__init__(mapping)
        self._shards = shards

    def __iter__(self) -> Iterator[tuple[_K, _V_co]]:
        for shard in self._shards:
            for inner, value in shard.items():
                yield _outer(inner), value


class ShardedMapBuilder(Generic[_K, _V]):
    """A mapping that is changed in place and hands out :class:`ShardedMap` views of itself."""

    __slots__ = ("_built", "_length", "_owned", "_shards")

    def __init__(self, shards: tuple[dict[Any, _V], ...] | None = None, length: int = 0) -> None:
        empty: dict[Any, _V] = {}
        self._shards = list(shards) if shards is not None else [empty] * _SHARDS
        self._owned: set[int] = set()
        self._length = length
        self._built: ShardedMap[_K, _V] | None = None

    def __len__(self) -> int:
        return self._length

    def get(self, key: _K) -> _V | None:
        """Return a value, None where there is none."""
        inner = _inner(key)
        return self._shards[hash(inner) % _SHARDS].get(inner)

    def __setitem__(self, key: _K, value: _V) -> None:
        inner = _inner(key)
        shard = self._own(inner)
        self._length -= len(shard)
        shard[inner] = value
        self._length += len(shard)

    def discard(self, key: _K) -> None:
        """Remove a key that may be absent."""
        inner = _inner(key)
        shard = self._own(inner)
        self._length -= len(shard)
        shard.pop(inner, None)
        self._length += len(shard)

    def build(self) -> ShardedMap[_K, _V]:
        """Return the present content as a map that no later change touches.

        It is the same object as before where nothing has changed.
        """
        if self._built is None or self._owned:
            self._owned.clear()
            self._built = ShardedMap(tuple(self._shards), self._length)
        return self._built

    def _own(self, inner: Any) -> dict[Any, _V]:
        position = hash(inner) % _SHARDS
        if position not in self._owned:
            self._shards[position] = self._shards[position].copy()
            self._owned.add(position)
        return self._shards[position]
