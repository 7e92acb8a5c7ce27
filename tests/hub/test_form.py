"""The form as HTML: complete without a script, and nothing in it but what we wrote."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from form_elements import Elements
from page_examples import BUSY, CATALOG, IMPOSSIBLE, offers, page, pick, view_of

from gpu_spawner.catalog_files import read_directory, read_mapping
from gpu_spawner.core.catalog.access import without_access_rules
from gpu_spawner.core.offers.availability import Availability
from gpu_spawner.core.offers.board import OfferBoard
from gpu_spawner.hub.form import render_form
from gpu_spawner.hub.offers_document import offers_document
from gpu_spawner.hub.page_layout import build_page
from gpu_spawner.hub.static_files import STATIC_DIRECTORY, served, static_url

pytestmark = pytest.mark.hosts

SHIPPED = without_access_rules(read_directory(Path(__file__).parents[2] / "profiles"))
EVIL = """<script>alert(1)</script><img src=x onerror=alert(1)>"'&{{ 7*7 }}</form>"""


def render(shown):
    return render_form(
        shown, css_url="/hub/page.css", js_url="/hub/page.js", stream_url="/hub/stream?a=1&b=2"
    )


STATES = {
    "whole/h100/whole/2": (BUSY, 0, 4, "All 4 are in use"),
    "whole/h100/whole/4": (IMPOSSIBLE, 0, 0, "No node has 4 of these"),
}


class TestForm:
    def test_one_group_of_radio_buttons_decides_everything(self):
        shown = page(STATES, selected=pick("whole/h100/whole/1"))
        radios = Elements(render(shown)).of("input", type="radio")
        assert {radio["name"] for radio in radios} == {"offer"}
        assert {radio["value"] for radio in radios} == set(shown.tiles())
        assert [r["value"] for r in radios if "checked" in r] == ["whole/h100/whole/1"]
        assert [r["value"] for r in radios if "disabled" in r] == ["whole/h100/whole/4"]

    def test_every_field_has_a_label_and_every_reference_a_target(self):
        elements = Elements(render(page(STATES, selected=pick("whole/h100/whole/2"))))
        ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
        labelled = {label["for"] for label in elements.of("label") if "for" in label}
        radios = elements.of("input", type="radio")
        fields = [*elements.of("input"), *elements.of("select")]
        assert len(ids) == len(set(ids))
        assert {radio["value"] for radio in radios} == elements.labelled
        others = {field["id"] for field in fields if field not in radios}
        assert others <= labelled <= set(ids)
        for _, attributes in elements.found:
            for name in ("aria-describedby", "aria-labelledby"):
                if name in attributes:
                    assert attributes[name] in ids

    def test_the_environment_is_a_field_as_kubespawner_names_it(self):
        (select,) = Elements(render(page())).of("select")
        assert select["name"] == "profile-option-whole--image"

    def test_the_chosen_environment_is_preselected(self):
        html = render(page(selected=pick("whole/h100/whole/1", "old")))
        (chosen,) = [o for o in Elements(html).of("option") if "selected" in o]
        assert chosen["value"] == "old"

    def test_reasons_are_there_without_a_script(self):
        assert "All 4 are in use" in render(page(STATES))

    def test_a_full_preselection_can_be_changed_without_a_script(self):
        shown = page(STATES, selected=pick("whole/h100/whole/2"))
        tiles = shown.tiles()
        label = tiles[tiles["whole/h100/whole/2"].instead].id
        assert f'<label class="gs-instead" for="{label}">' in render(shown)

    def test_a_strict_content_policy_can_hold(self):
        elements = Elements(render(page(STATES, selected=pick("whole/h100/whole/2"))))
        for tag, attributes in elements.found:
            assert "style" not in attributes
            assert not [name for name in attributes if name.startswith("on")]
            if tag == "script":
                assert attributes["src"]
            assert tag != "style"

    def test_nothing_an_admin_or_the_cluster_wrote_becomes_html(self):
        catalog = replace(
            CATALOG,
            profiles=tuple(
                replace(profile, display_name=EVIL, description=EVIL)
                for profile in CATALOG.profiles
            ),
            flavors={
                name: replace(flavor, display_name=EVIL) for name, flavor in CATALOG.flavors.items()
            },
            images={
                name: replace(image, display_name=EVIL, python=EVIL, packages=((EVIL, EVIL),))
                for name, image in CATALOG.images.items()
            },
        )
        states = {choice.key: (BUSY, 0, 1, EVIL) for p in catalog.profiles for choice in p.choices}
        view = view_of(catalog, offers(states))
        shown = build_page(view, selected=pick("whole/h100/whole/2"), age_seconds=1)
        html = render(shown)
        elements = Elements(html)
        assert len(elements.of("script")) == 1
        assert not elements.of("img")
        assert "49" not in html.replace(EVIL, "")
        assert "</form>" not in html

    def test_only_what_an_admin_marks_as_html_is_html(self):
        link = 'See <a href="https://example.org/">our guide</a>.'
        catalog = replace(
            CATALOG,
            profiles=(
                replace(CATALOG.profiles[0], description_html=link, description="Hidden"),
                replace(CATALOG.profiles[1], description=link),
                *CATALOG.profiles[2:],
            ),
        )
        html = render(build_page(view_of(catalog, offers({})), selected=None, age_seconds=1))
        assert len(Elements(html).of("a", href="https://example.org/")) == 1
        assert link in html
        assert "Hidden" not in html

    def test_a_catalog_marks_html(self):
        documents = {
            "images": {"base": {"image": "r/base:1", "display_name": "B", "packages": {"a": "1"}}},
            "10-cpu": {
                "display_name": "CPU",
                "images": ["base"],
                "description": "Text",
                "description_html": "<b>HTML</b>",
            },
        }
        catalog = read_mapping(documents)
        view = view_of(catalog, OfferBoard(catalog).offers(catalog))
        assert "<b>HTML</b>" in render(build_page(view, selected=None, age_seconds=None))
        document, _ = offers_document(view, None, 2.0)
        (told,) = document["profiles"]
        assert told["description"] == "Text"
        assert told["images"][0]["packages"] == {"a": "1"}

    def test_a_page_without_profiles_says_what_to_do(self):
        view = view_of(replace(CATALOG, profiles=()), [])
        nothing = build_page(view, selected=None, age_seconds=None)
        html = render(nothing)
        assert "Ask the administrators" in html
        assert not Elements(html).of("input")


