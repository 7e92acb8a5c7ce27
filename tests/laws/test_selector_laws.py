"""Laws of device selectors that hold for any device."""

from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.core.devices.cel import SelectorError, SelectorUnsupportedError, compile_selector
from gpu_spawner.core.devices.cel.selector import SelectorRuntimeError
from gpu_spawner.core.devices.facts import AttributeValue, DeviceFacts, SemanticVersion

NAMES = st.sampled_from(["a", "b", "v"])
NUMBER = st.integers(0, 12)
VERSIONS = st.builds(
    lambda parts, pre: ".".join(map(str, parts)) + pre,
    st.tuples(NUMBER, NUMBER, NUMBER),
    st.sampled_from(["", "-alpha", "-alpha.1", "-1", "-rc.2"]),
)
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=8).filter(str.isprintable),
    st.builds(SemanticVersion, VERSIONS),
)


def device(**values: AttributeValue) -> DeviceFacts:
    return DeviceFacts(
        driver="d", attributes=tuple((f"d/{name}", value) for name, value in values.items())
    )


def says(expression: str, of: DeviceFacts) -> bool | str:
    try:
        return compile_selector(expression).matches(of)
    except SelectorRuntimeError:
        return "error"


@given(left=VALUES, right=VALUES)
def test_equality_and_inequality_never_agree(left: AttributeValue, right: AttributeValue) -> None:
    """They are opposites, save that values without a comparison differ and are not equal."""
    both = device(a=left, b=right)
    equal = says('device.attributes["d"].a == device.attributes["d"].b', both)
    differ = says('device.attributes["d"].a != device.attributes["d"].b', both)

    assert differ is (equal is not True)


@given(left=VERSIONS, middle=VERSIONS, right=VERSIONS)
def test_versions_are_totally_ordered(left: str, middle: str, right: str) -> None:
    def order(one: str, other: str) -> int:
        both = device(a=SemanticVersion(one), b=SemanticVersion(other))
        compared = 'device.attributes["d"].a.compareTo(device.attributes["d"].b)'
        return next(n for n in (-1, 0, 1) if says(f"{compared} == {n}", both) is True)

    assert order(left, right) == -order(right, left)
    if order(left, middle) <= 0 and order(middle, right) <= 0:
        assert order(left, right) <= 0


@given(amount=st.integers(0, 2**62), other=st.integers(0, 2**62))
def test_quantities_compare_as_the_numbers_they_are(amount: int, other: int) -> None:
    held = DeviceFacts(driver="d", capacity=(("d/memory", amount),))
    expression = f'device.capacity["d"].memory.compareTo(quantity("{other}n"))'

    assert says(f"{expression} == {(amount > other) - (amount < other)}", held) is True


@given(
    terms=st.lists(st.sampled_from(["true", "false", 'device.attributes["d"].zz']), min_size=1),
    operator=st.sampled_from(["&&", "||"]),
)
def test_a_decisive_term_settles_a_chain_wherever_it_stands(
    terms: list[str], operator: str
) -> None:
    decisive = "false" if operator == "&&" else "true"
    outcome = says(f" {operator} ".join(terms), device(a=1))

    if decisive in terms:
        assert outcome is (decisive == "true")
    else:
        assert outcome == ("error" if len(set(terms) - {"true", "false"}) else decisive == "false")


@given(expression=st.text(max_size=60))
def test_any_text_gets_an_answer(expression: str) -> None:
    try:
        compile_selector(expression).matches(device(a=1))
    except (SelectorError, SelectorRuntimeError, SelectorUnsupportedError) as error:
        assert str(error)  # noqa: PT017 - any of the three will do
