"""Metrics an admin can trust: what they say is what the page says, and the dashboard reads them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_thread import ClusterThread
from foreign_server import embedded_only
from hub_profiles import PROFILES, MakeHub
from other_process import wait_until
from prometheus_client.parser import text_string_to_metric_families
from running_hub import RunningHub

from gpu_spawner.catalog_files import read_catalog
from gpu_spawner.core.cluster.pull_events import PullEvent
from gpu_spawner.core.placement.pod_request import request_from_pod
from gpu_spawner.core.preload.durations import PullTimes
from gpu_spawner.core.preload.plan import Outlook
from gpu_spawner.core.preload.readiness import Readiness
from gpu_spawner.core.preload.wishes import Pool, Wish
from gpu_spawner.hub.preload_metrics import preload_families
from gpu_spawner.kube.conditions import KINDS

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
        def shown() -> Any:
            offers = hub.rest("GET", f"gpu-spawner/offers?user={user}").json()["profiles"]
            return next(profile for profile in offers if profile["profile"] == "gpus")

        wait_until(lambda: shown()["choices"][0]["free"] is not None, "the hub has counted")
        gpus = shown()
        for choice in gpus["choices"]:
            for state in ("free", "total"):
                labels = {"profile": "gpus", "choice": choice["key"], "state": state}
                assert value(hub, "seats", **labels) == choice[state]
        (count,) = gpus["flavors"]
        for state in ("free", "used"):
            expected = count["free"] if state == "free" else count["total"] - count["free"]
            labels = {"flavor": "h100", "share": "whole", "state": state}
            assert value(hub, "devices", **labels) == expected

    def test_gpus_of_a_cordoned_node_are_closed(
        self, hub: RunningHub, user: str, cluster: ClusterThread
    ) -> None:
        def devices(state: str) -> float | None:
            return value(hub, "devices", flavor="h100", share="whole", state=state)

        hub.rest("GET", f"gpu-spawner/offers?user={user}")
        wait_until(lambda: devices("free") == 4, "all are free")
        assert devices("closed") == 0
        cluster.call(cluster.cluster.cordon_node("h100-1"))
        try:
            wait_until(lambda: devices("closed") == 2, "those of one node are closed")
            assert (devices("free"), devices("used")) == (2, 0)
        finally:
            cluster.call(cluster.cluster.cordon_node("h100-1", cordoned=False))
        wait_until(lambda: devices("closed") == 0, "none is closed")

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
        events = value(hub, "watch_events_total", kind="pods")
        assert events is not None

    @embedded_only("a real server may serve it")
    def test_what_a_healthy_cluster_does_not_serve_is_no_failure(self, hub: RunningHub) -> None:
        kind = "devicetaintrules"
        condition = {"kind": kind, "condition": "not-served"}
        wait_until(lambda: value(hub, "watch_condition", **condition) == 1, "it was asked for")
        assert value(hub, "watch_failures_total", kind=kind) == 0

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
        assert value(hub, "starts_under_way", profile="gpus") == 0
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


WAITING = """
c.GPUSpawner.profiles["20-gpus"]["max_wait"] = "10m"
c.GPUSpawner.preload = False
"""


def test_who_waits_for_a_place(make_hub: MakeHub) -> None:
    hub = make_hub(PROFILES + WAITING)
    waiting = {"profile": "gpus"}
    wait_until(lambda: value(hub, "starts_waiting", **waiting) == 0, "the hub has counted")
    users = [hub.add_user(f"waiting{number}") for number in range(3)]
    for user in users:
        options = {"profile": "gpus", "count": 2, "wait": True}
        assert hub.start(user, options).status_code in (201, 202)
    wait_until(lambda: value(hub, "starts_waiting", **waiting), "somebody waits", 60)
    for user in users:
        hub.stop(user)
    wait_until(lambda: value(hub, "starts_waiting", **waiting) == 0, "nobody waits", 60)


TOGETHER = """
c.GPUSpawner.limits = {"together": {"research": {"gpus": 2, "gpu_memory": "400GB"}}}
"""


def test_what_a_group_holds_together(make_hub: MakeHub) -> None:
    hub = make_hub(PROFILES + TOGETHER)
    held = {"group": "research", "state": "held"}
    limit = {"group": "research", "state": "limit"}
    assert (value(hub, "group_gpus", **held), value(hub, "group_gpus", **limit)) == (0, 2)
    assert hub.start("rosalind", {"profile": "gpus", "count": 1}).status_code in (201, 202)
    assert value(hub, "group_gpus", **held) == 1
    assert value(hub, "group_gpu_memory_bytes", **held) == 80e9
    assert value(hub, "group_gpu_memory_bytes", **limit) == 400e9
    assert value(hub, "group_servers", **held) is None, "servers are not limited"
    options = {"profile": "gpus", "count": 2}
    assert hub.start("rosalind", options, server="second").status_code == 403
    assert value(hub, "starts_refused_total", profile="gpus", reason="gpu_limit") == 1
    hub.stop("rosalind")


CATALOG = read_catalog(
    mapping={
        "images": {"torch": {"image": "example.org/torch:1", "display_name": "PyTorch"}},
        "10-torch": {"display_name": "PyTorch", "images": ["torch"]},
    }
)


def wish(image: str) -> Wish:
    rules = request_from_pod({"spec": {"containers": [{"name": "any"}]}}, source="a test")
    return Wish(image=image, pool=Pool(rules=rules, requests=(rules,)), profiles=("torch",))


def preload_samples(readiness: Readiness) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in preload_families(readiness, CATALOG, ["example.org/extra:1"])
        for sample in family.samples
    }


class TestPreloading:
    @pytest.mark.usefixtures("started")
    def test_an_image_that_is_used_is_wanted_where_it_fits(self, hub: RunningHub) -> None:
        labels = {"image": "torch", "state": "wanted"}
        wait_until(lambda: value(hub, "preload_nodes", **labels), "the image is wanted", 60)
        assert value(hub, "preload_unknown") == 0

    def test_every_node_counts_once_for_an_image(self) -> None:
        torch, extra = wish("example.org/torch:1"), wish("example.org/extra:1")
        stranger = wish("example.org/a-users-own:1")
        outlooks = (
            Outlook(wish=torch, ready=("a", "b"), pulling=("c",)),
            Outlook(wish=torch, waiting=("d",), blocked={"no room": ("c", "e"), "failed": ("e",)}),
            Outlook(wish=extra, paused=("a",)),
            Outlook(wish=stranger, ready=("a",)),
        )
        times = PullTimes(100e6)
        found = preload_samples(Readiness(times=times, outlooks=outlooks))
        nodes = {
            (dict(labels)["image"], dict(labels)["state"]): number
            for (name, labels), number in found.items()
            if name == "gpu_spawner_preload_nodes" and number
        }
        assert nodes == {
            ("torch", "wanted"): 5,
            ("torch", "ready"): 2,
            ("torch", "pulling"): 1,
            ("torch", "waiting"): 1,
            ("torch", "blocked"): 2,
            ("example.org/extra:1", "wanted"): 1,
            ("example.org/extra:1", "paused"): 1,
        }

    def test_pulls_that_were_seen(self) -> None:
        times = PullTimes(100e6)
        times.learn(PullEvent(uid="1", image="example.org/torch:1", seconds=30.0), "h100")
        times.learn(PullEvent(uid="2", image="example.org/torch:1", seconds=60.0), "")
        times.learn(PullEvent(uid="3", image="example.org/a-users-own:1", seconds=9.0), "")
        found = preload_samples(Readiness(times=times, trouble={"pods": "forbidden"}))
        seconds = {
            (dict(labels)["image"], dict(labels)["flavor"]): number
            for (name, labels), number in found.items()
            if name == "gpu_spawner_image_pull_seconds"
        }
        assert seconds == {("torch", "h100"): 30.0, ("torch", "none"): 60.0}
        assert found["gpu_spawner_preload_unknown", frozenset()] == 1


MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')


def expressions() -> Iterator[tuple[str, str]]:
    """Yield every expression, with the text that is shown of its result."""
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text())
    for group in rules["spec"]["groups"]:
        for rule in group["rules"]:
            yield rule["expr"], json.dumps(rule["annotations"])


def documented() -> dict[str, dict[str, set[str]]]:
    """Return the labels of each metric, and the values of those that have a few fixed ones."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text()
    found: dict[str, dict[str, set[str]]] = {}
    for row in page.splitlines():
        if not row.startswith("| `"):
            continue
        names, labels = row.split("|")[1:3]
        told = {
            label: set(re.findall(r"`([\w-]+)`", values or ""))
            for label, values in re.findall(r"(\w+)(?: \(([^)]*)\))?(?:,|\s*$)", labels.strip())
        }
        # One value alone is explained; of several there are no others.
        told = {label: values if len(values) > 1 else set() for label, values in told.items()}
        if "kind" in told:
            told["kind"] = {kind.name for kind in KINDS}
        if "reason" in told:
            told["reason"] = set(re.findall(r"`([a-z_]+)`", page.split("Reasons of ", 1)[1]))
        found |= dict.fromkeys(re.findall(r"`(gpu_spawner_\w+)`", names), told)
    return found


