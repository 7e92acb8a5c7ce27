"""Laws of quantities: exact, rounded up, monotone, and written so that they read the same."""

from fractions import Fraction
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.core.quantity import (
    NANO,
    format_bytes,
    format_cpu,
    parse_bytes,
    parse_cpu_milli,
    parse_nano,
)
from gpu_spawner.core.resources import EMPTY, ResourceVector

FACTORS = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    "k": Fraction(1000),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "e3": Fraction(1000),
    "E-2": Fraction(1, 100),
}
decimals = st.from_regex(r"[0-9]{1,6}(\.[0-9]{0,6})?", fullmatch=True)
vectors = st.dictionaries(
    st.sampled_from(["cpu", "memory", "nvidia.com/gpu", "pods"]), st.integers(-(10**9), 10**9)
).map(ResourceVector)


@given(number=decimals, suffix=st.sampled_from(sorted(FACTORS)), sign=st.sampled_from(["", "+"]))
def test_a_quantity_is_its_number_times_its_suffix(number: str, suffix: str, sign: str) -> None:
    exact = Fraction(number) * FACTORS[suffix]

    assert parse_nano(f"{sign}{number}{suffix}") == ceil(exact * NANO)
    assert parse_bytes(f"{number}{suffix}") == ceil(Fraction(ceil(exact * NANO), NANO))


@given(number=decimals)
def test_a_sign_turns_it_around(number: str) -> None:
    assert parse_nano(f"-{number}") == -parse_nano(number)


@given(text=st.text(max_size=20))
def test_any_text_is_a_quantity_or_a_value_error(text: str) -> None:
    try:
        found = parse_nano(text)
    except ValueError:
        return
    assert isinstance(found, int)


@given(amount=st.integers(0, 2**62))
def test_what_is_written_reads_the_same(amount: int) -> None:
    assert parse_bytes(format_bytes(amount)) == amount
    assert parse_cpu_milli(format_cpu(amount)) == amount


@given(one=vectors, other=vectors)
def test_vectors_add_and_subtract(one: ResourceVector, other: ResourceVector) -> None:
    assert one.plus(other) == other.plus(one)
    assert one.plus(other).minus(other) == one
    assert one.minus(one) == EMPTY
    assert hash(one.plus(other)) == hash(other.plus(one))
