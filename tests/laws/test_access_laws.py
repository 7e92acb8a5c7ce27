"""Laws of access: more groups never close anything, and what is not shown cannot be selected."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.catalog_files import read_mapping
from gpu_spawner.core.catalog.access import standing_in, visible_to
from gpu_spawner.core.catalog.access_rules import Person
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.catalog.options import parse_options
from gpu_spawner.core.errors import OptionError

GROUPS = ("lab", "staff", "course")
USERS = ("ada", "grace")
OPTIONS = ("own_image", "cpu", "memory")
BYTES = {"1Gi": 1 << 30, "2Gi": 2 << 30}
groups = st.frozensets(st.sampled_from(GROUPS))
usernames = st.sampled_from([*USERS, "", "nobody"])
access = st.fixed_dictionaries(
    {"allowed_groups": st.lists(st.sampled_from(GROUPS), unique=True)},
    optional={
        "allowed_users": st.lists(st.sampled_from(USERS), unique=True),
        "when_denied": st.sampled_from(["hide", {"message": "Ask for access."}]),
    },
)
about = st.one_of(
    st.fixed_dictionaries({"flavors": st.lists(st.sampled_from(["a", "b"]), min_size=1)}),
    st.fixed_dictionaries({"count": st.sampled_from([1, 2, [1, 2]])}),
    st.fixed_dictionaries({"flavors": st.just(["a"]), "count": st.just(2)}),
    st.fixed_dictionaries({"images": st.lists(st.sampled_from(["x", "y"]), min_size=1)}),
    st.fixed_dictionaries({"options": st.lists(st.sampled_from(OPTIONS), min_size=1)}),
)
rules = st.lists(st.builds(lambda what, who: what | who, about, access), max_size=3)


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    profile: dict[str, Any] = {
        "display_name": "GPUs",
        "images": ["x", "y"],
        "gpu": {"flavors": ["a", "b"], "share": "whole", "count": [1, 2]},
        "resources": {"cpu": {"choices": [1, 2]}, "memory": {"choices": ["1Gi", "2Gi"]}},
        "own_image": {"allowed": ["quay.io/me/*"]},
        "restrict": draw(rules),
    }
    profile |= draw(st.one_of(st.just({}), access))
    profile["gpu"] |= draw(st.one_of(st.just({}), access))
    return read_mapping(
        {
            "flavors": {
                name: {"display_name": name, "node_labels": {"gpu": name}} for name in "ab"
            },
            "images": {name: {"image": f"quay.io/i/{name}", "display_name": name} for name in "xy"},
            "10-gpus": profile,
        }
    )


def seen(view: Catalog) -> set[str]:
    """Everything that may be started, piece by piece; "any" by the flavors it may land on."""
    found = set()
    for profile in view.profiles:
        found |= {f"image {name}" for name in profile.images}
        found |= {f"cpu {amount}" for amount in profile.resources.cpu_choices}
        found |= {f"memory {amount}" for amount in profile.resources.memory_choices}
        found |= {"own image"} if profile.own_image else set()
        for choice in profile.choices:
            found |= {f"{flavor} {choice.count}" for flavor in choice.flavors}
    return found


@given(catalogs(), groups, groups, usernames)
def test_more_groups_close_nothing(
    catalog: Catalog, some: frozenset[str], more: frozenset[str], username: str
) -> None:
    assert seen(visible_to(catalog, some, username)) <= seen(
        visible_to(catalog, some | more, username)
    )
    assert seen(visible_to(catalog, some)) <= seen(visible_to(catalog, some, username))


@given(
    catalogs(),
    groups,
    usernames,
    st.fixed_dictionaries(
        {
            "flavor": st.sampled_from(["a", "b", "any"]),
            "count": st.sampled_from([1, 2]),
            "image": st.sampled_from(["x", "y"]),
        },
        optional={"cpu": st.sampled_from([1, 2]), "memory": st.sampled_from(["1Gi", "2Gi"])},
    ),
)
def test_only_what_is_open_is_selected(
    catalog: Catalog, held: frozenset[str], username: str, wish: dict[str, Any]
) -> None:
    view = visible_to(catalog, held, username)
    profile = view.profile("gpus")
    key = f"gpus/{wish['flavor']}/whole/{wish['count']}"
    is_open = (
        profile is not None
        and wish["image"] in profile.images
        and key in [choice.key for choice in profile.choices]
        and wish.get("cpu", 1) * 1000 in profile.resources.cpu_choices
        and BYTES[wish.get("memory", "1Gi")] in profile.resources.memory_choices
    )
    selected, message = None, ""
    try:
        selected = parse_options(
            catalog, {"profile": "gpus", **wish}, groups=held, username=username
        )
    except OptionError as error:
        message = error.message if error.is_denied else ""
    assert (selected is not None) == is_open
    assert message in ("", "Ask for access.")
    if selected is not None:
        assert f"image {selected.image}" in seen(view)
        assert {f"cpu {selected.cpu_milli}", f"memory {selected.memory_bytes}"} <= seen(view)
        assert {f"{one} {wish['count']}" for one in selected.flavors} <= seen(view)


@given(catalogs(), groups, usernames)
def test_what_is_denied_is_not_open_and_hidden_things_leave_no_trace(
    catalog: Catalog, held: frozenset[str], username: str
) -> None:
    view = visible_to(catalog, held, username)
    for profile in view.profiles:
        keys = {choice.key for choice in profile.choices}
        for denied in profile.denied:
            assert denied.message
            assert denied.choice is None or denied.choice.key not in keys
            assert denied.image not in profile.images
            assert denied.option != "own_image" or profile.own_image is None
            assert denied.option != "cpu" or len(profile.resources.cpu_choices) == 1
    assert not {profile.slug for profile, _ in view.denied} & {
        profile.slug for profile in view.profiles
    }


@given(catalogs(), st.frozensets(st.sampled_from([*GROUPS, "chess"])), usernames)
def test_people_of_one_standing_see_the_same(
    catalog: Catalog, held: frozenset[str], username: str
) -> None:
    person = standing_in(catalog, Person.of(username, held))
    assert visible_to(catalog, person.groups, person.username) == visible_to(
        catalog, held, username
    )
