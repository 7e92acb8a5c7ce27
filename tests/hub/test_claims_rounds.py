"""Many starts and stops with whatever can go wrong on the way leave nothing behind."""

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from claim_cluster import CHOICES, CONFIG, FAULTS, ClaimCluster, is_over
from cluster_thread import NAMESPACE
from other_process import wait_until
from running_hub import Browser, RunningHub, running_hub

from gpu_spawner.sim.apiserver.faults import Fault, RequestFacts

pytestmark = pytest.mark.timeout(900)

ROUNDS = 100
AT_ONCE = 10
CONSTANT_COLLECTION = "c.GPUSpawner.claim_template_max_age_seconds = 1\n"


class BadDay:
    """Lets a part of the requests for templates and for new pods fail, in a repeatable way."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.told = 0

    def __call__(self, facts: RequestFacts) -> Fault | None:
        is_template = facts.resource == "resourceclaimtemplates" and facts.verb in (
            "create",
            "get",
            "delete",
        )
        is_pod = facts.resource == "pods" and facts.verb == "create"
        if facts.namespace != NAMESPACE or not (is_template or is_pod):
            return None
        with self._lock:
            if self._random.random() >= (0.3 if is_template else 0.1):
                return None
            self.told += 1
            return self._random.choice(FAULTS)


@pytest.fixture
def claims(tmp_path: Path) -> Iterator[ClaimCluster]:
    running = ClaimCluster(tmp_path / "cluster")
    yield running
    running.stop()


def held_devices(claims: ClaimCluster) -> list[str]:
    return [
        f"{result['pool']}/{result['device']}"
        for claim in claims.claims()
        for result in claim.get("status", {}).get("allocation", {}).get("devices", {})["results"]
    ]


def test_a_hundred_rounds_leave_nothing_behind(claims: ClaimCluster, tmp_path: Path) -> None:
    dice, bad_day = random.Random(1), BadDay(2)
    users = [f"round{number}" for number in range(AT_ONCE)]
    served = 0
    with ExitStack() as stack:

        def new_hub() -> RunningHub:
            # The same folder: the next hub finds the servers of the one before.
            return stack.enter_context(
                running_hub(
                    tmp_path / "hub", CONFIG + CONSTANT_COLLECTION, kubeconfig=claims.kubeconfig
                )
            )

        hub = new_hub()
        for number in range(ROUNDS // AT_ONCE):
            claims.suffer(bad_day)
            for name in users:
                # Whatever it answers: KubeSpawner ends a start of which creating the pod fails.
                hub.start(name, dice.choice(CHOICES))
            if number % 4 == 2:
                hub.process.kill()
                hub.process.wait(timeout=20)
                hub = new_hub()
            for name in users:
                wait_until(partial(is_over, hub, name), f"{name} has started", 90)
                served += bool(hub.user(name).get("servers", {}).get("", {}).get("ready"))
            claims.suffer(None)
            for name in users:
                hub.stop(name)
        wait_until(lambda: not claims.claims(), f"no claims but {held_devices(claims)}")
        wait_until(lambda: not claims.templates(), "no templates")
        wait_until(lambda: not claims.pods(), "no pods")
        offers = Browser(hub, "admin").get("api/gpu-spawner/offers").json()["profiles"]
    assert bad_day.told > ROUNDS // 10
    assert served > ROUNDS // 2
    with_gpus = [
        one for profile in offers for one in profile["choices"] if "count" in one["options"]
    ]
    assert with_gpus
    # Servers without GPUs share their nodes with the preloader's pods.
    assert [one for one in with_gpus if one["free"] != one["total"]] == []
