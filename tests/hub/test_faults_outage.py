"""While the hub cannot know what is free the page says so, and it knows again by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_cluster import FaultyCluster, hub_of, offers_of, own_tracebacks
from foreign_server import embedded_only
from other_process import wait_until
from running_hub import Browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    embedded_only("it is the embedded server that goes away"),
]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[FaultyCluster]:
    running = FaultyCluster(tmp_path / "cluster")
    yield running
    running.stop()


def test_no_server_no_rights_and_lost_events(cluster: FaultyCluster, tmp_path: Path) -> None:
    with hub_of(cluster, tmp_path / "hub") as hub:
        cluster.expect_sets()
        cluster.settle(hub, [])
        user = Browser(hub, "grace")

        def is_unknown() -> bool:
            return not any(is_known for _, _, is_known in offers_of(hub).values())

        cluster.call(cluster.cluster.stop_server())
        wait_until(is_unknown, "nothing is told of a cluster that does not answer")
        page = user.get("spawn")
        assert page.status_code == 200
        assert "not known" in page.text
        cluster.call(cluster.cluster.start_server())
        cluster.settle(hub, [])

        cluster.revoke()
        wait_until(is_unknown, "nothing is told of a cluster that may not be read")
        assert user.get("spawn").status_code == 200
        cluster.grant()
        cluster.settle(hub, [])

        # What happened meanwhile is not told by any event: only a new list shows it.
        cluster.call(cluster.cluster.stop_server())
        wait_until(is_unknown, "nothing is told")
        cluster.call(cluster.cluster.start_server())
        cluster.call(cluster.cluster.cordon_node("h200-1"))
        cluster.settle(hub, [])
        cluster.call(cluster.cluster.cordon_node("h200-1", cordoned=False))
        cluster.settle(hub, [])
        assert own_tracebacks(hub.log()) == []
