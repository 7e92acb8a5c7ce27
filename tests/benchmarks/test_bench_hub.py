"""What users of a hub wait for, beside a hub with KubeSpawner alone: the page, and a start.

Skipped unless asked for (``make bench``). Pages are measured in processor time of the hub's own
event loop, because the machine that measures has other things to do; a time is never asserted.
"""

import itertools
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "hub")]

from claim_cluster import CONFIG, WHOLE, ClaimCluster  # noqa: E402 - the path first
from large_api import MODELS  # noqa: E402 - likewise
from other_process import wait_until  # noqa: E402 - likewise
from running_hub import Browser, RunningHub, running_hub  # noqa: E402 - likewise
from scale_hub import large_api, write_kubeconfig  # noqa: E402 - likewise

from gpu_spawner.sim.apiserver.faults import RequestFacts  # noqa: E402 - likewise

pytestmark = pytest.mark.hosts
FLAVORS, COUNTS = ("f0", "f1", "f2"), (1, 2, 4)

OURS = f"""
c.JupyterHub.spawner_class = "gpu"
c.GPUSpawner.flavors = {{
    f"f{{number}}": {{"display_name": model, "node_labels": {{"nvidia.com/gpu.product": model}}}}
    for number, model in enumerate({MODELS!r})
}}
c.GPUSpawner.images = {{
    "one": {{"image": "quay.io/site/one:1", "display_name": "PyTorch", "size": "9.8GB"}}
}}
c.GPUSpawner.profiles = {{
    f"{{number:02}}-profile-{{number}}": {{
        "display_name": f"Profile {{number}}",
        "description": "One to four GPUs of one node, for training.",
        "images": ["one"],
        "gpu": {{"flavors": {list(FLAVORS)!r}, "share": "whole", "count": {list(COUNTS)!r}}},
        "resources": {{"cpu": {{"request": 1}}, "memory": {{"request": "1Gi"}}}},
    }}
    for number in range(20)
}}
"""
THEIRS = f"""
c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.KubeSpawner.profile_list = [
    {{
        "display_name": f"Profile {{number}}",
        "description": "One to four GPUs of one node, for training.",
        "slug": f"profile-{{number}}",
        "profile_options": {{
            "gpu": {{
                "display_name": "GPUs",
                "choices": {{
                    f"{{flavor}}-{{count}}": {{
                        "display_name": f"{{count}} of {{flavor}}",
                        "kubespawner_override": {{
                            "extra_resource_limits": {{"nvidia.com/gpu": str(count)}}
                        }},
                    }}
                    for flavor in {FLAVORS!r}
                    for count in {COUNTS!r}
                }},
            }}
        }},
    }}
    for number in range(20)
]
"""
PLAIN = """
c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.KubeSpawner.profile_list = [
    {
        "display_name": "CPU",
        "slug": "cpu",
        "kubespawner_override": {"image": "example.org/torch:1", "cpu_guarantee": 1},
    }
]
"""
_MEASURED: list[int] = []
_CLOCK = [0.0]
_IDLE_SECONDS = 1.0


def loop_seconds() -> float:
    """Tell the processor time of the measured hub: of its main thread, where its loop is."""
    return int(Path(f"/proc/{_MEASURED[-1]}/schedstat").read_text().split()[0]) / 1e9


def is_idle() -> bool:
    """Tell whether the measured hub has done with what it does at its start."""
    before = loop_seconds()
    time.sleep(_IDLE_SECONDS)
    return loop_seconds() - before < _IDLE_SECONDS / 100


def start_seconds() -> float:
    """Tell a time that goes on only from a POST to the pod's creation."""
    return _CLOCK[0]


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with large_api(nodes=500, pods=5000, rate=0) as url:
        yield write_kubeconfig(tmp_path_factory.mktemp("api"), url)


@pytest.mark.parametrize("config", [THEIRS, OURS], ids=["kubespawner", "ours"])
@pytest.mark.benchmark(group="spawn page: 20 profiles x 9 choices", timer=loop_seconds)
def test_spawn_page(
    benchmark: BenchmarkFixture, kubeconfig: Path, tmp_path: Path, config: str
) -> None:
    """A signed-in user asks for the page; the cluster's 500 nodes have been read."""
    with running_hub(tmp_path, config, kubeconfig=kubeconfig, afresh=True) as hub:
        _MEASURED.append(hub.process.pid)
        browser = Browser(hub, "ada")
        if config is OURS:
            wait_until(lambda: "free" in browser.get("spawn").text, "the hub knows the cluster")

        def ask() -> None:
            assert "Profile 19" in browser.get("spawn").text

        ask()
        # Nobody waits for these pages: what a hub does at its start would be counted as theirs.
        wait_until(is_idle, "the hub has nothing else to do")
        benchmark.pedantic(ask, rounds=200, warmup_rounds=20)
        benchmark.extra_info["target"] = "1.5 times KubeSpawner's"


