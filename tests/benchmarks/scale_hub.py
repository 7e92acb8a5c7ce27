"""A real hub on a cluster at Kubernetes' published limits: what users and its host notice.

``make bench-scale`` or ``python tests/benchmarks/scale_hub.py [SECONDS [NODES PODS EVENTS_A_SECOND
[USERS]]]`` starts an API server (``large_api``) and two hubs after each other, one with KubeSpawner
that watches no cluster and one with this plugin, each with 20 profiles with 60 choices in all.
Users ask both for the spawn page, and ours for its offers beside that; percentiles, memory and how
late events arrive are printed. Targets stand beside the figures and are not asserted: figures tell
of the machine as much as of the code.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "hub")]

import aiohttp  # noqa: E402 - the paths first
from large_api import MARKER, MODELS  # noqa: E402 - likewise
from other_process import free_port, wait_until  # noqa: E402 - likewise
from running_hub import TOKEN, Browser, RunningHub, running_hub  # noqa: E402 - likewise

DEFAULTS = (60, 5000, 150_000, 200, 5)
PAGE_PAUSE_SECONDS = 0.1
OFFERS_PAUSE_SECONDS = 0.05


def profiles() -> dict[str, Any]:
    """Build 20 profiles with 60 choices, the last of them on the marker's node."""
    found: dict[str, Any] = {}
    for number in range(20):
        profile: dict[str, Any] = {
            "display_name": f"Profile {number}",
            "images": ["one", "two"],
            "resources": {"cpu": {"request": 1}, "memory": {"request": f"{number + 1}Gi"}},
        }
        if number == 19:
            profile["gpu"] = {"flavors": ["marker"], "share": "whole", "count": [1, 2, 4]}
        elif number >= 4:
            counts = [1, 2, 4, 8] if number < 12 else [1, 2, 4]
            profile["gpu"] = {"flavors": [f"f{number % 4}"], "share": "whole", "count": counts}
        found[f"{number:02}-profile-{number}"] = profile
    return found


def gpu_config() -> str:
    """Configure a hub with this plugin."""
    models = {**{f"f{number}": model for number, model in enumerate(MODELS)}, "marker": MARKER}
    flavors = {
        name: {"display_name": model, "node_labels": {"nvidia.com/gpu.product": model}}
        for name, model in models.items()
    }
    images = {
        name: {"image": f"quay.io/site/{name}:1", "display_name": name, "size": "9.8GB"}
        for name in ("one", "two")
    }
    return (
        'c.JupyterHub.spawner_class = "gpu"\n'
        f"c.GPUSpawner.flavors = {flavors!r}\n"
        f"c.GPUSpawner.images = {images!r}\n"
        f"c.GPUSpawner.profiles = {profiles()!r}\n"
    )


def kube_config() -> str:
    """Configure a hub with KubeSpawner and as many profiles and choices."""
    listed = [
        {
            "display_name": profile["display_name"],
            "slug": name,
            "profile_options": {
                "gpus": {
                    "display_name": "GPUs",
                    "choices": {
                        str(count): {"display_name": f"{count} GPUs"}
                        for count in profile.get("gpu", {}).get("count", [0])
                    },
                }
            },
        }
        for name, profile in profiles().items()
    ]
    return (
        'c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"\n'
        f"c.KubeSpawner.profile_list = {listed!r}\n"
    )


@contextmanager
def large_api(nodes: int, pods: int, rate: int) -> Iterator[str]:
    """Run the API server; yield its address."""
    port = free_port()
    arguments = [str(HERE / "large_api.py"), *map(str, (port, nodes, pods, rate))]
    process = subprocess.Popen([sys.executable, *arguments])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def write_kubeconfig(folder: Path, url: str) -> Path:
    """Write how the hub reaches the API server."""
    path = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "large",
        "contexts": [{"name": "large", "context": {"cluster": "large", "user": "hub"}}],
        "clusters": [{"name": "large", "cluster": {"server": url}}],
        "users": [{"name": "hub", "user": {"token": "none"}}],
    }
    path.write_text(json.dumps(config))
    return path


