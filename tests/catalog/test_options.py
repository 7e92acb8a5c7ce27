"""Options: anything becomes a selection or one sentence, and the same each time."""

import contextlib
import json
import math
from typing import Any

import pytest
from catalog_builders import catalog_of, documents, select
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.core.catalog.access import visible_to
from gpu_spawner.core.catalog.model import ANY, Catalog, Selection, Share
from gpu_spawner.core.catalog.options import OPTION_KEYS, parse_form_key, parse_options
from gpu_spawner.core.errors import OptionError

CATALOG = catalog_of()
WHOLE = Share(kind="whole")


def refuse(raw: Any, catalog: Catalog = CATALOG, groups: Any = ()) -> OptionError:
    with pytest.raises(OptionError) as caught:
        parse_options(catalog, raw, groups=groups)
    return caught.value


@pytest.mark.parametrize("raw", [None, {}, {"profile": None, "count": None}])
def test_nothing_said_is_the_default_profile(raw: Any) -> None:
    assert parse_options(CATALOG, raw, groups=()) == Selection(profile="cpu", image="base")


def test_default_profile_is_the_one_marked() -> None:
    changes = documents()
    changes["30-slices"]["default"] = True
    assert select(catalog_of(changes)).profile == "slices"


@pytest.mark.parametrize(
    ("options", "flavor", "share", "count", "image"),
    [
        pytest.param({}, ANY, "whole", 1, "torch", id="first choice"),
        pytest.param({"count": 2}, ANY, "whole", 2, "torch", id="count only"),
        pytest.param({"count": "4"}, ANY, "whole", 4, "torch", id="count from a link"),
        pytest.param({"flavor": "a100"}, "a100", "whole", 1, "torch", id="flavor only"),
        pytest.param({"flavor": "h100", "count": 2, "image": "base"}, "h100", "whole", 2, "base"),
    ],
)
def test_missing_keys_are_filled_in(
    options: dict[str, Any], flavor: str, share: str, count: int, image: str
) -> None:
    selection = select(CATALOG, profile="gpus", **options)
    assert selection.as_user_options() == {
        "profile": "gpus",
        "flavor": flavor,
        "share": share,
        "count": count,
        "image": image,
    }


def test_whichever_is_free_first_knows_its_flavors() -> None:
    assert select(CATALOG, profile="gpus").flavors == ("h100", "a100")


@pytest.mark.parametrize(
    ("raw", "field", "message"),
    [
        pytest.param([], "options", "The options must be an object, but a list came.", id="list"),
        pytest.param("x", "options", "The options must be an object, but 'x' came.", id="text"),
        pytest.param(
            {"profil": "cpu"},
            "options",
            "There is no option 'profil'; there are profile, flavor, share, count, image, "
            "own_image, cpu, memory and wait. Did you mean 'profile'?",
            id="misspelt key",
        ),
        pytest.param(
            {"profile": "gpu"},
            "profile",
            "There is no profile 'gpu' for you; there are cpu, gpus and slices. "
            "Did you mean 'gpus'?",
            id="unknown profile",
        ),
        pytest.param(
            {"profile": ["gpus"]},
            "profile",
            "The profile must be a name, but a list came.",
            id="profile in a list",
        ),
        pytest.param(
            {"profile": "gpus", "flavor": "H100"},
            "flavor",
            "gpus has no flavor 'H100'; there is any, h100 or a100. Did you mean 'h100'?",
            id="wrong case",
        ),
        pytest.param(
            {"profile": "gpus", "flavor": "h1\u043e0"},
            "flavor",
            "gpus has no flavor 'h1\u043e0'; there is any, h100 or a100. Did you mean 'h100'?",
            id="look-alike letter",
        ),
        pytest.param(
            {"profile": "slices", "flavor": "t4", "share": "mig-1g.10gb"},
            "share",
            "slices with flavor 't4' has no share 'mig-1g.10gb'; there is replica.",
            id="share of another flavor",
        ),
        pytest.param(
            {"profile": "gpus", "count": 3},
            "count",
            "gpus has no count 3; there is 1, 2 or 4.",
            id="unknown count",
        ),
        pytest.param(
            {"profile": "cpu", "count": 1},
            "count",
            "cpu has no GPU, so there is no count to choose. Profiles with GPUs: gpus and slices.",
            id="GPUs of a CPU profile",
        ),
        pytest.param(
            {"flavor": "h100"},
            "flavor",
            "The option flavor needs a profile beside it. Profiles with GPUs: gpus and slices.",
            id="flavor without profile",
        ),
        pytest.param(
            {"profile": "gpus", "image": "torc"},
            "image",
            "gpus has no image 'torc'; there is torch or base. Did you mean 'torch'?",
            id="unknown image",
        ),
    ],
)
def test_refusals_say_what_there_is(raw: Any, field: str, message: str) -> None:
    error = refuse(raw)
    assert (error.field, error.message) == (field, message)


