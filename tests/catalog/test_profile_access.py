"""Who may see and pick what: profiles, blocks, choices and images; hidden, or closed with words."""

from typing import Any, Final

import pytest
from catalog_builders import catalog_of, documents

from gpu_spawner.core.catalog.access import standing_in, visible_to
from gpu_spawner.core.catalog.access_rules import Person
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.catalog.options import parse_options
from gpu_spawner.core.errors import ConfigError, OptionError

ASK = {"message": "Ask the lab for access."}


def restricted(**changes: Any) -> Catalog:
    """Return the example catalog with changes to the profile ``gpus``."""
    mapping = documents()
    mapping["20-gpus"].update(changes)
    return catalog_of(mapping)


def keys(catalog: Catalog, groups: Any = (), username: Any = "") -> list[str]:
    profile = visible_to(catalog, groups, username).profile("gpus")
    return [choice.key for choice in profile.choices] if profile else []


def refuse(catalog: Catalog, options: dict[str, Any], **who: Any) -> OptionError:
    with pytest.raises(OptionError) as caught:
        parse_options(catalog, options, groups=who.pop("groups", ()), **who)
    return caught.value


class TestProfiles:
    def test_a_user_is_enough_where_users_or_groups_are_named(self) -> None:
        catalog = restricted(allowed_groups=["lab"], allowed_users=["ada"])
        assert keys(catalog, ["lab"])
        assert keys(catalog, [], "ada")
        assert not keys(catalog, ["other"], "grace")

    @pytest.mark.parametrize("groups", [None, "lab", b"lab", 7, [7], [None]])
    def test_what_is_no_list_of_groups_opens_nothing(self, groups: Any) -> None:
        assert not keys(restricted(allowed_groups=["lab"]), groups)

    @pytest.mark.parametrize("username", ["", None, ["ada"], "Ada"])
    def test_what_is_not_the_name_opens_nothing(self, username: Any) -> None:
        assert not keys(restricted(allowed_users=["ada"]), (), username)

    def test_nobody_is_let_in_by_empty_lists(self) -> None:
        assert not keys(restricted(allowed_groups=[], allowed_users=[]), ["lab"], "ada")

    def test_hidden_ones_are_like_none_and_denied_ones_say_why(self) -> None:
        hidden = refuse(restricted(allowed_groups=["lab"]), {"profile": "gpus"})
        assert "There is no profile 'gpus' for you" in hidden.message
        assert not hidden.is_denied
        catalog = restricted(allowed_groups=["lab"], when_denied=ASK)
        denied = refuse(catalog, {"profile": "gpus", "count": 2})
        assert (denied.message, denied.is_denied) == (ASK["message"], True)
        view = visible_to(catalog, ())
        assert [(profile.slug, text) for profile, text in view.denied] == [("gpus", ASK["message"])]
        assert not visible_to(catalog, ["lab"]).denied


RULES: Final = (
    {"count": [2, 4], "allowed_groups": ["lab"], "when_denied": ASK},
    {"flavors": ["h100"], "allowed_groups": ["staff"]},
)


class TestChoices:
    def test_each_rule_narrows_further(self) -> None:
        catalog = restricted(restrict=list(RULES))
        assert keys(catalog) == ["gpus/a100/whole/1"]
        assert keys(catalog, ["lab"]) == [f"gpus/a100/whole/{count}" for count in (1, 2, 4)]
        assert keys(catalog, ["staff"]) == [
            "gpus/any/whole/1",
            "gpus/h100/whole/1",
            "gpus/a100/whole/1",
        ]
        assert len(keys(catalog, ["lab", "staff"])) == 9

    def test_denied_choices_are_shown_hidden_ones_are_not(self) -> None:
        profile = visible_to(restricted(restrict=list(RULES)), ()).profile("gpus")
        assert profile is not None
        shown = [one.choice.key for one in profile.denied if one.choice]
        # Of the first rule that refuses it, hiding or not, the words count.
        assert shown == [
            "gpus/h100/whole/2",
            "gpus/h100/whole/4",
            "gpus/a100/whole/2",
            "gpus/a100/whole/4",
        ]

    def test_options_are_refused_with_the_words(self) -> None:
        catalog = restricted(restrict=list(RULES))
        for options in ({"count": 4}, {"count": "2"}, {"flavor": "a100", "count": 4}):
            error = refuse(catalog, {"profile": "gpus", **options})
            assert (error.message, error.is_denied) == (ASK["message"], True)
        assert not refuse(catalog, {"profile": "gpus", "flavor": "h100", "count": 1}).is_denied
        assert parse_options(catalog, {"profile": "gpus"}, groups=()).flavor == "a100"

    def test_whichever_is_free_first_lands_only_where_one_may(self) -> None:
        catalog = restricted(
            gpu={"flavors": ["h100", "a100", "t4"], "share": "whole", "count": 1},
            restrict=[{"flavors": ["a100"], "allowed_users": ["ada"]}],
        )
        selected = parse_options(catalog, {"profile": "gpus", "flavor": "any"}, groups=())
        assert selected.flavors == ("h100", "t4")

    def test_a_profile_without_any_choice_left_is_closed_as_a_whole(self) -> None:
        rule = {"flavors": ["h100", "a100"], "allowed_users": ["ada"], "when_denied": ASK}
        view = visible_to(restricted(restrict=[rule]), ())
        assert view.profile("gpus") is None
        assert [text for _, text in view.denied] == [ASK["message"]]

    def test_a_block_may_be_denied_with_words(self) -> None:
        catalog = restricted(
            gpu=[
                {"flavors": ["a100"], "share": "whole"},
                {
                    "flavors": ["h100"],
                    "share": "whole",
                    "allowed_groups": ["lab"],
                    "when_denied": ASK,
                },
            ]
        )
        assert refuse(catalog, {"profile": "gpus", "flavor": "h100"}).is_denied


