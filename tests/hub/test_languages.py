"""The catalogue of messages: complete, fresh, and each reader gets the language they want."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st
from page_examples import BUSY, CATALOG, IMPOSSIBLE, offers, pick, view_of
from pseudo_language import Pseudo, outside_brackets

from gpu_spawner.core.messages import gettext
from gpu_spawner.hub.form import render_form
from gpu_spawner.hub.languages import (
    ENGLISH,
    LOCALE_DIRECTORY,
    Language,
    choose_language,
    shipped_languages,
)
from gpu_spawner.hub.page_layout import build_page
from gpu_spawner.hub.page_model import Correction
from gpu_spawner.hub.script_words import PENDING_WORDS, SCRIPT_WORDS
from gpu_spawner.hub.settings import HubSettings
from gpu_spawner.hub.static_files import STATIC_DIRECTORY

REPOSITORY = Path(__file__).parents[2]
PLACEHOLDER = re.compile(r"\{\w+\}")
FUNCTIONS = ("gettext", "ngettext", "pgettext", "npgettext")
TRANSLATED = [tag for tag in shipped_languages() if tag != "en"]
STALE = "the catalogues are stale: make messages"
GERMAN = choose_language("de", ["en", "de"])


def template() -> Catalog:
    with (LOCALE_DIRECTORY / "gpu_spawner.pot").open("rb") as file:
        return read_po(file)


def catalogue(tag: str) -> Catalog:
    name = tag.replace("-", "_")
    with (LOCALE_DIRECTORY / name / "LC_MESSAGES" / "gpu_spawner.po").open("rb") as file:
        return read_po(file, locale=name)


def entries(catalog: Catalog) -> dict[tuple[str | None, object], object]:
    return {(one.context, one.id): one.string for one in catalog if one.id}


class TestCatalogue:
    def test_the_template_is_what_the_sources_say_now(self) -> None:
        with (LOCALE_DIRECTORY / "babel.cfg").open() as file:
            methods, options = parse_mapping_cfg(file)
        found = {
            (context, message)
            for _, _, message, _, context in extract_from_dir(REPOSITORY, methods, options)
        }
        assert found == set(entries(template())), STALE

    def test_nothing_is_said_that_cannot_be_found(self) -> None:
        """Entries are found by reading the sources, so their words must stand there."""
        known = {
            (context, *(message if isinstance(message, tuple) else (message,)))
            for context, message in entries(template())
        }
        for path, call in calls():
            name = call.func.id if isinstance(call.func, ast.Name) else ""
            is_plural, is_in_context = name.startswith("n"), "p" in name.removesuffix("gettext")
            arguments = call.args[: 1 + is_plural + is_in_context]
            literals = [one.value for one in arguments if isinstance(one, ast.Constant)]
            assert len(literals) == len(arguments), f"{path}:{call.lineno}"
            context = literals.pop(0) if is_in_context else None
            assert (context, *literals) in known, f"{path}:{call.lineno}"

    def test_what_readers_are_told_is_made_of_messages(self) -> None:
        plain = [
            f"{path}:{told.lineno}"
            for path, call, name in named_calls()
            for told in told_by(call, name)
            if isinstance(told, ast.JoinedStr) or (isinstance(told, ast.Constant) and told.value)
        ]
        assert plain == [], "use gettext of core.messages"

    @pytest.mark.parametrize("tag", TRANSLATED)
    def test_every_message_has_a_translation(self, tag: str) -> None:
        translated = catalogue(tag)
        assert set(entries(translated)) == set(entries(template())), STALE
        missing = [key for key, string in entries(translated).items() if not string]
        assert missing == []
        assert [one.id for one in translated if one.id and one.fuzzy] == []

    @pytest.mark.parametrize("tag", TRANSLATED)
    def test_translations_have_the_same_values(self, tag: str) -> None:
        for (_, message), string in entries(catalogue(tag)).items():
            of_message = message if isinstance(message, tuple) else (message,)
            expected = set(PLACEHOLDER.findall(of_message[-1]))
            for one in string if isinstance(string, tuple) else (string,):
                assert set(PLACEHOLDER.findall(one)) == expected, message
                # The page's script takes what differs by image apart at "|" and "=".
                assert not set("{}|=") & set(PLACEHOLDER.sub("", one)), message

    @pytest.mark.parametrize("tag", TRANSLATED)
    def test_what_is_read_is_what_was_written(self, tag: str) -> None:
        said = choose_language(tag, [tag]).translations
        for (context, message), string in entries(catalogue(tag)).items():
            if isinstance(message, str):
                found = said.pgettext(context, message) if context else said.gettext(message)
                assert found == string, STALE
                continue
            found = {
                said.npgettext(context, *message, n) if context else said.ngettext(*message, n)
                for n in range(200)
            }
            assert found == set(string), STALE


def named_calls() -> Iterator[tuple[Path, ast.Call, str]]:
    for path in sorted((REPOSITORY / "gpu_spawner").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield path, node, node.func.id


def calls() -> Iterator[tuple[Path, ast.Call]]:
    for path, call, name in named_calls():
        if name in FUNCTIONS and path.name != "messages.py":
            yield path, call


TOLD_IN_PLACE = {"OptionError": 1, "SpawnRefused": 0, "_refuse": 0}
TOLD_BY_NAME = ("Diagnosis", "Failure", "Trouble", "Unschedulable", "Wait", "Verdict")


def told_by(call: ast.Call, name: str) -> Iterator[ast.expr]:
    """Yield the arguments of a call that a reader will see."""
    place = TOLD_IN_PLACE.get(name)
    if place is not None and len(call.args) > place:
        first = call.args[0]
        # Commands are in English, and no form has this option.
        if not (isinstance(first, ast.Constant) and first.value == "mechanism"):
            yield call.args[place]
    if name in TOLD_BY_NAME:
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        yield from (
            named[one] for one in ("summary", "resolution", "wait", "because") if one in named
        )


class TestChoice:
    @pytest.mark.parametrize(
        ("header", "chosen"),
        [
            ("", "en"),
            ("de", "de"),
            ("de-AT, en;q=0.5", "de"),
            ("DE", "de"),
            ("fr, de;q=0.3, en;q=0.2", "de"),
            ("en-GB, de;q=0.9", "en"),
            ("tlh, *;q=0.1", "en"),
            ("de;q=0", "en"),
            ("de;q=0.1, en;q=0.1", "de"),
            ("de;q=2, \N{SNOWMAN}, ;;;, en-", "en"),
        ],
    )
    def test_the_one_that_is_wanted_most(self, header: str, chosen: str) -> None:
        assert choose_language(header, ["en", "de"]).tag == chosen

    @given(
        st.text(max_size=60)
        | st.from_regex(r"([a-z]{2}(;q=[01]\.[0-9])?, ?){0,40}", fullmatch=True)
    )
    def test_whatever_was_sent(self, header: str) -> None:
        assert choose_language(header, ["de", "en"]).tag in ("de", "en")

    def test_the_first_is_for_everybody_else(self) -> None:
        assert choose_language("tlh", ["de", "en"]).tag == "de"
        assert choose_language("de", ["en"]).tag == "en"
        assert choose_language("de", []) is ENGLISH

    def test_what_is_shipped_is_offered(self) -> None:
        assert HubSettings().languages == list(shipped_languages())
        assert shipped_languages()[:2] == ("en", "de")

    def test_what_is_not_shipped_is_a_mistake(self) -> None:
        with pytest.raises(Exception, match="tlh"):
            HubSettings(languages=["tlh"])


STATES = {
    "whole/h100/whole/2": (BUSY, 0, 4, gettext("All {number} are in use", number=4)),
    "whole/h100/whole/4": (
        IMPOSSIBLE,
        0,
        0,
        gettext("No node has {number} of these; the most is {most}", number=4, most=2),
    ),
}


def rendered(
    language: Language,
    view=None,
    key: str = "whole/h100/whole/2",
    correction: Correction | None = None,
) -> str:
    view = view or view_of(CATALOG, offers(STATES, cold_images=("torch",)))
    page = build_page(
        view, selected=pick(key), age_seconds=130, correction=correction, language=language
    )
    page = replace(page, running=(language.gettext("Both are in use"),))
    return render_form(page, css_url="/c", js_url="/j", stream_url="/s", language=language)


class TestPage:
    def test_nothing_on_it_is_left_in_english(self) -> None:
        wrong = gettext("There is no choice {choice}.", choice="'x'")
        correction = Correction(profile="whole", field="image", message=wrong)
        html = rendered(Language("qps", Pseudo()), correction=correction)
        assert "⟦There is no choice" in html
        for name in ADMINS_WORDS:
            html = html.replace(name, "")
        html = re.sub(r"</?a\b[^>]*>", "", html)  # stands inside of a sentence
        shown = re.findall(r">([^<>]+)<", html)
        shown += re.findall(r' (?:aria-label|data-because|data-phrase|data-facts)="([^"]*)"', html)
        left = [text for text in shown if re.search(r"[a-zA-Z]{2}", outside_brackets(text))]
        assert left == []

    def test_what_has_to_be_corrected_is_linked(self) -> None:
        wrong = gettext("There is no choice {choice}.", choice="<b>")
        html = rendered(
            GERMAN, correction=Correction(profile="whole", field="image", message=wrong)
        )
        link = 'href="#gs-whole-image" data-gs="correct">Umgebung bei PyTorch on whole GPUs</a>'
        assert link in html
        assert "Bitte korrigieren Sie" in html
        assert "<b>." not in html

    def test_it_says_which_language_it_is_in(self) -> None:
        assert ' id="gpu-spawner" lang="de" ' in rendered(GERMAN)
        assert ' id="gpu-spawner" lang="en" ' in rendered(ENGLISH)

    def test_readers_of_two_languages_share_a_view_and_no_card(self) -> None:
        view = view_of(CATALOG, offers(STATES))
        pages = [rendered(language, view) for language in (ENGLISH, GERMAN, ENGLISH, GERMAN)]
        assert pages[0] == pages[2] != pages[1] == pages[3]
        assert "starts now" in pages[0]
        assert "starts now" not in pages[1]
        assert "startet sofort" in pages[1]
        assert "startet sofort" not in pages[0]

    def test_reasons_and_numbers_are_in_the_readers_language(self) -> None:
        html = rendered(GERMAN)
        assert "Alle 4 sind belegt" in html
        assert "Kein Knoten hat 4 davon; höchstens sind es 2" in html
        assert "Download: 9,8 GB" in html

    def test_what_is_filled_in_is_escaped(self) -> None:
        evil = "<script>alert(1)</script>"
        because = gettext(
            "No driver offers such {units}: there is no device class {name}", units="x", name=evil
        )
        states = {"whole/h100/whole/2": (BUSY, 0, 4, because)}
        html = rendered(GERMAN, view_of(CATALOG, offers(states)))
        assert "Kein Treiber bietet solche x" in html
        assert "<script>alert" not in html


ADMINS_WORDS = (
    "Data science on CPU", "PyTorch on whole GPUs", "A slice", "NVIDIA H100", "NVIDIA A100",
    "NVIDIA T4", "PyTorch (CUDA 13)", "PyTorch (CUDA 12)", "PyTorch 2.9", "CUDA 13.0", "SciPy",
    "Python 3.13", "1g.10gb", "3g.40gb",
)  # fmt: skip


def test_the_script_of_a_start_has_all_of_its_words() -> None:
    script = (STATIC_DIRECTORY / "pending.js").read_text("utf-8")
    assert {"cancel", *re.findall(r"\bWORDS\.(\w+)", script)} == set(PENDING_WORDS)


def test_the_script_has_all_of_its_words() -> None:
    script = (STATIC_DIRECTORY / "page.js").read_text("utf-8")
    used = set(re.findall(r"\bWORDS\.(\w+)", script)) | set(re.findall(r"\bsay\(\"(\w+)\"", script))
    used |= set(re.findall(r'\bsay\([^,"]*\? "(\w+)" : "(\w+)"', script)[0])
    assert used == set(SCRIPT_WORDS)