class Starts:
    """Starts on one hub of several on a cluster, as the API server sees them."""

    def __init__(self, hub: RunningHub, options: dict[str, object]) -> None:
        self.hub = hub
        self.created_at = 0.0
        self.calls: list[str] = []
        self.seconds: list[float] = []
        self.loop_seconds: list[float] = []
        self._options = options
        self._numbers = itertools.count()
        self._user = ""

    def note(self, facts: RequestFacts) -> None:
        """Note what the hub asks for, up to the pod."""
        if facts.verb == "create" and facts.resource == "pods":
            self.created_at = time.perf_counter()
        if facts.verb not in ("watch", "list") and not self.created_at:
            self.calls.append(f"{facts.verb} {facts.resource}")

    def prepare(self) -> None:
        """Know another user, and let the hub come to rest."""
        self._user = self.hub.add_user(f"user{next(self._numbers)}-{self.hub.port}")
        self.created_at, self.calls = 0.0, []
        _MEASURED.append(self.hub.process.pid)
        wait_until(is_idle, "the hub has nothing else to do")

    def start(self) -> None:
        """Start a server; the clock goes on by the seconds until the pod is created."""
        began, used = time.perf_counter(), loop_seconds()
        self.hub.start(self._user, self._options)
        wait_until(lambda: self.created_at, "the pod is created")
        self.seconds.append(self.created_at - began)
        self.loop_seconds.append(loop_seconds() - used)
        _CLOCK[0] += self.seconds[-1]

    def ask_in_full(self) -> None:
        """Ask from now on for all that was chosen, as the form does."""
        self._options = self.hub.user(self._user)["servers"][""]["user_options"]

    def end(self) -> None:
        """Give back what the start holds."""
        self.hub.stop(self._user)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClaimCluster]:
    running = ClaimCluster(tmp_path_factory.mktemp("claims"))
    yield running
    running.stop()


def median_ratio(ours: list[float], theirs: list[float]) -> float:
    """Compare pair by pair: what else the machine did meanwhile is in both."""
    return statistics.median([one / other for one, other in zip(ours, theirs, strict=True)])


@pytest.mark.parametrize("options", [{"profile": "cpu"}, WHOLE], ids=["plain", "claim"])
@pytest.mark.benchmark(group="a start: from POST to the pod's creation", timer=start_seconds)
def test_start(
    benchmark: BenchmarkFixture,
    cluster: ClaimCluster,
    tmp_path: Path,
    options: dict[str, object],
) -> None:
    """Servers of new users on a hub of KubeSpawner's and on one of ours, in turn."""
    with ExitStack() as stack:

        def new_hub(name: str, config: str, options: dict[str, object]) -> Starts:
            hub = running_hub(tmp_path / name, config, kubeconfig=cluster.kubeconfig, afresh=True)
            return Starts(stack.enter_context(hub), options)

        theirs = new_hub("theirs", PLAIN, {"profile": "cpu"})
        ours = new_hub("ours", CONFIG, options)

        def let_them_start() -> None:
            theirs.prepare()
            cluster.suffer(theirs.note)
            theirs.start()
            theirs.end()
            ours.prepare()
            cluster.suffer(ours.note)

        let_them_start()
        ours.start()
        first = list(ours.calls)
        ours.ask_in_full()
        ours.end()
        theirs.seconds.clear(), theirs.loop_seconds.clear()
        ours.seconds.clear(), ours.loop_seconds.clear()
        try:
            benchmark.pedantic(ours.start, setup=let_them_start, teardown=ours.end, rounds=20)
        finally:
            cluster.suffer(None)
    told = benchmark.extra_info
    told["calls of a first start"] = first
    told["calls of a later start"] = ours.calls
    told["KubeSpawner's median in ms"] = round(statistics.median(theirs.seconds) * 1e3, 1)
    told["times KubeSpawner's"] = round(median_ratio(ours.seconds, theirs.seconds), 2)
    loops = median_ratio(ours.loop_seconds, theirs.loop_seconds)
    told["times KubeSpawner's, in processor time of the hub's loop"] = round(loops, 2)
    told["target"] = "1.05 times KubeSpawner's; one call more at most, once"
