"""What is left of refused options is granted, and is what was asked for where that is granted."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.catalog_files import read_directory
from gpu_spawner.core.catalog.options import OPTION_KEYS, parse_options
from gpu_spawner.core.catalog.remaining_options import remaining_options
from gpu_spawner.core.errors import OptionError

CATALOG = read_directory(Path(__file__).parents[2] / "profiles")
VALUES = st.one_of(
    st.sampled_from(["data-science-cpu", "pytorch-gpus", "gpu-slice"]),
    st.sampled_from(["h100-80gb", "a100-80gb", "any", "pytorch-cuda13", "1", "4"]),
    st.sampled_from(["whole", "mig-1g.10gb", "replica", "true"]),
    st.integers(-1, 5),
    st.none(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
)
RAW = st.dictionaries(st.sampled_from([*OPTION_KEYS, "unknown"]), VALUES)


@given(RAW)
def test_what_is_left_could_be_started(raw):
    left = remaining_options(CATALOG, raw, groups=())
    if left is not None:
        assert parse_options(CATALOG, left.as_user_options(), groups=()) == left
        assert left.profile == raw["profile"]


@given(RAW)
def test_nothing_is_lost_of_what_is_granted(raw):
    try:
        granted = parse_options(CATALOG, raw, groups=())
    except OptionError:
        return
    if raw.get("profile") is not None:
        assert remaining_options(CATALOG, raw, groups=()) == granted
