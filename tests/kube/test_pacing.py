"""Pauses are bounded on both sides, and ages say who vouched for what."""

from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.kube.pacing import Backoff, Freshness


@given(chances=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=60))
def test_pauses_double_up_to_the_limit_and_are_never_short_of_half(chances):
    remaining = iter(chances)
    backoff = Backoff(first_seconds=0.2, cap_seconds=30.0, chance=lambda: next(remaining))
    for number in range(len(chances)):
        nominal = min(30.0, 0.2 * 2**number)
        assert nominal / 2 <= backoff.next_seconds() <= nominal
        assert backoff.failures == number + 1


def test_a_long_outage_does_not_overflow():
    backoff = Backoff(first_seconds=0.2, cap_seconds=30.0, chance=lambda: 0.0)
    assert [backoff.next_seconds() for _ in range(5000)][-1] == 15.0


def test_success_starts_anew():
    backoff = Backoff(first_seconds=1.0, cap_seconds=30.0, chance=lambda: 0.0)
    backoff.next_seconds()
    backoff.next_seconds()
    backoff.reset()
    assert (backoff.failures, backoff.next_seconds()) == (0, 0.5)


def test_nothing_held_has_no_age():
    freshness = Freshness()
    assert freshness.age_seconds(100) is None
    freshness.closed(100, fell_silent=False)
    assert freshness.age_seconds(100) is None
    freshness.listed(100)
    freshness.forget()
    assert freshness.age_seconds(100) is None


def test_a_list_is_as_old_as_the_question():
    freshness = Freshness()
    freshness.listed(asked_at=100)
    assert freshness.age_seconds(103) == 3


def test_an_open_watch_vouches_for_the_present():
    freshness = Freshness()
    freshness.listed(asked_at=100)
    freshness.opened(101)
    assert freshness.is_open
    assert freshness.age_seconds(160) == 0


def test_a_watch_that_breaks_vouches_up_to_that_moment():
    freshness = Freshness()
    freshness.opened(100)
    freshness.closed(160, fell_silent=False)
    assert freshness.age_seconds(165) == 5


def test_a_watch_that_fell_silent_vouches_up_to_the_last_word():
    freshness = Freshness()
    freshness.opened(100)
    freshness.heard(110)
    freshness.closed(160, fell_silent=True)
    assert freshness.age_seconds(165) == 55


def test_a_watch_that_never_opened_changes_nothing():
    freshness = Freshness()
    freshness.listed(asked_at=100)
    freshness.closed(150, fell_silent=False)
    assert freshness.age_seconds(150) == 50
