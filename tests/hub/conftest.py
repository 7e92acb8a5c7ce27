"""A real hub on a simulated cluster, and users for it.

- ``cluster``: one cluster for the whole run, on a thread of its own.
- ``faulty``: a cluster of one test's own, which can be made to fail.
- ``hub``: one hub with two profiles (``PROFILES``), shared: tests use users and seats of their own
  and stop what they start.
- ``make_hub``: starts further hubs with other configuration.
- ``make_account``: makes service accounts for hubs, which can be granted rights.
- ``chrome``: headless Chromium, for pages of these hubs.
- ``user``: the name of a user whom no other test knows; what they run is stopped afterwards.
- ``screenshots``: the folder for pictures that ``GPU_SPAWNER_SCREENSHOTS`` names; None without it.
"""

import itertools
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

with warnings.catch_warnings():
    # KubeSpawner 7.0 declares some traits in a way that traitlets deprecates; not ours to mend.
    warnings.simplefilter("ignore", DeprecationWarning)
    import kubespawner

from cluster_thread import ClusterThread
from faulty_cluster import FaultyCluster
from hub_account import Account
from hub_profiles import PROFILES, MakeHub
from playwright.sync_api import Browser, sync_playwright
from running_hub import RunningHub, running_hub

assert kubespawner  # imported for its warnings alone

_numbers = itertools.count()


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[FaultyCluster]:
    running = FaultyCluster(tmp_path / "cluster")
    yield running
    running.suffer(None)
    running.stop()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterThread]:
    running = ClusterThread(tmp_path_factory.mktemp("cluster"))
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def _leave_no_pods(request: pytest.FixtureRequest) -> Iterator[None]:
    """See to it that tests which share a cluster leave no pod there, and say which one did."""
    if "cluster" not in request.fixturenames:
        yield
        return
    running: ClusterThread = request.getfixturevalue("cluster")
    before = running.all_pods()
    yield
    after = running.all_pods()
    left = [path for path in after if path not in before]
    running.remove(left)
    assert [path for path in left if not after[path]] == [], "neither hub nor test ended these pods"


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory, cluster: ClusterThread) -> Iterator[RunningHub]:
    folder = tmp_path_factory.mktemp("hub")
    with running_hub(folder, PROFILES, kubeconfig=cluster.kubeconfig) as running:
        running.wait_counted()
        yield running


@pytest.fixture
def make_hub(tmp_path: Path, cluster: ClusterThread) -> Iterator[MakeHub]:
    with ExitStack() as stack:

        def start(config: str, base_url: str = "/", kubeconfig: Path | None = None) -> RunningHub:
            folder = tmp_path / f"hub-{next(_numbers)}"
            return stack.enter_context(
                running_hub(
                    folder, config, kubeconfig=kubeconfig or cluster.kubeconfig, base_url=base_url
                )
            )

        yield start


# Not for the session: while Playwright runs, no asynchronous test can.
@pytest.fixture(scope="module")
def chrome(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--no-first-run"]
        )
        yield launched
        launched.close()


@pytest.fixture
def user(hub: RunningHub) -> Iterator[str]:
    hub.wait_empty()
    name = hub.add_user(f"user{next(_numbers)}")
    yield name
    for server in hub.user(name).get("servers", {}):
        hub.stop(name, server)


@pytest.fixture
def make_account(cluster: ClusterThread, tmp_path: Path) -> Iterator[Callable[[str], Account]]:
    made: list[Account] = []

    def make(name: str) -> Account:
        made.append(Account(cluster, name, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.revoke()


@pytest.fixture
def screenshots() -> Path | None:
    """Return where pictures are kept: the folder that ``GPU_SPAWNER_SCREENSHOTS`` names."""
    folder = os.environ.get("GPU_SPAWNER_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder) if folder else None
