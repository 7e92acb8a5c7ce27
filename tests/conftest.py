"""Fixtures for all tests.

- ``chromium``: the path of a headless-capable Chromium, or a skip that says how to get one.

Hypothesis runs the quick profile by default and the thorough one where ``CI`` is set.
"""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parent.parent

settings.register_profile(
    "quick", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "ci",
    deadline=None,
    max_examples=100,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if os.environ.get("CI") else "quick")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes minutes, so that no core waits for it at the end."""
    items.sort(
        key=lambda item: item.get_closest_marker("slow") is None and "e2e" not in item.path.parts
    )


@pytest.fixture(scope="session")
def chromium() -> str:
    """Find Chromium: ``$CHROMIUM``, or one of the names distributions give it."""
    candidates = [os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"]
    for candidate in filter(None, candidates):
        if path := shutil.which(candidate):
            return path
    message = "no Chromium: apt-get install chromium, or set CHROMIUM to its path"
    if os.environ.get("GPU_SPAWNER_REQUIRE_BROWSER"):
        pytest.fail(message)
    pytest.skip(message)
