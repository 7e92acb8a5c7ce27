"""Images that users bring: grammar, allow-list, and what becomes of them; and chosen amounts."""

import re
from typing import Any

import pytest
from catalog_builders import catalog_of, documents
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.core.catalog.compile import compile_selection
from gpu_spawner.core.catalog.model import Catalog, Selection
from gpu_spawner.core.catalog.options import parse_options
from gpu_spawner.core.catalog.own_images import OwnImages, find_pattern_mistake, read_reference
from gpu_spawner.core.errors import ConfigError, OptionError

DIGEST = "sha256:" + "0" * 64


def catalog(**changes: Any) -> Catalog:
    mapping = documents()
    mapping["20-gpus"].update(changes)
    return catalog_of(mapping)


BRINGING = catalog(own_image={"allowed": ["quay.io/jupyter/*", "ghcr.io/lab/**"]})


def choose(of: Catalog, **options: Any) -> Selection:
    return parse_options(of, {"profile": "gpus", **options}, groups=())


class TestPatterns:
    @pytest.mark.parametrize(
        "reference",
        [
            "quay.io/jupyter/scipy-notebook",
            "quay.io/jupyter/scipy-notebook:2026-01-01",
            f"quay.io/jupyter/scipy-notebook@{DIGEST}",
            f"quay.io/jupyter/scipy-notebook:x@{DIGEST}",
            "ghcr.io/lab/a/b/c:latest",
        ],
    )
    def test_allowed(self, reference: str) -> None:
        assert choose(BRINGING, own_image=f" {reference} ").own_image == reference

    @pytest.mark.parametrize(
        "reference",
        [
            "quay.io/jupyter/a/b",
            "quay.io/jupyterevil/a",
            "evil.example/quay.io/jupyter/a",
            "quay.io.evil.example/jupyter/a",
            "quayXio/jupyter/a",
            "jupyter/scipy-notebook",
            "scipy-notebook",
            "https://quay.io/jupyter/a",
            "user@quay.io/jupyter/a",
            "quay.io/jupyter/../evil",
            "quay.io/jupyter/a:tag:tag",
            "quay.io/jupyter/a@sha256:12",
            "quay.io/jupyter/a\nb",
            "quay.io/jupyter/a b",
            "QUAY.IO/jupyter/a",
            "quay.io/jupyter/" + "a" * 600,
            "quay.io/jupyter/*",
            "",
            "\N{FULLWIDTH LATIN SMALL LETTER Q}uay.io/jupyter/a",
        ],
    )
    def test_refused_in_one_sentence(self, reference: str) -> None:
        with pytest.raises(OptionError) as caught:
            choose(BRINGING, own_image=reference or "-")
        assert caught.value.field == "own_image"
        assert caught.value.message.count("\n") == 0
        assert len(caught.value.message) < 400

    def test_a_pattern_with_a_tag_is_about_tags_only(self) -> None:
        only = OwnImages(allowed=("quay.io/jupyter/a:v*",))
        assert not only.refusal("quay.io/jupyter/a:v1")
        assert only.refusal("quay.io/jupyter/a")
        assert only.refusal(f"quay.io/jupyter/a:v1@{DIGEST}")

    @given(st.text(max_size=80), st.sampled_from(["quay.io/jupyter/*", "ghcr.io/lab/**:v*"]))
    def test_whatever_comes_gets_an_answer(self, text: str, pattern: str) -> None:
        allowed = OwnImages(allowed=(pattern,))
        if not allowed.refusal(text):
            host = pattern.partition("/")[0]
            assert text.startswith(f"{host}/")
            assert re.fullmatch(r"[\x21-\x7e]+", text)

    @pytest.mark.parametrize(
        "pattern",
        ["*", "*/jupyter/a", "*.io/a", "jupyter/*", "quay.io", "quay.io/a/***", "a.b/(.)"],
    )
    def test_patterns_that_could_mean_anything_are_mistakes(self, pattern: str) -> None:
        assert "a pattern with a registry's host" in find_pattern_mistake(pattern)
        with pytest.raises(ConfigError, match=r"own_image.allowed\[0\]"):
            catalog(own_image={"allowed": [pattern]})

    def test_taken_apart(self) -> None:
        name = read_reference(f"localhost:5000/a/b:c@{DIGEST}")
        assert name is not None
        assert (name.host, name.path, name.tag, name.pointer) == (
            "localhost:5000",
            "a/b",
            "c",
            DIGEST,
        )


