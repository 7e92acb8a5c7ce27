"""``gpu-spawner preload``: keep images on the nodes without a hub, or say what that would take."""

import argparse
import asyncio
import logging
import signal
import sys
import time
from typing import Any

from gpu_spawner.cli.arguments import Commands
from gpu_spawner.cli.catalogs import (
    add_catalog_arguments,
    hub_settings,
    read_catalog,
    read_config,
)
from gpu_spawner.cli.clusters import add_cluster_arguments
from gpu_spawner.core.errors import ClusterError, ConfigError, Problem

__all__ = ["add_to"]


def add_to(commands: Commands) -> None:
    """Add the command and its arguments."""
    preload = commands.add_parser(
        "preload",
        help="keep images on the nodes that need them; with --plan, say what that would take",
        description=(
            "Keep the images of a catalog on the nodes that can run them. A hub does this by "
            "itself; run this command instead where it should be a Deployment of its own, with "
            "c.GPUSpawner.preload_elsewhere = True in the hub. With --plan, print what would be "
            "done and why, and do nothing."
        ),
    )
    add_catalog_arguments(preload)
    add_cluster_arguments(preload)
    preload.add_argument(
        "--namespace", metavar="NAME", help="of the DaemonSets (default: the configuration's)"
    )
    preload.add_argument("--plan", action="store_true", help="print the plan and end")
    preload.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.cluster and not arguments.plan:
        print("gpu-spawner preload: --cluster is for --plan only", file=sys.stderr)
        return 2
    return asyncio.run(_plan(arguments) if arguments.plan else _preload(arguments))


async def _plan(arguments: argparse.Namespace) -> int:
    from gpu_spawner.core.preload.durations import PullTimes
    from gpu_spawner.core.preload.plan import make_plan
    from gpu_spawner.core.preload.report import describe_plan
    from gpu_spawner.core.preload.wishes import used_on_demand, wishes_of

    config = read_config(arguments)
    catalog = read_catalog(arguments, config)
    options, site = _options_and_site(arguments, config)
    if arguments.cluster:
        world, policy = _read_dump(arguments, options)
    else:
        world, policy = await _read_server(arguments, options)
    wishes = wishes_of(
        catalog,
        site,
        used=used_on_demand(world.snapshot, site.namespace),
        extra=options.extra_images,
        namespace=options.policy.namespace,
        release=options.release,
    )
    times = PullTimes(options.pull_bytes_per_second)
    for one in world.sets:
        times.recall(one.image, one.notes.learnt)
    print(describe_plan(make_plan(wishes, world, policy, now=int(time.time()), times=times)))
    return 0


async def _preload(arguments: argparse.Namespace) -> int:
    from gpu_spawner.hub.catalog_source import CatalogSource
    from gpu_spawner.hub.catalog_watch import CatalogWatch
    from gpu_spawner.kube.client import ClusterClient
    from gpu_spawner.kube.watcher import ClusterWatcher
    from gpu_spawner.preload.service import Preloader

    logging.basicConfig(format="%(levelname).1s %(asctime)s %(message)s")
    log = logging.getLogger("gpu_spawner.preload")
    log.setLevel(logging.INFO)
    config = read_config(arguments)
    settings = hub_settings(arguments, config)
    options, site = _options_and_site(arguments, config)

    def plan_again() -> None:
        preloader.poke()  # which is made below: it asks for the profiles that are read here

    profiles = CatalogWatch(CatalogSource(settings), on_change=plan_again, log=log)
    watcher = ClusterWatcher(kubeconfig=str(arguments.kubeconfig or ""), log=log)
    async with await ClusterClient.connect(arguments.kubeconfig) as client:
        await watcher.start()
        try:
            preloader = Preloader(
                options,
                catalog=lambda: profiles.catalog,
                site=lambda: site,
                watcher=watcher,
                log=log,
            )
            tasks = []
            if settings.profiles_reload_seconds:
                tasks.append(asyncio.create_task(profiles.run(settings.profiles_reload_seconds)))
            running = asyncio.create_task(preloader.run(client))
            loop = asyncio.get_running_loop()
            # A Deployment ends its pods this way; the lease goes to the next one at once.
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, running.cancel)
            await asyncio.gather(running, return_exceptions=True)
            for task in tasks:
                task.cancel()
            if not running.cancelled() and (error := running.exception()) is not None:
                raise error
        finally:
            await watcher.stop()
    return 0