@pytest.mark.parametrize(
    "count",
    [
        *(True, False, 0, -1, 2.0, 1.5, math.nan, math.inf, 1e400, 10**30, 10**5000),
        *(
            "0",
            "02",
            "+2",
            "2.0",
            " 2",
            "2 ",
            "2\n",
            "\uff12",
            "two",
            "9" * 5000,
            "",
            [2],
            {"n": 2},
        ),
    ],
    ids=lambda value: repr(value)[:20] if not isinstance(value, int) else "int",
)
def test_odd_counts_are_refused(count: Any) -> None:
    error = refuse({"profile": "gpus", "count": count})
    assert error.field == "count"
    assert len(error.message) < 250


def test_what_was_sent_comes_back_bounded_and_printable() -> None:
    error = refuse({"profile": "a\x1b[31m\u202e\n<b>" + "x" * 10_000})
    assert error.message.isprintable()
    assert len(error.message) < 200


def test_a_profile_that_is_denied_looks_like_one_that_does_not_exist() -> None:
    changes = documents()
    changes["20-gpus"]["allowed_groups"] = ["research"]
    catalog = catalog_of(changes)
    assert "there are cpu and slices" in refuse({"profile": "gpus"}, catalog).message
    assert parse_options(catalog, {"profile": "gpus"}, groups=["research"]).profile == "gpus"


def test_nothing_visible_is_a_sentence() -> None:
    changes = {
        key: {**entry, "allowed_groups": ["staff"]} if key[0].isdigit() else entry
        for key, entry in documents().items()
    }
    error = refuse({}, catalog_of(changes))
    assert error.message.startswith("No profile is open to you.")


def test_a_denied_block_leaves_the_other_flavors() -> None:
    changes = documents()
    changes["20-gpus"]["gpu"] = [
        {"flavors": ["h100"], "share": "whole", "count": 1, "allowed_groups": ["lab"]},
        {"flavors": ["a100", "mi300"], "share": "whole", "count": 1},
    ]
    catalog = catalog_of(changes)
    mine = parse_options(catalog, {"profile": "gpus"}, groups=["lab"])
    yours = parse_options(catalog, {"profile": "gpus"}, groups=["else"])
    assert mine.flavors == ("h100", "a100", "mi300")
    assert yours.flavors == ("a100", "mi300")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["gpus", "cpu", "slices", "h100", "a100", "any", "whole", "torch", "2"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=8,
)
option_bodies = json_values | st.dictionaries(
    st.sampled_from(OPTION_KEYS) | st.text(max_size=8), json_values, max_size=6
)


def outcome_of(raw: Any, groups: list[str]) -> Selection | OptionError:
    try:
        return parse_options(CATALOG, raw, groups=groups)
    except OptionError as error:
        return error


@given(option_bodies, st.lists(st.text(max_size=5), max_size=2))
def test_anything_is_a_selection_or_an_option_error(raw: Any, groups: list[str]) -> None:
    """parse_options is total, bounded in what it repeats, and deterministic."""
    outcome = outcome_of(raw, groups)
    if isinstance(outcome, OptionError):
        assert outcome.field in (*OPTION_KEYS, "options")
        assert outcome.message.isprintable()
        assert len(outcome.message) < 600
    else:
        assert outcome_of(raw, groups) == outcome


@given(json_values)
def test_any_form_key_is_options_or_an_option_error(key: Any) -> None:
    with contextlib.suppress(OptionError):
        assert set(parse_form_key(key)) <= set(OPTION_KEYS)


def every_selection(catalog: Catalog) -> list[Selection]:
    return [
        Selection(
            profile=profile.slug,
            flavor=choice.flavor,
            flavors=choice.flavors,
            share=choice.share,
            count=choice.count,
            image=image,
        )
        for profile in catalog.profiles
        for choice in profile.choices
        for image in profile.images
    ]


@pytest.mark.parametrize("selection", every_selection(CATALOG), ids=lambda each: each.choice.key)
def test_round_trips(selection: Selection) -> None:
    """What is stored, and what the form posts, leads back to the same selection."""
    stored = json.loads(json.dumps(selection.as_user_options()))
    posted = {**parse_form_key(selection.choice.key), "image": selection.image}
    assert parse_options(CATALOG, stored, groups=()) == selection
    assert parse_options(CATALOG, posted, groups=()) == selection


def test_keys_are_unique_and_bounded() -> None:
    keys = [choice.key for profile in CATALOG.profiles for choice in profile.choices]
    assert len(set(keys)) == len(keys)
    assert "gpus/h100/whole/2" in keys
    assert max(map(len, keys)) < 200


@pytest.mark.parametrize(
    "groups", [None, "research", b"research", 5, {"research": 1}.items, [["research"]], [None]]
)
def test_access_fails_closed(groups: Any) -> None:
    """What is not a collection of group names opens nothing."""
    changes = documents()
    changes["20-gpus"]["allowed_groups"] = ["research"]
    slugs = [profile.slug for profile in visible_to(catalog_of(changes), groups).profiles]
    assert slugs == ["cpu", "slices"]


def test_access_returns_an_open_catalog_as_it_is() -> None:
    assert visible_to(CATALOG, []) is CATALOG


def test_no_allowed_group_means_nobody() -> None:
    changes = documents()
    changes["20-gpus"]["allowed_groups"] = []
    assert visible_to(catalog_of(changes), ["research"]).profile("gpus") is None
