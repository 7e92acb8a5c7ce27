"""Laws of choices: whatever a script, a form or a link sends, nothing starts that a rule forbids.

What the rules permit is written down here once more, without the code that decides it.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_spawner.catalog_files import read_mapping
from gpu_spawner.core.catalog.model import Selection
from gpu_spawner.core.catalog.options import OPTION_KEYS, parse_options
from gpu_spawner.core.errors import OptionError
from gpu_spawner.hub.form_fields import check_tile, options_from_fields, options_from_link

CATALOG = read_mapping(
    {
        "flavors": {
            name: {"display_name": name, "node_labels": {"gpu": name}, "memory": "80GB"}
            for name in ("h100", "a100")
        },
        "images": {
            name: {"image": f"quay.io/site/{name}:1", "display_name": name}
            for name in ("base", "torch", "old")
        },
        "10-cpu": {
            "display_name": "CPU",
            "images": ["base"],
            "resources": {"cpu": {"choices": [1, 2]}, "memory": {"choices": ["1Gi", "2Gi"]}},
            "own_image": {"allowed": ["quay.io/jupyter/*"]},
        },
        "20-gpus": {
            "display_name": "GPUs",
            "images": ["torch", "base", "old"],
            "renamed_from": ["cards"],
            "gpu": {"flavors": ["h100", "a100"], "share": "whole", "count": [1, 2, 4]},
            "max_wait": "1h",
            "restrict": [
                {"count": [4], "allowed_groups": ["lab"], "allowed_users": ["ada"]},
                {"flavors": ["a100"], "allowed_groups": ["staff"]},
                {
                    "images": ["old"],
                    "allowed_groups": ["lab"],
                    "when_denied": {"message": "Old images are for the lab."},
                },
            ],
        },
        "30-secret": {
            "display_name": "Secret",
            "images": ["torch"],
            "gpu": {"flavors": ["h100"], "share": "whole"},
            "allowed_groups": ["lab"],
        },
    }
)
EXAMPLES = 50 * settings().max_examples
"""Of scripts and of forms, each: 10,000 together in the thorough profile."""
LONGEST_MESSAGE = 600

pytestmark = pytest.mark.timeout(600)

groups = st.frozensets(st.sampled_from(["lab", "staff", "course"]))
usernames = st.sampled_from(["ada", "grace", ""])
names = st.sampled_from(
    ["cpu", "gpus", "cards", "secret", "h100", "a100", "any", "whole", "base", "torch", "old"]
)
values = st.sampled_from(
    ["1", "2", "4", "3", "1Gi", "2Gi", "0.5", "true", "off", "quay.io/jupyter/base:1",
     "quay.io/jupyter/base!", "quay.io/other/base:1", "quay.io/jupyter/../other/base"]
)  # fmt: skip
tiles = st.one_of(
    st.sampled_from(["cpu/cpu", "gpus/h100/whole/2", "cards/any/whole/1", "secret/h100/whole/1"]),
    st.builds("/".join, st.lists(names | values, min_size=2, max_size=5)),
)
texts = names | values | tiles | st.text(max_size=80)
json_values = st.recursive(
    texts | st.none() | st.booleans() | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
mostly_right = st.fixed_dictionaries(
    {},
    optional={
        "profile": st.sampled_from(["cpu", "gpus", "cards", "secret"]),
        "flavor": st.sampled_from(["h100", "a100", "any"]),
        "share": st.just("whole"),
        "count": st.sampled_from([1, 2, 4, "4"]),
        "image": st.sampled_from(["base", "torch", "old"]),
        "own_image": values,
        "cpu": st.sampled_from([1, 2, "2", 3]),
        "memory": values,
        "wait": st.sampled_from([True, "on"]),
    },
)
slips = st.dictionaries(st.sampled_from(OPTION_KEYS) | texts, json_values, max_size=2)
bodies = json_values | st.builds(lambda one, other: {**one, **other}, mostly_right, slips)
field_names = st.one_of(
    st.sampled_from(["offer", "profile", "wait", "_xsrf"]),
    st.builds(
        "profile-option-{}--{}".format,
        st.sampled_from(["cpu", "gpus", "secret"]),
        st.sampled_from(OPTION_KEYS),
    ),
    st.builds("opt-{}".format, st.sampled_from(OPTION_KEYS) | texts),
    texts,
)
sent_values = st.one_of(
    st.builds(lambda text: [text], texts),
    st.lists(texts, max_size=3),
    st.just([{"filename": "x", "body": b"x"}]),
)
forms = st.builds(
    lambda one, other: {**one, **other},
    st.fixed_dictionaries({"offer": st.builds(lambda tile: [tile], tiles)}) | st.just({}),
    st.dictionaries(field_names, sent_values, max_size=5),
)


def assert_permitted(selection: Selection, held: frozenset[str], username: str) -> None:
    is_lab = "lab" in held
    match selection.profile:
        case "cpu":
            assert (selection.count, selection.share, selection.flavors) == (0, None, ())
            assert selection.image == "base"
            assert selection.cpu_milli in (1000, 2000)
            assert selection.memory_bytes in (2**30, 2**31)
            own = selection.own_image
            assert not own or re.fullmatch(r"quay\.io/jupyter/[a-z0-9._-]+([:@][^/\s]+)?", own)
            assert not selection.wait
            return
        case "gpus":
            assert selection.count in ((1, 2, 4) if is_lab or username == "ada" else (1, 2))
            flavors = {"h100", "a100"} if "staff" in held else {"h100"}
            assert selection.flavors
            assert set(selection.flavors) <= flavors
            assert selection.image in (("torch", "base", "old") if is_lab else ("torch", "base"))
        case "secret":
            assert is_lab
            assert (selection.flavors, selection.count) == (("h100",), 1)
            assert selection.image == "torch"
            assert not selection.wait
        case other:
            raise AssertionError(f"there is no profile {other!r}")
    assert selection.share is not None
    assert selection.share.kind == "whole"
    assert (selection.own_image, selection.cpu_milli, selection.memory_bytes) == ("", None, None)


def outcome(read: Callable[[], Any], held: frozenset[str], username: str) -> Selection | None:
    """Return what would be started; None where it is refused in one clear sentence."""
    refusal = None
    try:
        selection = parse_options(CATALOG, read(), groups=held, username=username)
    except OptionError as error:
        refusal = error
    if refusal is not None:
        assert_clear(refusal)
        return None
    assert_permitted(selection, held, username)
    return selection


def assert_clear(refusal: OptionError) -> None:
    assert refusal.message.strip()
    assert len(refusal.message) < LONGEST_MESSAGE
    assert refusal.message.isprintable()


@settings(max_examples=EXAMPLES)
@given(bodies, groups, usernames)
def test_options_of_a_script_start_only_what_is_permitted(
    body: Any, held: frozenset[str], username: str
) -> None:
    selection = outcome(lambda: body, held, username)
    if selection is not None:
        again = outcome(selection.as_user_options, held, username)
        assert again == selection  # a server that is started once more is the same server


@settings(max_examples=EXAMPLES)
@given(forms, groups, usernames)
def test_fields_of_a_form_start_only_what_is_permitted(
    fields: Mapping[str, Any], held: frozenset[str], username: str
) -> None:
    selection = outcome(lambda: options_from_fields(fields), held, username)
    if selection is None or "offer" not in fields:
        return
    tile = fields["offer"][0].replace("cards/", "gpus/", 1)
    if selection.choice.key == tile:
        check_tile(fields, CATALOG, selection.choice.key)
        return
    with pytest.raises(OptionError) as caught:
        check_tile(fields, CATALOG, selection.choice.key)
    assert_clear(caught.value)


@settings(max_examples=EXAMPLES // 5)
@given(st.dictionaries(field_names, sent_values, max_size=5), groups, usernames)
def test_queries_of_a_link_start_only_what_is_permitted(
    query: Mapping[str, Any], held: frozenset[str], username: str
) -> None:
    outcome(lambda: options_from_link(query), held, username)
