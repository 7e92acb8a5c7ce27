"""Metrics an admin can trust: what they say is what the page says, and the dashboard reads them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from other_process import wait_until
from prometheus_client.parser import text_string_to_metric_families
from running_hub import RunningHub

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(180)]

MONITORING = Path(__file__).parents[2] / "helm-values" / "monitoring"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(hub: RunningHub) -> Samples:
    answer = hub.rest("GET", "../metrics")
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name.startswith("gpu_spawner_")
    }


def value(hub: RunningHub, name: str, **labels: str) -> float | None:
    return samples(hub).get((f"gpu_spawner_{name}", frozenset(labels.items())))


@pytest.fixture
def started(hub: RunningHub, user: str) -> Iterator[str]:
    """A user whose server with one GPU runs."""
    assert hub.start(user, {"profile": "gpus", "count": 1}).status_code in (201, 202)
    wait_until(lambda: hub.user(user)["servers"][""]["ready"], "the server is ready", 60)
    yield user
    hub.stop(user)


class TestGauges:
    def test_seats_and_devices_are_those_of_the_page(self, hub: RunningHub, user: str) -> None:
        offers = hub.rest("GET", f"gpu-spawner/offers?user={user}").json()["profiles"]
        (gpus,) = [profile for profile in offers if profile["profile"] == "gpus"]
        for choice in gpus["choices"]:
            for state in ("free", "total"):
                labels = {"profile": "gpus", "choice": choice["key"], "state": state}
                assert value(hub, "seats", **labels) == choice[state]
        (count,) = gpus["flavors"]
        for state in ("free", "used"):
            expected = count["free"] if state == "free" else count["total"] - count["free"]
            labels = {"flavor": "h100", "share": "whole", "state": state}
            assert value(hub, "devices", **labels) == expected

    def test_each_choice_is_in_one_state(self, hub: RunningHub, user: str) -> None:
        hub.rest("GET", f"gpu-spawner/offers?user={user}")
        states: dict[str, float] = {}
        for (name, labels), number in samples(hub).items():
            if name == "gpu_spawner_choice_state":
                choice = dict(labels)["choice"]
                states[choice] = states.get(choice, 0) + number
        assert states
        assert set(states.values()) == {1.0}

    def test_the_watch_tells_how_it_goes(self, hub: RunningHub) -> None:
        for kind in ("nodes", "pods"):
            assert value(hub, "watch_condition", kind=kind, condition="following") == 1
            assert value(hub, "watch_condition", kind=kind, condition="forbidden") == 0
            age = value(hub, "watch_age_seconds", kind=kind)
            assert age is not None
            assert age < 60

    def test_the_catalog(self, hub: RunningHub) -> None:
        assert value(hub, "profiles") == 3
        assert value(hub, "catalog_problems") == 0


class TestCounters:
    @pytest.mark.usefixtures("started")
    def test_a_start_is_measured(self, hub: RunningHub) -> None:
        found = {
            dict(labels)["image"]: number
            for (name, labels), number in samples(hub).items()
            if name == "gpu_spawner_start_duration_seconds_count"
            and dict(labels)["profile"] == "gpus"
        }
        assert sum(found.values()) >= 1
        assert set(found) <= {"warm", "cold", "unknown"}
        waited = value(hub, "scheduling_wait_seconds_count", profile="gpus")
        assert waited is not None
        assert waited >= 1

    def test_refusals_by_reason(self, hub: RunningHub, user: str) -> None:
        labels = {"profile": "", "reason": "gpu_options"}
        before = value(hub, "starts_refused_total", **labels) or 0
        assert hub.start(user, {"profile": "<script>", "count": 1}).status_code == 400
        assert value(hub, "starts_refused_total", **labels) == before + 1
        assert not any("script" in str(labels) for _, labels in samples(hub))

        labels = {"profile": "gpus", "reason": "gpu_capacity"}
        before = value(hub, "starts_refused_total", **labels) or 0
        assert hub.start(user, {"profile": "gpus", "count": 4}).status_code == 409
        assert value(hub, "starts_refused_total", **labels) == before + 1


def expressions() -> Iterator[Any]:
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text())
    for group in rules["spec"]["groups"]:
        for rule in group["rules"]:
            yield rule["expr"]


class TestDashboardAndAlerts:
    @pytest.mark.usefixtures("started")
    def test_every_metric_they_read_is_there(self, hub: RunningHub) -> None:
        hub.start("somebody-refused", {"profile": "gpus", "count": 4})
        exposed = {name for name, _ in samples(hub)}
        # A counter with labels has no sample before it counts; its help text is there.
        text = hub.rest("GET", "../metrics").text
        exposed |= set(re.findall(r"# TYPE (gpu_spawner_\w+)", text))
        read = {name for text in expressions() for name in re.findall(r"gpu_spawner_\w+", text)}
        assert len(read) > 8
        assert read <= exposed, read - exposed
