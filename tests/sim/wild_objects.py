"""Objects of every kind, of the right types and otherwise of no sense."""

from typing import Any

from hypothesis import strategies as st

from gpu_spawner.sim.apiserver.wire.wire_types import Field, fields_of, is_struct

_MAX_DEPTH = 7
# Words that mean something somewhere, and words that are wrong nearly everywhere.
_WORDS = st.sampled_from(
    [
        "",
        "a",
        "b",
        "A_",
        "c" * 70,
        "example.com/x",
        "/dev/x",
        "../x",
        "10.0.0.1",
        "fe80::1",
        "1Gi",
        "5",
        "-1",
        "50%",
        "In",
        "Exists",
        "Equal",
        "NoSchedule",
        "TCP",
        "Always",
        "Never",
        "Delete",
        "default",
        "nvidia.com/gpu",
        "requests.cpu",
        "cpu",
        "memory",
        "hugepages-2Mi",
        "ClusterIP",
        "None",
        "RollingUpdate",
        "ExactCount",
        "All",
        "device.driver == 'x'",
        "device.attributes[",
        "2026-01-01T00:00:00Z",
        "\u00fc\n",
    ]
)
_NUMBERS = st.sampled_from([0, 1, -1, 2, 80, 65536, 2**31 - 1])
_SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "bytes": st.sampled_from(["", "YQ==", "?"]),
    "int32": _NUMBERS,
    "int64": _NUMBERS | st.just(2**63 - 1),
    "double": st.sampled_from([0.5, 1]),
    "quantity": st.sampled_from(["0", "1", "500m", "1Gi", "-1", "x", 2, "1e3", ""]),
    "intstr": _NUMBERS | _WORDS,
    "time": st.sampled_from(["2026-01-01T00:00:00Z", "x", None]),
    "microtime": st.sampled_from(["2026-01-01T00:00:00.000000Z", "x", None]),
    "any": st.none() | st.dictionaries(_WORDS, _WORDS, max_size=2),
}
# Now and then something of the wrong type.
_WRONG = st.sampled_from([None, 1, "a", [], {}, [None], True])


def wild(name: str, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects of a type in the table of wire types."""
    fields = fields_of(name)
    if not fields or depth > _MAX_DEPTH:
        return st.just({})

    @st.composite
    def build(draw: st.DrawFn) -> dict[str, Any]:
        keys = draw(st.lists(st.sampled_from(sorted(fields)), unique=True, max_size=5))
        return {key: draw(_value(fields[key], depth)) for key in keys}

    return build()


def _value(field: Field, depth: int) -> st.SearchStrategy[Any]:
    if is_struct(field.kind):
        one: st.SearchStrategy[Any] = st.deferred(lambda: wild(field.kind, depth + 1))
    else:
        one = _SCALARS.get(field.kind, _WORDS)
    if field.container == "list":
        one = st.lists(one, max_size=2)
    elif field.container == "map":
        one = st.dictionaries(_WORDS, one, max_size=2)
    return st.integers(0, 60).flatmap(lambda roll: _WRONG if roll == 0 else one)
