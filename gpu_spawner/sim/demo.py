"""``gpu-spawner demo``: a real JupyterHub with this plugin on a simulated GPU cluster.

Starts the cluster, the proxy and the hub, says where the hub is once it can be used, keeps the
services running, and ends everything it started when told to stop. What each part is configured
with is ``demo_services``' matter.
"""

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import aiohttp

from gpu_spawner.core.errors import GpuSpawnerError
from gpu_spawner.sim.cluster import Cluster, ClusterOptions
from gpu_spawner.sim.demo_objects import put_demo_objects
from gpu_spawner.sim.demo_services import DemoSite, hub_service, kept_port, proxy_service
from gpu_spawner.sim.fleet import Fleet, default_fleet, read_fleet
from gpu_spawner.sim.hub_account import HubAccount, hub_account
from gpu_spawner.sim.kubeconfig import read_kubeconfig
from gpu_spawner.sim.supervisor import Supervisor

__all__ = ["DemoOptions", "run_demo"]

_NAMESPACE = "gpu-demo"
_STOPPING = "Stopping ..."
_STOPPING_AS_GUEST = "Stopping, and removing from the cluster what the demo put there ..."
_POLL_SECONDS = 0.1
_START_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the command line says.

    Attributes:
        profiles_dir: the catalog to show, in which there are no mistakes.
        helm_values_dir: ships what else an admin puts into the cluster for it.
        port: of the hub's address.
        cluster_file: the fleet; None for the one that is shipped.
        kubeconfig: the API server to attach the fleet to; None for the embedded one.
        state_dir: kept across runs; None for a temporary folder.
    """

    profiles_dir: Path
    helm_values_dir: Path
    port: int = 8000
    cluster_file: Path | None = None
    kubeconfig: Path | None = None
    state_dir: Path | None = None


def run_demo(options: DemoOptions) -> int:
    """Run the demo until it is told to stop (Ctrl-C, SIGTERM); return the exit status.

    Raises:
        ConfigError: the fleet or the kubeconfig has mistakes; nothing was started.
        GpuSpawnerError: the demo cannot run here, or a service keeps failing.
    """
    fleet = read_fleet(options.cluster_file) if options.cluster_file else default_fleet()
    if options.kubeconfig is not None:
        read_kubeconfig(options.kubeconfig)
    _require_free_port(options.port)
    with _state_folder(options) as state_dir:
        return asyncio.run(_Demo(options, fleet, state_dir).run())


class _Demo:
    def __init__(self, options: DemoOptions, fleet: Fleet, state_dir: Path) -> None:
        self._options = options
        self._fleet = fleet
        self._state_dir = state_dir
        self._stop = asyncio.Event()
        (state_dir / "logs").mkdir(parents=True, exist_ok=True)
        _log_to(state_dir / "logs" / "cluster.log")

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        work = asyncio.create_task(self._serve())
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not work.done():
            _say(_STOPPING if self._options.kubeconfig is None else _STOPPING_AS_GUEST)
            work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        return 0

    def _on_signal(self) -> None:
        if self._stop.is_set():
            # Twice means now. Every process started hangs on a pipe that closes with this one.
            os._exit(130)
        self._stop.set()

    async def _serve(self) -> None:
        _say("Starting a simulated GPU cluster and a JupyterHub ...")
        cluster_options = ClusterOptions(
            kubeconfig=self._options.kubeconfig,
            namespaces=(_NAMESPACE,),
            keeps_objects=self._options.state_dir is not None,
        )
        async with Cluster(
            self._fleet, state_dir=self._state_dir, options=cluster_options
        ) as cluster:
            await put_demo_objects(cluster.client, _NAMESPACE, self._options.helm_values_dir)
            try:
                async with (
                    hub_account(cluster, _NAMESPACE) as account,
                    asyncio.TaskGroup() as group,
                ):
                    site = self._site(account.kubeconfig)
                    group.create_task(cluster.wait_failed())
                    group.create_task(Supervisor(proxy_service(site)).run())
                    group.create_task(Supervisor(hub_service(site)).run())
                    await _wait_for_hub(site.port)
                    _say(self._banner(cluster, account))
            except* GpuSpawnerError as group_error:
                raise group_error.exceptions[0] from None

    def _site(self, kubeconfig: Path) -> DemoSite:
        return DemoSite(
            state_dir=self._state_dir,
            profiles_dir=self._options.profiles_dir.absolute(),
            kubeconfig=kubeconfig.absolute(),
            namespace=_NAMESPACE,
            port=self._options.port,
            hub_port=kept_port(self._state_dir / "hub-port"),
            proxy_api_port=kept_port(self._state_dir / "proxy-port"),
            pull_bytes_per_second=min(group.pull_bandwidth for group in self._fleet.nodes),
        )

    def _banner(self, cluster: Cluster, account: HubAccount) -> str:
        count = len(self._fleet.node_names)
        if cluster.server is None:
            simulated = f"the {count} nodes with their GPUs, attached to {cluster.url}"
        else:
            simulated = f"the Kubernetes cluster, {count} nodes with their GPUs"
        kept = "kept" if self._options.state_dir else "removed at the end; --state DIR keeps them"
        if account.unlimited_because:
            rights = [
                "  Rights:     the hub has all those of the kubeconfig:",
                f"              {account.unlimited_because}.",
            ]
        else:
            rights = [
                "  Rights:     the hub has those of the zero-to-jupyterhub chart and of",
                "              gpu-spawner rbac, no others.",
            ]
        return "\n".join(
            [
                "",
                f"  JupyterHub is ready:  http://127.0.0.1:{self._options.port}",
                "",
                "  Log in with any name and no password; admin is an administrator.",
                "",
                "  Real:       the hub, its proxy, the plugin, and the notebook servers, which are",
                "              processes of this machine.",
                f"  Simulated:  {simulated}.",
                *rights,
                "",
                f"  Look inside:  kubectl --kubeconfig {cluster.kubeconfig_path} get pods -A",
                f"  Files, logs:  {self._state_dir} ({kept})",
                "  Stop:         Ctrl-C",
                "",
            ]
        )


async def _wait_for_hub(port: int) -> None:
    url = f"http://127.0.0.1:{port}/hub/health"
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        async with (
            asyncio.timeout(_START_SECONDS),
            aiohttp.ClientSession(timeout=timeout) as session,
        ):
            while not await _answers(session, url):  # noqa: ASYNC110  it is another process
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise GpuSpawnerError(f"the hub does not answer at {url}; see its log.") from None


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def _require_free_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise GpuSpawnerError(
                    f"port {port} is in use already. Stop what listens there, or choose another "
                    "one with --port."
                ) from None
            raise GpuSpawnerError(
                f"port {port} cannot be used: {error.strerror}. Choose another one with --port."
            ) from None


@contextlib.contextmanager
def _state_folder(options: DemoOptions) -> Iterator[Path]:
    if options.state_dir is None:
        with tempfile.TemporaryDirectory(
            prefix="gpu-spawner-demo-", ignore_cleanup_errors=True
        ) as name:
            yield Path(name)
        return
    try:
        options.state_dir.mkdir(parents=True, exist_ok=True)
        lock = (options.state_dir / "lock").open("w")
    except OSError as error:
        raise GpuSpawnerError(f"{options.state_dir} cannot be used: {error.strerror}.") from None
    with lock:
        _lock(lock, options.state_dir)
        yield options.state_dir.absolute()


def _lock(lock: TextIO, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise GpuSpawnerError(f"{folder} is in use by another demo.") from None


def _log_to(path: Path) -> None:
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("gpu_spawner")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
