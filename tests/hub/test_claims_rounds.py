"""Many starts and stops with whatever can go wrong on the way leave nothing behind.

It is thirty rounds, a hundred in CI, or as many as ``GPU_SPAWNER_FAULTS`` says, and some more where
by chance not everything has happened in so many.
"""

import os
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from claim_cluster import is_over, is_ready
from fault_hooks import Killer, Weather
from faulty_cluster import ALL_CHOICES, FaultyCluster, hub_of, own_tracebacks
from foreign_server import embedded_only
from other_process import wait_until
from requests import RequestException
from running_hub import Browser, RunningHub

from gpu_spawner.sim.apiserver.faults import Fault, RequestFacts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(7200),
    embedded_only("faults are the embedded server's"),
]

ROUNDS = int(os.environ.get("GPU_SPAWNER_FAULTS") or (100 if os.environ.get("CI") else 30))
SEED = int(os.environ.get("GPU_SPAWNER_SEED", "1"))
AT_ONCE = 10
MOST_TIMES = 4
"""As many rounds, at most, until everything has happened."""
OVER_SECONDS = 180.0
"""A list that never comes, the rest of a start, and its removal, each as slow as it may be."""
SHARE = 0.2
"""Of the hub's requests that fail, its watches included."""


class Rounds:
    """Users who start and stop, ten at once, while nothing works as it should.

    Attributes:
        weather: what the hub suffers all the time, while servers stop as well.
        served: how many servers ran, by profile.
    """

    def __init__(self, cluster: FaultyCluster, folder: Path, stack: ExitStack) -> None:
        self.weather = Weather(cluster.account.username, SEED)
        self.weather.share = SHARE
        self.served: Counter[str] = Counter()
        self.users = [f"round{number}" for number in range(AT_ONCE)]
        self._cluster = cluster
        self._folder = folder
        self._stack = stack
        self._pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        self._dice = random.Random(SEED)
        self._deck: list[dict[str, Any]] = []
        self._logs: list[str] = []
        self.hub = self._new_hub()

    @property
    def log(self) -> str:
        """What all hubs said, one after another."""
        return "".join([*self._logs, self.hub.log()])

    def _new_hub(self) -> RunningHub:
        # The same folder: the next hub finds the servers of the one before.
        return self._stack.enter_context(hub_of(self._cluster, self._folder))

    def _replace_hub(self) -> None:
        self._logs.append(self.hub.log())
        self.hub = self._new_hub()

    def start(self, *, is_killed: bool) -> None:
        """Let everybody start something, and wait until that has gone well or badly."""
        choices = {name: self._next_choice() for name in self.users}
        # Whatever it answers: KubeSpawner ends a start of which creating the pod fails.
        list(self._pool.map(self.hub.start, choices, choices.values()))
        if is_killed:
            self.hub.process.kill()
            self.hub.process.wait(timeout=20)
            self._replace_hub()
        for name, choice in choices.items():
            wait_until(partial(is_over, self.hub, name), f"{name} has started", OVER_SECONDS)
            self.served[choice["profile"]] += self._is_ready(name)

    def _next_choice(self) -> dict[str, Any]:
        """Deal the choices in an order that chance decides, each as often as the others."""
        if not self._deck:
            self._deck = self._dice.sample(ALL_CHOICES, len(ALL_CHOICES))
        return self._deck.pop()

    @property
    def missing(self) -> set[str]:
        """What has not been seen yet of all that is to happen."""
        ways = {choice["profile"] for choice in ALL_CHOICES} - {*+self.served}
        lossy = {"watch cut", "watch frames lost"} - {*+self.weather.counts}
        return ways | lossy

    def stop(self, *, is_killed: bool) -> None:
        """Let everybody stop; the hub may be killed at the first pod that it deletes."""
        if is_killed and any(map(self._is_ready, self.users)):
            killer = Killer(
                self._cluster.account.username,
                self.hub,
                "delete pods",
                before=self._dice.random() < 0.5,
            )

            def spoil(facts: RequestFacts) -> Fault | None:
                return killer(facts) or self.weather(facts)

            def is_ended() -> bool:
                """Ask everybody to stop: a server that has failed meanwhile deletes no pod."""
                list(self._pool.map(self._ask_to_stop, self.users))
                if killer.has_killed.wait(timeout=2):
                    return True
                with suppress(RequestException):  # killed just now
                    return not any(map(self._is_ready, self.users))
                return False

            self._cluster.suffer(spoil)
            wait_until(is_ended, "the hub is killed, or nobody has a server", OVER_SECONDS)
            self._cluster.suffer(self.weather)
            # Perhaps only now, at a pod of somebody who has no server any more.
            if self.hub.process.poll() is not None:
                self._replace_hub()
        list(self._pool.map(partial(self.hub.stop, seconds=OVER_SECONDS), self.users))

    def _ask_to_stop(self, name: str) -> None:
        try:
            self.hub.rest("DELETE", f"users/{name}/server")
        except RequestException:  # who was to answer is killed
            return

    def _is_ready(self, name: str) -> bool:
        return is_ready(self.hub, name)


def test_many_rounds_leave_nothing_behind(faulty: FaultyCluster, tmp_path: Path) -> None:
    with ExitStack() as stack:
        rounds = Rounds(faulty, tmp_path / "hub", stack)
        faulty.settle(rounds.hub, [])
        faulty.suffer(rounds.weather)
        for number in range(MOST_TIMES * ROUNDS // AT_ONCE):
            if number >= ROUNDS // AT_ONCE and not rounds.missing:
                break
            rounds.start(is_killed=number % 4 == 2)
            rounds.stop(is_killed=number % 4 == 0)
            print(number, dict(rounds.served), dict(rounds.weather.counts), flush=True)
        faulty.suffer(None)
        # No pod is left, so that nothing of a device plugin is held either.
        faulty.settle(rounds.hub, rounds.users)
        assert (faulty.pods(), faulty.claims(), faulty.templates()) == ([], [], [])
        offers = Browser(rounds.hub, "admin").get("api/gpu-spawner/offers").json()["profiles"]
        log = rounds.log
    assert rounds.weather.total > ROUNDS // 2
    # Every way of having a GPU was had, though a failing first list of KubeSpawner's own reflectors
    # refuses all who start at once.
    assert rounds.missing == set()
    with_gpus = [
        one for profile in offers for one in profile["choices"] if "count" in one["options"]
    ]
    assert with_gpus
    assert [one for one in with_gpus if one["free"] != one["total"]] == []
    assert own_tracebacks(log) == []