class TestWeight:
    """What is ours of a page: its HTML, style sheet and script, before any compression."""

    @pytest.mark.parametrize(
        ("state", "cold"),
        [
            (("ready", 13, 28, ""), ()),
            (("ready", 13, 28, ""), ("pytorch-cuda12", "scipy")),
            ((None, None, None, "Unknown: the hub may not list nodes"), ()),
            (("busy", 0, 28, "13 GPUs are free, but no more than 5 on one node"), ()),
        ],
    )
    def test_it_is_under_sixty_kilobytes_with_the_profiles_that_are_shipped(self, state, cold):
        word, *rest = state
        one = (Availability[word.upper()] if word else None, *rest)
        states = {choice.key: one for profile in SHIPPED.profiles for choice in profile.choices}
        view = view_of(SHIPPED, offers(states, cold_images=cold, catalog=SHIPPED))
        html = render(build_page(view, selected=None, age_seconds=1))
        assert html.count('type="radio"') > 40
        files = sum(len(served(name)) for name in ("page.css", "page.js"))
        assert len(html.encode()) + files < 60_000


class TestFiles:
    def test_files_are_served_under_their_version(self):
        url = static_url("/base/hub/", "page.js")
        assert url.startswith("/base/hub/gpu-spawner/static/page.js?v=")
        assert Path(STATIC_DIRECTORY / "page.js").is_file()

    def test_what_is_sent_is_what_was_written_without_its_comments(self):
        """Comments have lines of their own, and no line continues a text."""
        for path in STATIC_DIRECTORY.iterdir():
            sent = served(path.name).decode()
            assert "//" not in re.sub(r"https?://", "", sent)
            assert "/*" not in sent
            # A strict content policy forbids that.
            assert "data:" not in sent
            written = re.sub(r"(?m)^\s*//.*|/\*(?s:.*?)\*/", "", path.read_text())
            assert re.sub(r"\s", "", sent) == re.sub(r"\s", "", written)
