"""A hub that is killed in the middle of a start or a stop leaves nothing behind for ever.

It is killed before and after each request that it makes for a server, and at moments drawn by lot
from all requests that anybody makes meanwhile: the kubelet's, the scheduler's, the controllers'.
"""

import os
import random
import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from claim_cluster import is_over, is_ready
from fault_hooks import Killer, step_of
from faulty_cluster import FaultyCluster, hub_of, own_tracebacks
from foreign_server import embedded_only
from other_process import wait_until
from running_hub import RunningHub

from gpu_spawner.sim.apiserver.faults import RequestFacts

pytestmark = [
    pytest.mark.slow,
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
    if os.environ.get("CI")
    else DEADLIEST[:2]
)
"""At which request, and whether it is not carried out any more; all of them in a long run."""

INSTANTS = 40 if os.environ.get("GPU_SPAWNER_FAULTS") else 3 if os.environ.get("CI") else 1
SEED = int(os.environ.get("GPU_SPAWNER_SEED", "1"))


class Countdown:
    """Counts what anybody asks of the API server; kills a hub at one of these requests."""

    def __init__(self, hub: RunningHub, last: int | None = None) -> None:
        self.has_killed = threading.Event()
        self.count = 0
        self._hub = hub
        self._last = last
        self._lock = threading.Lock()

    def __call__(self, facts: RequestFacts) -> None:
        with self._lock:
            if not facts.resource or self.has_killed.is_set():
                return
            self.count += 1
            if self.count == self._last:
                self._hub.process.kill()
                self._hub.process.wait(timeout=20)
                self.has_killed.set()


def test_these_are_all_the_requests_of_a_start_and_a_stop(
    faulty: FaultyCluster, tmp_path: Path
) -> None:
    asked: list[str] = []

    def note(facts: RequestFacts) -> None:
        if facts.user == faulty.account.username and (step := step_of(facts)):
            asked.append(step)

    with hub_of(faulty, tmp_path / "hub") as hub:
        faulty.expect_sets()
        faulty.suffer(note)
        assert hub.start("ada", CHOICE).status_code in (201, 202)
        wait_until(partial(is_ready, hub, "ada"), "the server runs", 60)
        hub.stop("ada")
        faulty.suffer(None)
        assert [step for step in asked if not step.startswith("delete resource")] == STEPS
        faulty.settle(hub, ["ada"])


def test_killed_at_each_of_them(faulty: FaultyCluster, tmp_path: Path) -> None:
    """The next hub takes over in the same folder, and is killed at the next one."""
    users: list[str] = []
    with ExitStack() as stack:

        def new_hub() -> RunningHub:
            return stack.enter_context(hub_of(faulty, tmp_path / "hub"))

        hub = new_hub()
        faulty.expect_sets()
        for step, before in MOMENTS:
            name = f"{step.replace(' ', '-')}-{'before' if before else 'after'}"
            users.append(name)
            killer = Killer(faulty.account.username, hub, step, before=before)
            is_stop = step.startswith("delete")
            if is_stop:
                hub.start(name, CHOICE)
                wait_until(partial(is_ready, hub, name), f"{name} runs", 60)
            faulty.suffer(killer)
            ask_in_passing(hub, name, is_stop=is_stop)
            assert killer.has_killed.wait(timeout=30), step
            faulty.suffer(None)
            log = hub.log()
            hub = new_hub()
            take_over(faulty, hub, users)
            assert own_tracebacks(log) == []


def test_killed_at_moments_drawn_by_lot(faulty: FaultyCluster, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    users = ["ada"]
    with ExitStack() as stack:

        def new_hub() -> RunningHub:
            return stack.enter_context(hub_of(faulty, tmp_path / "hub"))

        hub = new_hub()
        faulty.expect_sets()
        # How many requests one life of a server is, start and stop.
        whole = Countdown(hub)
        faulty.suffer(whole)
        hub.start("ada", CHOICE)
        wait_until(partial(is_ready, hub, "ada"), "ada runs", 60)
        of_a_start = whole.count
        hub.stop("ada")
        of_a_stop = whole.count - of_a_start
        faulty.suffer(None)
        for number in range(INSTANTS):
            users.append(name := f"lot{number}")
            is_stop = bool(dice.randrange(2))
            if is_stop:
                hub.start(name, CHOICE)
                wait_until(partial(is_ready, hub, name), f"{name} runs", 60)
            last = dice.randrange(1, max(2, of_a_stop if is_stop else of_a_start))
            killer = Countdown(hub, last)
            faulty.suffer(killer)
            ask_in_passing(hub, name, is_stop=is_stop)
            assert killer.has_killed.wait(timeout=60), (is_stop, last)
            faulty.suffer(None)
            log = hub.log()
            hub = new_hub()
            print(f"killed at request {last} of a {'stop' if is_stop else 'start'}")
            take_over(faulty, hub, users)
            assert own_tracebacks(log) == []


def take_over(cluster: FaultyCluster, hub: RunningHub, users: list[str]) -> None:
    """See that the next hub tidies up, and that the last user can start and stop again."""
    name = users[-1]
    wait_until(partial(is_over, hub, name), f"the hub has made up its mind on {name}", 90)
    cluster.settle(hub, users)
    if not is_ready(hub, name):
        assert hub.start(name, CHOICE).status_code in (201, 202), hub.log()
        wait_until(partial(is_ready, hub, name), f"{name} runs", 60)
    hub.stop(name)
    cluster.settle(hub, users)


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