class TestSelection:
    def test_only_where_the_profile_allows_it(self) -> None:
        with pytest.raises(OptionError, match="takes no image of your own"):
            choose(catalog(), own_image="quay.io/jupyter/a")

    def test_not_beside_another_image(self) -> None:
        with pytest.raises(OptionError, match="not both"):
            choose(BRINGING, own_image="quay.io/jupyter/a", image="base")

    def test_stored_and_read_back(self) -> None:
        selected = choose(BRINGING, own_image="quay.io/jupyter/a:1")
        options = selected.as_user_options()
        assert options["own_image"] == "quay.io/jupyter/a:1"
        assert "image" not in options
        assert parse_options(BRINGING, options, groups=()) == selected

    def test_nothing_of_the_catalogs_image_is_said_of_it(self) -> None:
        fragment = compile_selection(BRINGING, choose(BRINGING, own_image="quay.io/jupyter/a:1"))
        assert fragment.image == "quay.io/jupyter/a:1"
        assert fragment.architectures == frozenset()
        assert fragment.min_cuda is None
        assert not [key for key in fragment.labels if "image" in key]
        assert fragment.annotations["gpu-spawner.jupyter.org/own-image"] == "quay.io/jupyter/a:1"


class TestAmounts:
    CHOOSING = catalog(
        resources={"cpu": {"choices": [4, 8, 0.5]}, "memory": {"choices": ["16Gi", "32GB"]}}
    )

    def test_the_first_is_the_default(self) -> None:
        selected = choose(self.CHOOSING)
        assert (selected.cpu_milli, selected.memory_bytes) == (4000, 16 * 2**30)
        options = selected.as_user_options()
        assert (options["cpu"], options["memory"]) == ("4", "16Gi")

    @pytest.mark.parametrize("cpu", [8, "8", "8000m", 8.0])
    def test_chosen_in_any_form(self, cpu: Any) -> None:
        selected = choose(self.CHOOSING, cpu=cpu, memory="32G")
        assert (selected.cpu_milli, selected.memory_bytes) == (8000, 32 * 10**9)
        again = parse_options(self.CHOOSING, selected.as_user_options(), groups=())
        assert again == selected
        fragment = compile_selection(self.CHOOSING, selected)
        assert fragment.cpu.request == fragment.cpu.limit == 8000

    @pytest.mark.parametrize(
        "options",
        [
            {"cpu": 5},
            {"cpu": True},
            {"cpu": "much"},
            {"cpu": "9" * 99},
            {"cpu": float("nan")},
            {"cpu": float("inf")},
            {"cpu": -4},
            {"memory": "1Gi"},
            {"memory": "-"},
        ],
    )
    def test_nothing_but_what_is_offered(self, options: dict[str, Any]) -> None:
        with pytest.raises(OptionError) as caught:
            choose(self.CHOOSING, **options)
        assert "there is" in caught.value.message

    def test_no_choice_where_none_is_offered(self) -> None:
        with pytest.raises(OptionError, match="has no cpu to choose"):
            choose(catalog(), cpu=4)

    def test_mistakes(self) -> None:
        for resources, words in (
            ({"cpu": {"choices": [4], "limit": 8}}, "stands beside request or limit"),
            ({"cpu": {"choices": [4, "4000m"]}}, "is listed twice"),
            ({"memory": {"choices": ["1Gi"]}, "shm": "2Gi"}, "least memory to choose"),
        ):
            with pytest.raises(ConfigError, match=words):
                catalog(resources=resources)
