"""While the hub cannot know what is free the page says so, and it knows again by itself."""

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


def test_no_server_no_rights_and_lost_events(faulty: FaultyCluster, tmp_path: Path) -> None:
    with hub_of(faulty, tmp_path / "hub") as hub:
        faulty.expect_sets()
        faulty.settle(hub, [])
        user = Browser(hub, "grace")

        def is_unknown() -> bool:
            return not any(is_known for _, _, is_known in offers_of(hub).values())

        faulty.call(faulty.cluster.stop_server())
        wait_until(is_unknown, "nothing is told of a cluster that does not answer")
        page = user.get("spawn")
        assert page.status_code == 200
        assert "not known" in page.text
        faulty.call(faulty.cluster.start_server())
        faulty.settle(hub, [])

        faulty.revoke()
        wait_until(is_unknown, "nothing is told of a cluster that may not be read")
        assert user.get("spawn").status_code == 200
        faulty.grant()
        faulty.settle(hub, [])

        # What happened meanwhile is not told by any event: only a new list shows it.
        faulty.call(faulty.cluster.stop_server())
        wait_until(is_unknown, "nothing is told")
        faulty.call(faulty.cluster.start_server())
        faulty.call(faulty.cluster.cordon_node("h200-1"))
        faulty.settle(hub, [])
        faulty.call(faulty.cluster.cordon_node("h200-1", cordoned=False))
        faulty.settle(hub, [])
        assert own_tracebacks(hub.log()) == []
