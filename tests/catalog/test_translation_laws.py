"""Whatever is said to a reader can be said in another language, down to the last word."""

from typing import Any

import pytest
from every_way import EVERYTHING
from hypothesis import given
from hypothesis import strategies as st
from pseudo_language import left_in_english

from gpu_spawner.core.catalog.holdings import Holding
from gpu_spawner.core.catalog.lifetime import Lifetime
from gpu_spawner.core.catalog.limits import Held, Limit, LimitRules, find_excess, say_held
from gpu_spawner.core.catalog.mechanisms import MECHANISMS, describe_share
from gpu_spawner.core.catalog.model import Profile
from gpu_spawner.core.catalog.options import OPTION_KEYS, parse_options
from gpu_spawner.core.diagnosis.line_words import InUse, say_line, say_queue
from gpu_spawner.core.errors import OptionError
from gpu_spawner.core.messages import gettext, joined
from gpu_spawner.core.offers.availability import (
    Availability,
    ChoiceOffer,
    FlavorCount,
    ImageReadiness,
)
from gpu_spawner.core.offers.device_look import DeviceLook
from gpu_spawner.core.offers.expectation import Expected
from gpu_spawner.core.offers.scale_up import ScaleUp
from gpu_spawner.core.offers.sentences import (
    Situation,
    Spread,
    explain,
    say_expected,
    say_scale_up,
)
from gpu_spawner.core.placement.fitting import Reason, Rejection
from gpu_spawner.core.placement.waiting_line import Line
from gpu_spawner.core.wording import within_sentence
from gpu_spawner.hub.lifetimes import RunningServer
from gpu_spawner.hub.page_words import (
    choice_phrase,
    count_words,
    resource_facts,
    tile_title,
    tile_words,
)

few = st.integers(0, 12)
UNITS = ("GPU", "slice", "share", "partition", "set of devices", "accelerator")
UNKNOWN = (
    joined(": ", ("nodes", gettext("the hub may not read {kind}", kind="nodes"))),
    gettext("the node does not say how much memory its GPUs have"),
    "nodes: not read yet",
    "pods: unknown",
    "resource claim x: the selector cannot be evaluated: it uses ip",
)
rejections = st.lists(
    st.builds(Rejection, reason=st.sampled_from(Reason)), min_size=1, max_size=2
).map(tuple)
looks = st.builds(
    DeviceLook,
    in_use=few,
    out_of_service=few,
    is_cut=st.booleans(),
    is_shared=st.booleans(),
    most_left=st.none() | st.integers(0, 80 * 2**30),
    missing_class=st.sampled_from(["", "gpu.example.org"]),
    trouble=st.sampled_from(["", "no such key"]),
)
situations = st.builds(
    Situation,
    free=st.none() | few,
    total=st.none() | few,
    is_least=st.booleans(),
    unknown=st.none() | st.sampled_from(UNKNOWN),
    count=few,
    unit=st.sampled_from(UNITS),
    spread=st.none()
    | st.builds(Spread, free=few, total=few, free_nodes=few, most_free=few, most_offered=few),
    usable_nodes=few,
    barred=st.dictionaries(st.text(max_size=3), rejections, max_size=4),
    short=st.lists(st.sampled_from(["cpu", "memory", "pods", "nvidia.com/gpu"]), max_size=3),
    look=st.none() | looks,
    unit_bytes=st.none() | st.integers(0, 80 * 2**30),
)


@given(situations)
def test_how_a_choice_stands(situation: Situation) -> None:
    assert left_in_english(explain(situation)) == ""


@given(st.floats(0, 10**6), st.sampled_from(["idle", "lifetime"]))
def test_when_one_comes_free(left: float, cause: str) -> None:
    assert left_in_english(say_expected(Expected(left, cause), 0.0)) == ""


@given(situations, st.none() | st.integers(1, 10**5))
def test_that_a_node_is_started_first(situation: Situation, seconds: int | None) -> None:
    assert left_in_english(say_scale_up(explain(situation), seconds)) == ""


readiness = st.builds(
    ImageReadiness,
    ready_nodes=few,
    fitting_nodes=few,
    is_known=st.booleans(),
    pull_seconds=st.none() | st.floats(0, 10**5),
    is_least=st.booleans(),
)


