"""Texts that can be said in another language, and stay what they are for everybody else."""

import copy
import gettext as catalogues
import json
import pickle

from hypothesis import given
from hypothesis import strategies as st
from pseudo_language import Pseudo, left_in_english

from gpu_spawner.core.messages import (
    Message,
    Text,
    figure,
    gettext,
    joined,
    ngettext,
    npgettext,
    pgettext,
    reworded,
    sentences,
    translate,
)
from gpu_spawner.core.units import counted_units, counted_units_of, unit_word, units_word
from gpu_spawner.core.wording import gigabytes, listed, ordinal, say_bytes, say_duration

ENGLISH = catalogues.NullTranslations()


class Continental(catalogues.NullTranslations):
    """Writes numbers as most of Europe does."""

    def pgettext(self, context: str, message: str) -> str:
        signs = {("between thousands", ","): ".", ("before decimals", "."): ","}
        return signs.get((context, message), message)


words = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
texts = st.recursive(
    st.one_of(
        words,
        st.integers().map(figure),
        st.floats(allow_nan=False, allow_infinity=False).map(figure),
    ),
    lambda inner: st.one_of(
        st.builds(lambda what: gettext("no more {what}", what=what), inner),
        st.builds(
            lambda n, of: ngettext("one of {of}", "some of {of}", n, of=of), st.integers(), inner
        ),
        st.builds(lambda what: pgettext("in a test", "{what} here", what=what), inner),
        st.builds(lambda parts: joined("; ", parts), st.lists(inner, max_size=4)),
        st.builds(listed, st.lists(inner, max_size=15)),
    ),
    max_leaves=12,
)


@given(texts)
def test_in_english_every_text_is_itself(text: str) -> None:
    assert translate(text, ENGLISH) == text
    assert json.loads(json.dumps({"text": text})) == {"text": text}
    assert type(str(text)) is str


@given(texts)
def test_a_copy_is_as_good(text: str) -> None:
    for copied in (copy.deepcopy(text), pickle.loads(pickle.dumps(text))):
        assert translate(copied, Pseudo()) == translate(text, Pseudo())


@given(words)
def test_what_is_filled_in_is_not_read(value: str) -> None:
    assert gettext("see {what}", what=value) == f"see {value}"
    assert translate(gettext("see {what}", what="{what} {0}"), ENGLISH) == "see {what} {0}"


def test_a_message_keeps_its_values_in_the_readers_language() -> None:
    said = gettext("Room for {what}", what=ngettext("{number} node", "{number} nodes", 1200))
    assert said == "Room for 1,200 nodes"
    assert translate(said, Pseudo()) == "⟦Room for ⟦1,200 nodes⟧⟧"
    assert translate(said, Continental()) == "Room for 1.200 nodes"


def test_a_message_can_be_about_something_else() -> None:
    note = npgettext("in a test", "{number} is {how}", "{number} are {how}", 1, how="new")
    assert [str(note), str(note.about(3))] == ["1 is new", "3 are new"]
    assert note.filled(number=1, how="old") == "1 is old"
    assert isinstance(note.about(2), Message)


def test_parts_that_are_put_together_stay_parts() -> None:
    both = sentences(gettext("One."), "", gettext("Two."))
    assert both == "One. Two."
    assert translate(both, Pseudo()) == "⟦One.⟧ ⟦Two.⟧"
    assert joined(", ", []) == joined(", ", [""]) == ""
    assert isinstance(joined(", ", [gettext("alone")]), Message)


def test_what_english_writes_another_way_is_the_original_elsewhere() -> None:
    original = gettext("All are in use.")
    inside = reworded("all are in use", original, lambda text: text.removesuffix(".⟧"))
    assert inside == "all are in use"
    assert translate(inside, Pseudo()) == "⟦All are in use"


def test_sizes_times_and_places_are_written_as_the_language_does() -> None:
    said = [gigabytes(15 * 2**29), say_bytes(9_800_000_000), say_duration(5400)]
    assert [translate(one, Continental()) for one in said] == ["7,5 GB", "9,8 GB", "1,5 h"]
    assert all(isinstance(one, Text) and not left_in_english(one) for one in (*said, ordinal(2)))


def test_every_unit_can_be_said() -> None:
    for unit in ("GPU", "slice", "share", "partition", "set of devices", "accelerator"):
        said = [
            counted_units(1, unit),
            counted_units_of(2, unit),
            unit_word(unit),
            units_word(unit),
        ]
        assert [left_in_english(one) for one in said] == ["", "", "", ""]
    assert counted_units(2, "gizmo") == "2 gizmo"
