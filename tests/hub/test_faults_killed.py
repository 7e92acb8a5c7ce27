"""A hub that is killed at any request of a start or a stop leaves nothing behind for ever."""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from claim_cluster import is_over
from faulty_cluster import FaultyCluster, Killer, hub_of, own_tracebacks, step_of
from foreign_server import embedded_only
from other_process import wait_until
from running_hub import RunningHub

from gpu_spawner.sim.apiserver.faults import RequestFacts

pytestmark = [
    pytest.mark.timeout(900),
    embedded_only("it is the embedded server that knows when to kill"),
]

CHOICE = {"profile": "whole", "flavor": "h200", "count": 1}
STEPS = [
    "create persistentvolumeclaims",
    "create resourceclaimtemplates",
    "create pods",
    "delete pods",
]
"""All that a first start and a stop ask for, one after another."""

DEADLIEST = [
    ("create resourceclaimtemplates", False),
    ("create pods", True),
    ("create pods", False),
    ("delete pods", True),
]
MOMENTS = (
    [(step, before) for step in STEPS for before in (True, False)]
    if os.environ.get("GPU_SPAWNER_FAULTS")
    else DEADLIEST
)
"""At which request, and whether it is not carried out any more; all of them in a long run."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[FaultyCluster]:
    running = FaultyCluster(tmp_path / "cluster")
    yield running
    running.stop()


def is_ready(hub: RunningHub, name: str) -> bool:
    server = hub.user(name).get("servers", {}).get("")
    return server is not None and bool(server["ready"])


def test_these_are_all_the_requests_of_a_start_and_a_stop(
    cluster: FaultyCluster, tmp_path: Path
) -> None:
    asked: list[str] = []

    def note(facts: RequestFacts) -> None:
        if facts.user == cluster.account.username and (step := step_of(facts)):
            asked.append(step)

    with hub_of(cluster, tmp_path / "hub") as hub:
        cluster.suffer(note)
        assert hub.start("ada", CHOICE).status_code in (201, 202)
        wait_until(partial(is_ready, hub, "ada"), "the server runs", 60)
        hub.stop("ada")
        cluster.suffer(None)
        assert [step for step in asked if not step.startswith("delete resource")] == STEPS
        cluster.settle(hub, ["ada"])


def test_killed_at_each_of_them(cluster: FaultyCluster, tmp_path: Path) -> None:
    """The next hub takes over in the same folder, and is killed at the next one."""
    users: list[str] = []
    with ExitStack() as stack:

        def new_hub() -> RunningHub:
            return stack.enter_context(hub_of(cluster, tmp_path / "hub"))

        hub = new_hub()
        for step, before in MOMENTS:
            name = f"{step.replace(' ', '-')}-{'before' if before else 'after'}"
            users.append(name)
            killer = Killer(cluster.account.username, hub, step, before=before)
            is_stop = step.startswith("delete")
            if is_stop:
                hub.start(name, CHOICE)
                wait_until(partial(is_ready, hub, name), f"{name} runs", 60)
            cluster.suffer(killer)
            ask_in_passing(hub, name, is_stop=is_stop)
            assert killer.has_killed.wait(timeout=30), step
            cluster.suffer(None)
            log = hub.log()
            hub = new_hub()
            wait_until(partial(is_over, hub, name), f"the hub has made up its mind on {name}")
            cluster.settle(hub, users)
            if not is_ready(hub, name):
                assert hub.start(name, CHOICE).status_code in (201, 202), hub.log()
                wait_until(partial(is_ready, hub, name), f"{name} runs", 60)
            hub.stop(name)
            cluster.settle(hub, users)
            assert own_tracebacks(log) == []


def ask_in_passing(hub: RunningHub, name: str, *, is_stop: bool) -> None:
    """Ask without waiting: who was to answer is killed."""
    hub.add_user(name)

    def ask() -> None:
        try:
            if is_stop:
                hub.rest("DELETE", f"users/{name}/server")
            else:
                hub.start(name, CHOICE)
        except OSError:  # requests' own errors are some
            return

    threading.Thread(target=ask, daemon=True).start()