def memory_mib(hub: RunningHub, field: str = "VmRSS") -> float:
    """Read how much memory the hub has, in MiB."""
    status = Path(f"/proc/{hub.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def cpu_seconds(hub: RunningHub) -> float:
    """Read how much processor time the hub has used."""
    fields = Path(f"/proc/{hub.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def waited_seconds(hub: RunningHub) -> float:
    """Read how long the hub was ready to run and had no processor: what a busy machine adds."""
    return int(Path(f"/proc/{hub.process.pid}/schedstat").read_text().split()[1]) / 1e9


class Load:
    """Users of a hub, and the times they waited."""

    def __init__(self, hub: RunningHub, session: aiohttp.ClientSession, api_url: str) -> None:
        self.hub = hub
        self.session = session
        self.api_url = api_url
        self.pages: list[float] = []
        self.offers: list[float] = []
        self.lateness: dict[float, float] = {}

    async def longest_queue(self) -> int:
        """Ask the API server how many events ever waited for a watch to take them."""
        async with self.session.get(f"{self.api_url}/marker") as answer:
            return int((await answer.json())["longest_queue"])

    async def ask_pages(self) -> None:
        """Ask for the spawn page again and again."""
        while True:
            began = time.perf_counter()
            async with self.session.get(self.hub.url("spawn")) as answer:
                text = await answer.text()
            self.pages.append(time.perf_counter() - began)
            assert answer.status == 200, text
            assert "Profile 12" in text
            await asyncio.sleep(PAGE_PAUSE_SECONDS)

    async def ask_offers(self) -> None:
        """Ask for the offers again and again, and notice when the marker is seen to change."""
        headers = {"Authorization": f"token {TOKEN}", "Cookie": ""}
        while True:
            began = time.perf_counter()
            url = self.hub.url("api/gpu-spawner/offers?user=ada")
            async with self.session.get(url, headers=headers) as answer:
                document = await answer.json(content_type=None)
            self.offers.append(time.perf_counter() - began)
            assert answer.status == 200, document
            async with self.session.get(f"{self.api_url}/marker") as answer:
                marker = await answer.json()
            if _marker_free(document) == int(not marker["is_taken"]):
                self.lateness.setdefault(marker["since"], time.time() - marker["since"])
            await asyncio.sleep(OFFERS_PAUSE_SECONDS)


def _marker_free(document: Any) -> int | None:
    profile = next(one for one in document["profiles"] if one["profile"] == "profile-19")
    free: int | None = profile["choices"][0]["free"]
    return free


@asynccontextmanager
async def signed_in(hub: RunningHub, api_url: str) -> AsyncIterator[Load]:
    """Sign a user in."""
    browser = await asyncio.to_thread(Browser, hub, "ada")
    cookies = sorted(browser.session.cookies, key=lambda cookie: len(cookie.path))
    by_name = {cookie.name: str(cookie.value) for cookie in cookies}
    headers = {
        "Cookie": "; ".join(f"{name}={value}" for name, value in by_name.items()),
        "User-Agent": "Mozilla/5.0",
        "Sec-Fetch-Mode": "navigate",
    }
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), headers=headers, timeout=timeout
    ) as session:
        yield Load(hub, session, api_url)


def show(name: str, seconds: list[float], target: str = "none") -> None:
    """Print percentiles in milliseconds, and what is aimed at."""
    ordered = sorted(seconds)
    last = len(ordered) - 1
    at = {part: ordered[min(int(len(ordered) * part), last)] for part in (0.5, 0.9, 0.99)}
    said = ", ".join(f"p{part * 100:.0f} {value * 1e3:.1f} ms" for part, value in at.items())
    longest = f"longest {ordered[last] * 1e3:.1f} ms"
    print(f"  {name}: {said}, {longest} ({len(ordered)} of them); target {target}")


async def measure(
    hub: RunningHub, api_url: str, seconds: float, users: int, rate: int, *, is_ours: bool
) -> None:
    """Ask a hub for some time, as several users at once."""
    async with signed_in(hub, api_url) as load:
        work = [load.ask_pages() for _ in range(users)]
        if is_ours:
            work.append(load.ask_offers())
        tasks = [asyncio.create_task(one) for one in work]
        before, waited_before = cpu_seconds(hub), waited_seconds(hub)
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        used = (cpu_seconds(hub) - before) / seconds
        waited = (waited_seconds(hub) - waited_before) / seconds
        for task in tasks:
            if task.done():
                task.result()
            task.cancel()
        await asyncio.wait(tasks)
        at_once = f"spawn page, {users} users at once"
        show(at_once, load.pages, "p99 under 100 ms" if is_ours else "none: to compare")
        print(f"  processor: {used:.0%} of a core; ready but without one {waited:.0%} of the time")
        if is_ours:
            show("offers", load.offers)
            show("an event until it is told (polled)", list(load.lateness.values())[1:])
            print(
                f"  events that waited for a watch to take them: at most "
                f"{await load.longest_queue():,} of {rate} a second; target under a second's"
            )


def main() -> None:
    """Measure both hubs."""
    given = [int(text) for text in sys.argv[1:]]
    seconds, nodes, pods, rate, users = [*given, *DEFAULTS[len(given) :]]
    print(f"{nodes:,} nodes, {pods:,} pods, {rate} pod events a second, {seconds} s each")
    with (
        tempfile.TemporaryDirectory() as folder,
        large_api(nodes, pods, rate) as api_url,
    ):
        kubeconfig = write_kubeconfig(Path(folder), api_url)
        start = partial(running_hub, kubeconfig=kubeconfig, afresh=True)
        print("KubeSpawner's form, no watch of the cluster:")
        with start(Path(folder) / "bare", kube_config()) as hub:
            asyncio.run(measure(hub, api_url, min(seconds, 15), users, rate, is_ours=False))
            bare = memory_mib(hub)
            print(f"  memory: {bare:.0f} MiB")
        print("GPUSpawner:")
        began = time.monotonic()
        with start(Path(folder) / "ours", gpu_config()) as hub:
            wait_until(lambda: _is_known(hub), "the hub knows the cluster", 300)
            print(f"  all is known after {time.monotonic() - began:.1f} s")
            asyncio.run(measure(hub, api_url, seconds, users, rate, is_ours=True))
            own, most = memory_mib(hub), memory_mib(hub, "VmHWM")
            above = f"{own - bare:.0f} MiB above the bare hub (target under 400 MB)"
            print(f"  memory: {own:.0f} MiB, {above}; at most {most:.0f} MiB")


def _is_known(hub: RunningHub) -> bool:
    hub.add_user("ada")
    found = hub.rest("GET", "gpu-spawner/offers?user=ada")
    return found.status_code == 200 and '"free": null' not in found.text


if __name__ == "__main__":
    main()
