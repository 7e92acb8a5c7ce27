"""What is learnt from pulls, and what is expected of others."""

import pytest

from gpu_spawner.core.cluster.pull_events import PullEvent
from gpu_spawner.core.preload.durations import PullTimes

NAMED_SPEED = 100_000_000.0
TEN_GB = 10_000_000_000


def seen(*pulls: tuple[str, int, float]) -> PullTimes:
    """Return what images, sizes in bytes and seconds teach about nodes of one kind."""
    times = PullTimes(NAMED_SPEED)
    for image, size_bytes, seconds in pulls:
        times.learn(
            PullEvent(uid=image, image=image, seconds=seconds, size_bytes=size_bytes), "h100"
        )
    return times


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        pytest.param(seen(), 100.0, id="nothing seen: the speed that is named"),
        pytest.param(seen(("new", TEN_GB, 40.0)), 40.0, id="seen itself"),
        pytest.param(seen(("other", 2 * TEN_GB, 400.0)), 200.0, id="another large one seen"),
        pytest.param(seen(("small", 2_000_000, 1.0)), 100.0, id="a small one tells no speed"),
        pytest.param(
            seen(("small", 2_000_000, 1.0), ("other", TEN_GB, 50.0)),
            50.0,
            id="a small one beside a large one",
        ),
    ],
)
def test_what_is_expected_of_ten_gigabytes(times: PullTimes, seconds: float) -> None:
    assert times.expect("new", ["h100"], TEN_GB) == pytest.approx(seconds)


def test_a_small_image_that_was_seen_takes_what_it_took() -> None:
    assert seen(("small", 2_000_000, 1.0)).expect("small", ["h100"], None) == 1.0
