"""The examples in the docstrings of what a site offers are true."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "catalog.device_selectors",
        "catalog.options",
        "catalog.override",
        "catalog.products",
        "cluster.card_annotations",
        "diagnosis.line_words",
        "diagnosis.node_words",
        "diagnosis.unschedulable",
        "placement.waiting_line",
        "preload.image_names",
        "wording",
    ],
)
def test_docstring_examples(name: str) -> None:
    module = importlib.import_module(f"gpu_spawner.core.{name}")
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
