"""A server is stopped, and a user deleted, while the API server is not well: nothing is left."""

from functools import partial
from pathlib import Path

import pytest
from claim_cluster import is_ready
from fault_hooks import InTurn
from faulty_cluster import FaultyCluster, hub_of, own_tracebacks
from foreign_server import embedded_only
from other_process import wait_until

from gpu_spawner.sim.apiserver.api_errors import ApiError
from gpu_spawner.sim.apiserver.faults import Fault

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.timeout(240),
    embedded_only("it is the embedded server that is not well"),
]

FAULTS = [
    Fault(error=ApiError(410, "Expired", "too old resource version")),
    Fault(error=ApiError(429, "TooManyRequests", "slow down", {"retryAfterSeconds": 1})),
    Fault(error=ApiError(500, "InternalError", "oops")),
    Fault(error=ApiError(503, "ServiceUnavailable", "later")),
    Fault(drops_connection=True),
    Fault(loses_answer=True),
]
"""One after another, for less long than such a request is tried here."""
PATIENT = "c.KubeSpawner.k8s_api_request_retry_timeout = 40\n"


def test_nothing_is_left(faulty: FaultyCluster, tmp_path: Path) -> None:
    kinds = {"pods", "persistentvolumeclaims"}
    spoil = InTurn(faulty.account.username, "delete", kinds, FAULTS)
    with hub_of(faulty, tmp_path / "hub", PATIENT) as hub:
        faulty.expect_sets()
        assert hub.start("ada", {"profile": "cpu"}).ok
        wait_until(partial(is_ready, hub, "ada"), "ada's server runs")
        assert faulty.names("/api/v1/persistentvolumeclaims") == {"home-ada"}
        faulty.suffer(spoil)

        assert hub.rest("DELETE", "users/ada/server").status_code in (202, 204)
        wait_until(lambda: hub.user("ada")["servers"][""]["stopped"], "ada's server is stopped", 60)
        assert faulty.pods("ada") == []
        assert hub.rest("DELETE", "users/ada").status_code == 204

        wait_until(
            lambda: not faulty.names("/api/v1/persistentvolumeclaims"), "the volume is gone", 60
        )
        assert spoil.met == dict.fromkeys(kinds, len(FAULTS))
        faulty.settle(hub, [])
        assert own_tracebacks(hub.log()) == []
        assert "Error cleaning up persistent resources" not in hub.log()