IMAGE_RULE: Final = {"images": ["torch"], "allowed_groups": ["lab"], "when_denied": ASK}


class TestImages:
    def test_the_next_image_becomes_the_default(self) -> None:
        catalog = restricted(restrict=[IMAGE_RULE])
        assert parse_options(catalog, {"profile": "gpus"}, groups=()).image == "base"
        assert parse_options(catalog, {"profile": "gpus"}, groups=["lab"]).image == "torch"
        error = refuse(catalog, {"profile": "gpus", "image": "torch"})
        assert (error.message, error.is_denied) == (ASK["message"], True)

    def test_a_profile_without_any_image_left_is_closed(self) -> None:
        catalog = restricted(restrict=[{**IMAGE_RULE, "images": ["torch", "base"]}])
        assert visible_to(catalog, ()).profile("gpus") is None


class TestStanding:
    def test_people_of_the_same_standing_see_the_same(self) -> None:
        catalog = restricted(allowed_groups=["lab"], allowed_users=["ada"])
        one = standing_in(catalog, Person("grace", frozenset({"lab", "chess"})))
        assert one == Person("", frozenset({"lab"}))
        assert standing_in(catalog, Person("ada", frozenset())).username == "ada"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"when_denied": ASK}, "when_denied: is set, but nobody is denied"),
        ({"when_denied": "show", "allowed_groups": []}, "got 'show'; allowed: hide"),
        ({"when_denied": {"message": ""}, "allowed_groups": []}, "one line of at most 300"),
        ({"restrict": [{"count": [2]}]}, "restrict[0]: says not who may have it"),
        ({"restrict": [{"allowed_groups": ["lab"]}]}, "restrict[0]: is about nothing"),
        (
            {"restrict": [{"images": ["torch"], "count": 2, "allowed_users": ["ada"]}]},
            "restrict[0]: is about several of choices, images and options",
        ),
        ({"restrict": [{"count": 3, "allowed_users": []}]}, "got '3'; the profile has 1, 2 and 4"),
        (
            {"restrict": [{"flavors": ["t4"], "allowed_users": []}]},
            "restrict[0].flavors: got 't4'; the profile has a100 and h100",
        ),
    ],
)
def test_mistakes_in_rules_are_told(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        restricted(**changes)
    assert words in str(caught.value)


class TestOptions:
    """An image of one's own, and amounts of CPU and memory."""

    RESOURCES: Final = {"cpu": {"choices": [2, 4, 8]}, "memory": {"choices": ["1Gi", "2Gi"]}}
    OWN: Final = {"profile": "gpus", "own_image": "quay.io/me/mine:1"}

    def catalog(self, *rules: dict[str, Any]) -> Catalog:
        own = {"allowed": ["quay.io/me/*"]}
        return restricted(resources=self.RESOURCES, own_image=own, restrict=list(rules))

    def test_who_may_not_gets_the_first_amount_and_no_image(self) -> None:
        rule = {"options": ["own_image", "cpu", "memory"], "allowed_groups": ["staff"]}
        catalog = self.catalog(rule | {"when_denied": ASK})
        plain = parse_options(catalog, {"profile": "gpus"}, groups=())
        assert (plain.cpu_milli, plain.memory_bytes) == (2000, 1 << 30)
        first = {"profile": "gpus", "cpu": 2, "memory": "1Gi"}
        assert parse_options(catalog, first, groups=()) == plain
        for wish in (self.OWN, {"profile": "gpus", "cpu": 8}, {"profile": "gpus", "memory": "2Gi"}):
            refused = refuse(catalog, wish)
            assert (refused.message, refused.is_denied) == (ASK["message"], True)
            assert refused.field in wish
            parse_options(catalog, wish, groups=["staff"])

    def test_what_is_hidden_is_like_nothing(self) -> None:
        rules = [{"options": [name], "allowed_users": ["ada"]} for name in ("own_image", "cpu")]
        catalog = self.catalog(*rules)
        assert refuse(catalog, self.OWN).message == "gpus takes no image of your own."
        refused = refuse(catalog, {"profile": "gpus", "cpu": 8})
        assert (refused.message, refused.is_denied) == ("gpus has no cpu 8; there is 2.", False)
        parse_options(catalog, {"profile": "gpus", "memory": "2Gi"}, groups=())
        for wish in (self.OWN, {"profile": "gpus", "cpu": 8}):
            parse_options(catalog, wish, groups=(), username="ada")

    @pytest.mark.parametrize(
        ("rule", "problem"),
        [
            ({"options": ["wait"]}, "got 'wait'; allowed: own_image, cpu, memory"),
            ({"options": ["cpu"], "count": [2]}, "is about several of choices, images and options"),
            ({"options": ["own_image"]}, "got 'own_image'; the profile has none. Remove it."),
        ],
    )
    def test_mistakes(self, rule: dict[str, Any], problem: str) -> None:
        with pytest.raises(ConfigError) as caught:
            restricted(restrict=[rule | {"allowed_groups": ["lab"]}])
        assert problem in str(caught.value)
