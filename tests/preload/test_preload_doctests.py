"""The examples in docstrings about preloading are true."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "core.cluster.pull_events",
        "core.preload.image_names",
        "hub.warm_start",
        "preload.surroundings",
    ],
)
def test_examples_are_true(name: str) -> None:
    results = doctest.testmod(importlib.import_module(f"gpu_spawner.{name}"))

    assert results.attempted
    assert not results.failed
