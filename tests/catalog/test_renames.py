"""Earlier names of profiles, flavors and images still find them, and the page says so."""

from typing import Any

import pytest
from catalog_builders import catalog_of, documents

from gpu_spawner.core.catalog.access import visible_to
from gpu_spawner.core.catalog.options import parse_options
from gpu_spawner.core.catalog.renames import find_renamed, visible_renames
from gpu_spawner.core.errors import ConfigError, OptionError


def renamed() -> dict[str, Any]:
    mapping = documents()
    mapping["20-gpus"]["renamed_from"] = ["training", "torch-gpus"]
    mapping["flavors"]["h100"]["renamed_from"] = ["hopper"]
    mapping["images"]["torch"]["renamed_from"] = ["torch-2.8"]
    return mapping


OLD = {"profile": "training", "flavor": "hopper", "count": 2, "image": "torch-2.8"}


def test_old_options_select_what_it_is_called_now() -> None:
    selected = parse_options(catalog_of(renamed()), OLD, groups=())
    assert (selected.choice.key, selected.image) == ("gpus/h100/whole/2", "torch")


def test_the_page_says_what_is_called_otherwise_now() -> None:
    assert list(find_renamed(catalog_of(renamed()), OLD)) == [
        "'training' is now GPUs.",
        "'hopper' is now NVIDIA H100.",
        "'torch-2.8' is now PyTorch.",
    ]
    for nothing in (None, [], "training", {"profile": ["training"]}, {"count": "training"}):
        assert not list(find_renamed(catalog_of(renamed()), nothing))


def test_nothing_is_told_of_what_one_may_not_see() -> None:
    mapping = renamed()
    mapping["20-gpus"]["allowed_groups"] = ["lab"]
    catalog = catalog_of(mapping)
    view = visible_to(catalog, ())
    assert not list(find_renamed(view, {"profile": "training"}))
    assert "profile" not in visible_renames(view)
    with pytest.raises(OptionError, match="There is no profile 'gpus' for you"):
        parse_options(catalog, OLD, groups=())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"20-gpus": ["cpu"]}, "20-gpus.renamed_from[0]: 'cpu' is a profile of this catalog"),
        ({"20-gpus": ["gpus"]}, "'gpus' is its present name"),
        ({"20-gpus": ["cpu"], "10-cpu": ["gpus"]}, "'gpus' is a profile of this catalog"),
        (
            {"10-cpu": ["old"], "20-gpus": ["old"]},
            "'old' is an earlier name of the profile 'cpu' already",
        ),
        ({"20-gpus": ["Not A Name"]}, "small letters"),
    ],
)
def test_clashes_and_rings_are_mistakes(changes: dict[str, list[str]], words: str) -> None:
    mapping = documents()
    for key, names in changes.items():
        mapping[key]["renamed_from"] = names
    with pytest.raises(ConfigError) as caught:
        catalog_of(mapping)
    assert words in str(caught.value)
