"""Quantities: every form Kubernetes accepts, rounded up, and nothing else."""

import doctest

import pytest

from gpu_spawner.core import quantity
from gpu_spawner.core.quantity import (
    format_bytes,
    format_cpu,
    parse_bytes,
    parse_count,
    parse_cpu_milli,
    parse_nano,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("2", 2000),
        ("250m", 250),
        ("0.5", 500),
        (".5", 500),
        ("5.", 5000),
        ("+1", 1000),
        ("1e2", 100_000),
        ("1E-1", 100),
        ("100u", 1),
        ("1n", 1),
        ("0.0001", 1),
        ("2k", 2_000_000),
        (2, 2000),
        (0.25, 250),
        (1e-05, 1),
    ],
)
def test_cpu_is_rounded_up_to_milli(text: str | float, expected: int) -> None:
    assert parse_cpu_milli(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("64Gi", 64 << 30),
        ("1.5Gi", 3 << 29),
        ("1Ki", 1024),
        ("2Mi", 2 << 20),
        ("1Ti", 1 << 40),
        ("1Pi", 1 << 50),
        ("1Ei", 1 << 60),
        ("1k", 1000),
        ("1M", 10**6),
        ("1G", 10**9),
        ("1T", 10**12),
        ("1P", 10**15),
        ("1E", 10**18),
        ("1e3", 1000),
        ("1E3", 1000),
        ("100m", 1),
        ("1500m", 2),
        ("-1500m", -1),
        ("128974848", 128974848),
        (1024, 1024),
    ],
)
def test_bytes_are_rounded_up(text: str | int, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["100Ei", "1e999", "9" * 30, 10**40])
def test_what_is_too_large_is_capped(text: str | int) -> None:
    """An amount beyond 2**63-1 is that much, as in the API."""
    assert parse_count(text) == 2**63 - 1


@pytest.mark.parametrize("text", ["1e-999", "0.0000000000001"])
def test_what_is_too_small_is_one_billionth(text: str) -> None:
    assert parse_nano(text) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "abc",
        "1 Gi",
        "1gi",
        "1KiB",
        "--1",
        "1.2.3",
        "e3",
        ".",
        "1e",
        "1mi",
        "0x10",
        "\u0661",
        "1_000",
        "inf",
        "nan",
        "9" * 100,
        True,
        float("inf"),
        float("nan"),
    ],
)
def test_everything_else_is_refused_with_a_bounded_text(text: str | float) -> None:
    with pytest.raises(ValueError, match="is not a quantity") as caught:
        parse_nano(text)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("amount", "expected"),
    [(0, "0"), (1, "1"), (1000, "1000"), (1024, "1Ki"), (3 << 29, "1536Mi"), (1 << 60, "1Ei")],
)
def test_bytes_are_written_exactly(amount: int, expected: str) -> None:
    assert format_bytes(amount) == expected
    assert parse_bytes(expected) == amount


@pytest.mark.parametrize(("milli", "expected"), [(0, "0"), (2000, "2"), (250, "250m")])
def test_cpu_is_written_exactly(milli: int, expected: str) -> None:
    assert format_cpu(milli) == expected
    assert parse_cpu_milli(expected) == milli


def test_the_examples_hold() -> None:
    failures, tried = doctest.testmod(quantity)

    assert (failures, tried > 0) == (0, True)