@given(
    st.none() | st.sampled_from(Availability),
    st.none() | few,
    st.none() | few,
    st.none() | readiness,
    st.none() | st.builds(ScaleUp, st.none() | st.integers(1, 10**5)),
)
def test_tiles(
    state: Availability | None,
    free: int | None,
    total: int | None,
    image: ImageReadiness | None,
    scale_up: ScaleUp | None,
) -> None:
    offer = ChoiceOffer(
        key="p/h100/whole/1",
        profile="p",
        flavor="h100",
        share="whole",
        count=1,
        state=state,
        free=free,
        total=total,
        because="",
        images={"torch": image} if image is not None else {},
        scale_up=scale_up,
    )
    _, label, detail = tile_words(offer, "torch")
    assert label != ""
    assert left_in_english(label) == ""
    assert left_in_english(detail) == ""


@given(few, few, few, st.sampled_from(UNITS))
def test_the_place_in_a_line(position: int, used: int, total: int, unit: str) -> None:
    in_use = InUse(used=used, total=total, unit=unit)
    line = Line(position=position, length=total)
    assert left_in_english(say_line(line, "", in_use)) == ""
    why = within_sentence(gettext("Both are in use."))
    assert left_in_english(say_line(line, "", in_use, why)) == ""
    assert left_in_english(say_queue(position, total)) == ""


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_lifetimes(longest: int, idle: int) -> None:
    for rule in (
        Lifetime(max_seconds=longest),
        Lifetime(idle_seconds=idle),
        Lifetime(max_seconds=longest, idle_seconds=idle),
    ):
        assert left_in_english(rule.words) == ""


@given(st.floats(0, 10**5), st.floats(0, 10**5), st.text(max_size=3), st.integers(1, 10**6))
def test_when_a_server_stops(at: float, now: float, name: str, longest: int) -> None:
    for rule in (Lifetime(max_seconds=longest), Lifetime(idle_seconds=longest)):
        verdict = rule.judge(ran_seconds=0, idle_seconds=0)
        assert verdict is not None
        server = RunningServer(at, name, verdict.is_idle, verdict.because)
        assert left_in_english(server.words(now)) == ""


amounts = st.none() | st.integers(0, 10_000)
limits = st.builds(Limit, gpu_milli=amounts, memory_bytes=amounts, servers=amounts)


@given(limits, limits, st.integers(1, 9000))
def test_limits(own: Limit, together: Limit, asked: int) -> None:
    holding = Holding(gpu_milli=asked, memory_bytes=asked, servers=1)
    held = Held(username="ada", groups=frozenset({"g"}), profile="p", holding=holding)
    rules = LimitRules(profiles={"p": own}, together={"g": together})
    assert left_in_english(find_excess(rules, held, [held])) == ""
    assert left_in_english(say_held(own, [held])) == ""


values = st.one_of(
    st.text(max_size=8),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.lists(st.integers()),
    st.sampled_from([profile.slug for profile in EVERYTHING.profiles]),
    st.sampled_from(["whole", "1", "2", "h100", "quay.io/x/y", "x" * 90]),
)


objects = st.dictionaries(st.sampled_from(OPTION_KEYS) | st.text(max_size=6), values, max_size=4)


@given(objects | values)
def test_refused_options(options: Any) -> None:
    refusal = ""
    try:
        parse_options(EVERYTHING, options, groups=())
    except OptionError as error:
        refusal = error.message
    assert left_in_english(refusal) == ""


@pytest.mark.parametrize("profile", EVERYTHING.profiles, ids=lambda profile: profile.slug)
def test_choices(profile: Profile) -> None:
    names = {flavor.display_name for flavor in EVERYTHING.flavors.values()}
    for fact in resource_facts(profile):
        assert left_in_english(fact) == ""
    for choice in profile.choices:
        assert left_in_english(choice_phrase(EVERYTHING, profile, choice)) in (
            "" if choice.share is not None else left_in_english(profile.display_name)
        )
        for by_share in (False, True):
            title, subtitle = tile_title(EVERYTHING, choice, by_share=by_share)
            is_named = by_share and choice.share is not None and choice.share.value == title
            assert is_named or left_in_english(title) in ("", *names)
            assert left_in_english(subtitle) == ""
        if choice.share is None:
            continue
        for flavor in choice.flavors:
            for mechanism in ("", *MECHANISMS):
                facts = describe_share(EVERYTHING.flavors[flavor], choice.share, mechanism)
                is_admins = choice.share.kind == "claim"
                assert is_admins or left_in_english(facts.title) == ""
                assert is_admins or left_in_english(facts.isolation) == ""
                assert left_in_english(facts.advice) == ""
                count = FlavorCount(
                    flavor=flavor, share=choice.share.label, unit=facts.unit, free=1, total=2
                )
                assert left_in_english(count_words(count)) == ""
