"""The last seat is promised once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from cluster_thread import ClusterThread
from other_process import wait_until
from running_hub import RunningHub
from test_refusals import free_now

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(180)]

RACERS = [f"racer{number}" for number in range(6)]


@pytest.fixture
def racers(hub: RunningHub) -> Iterator[list[str]]:
    for name in RACERS:
        hub.add_user(name)
    yield RACERS
    for name in RACERS:
        hub.stop(name)


class TestRace:
    def test_six_users_for_two_seats(
        self, hub: RunningHub, cluster: ClusterThread, racers: list[str]
    ) -> None:
        """Two nodes with two GPUs each: two servers with two GPUs, and not one more."""
        hub.wait_empty()
        assert free_now(hub, racers[0], "gpus/h100/whole/2") == 2
        with ThreadPoolExecutor(len(racers)) as pool:
            answers = list(
                pool.map(lambda name: hub.start(name, {"profile": "gpus", "count": 2}), racers)
            )
        statuses = sorted(answer.status_code for answer in answers)
        winners = [status for status in statuses if status in (201, 202)]
        assert len(winners) == 2, statuses
        assert statuses[2:] == [409] * 4
        for answer in answers:
            if answer.status_code == 409:
                assert "cannot start now" in answer.json()["message"]
        wait_until(lambda: len(cluster.pods()) >= 2, "both pods")
        assert len(cluster.pods()) == 2
        assert free_now(hub, racers[0], "gpus/h100/whole/1") == 0

    def test_a_seat_comes_back_when_its_server_stops(self, hub: RunningHub, user: str) -> None:
        assert free_now(hub, user, "gpus/h100/whole/1") == 4
        hub.start(user, {"profile": "gpus", "count": 2})
        assert free_now(hub, user, "gpus/h100/whole/1") == 2
        hub.stop(user)
        wait_until(
            lambda: free_now(hub, user, "gpus/h100/whole/1") == 4, "both GPUs are free again"
        )
