"""Pod templates have the hashes that Kubernetes 1.36.2 gives them.

``tests/data/template-hashes.jsonl`` was written by ``controller.ComputeHash``, from templates
that went through Kubernetes' own encoding first, as a controller gets them.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from gpu_spawner.sim.daemonsets.template_hash import template_hash

RECORDED = Path(__file__).parents[1] / "data" / "template-hashes.jsonl"
CASES = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("case", CASES, ids=[case["hash"] for case in CASES])
def test_a_template_has_the_hash_it_has_in_kubernetes(case: dict[str, Any]) -> None:
    assert template_hash(case["template"]) == case["hash"]


def test_collisions_change_the_hash() -> None:
    template = CASES[0]["template"]
    hashes = [template_hash(template, count) for count in (None, 0, 1, 2)]
    assert len(set(hashes)) == len(hashes)


def test_what_is_not_set_and_what_is_empty_hash_alike() -> None:
    template = CASES[0]["template"]
    spec = {**template["spec"], "volumes": [], "nodeSelector": {}, "hostNetwork": False}
    assert template_hash({**template, "spec": spec}) == template_hash(template)