def _options_and_site(arguments: argparse.Namespace, config: Any) -> tuple[Any, Any]:
    """Return the options and the site, as a hub with this configuration has them."""
    from dataclasses import replace

    from gpu_spawner.hub.preloading import preload_options, site_of_spawner
    from gpu_spawner.hub.rendering import idle_spawner

    with idle_spawner(config, "nobody") as spawner:
        options, site = preload_options(spawner), site_of_spawner(spawner)
    namespace = arguments.namespace or options.policy.namespace
    policy = replace(options.policy, namespace=namespace)
    # What is done elsewhere, from the hub's point of view, is done here.
    return replace(options, policy=policy, is_observer=False), site


def _read_dump(arguments: argparse.Namespace, options: Any) -> tuple[Any, Any]:
    """Read the cluster from a file, with our own objects in it, if there are any.

    Returns the world and the policy; what a cluster decides of it is what those objects show.
    """
    import msgspec

    from gpu_spawner.core.cluster.puller_wire import WirePullerPod, WirePullerSet
    from gpu_spawner.core.cluster.pullers import build_puller_pod, build_puller_set
    from gpu_spawner.core.cluster.snapshot import Snapshot
    from gpu_spawner.core.preload.plan import World
    from gpu_spawner.core.preload.puller_set import is_of, policy_behind
    from gpu_spawner.kube.dump import read_objects

    source = str(arguments.cluster)
    items = read_objects(arguments.cluster)
    snapshot = Snapshot.from_objects(items, source=source)
    ours = [
        item
        for item in items
        if is_of(options.release, (item.get("metadata") or {}).get("labels") or {})
    ]
    made = [item for item in ours if item.get("kind") == "DaemonSet"]
    pods = [item for item in ours if item.get("kind") == "Pod"]
    try:
        world = World(
            snapshot=snapshot,
            sets=tuple(build_puller_set(msgspec.convert(item, WirePullerSet)) for item in made),
            pods=tuple(build_puller_pod(msgspec.convert(item, WirePullerPod)) for item in pods),
        )
    except ValueError as error:
        raise ConfigError([Problem(file=source, message=f"{error}.")]) from error
    policy = options.policy
    return world, policy_behind(made[0], policy) if made else policy


async def _read_server(arguments: argparse.Namespace, options: Any) -> tuple[Any, Any]:
    """Read the cluster, and what it decides of the policy; nothing is written."""
    from gpu_spawner.core.preload.plan import World
    from gpu_spawner.core.preload.puller_set import selector_of
    from gpu_spawner.kube.client import ClusterClient
    from gpu_spawner.kube.listing import list_all
    from gpu_spawner.kube.preload_api import PreloadApi, preload_kinds
    from gpu_spawner.kube.watcher import read_once
    from gpu_spawner.preload.surroundings import Surroundings

    snapshot = await read_once(kubeconfig=arguments.kubeconfig)
    selector = selector_of(options.release)
    namespace = options.policy.namespace
    pods_kind, sets_kind, _ = preload_kinds(namespace, selector)
    found: list[tuple[Any, ...]] = []
    log = logging.getLogger("gpu_spawner.preload")
    async with await ClusterClient.connect(arguments.kubeconfig) as client:
        for kind in (sets_kind, pods_kind):
            try:
                listing = await list_all(client, kind, page_size=500, timeout_seconds=60.0)
            except ClusterError as error:
                if not error.is_forbidden:
                    raise
                # What is there already cannot be seen: the plan is that of a first run.
                print(f"gpu-spawner preload: {error}", file=sys.stderr)
                found.append(())
            else:
                found.append(tuple(listing.objects))
        policy = await Surroundings(PreloadApi(client, namespace), options, log).policy()
    return World(snapshot=snapshot, sets=found[0], pods=found[1]), policy
