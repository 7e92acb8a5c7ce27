"""A hub among everything that can go wrong, round after round, without ever being restarted for it.

In every round users start and stop servers while requests of the hub fail in a repeatable order and
one disaster happens. Then all is quiet, and it is counted: what was left behind, what the page says
that is not true, and what anybody saw that is a fault of ours.

``GPU_SPAWNER_FAULTS=1000`` goes on until that many faults were injected.
"""

import json
import os
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Self

import pytest
from claim_cluster import is_over
from fault_hooks import Weather
from faulty_cluster import (
    ALL_CHOICES,
    STALE_SECONDS,
    FaultyCluster,
    hub_of,
    offers_of,
    own_tracebacks,
)
from foreign_server import embedded_only
from other_process import wait_until
from requests import RequestException
from running_hub import Browser, RunningHub, events_of

from gpu_spawner.core.errors import ClusterError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(7200),
    embedded_only("faults are the embedded server's"),
]

FAULTS = int(os.environ.get("GPU_SPAWNER_FAULTS", "0"))
SEED = int(os.environ.get("GPU_SPAWNER_SEED", "1"))
AT_ONCE = 6 if FAULTS else 3
SHARE = 0.35 if FAULTS else 0.15
OVER_SECONDS = 90.0
LOOK_SECONDS = 0.25 if FAULTS else 1.0
COMPARE_SECONDS = 0.5 if FAULTS else 2.0

LEAST_OF_EACH = FAULTS // 50
"""Of every kind of fault, in a long run; a short one may miss a kind, and never all."""

NOT_FOR_USERS = re.compile(
    r"Traceback|ApiException|ClusterError|HTTP response (?:headers|body)|object at 0x|aiohttp\."
)
"""What tells a user of programs instead of what to do."""

Undo = Callable[[], None]


class Onlooker:
    """A user who looks at the page all the time; notes what nobody should ever see.

    Attributes:
        looks: how many answers there were.
        comparisons: how often what was told was held against what was true.
        complaints: what was wrong with some of them.
    """

    PATHS = ("spawn", "api/gpu-spawner/offers", "gpu-spawner/admin", "api/gpu-spawner/inventory")

    def __init__(self, cluster: FaultyCluster, hub: RunningHub) -> None:
        self.looks = 0
        self.comparisons = 0
        self.complaints: list[str] = []
        self._hub = hub
        self._browser = Browser(hub, "admin")
        self._is_over = threading.Event()
        self._cluster = cluster
        self._wrong_since: dict[str, float] = {}
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._look_on, self._compare)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(timeout=60)

    def _look_on(self) -> None:
        while not self._is_over.wait(timeout=LOOK_SECONDS):
            for path in self.PATHS:
                try:
                    answer = self._browser.get(path)
                except RequestException:
                    continue  # the hub itself was killed
                self.looks += 1
                if answer.status_code >= 500 or "Traceback" in answer.text:
                    self.complaints.append(f"{path}: {answer.status_code} {answer.text[:300]}")
                elif path.endswith("offers"):
                    self.complaints += contradictions(answer.json())

    def _compare(self) -> None:
        """Hold what is told against what is true, while everything fails."""
        while not self._is_over.wait(timeout=COMPARE_SECONDS):
            try:
                before = self._cluster.truth()
                told = offers_of(self._hub)
                after = self._cluster.truth()
            except (ClusterError, RequestException):
                continue  # the API server is away: nobody knows
            now = time.monotonic()
            self.comparisons += 1
            for key, (free, _, _) in told.items():
                is_wrong = free and before[key][0] == after[key][0] == 0
                since = self._wrong_since.setdefault(key, now) if is_wrong else now
                if not is_wrong:
                    self._wrong_since.pop(key, None)
                if now - since > STALE_SECONDS:
                    self.complaints.append(f"{key} was told free for {now - since:.0f} s")


def contradictions(document: dict[str, object]) -> list[str]:
    """Return what in a document of offers can never be true, whatever the cluster is like."""
    found = []
    profiles: list[dict[str, list[dict[str, object]]]] = document["profiles"]  # type: ignore[assignment] # JSON
    for choice in (choice for profile in profiles for choice in profile["choices"]):
        numbers = (choice["free"], choice["total"])
        if choice["state"] is None:
            is_right = choice["starts_now"] is None and bool(choice["because"])
        else:
            free, total = numbers
            is_right = isinstance(free, int) and isinstance(total, int) and 0 <= free <= total
            is_right = is_right and (not choice["starts_now"] or free != 0)
        if not is_right:
            found.append(f"a contradiction: {choice}")
    return found


def nothing(_: FaultyCluster) -> Undo:
    return lambda: None


def server_restart(cluster: FaultyCluster) -> Undo:
    cluster.restart_server()
    return lambda: None


def rights_lost(cluster: FaultyCluster) -> Undo:
    cluster.revoke()
    return cluster.grant


def node_lost(cluster: FaultyCluster) -> Undo:
    cluster.call(cluster.cluster.lose_node("h200-1"))
    return lambda: cluster.call(cluster.cluster.return_node("h200-1"))