def family(name: str) -> str:
    return re.sub(r"_(bucket|count|sum)$", "", name)


class TestDashboardAndAlerts:
    @pytest.mark.usefixtures("started")
    def test_every_metric_they_read_is_there(self, hub: RunningHub) -> None:
        hub.start("somebody-refused", {"profile": "gpus", "count": 4})
        exposed = {name for name, _ in samples(hub)}
        # A counter with labels has no sample before it counts; its help text is there.
        text = hub.rest("GET", "../metrics").text
        exposed |= set(re.findall(r"# TYPE (gpu_spawner_\w+)", text))
        read = {name for text, _ in expressions() for name in re.findall(r"gpu_spawner_\w+", text)}
        assert len(read) > 8
        assert read <= exposed, read - exposed

    def test_they_ask_for_labels_and_values_that_there_are(self) -> None:
        told = documented()
        asked = 0
        for text, shown in expressions():
            known: set[str] = {"le"}
            for name, matchers in re.findall(r"(gpu_spawner_\w+)(?:\{([^}]*)\})?", text):
                labels = told[family(name)]
                known |= set(labels)
                for label, operator, values in MATCHER.findall(matchers):
                    asked += 1
                    assert label in labels, (name, label)
                    wanted = set(values.split("|") if "~" in operator else [values])
                    assert wanted <= labels[label], (name, label, wanted - labels[label])
            for group in re.findall(r"(?:by|ignoring|on) \(([^)]*)\)", text):
                assert {one.strip() for one in group.split(",")} <= known, text
            aggregated = re.findall(r"by \(([^)]*)\)", text)
            left = {one.strip() for group in aggregated for one in group.split(",")} or known
            named = re.findall(r"\{\{ ?(?:\$labels\.)?(\w+) ?\}\}", shown)
            assert set(named) <= left, (text, shown)
        assert asked > 10

    def test_what_changes_for_ever_is_a_counter(self, hub: RunningHub) -> None:
        """rate() and increase() take a gauge that falls for a counter that began anew."""
        text = hub.rest("GET", "../metrics").text
        kinds = dict(re.findall(r"^# TYPE (gpu_spawner_\w+) (\w+)", text, re.MULTILINE))
        for expression, _ in expressions():
            for name in re.findall(r"(?:rate|increase)\((gpu_spawner_\w+)", expression):
                assert kinds[family(name)] in ("counter", "histogram"), name

    def test_every_metric_is_documented_and_no_other(self, hub: RunningHub) -> None:
        text = hub.rest("GET", "../metrics").text
        found = set(re.findall(r"^# TYPE (gpu_spawner_\w+)", text, re.MULTILINE))
        exposed = {name for name in found if not name.endswith("_created")}
        assert exposed == set(documented())

    @pytest.mark.usefixtures("started")
    def test_labels_and_their_values_are_documented(self, hub: RunningHub) -> None:
        told = documented()
        for name, labels in samples(hub):
            if name.endswith("_created"):
                continue
            expected = told[family(name)]
            found = {label: one for label, one in labels if label != "le"}
            assert found.keys() == expected.keys(), name
            for label, one in found.items():
                assert not expected[label] or one in expected[label], (name, label, one)

    def test_panels_have_their_own_id_and_place(self) -> None:
        panels = json.loads((MONITORING / "grafana-dashboard.json").read_text())["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        cells = [
            (panel["gridPos"]["x"] + column, panel["gridPos"]["y"] + row)
            for panel in panels
            for column in range(panel["gridPos"]["w"])
            for row in range(panel["gridPos"]["h"])
        ]
        assert len(set(cells)) == len(cells), "no panel covers another"
        assert max(column for column, _ in cells) < 24
