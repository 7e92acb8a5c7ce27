"""Feature gates that are off: their fields are dropped without a word."""

from typing import Any

import pytest
from api_caller import serving

CLAIMS = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"
TEMPLATES = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaimtemplates"


def wish(**more: Any) -> dict[str, Any]:
    return {
        "deviceClassName": "gpu.example.com",
        "capacity": {"requests": {"memory": "8Gi"}},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        **more,
    }


def claim_spec() -> dict[str, Any]:
    return {
        "devices": {
            "requests": [
                {"name": "one", "exactly": wish()},
                {"name": "two", "firstAvailable": [wish(name="a"), wish(name="b")]},
            ]
        }
    }


def manifest(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": "gpu"},
        "spec": spec,
    }


@pytest.mark.parametrize(
    ("gate", "field"),
    [("DRAConsumableCapacity", "capacity"), ("DRADeviceTaints", "tolerations")],
)
async def test_fields_of_a_wish_are_dropped_everywhere(gate: str, field: str) -> None:
    async with serving() as api:
        api.server.disabled_gates = frozenset({gate})
        claim = (await api.call("POST", CLAIMS, manifest("ResourceClaim", claim_spec()))).body[
            "spec"
        ]
        template = manifest("ResourceClaimTemplate", {"spec": claim_spec()})
        copied = (await api.call("POST", TEMPLATES, template)).body["spec"]["spec"]
    assert claim == copied
    one, two = claim["devices"]["requests"]
    for kept in (one["exactly"], *two["firstAvailable"]):
        assert field not in kept
        assert {"capacity", "tolerations"} - {field} <= kept.keys()


async def test_what_is_left_is_validated() -> None:
    async with serving() as api:
        api.server.disabled_gates = frozenset({"DRAPrioritizedList"})
        answer = await api.call("POST", CLAIMS, manifest("ResourceClaim", claim_spec()))
    assert answer.status == 422
    assert "exactly one of `exactly` or `firstAvailable` is required" in answer.message


async def test_nothing_is_dropped_while_all_gates_are_on() -> None:
    async with serving() as api:
        answer = await api.call("POST", CLAIMS, manifest("ResourceClaim", claim_spec()))
    one, two = answer.body["spec"]["devices"]["requests"]
    assert all("capacity" in kept for kept in (one["exactly"], *two["firstAvailable"]))