def node_removed(cluster: FaultyCluster) -> Undo:
    cluster.call(cluster.cluster.lose_node("l40s-1"))
    cluster.call(cluster.cluster.client.delete("/api/v1/nodes/l40s-1"))
    return lambda: cluster.call(cluster.cluster.return_node("l40s-1"))


def no_pods_left(cluster: FaultyCluster) -> Undo:
    cluster.limit(pods="1")
    return cluster.unlimit


def no_gpus_left(cluster: FaultyCluster) -> Undo:
    cluster.limit(requests_nvidia_com__gpu="0")
    return cluster.unlimit


def no_claims_left(cluster: FaultyCluster) -> Undo:
    cluster.limit(count__resourceclaims_resource_k8s_io="1")
    return cluster.unlimit


DISASTERS = [
    nothing,
    server_restart,
    rights_lost,
    node_lost,
    no_pods_left,
    no_gpus_left,
    no_claims_left,
    node_removed,
]


class Season:
    """Rounds of bad weather, and what they left behind."""

    def __init__(self, cluster: FaultyCluster, hub: RunningHub) -> None:
        self.weather = Weather(cluster.account.username, SEED)
        self.served = self.refused = 0
        self.answers: Counter[int] = Counter()
        self.crashes: list[str] = []
        self._cluster = cluster
        self._hub = hub
        self._dice = random.Random(SEED)
        self._users = [f"storm{number}" for number in range(AT_ONCE)]
        self._browsers = {name: Browser(hub, name) for name in self._users}
        self.seen: list[str] = []

    def round(self, disaster: Callable[[FaultyCluster], Undo]) -> None:
        """Let everybody start under faults, and stop under faults; then all must be well."""
        cluster, hub = self._cluster, self._hub
        self.weather.share = SHARE
        cluster.suffer(self.weather)
        for name in self._users[: AT_ONCE // 2]:
            self._start(name)
        undo = disaster(cluster)
        for name in self._users[AT_ONCE // 2 :]:
            self._start(name)
        for name in self._users:
            self._look_at_progress(name)
        for name in self._users:
            wait_until(partial(is_over, hub, name), f"{name} has started", OVER_SECONDS)
            self.served += bool(hub.user(name).get("servers", {}).get("", {}).get("ready"))
        undo()
        for name in self._users:
            hub.rest("DELETE", f"users/{name}/server")
        for name in self._users:
            self._look_at_pages(name)
        self.weather.share = 0.0
        cluster.suffer(None)
        for name in self._users:
            hub.stop(name)
        cluster.settle(hub, self._users)

    def _look_at_progress(self, name: str) -> None:
        """Read what a user is told while the server starts, to its end."""
        if is_over(self._hub, name):
            return
        answer = self._browsers[name].get(f"api/users/{name}/server/progress", stream=True)
        with answer:
            for event in events_of(answer):
                self._read(f"the progress of {name}", json.dumps(event))
                if event.get("ready") or event.get("failed"):
                    return

    def _look_at_pages(self, name: str) -> None:
        """Look where a user ends up after a start, good or bad."""
        for path in (f"spawn-pending/{name}", f"spawn/{name}", "home"):
            self._read(f"{path} of {name}", self._browsers[name].get(path).text)

    def _read(self, where: str, text: str) -> None:
        self.seen.append(where)
        if found := NOT_FOR_USERS.search(text):
            self.crashes.append(f"{where}: {text[max(0, found.start() - 300) : found.end() + 300]}")

    def _start(self, name: str) -> None:
        answer = self._hub.start(name, self._dice.choice(ALL_CHOICES))
        self.answers[answer.status_code] += 1
        assert "Traceback" not in answer.text
        if answer.status_code == 500:
            self.crashes.append(answer.text)


def test_nothing_is_left_nothing_is_wrong_and_nobody_sees_a_fault(
    faulty: FaultyCluster, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        hub = stack.enter_context(hub_of(faulty, tmp_path / "hub"))
        faulty.expect_sets()
        faulty.settle(hub, [])
        season = Season(faulty, hub)
        onlooker = stack.enter_context(Onlooker(faulty, hub))
        rounds = 0
        while rounds < len(DISASTERS) or season.weather.total < FAULTS:
            season.round(DISASTERS[rounds % len(DISASTERS)])
            rounds += 1
            print(rounds, season.weather.total, dict(season.weather.counts), flush=True)
        assert hub.process.poll() is None
        log = hub.log()
    print(
        f"{season.weather.total} faults in {rounds} rounds: {dict(season.weather.counts)}; "
        f"{season.served} servers ran; answers {dict(season.answers)}; {onlooker.looks} looks, "
        f"{onlooker.comparisons} comparisons, {len(season.seen)} pages and messages of users"
    )
    assert season.crashes == []
    assert onlooker.complaints == []
    assert own_tracebacks(log) == []
    assert re.findall(r"restart the hub", log) == []
    assert season.served
    assert onlooker.comparisons
    assert season.seen
    assert season.weather.total > 0
    rare = {name: n for name, n in season.weather.counts.items() if n < LEAST_OF_EACH}
    assert rare == {}
