"""Resource vectors: values, not containers."""

import doctest

import pytest

from gpu_spawner.core import resources
from gpu_spawner.core.resources import (
    EMPTY,
    ResourceVector,
    is_counted,
    vector_from_quantities,
)


def test_zero_and_absent_are_the_same() -> None:
    assert ResourceVector({"cpu": 0, "memory": 1}) == ResourceVector({"memory": 1})
    assert hash(ResourceVector({"cpu": 0})) == hash(EMPTY)


def test_order_does_not_matter() -> None:
    one, other = ResourceVector({"a": 1, "b": 2}), ResourceVector({"b": 2, "a": 1})

    assert (one, hash(one), repr(one)) == (other, hash(other), repr(other))


def test_a_vector_is_a_mapping() -> None:
    vector = ResourceVector({"cpu": 1, "memory": 2})

    assert dict(vector) == {"cpu": 1, "memory": 2}
    assert (len(vector), "cpu" in vector, "pods" in vector) == (2, True, False)
    assert (vector["cpu"], vector.amount("pods")) == (1, 0)


def test_a_vector_differs_from_other_vectors_and_other_things() -> None:
    vector = ResourceVector({"cpu": 1})

    assert vector != ResourceVector({"cpu": 2})
    assert vector != ResourceVector({"memory": 1})
    assert vector != {"cpu": 1}


def test_sums_and_differences() -> None:
    one = ResourceVector({"cpu": 500, "nvidia.com/gpu": 1})
    other = ResourceVector({"cpu": 600})

    assert one.plus(other) == ResourceVector({"cpu": 1100, "nvidia.com/gpu": 1})
    assert one.minus(other) == ResourceVector({"cpu": -100, "nvidia.com/gpu": 1})
    assert one.plus(EMPTY) is one
    assert one.minus(one) == EMPTY


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cpu", True),
        ("memory", True),
        ("ephemeral-storage", True),
        ("pods", True),
        ("hugepages-2Mi", True),
        ("attachable-volumes-csi", True),
        ("nvidia.com/gpu", True),
        ("nvidia.com/mig-1g.10gb.shared", True),
        ("kubernetes.io/batteries", True),
        ("requests.nvidia.com/gpu", False),
        ("storage", False),
        ("gpu", False),
    ],
)
def test_the_scheduler_counts_only_some_names(*, name: str, expected: bool) -> None:
    assert is_counted(name) is expected


def test_units_follow_the_name() -> None:
    vector = vector_from_quantities(
        {"cpu": "1500m", "memory": "1Ki", "nvidia.com/gpu": "2", "pods": "110", "unknown": "7"}
    )

    assert vector == ResourceVector({"cpu": 1500, "memory": 1024, "nvidia.com/gpu": 2, "pods": 110})


@pytest.mark.parametrize(
    ("quantity", "complaint"), [("abc", "is not a quantity"), ("-1", "less than nothing")]
)
def test_a_bad_amount_is_named(quantity: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"^cpu: .*{complaint}"):
        vector_from_quantities({"cpu": quantity})


def test_the_examples_hold() -> None:
    failures, tried = doctest.testmod(resources)

    assert (failures, tried > 0) == (0, True)
