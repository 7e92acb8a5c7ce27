"""``gpu-spawner doctor``: what stands in the way of GPUs on a cluster, and what to change."""

import argparse
import asyncio
import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gpu_spawner.cli.arguments import RELEASE, Commands, file, namespace, object_name
from gpu_spawner.cli.catalogs import (
    add_catalog_arguments,
    hub_settings,
    read_catalog,
    read_config,
)

if TYPE_CHECKING:
    from gpu_spawner.core.catalog.examination import Finding
    from gpu_spawner.core.catalog.model import Catalog
    from gpu_spawner.kube.client import ClusterClient
    from gpu_spawner.kube.rights import Feature

__all__ = ["add_to"]

_NOBODY: Final = "nobodyinparticular"
"""Whose servers are looked at."""


def add_to(commands: Commands) -> None:
    """Add the command and its arguments."""
    doctor = commands.add_parser(
        "doctor",
        help="what stands in the way on a cluster, and what to change",
        description=(
            "Look at a cluster as the hub will: rights, device plugins, Dynamic Resource "
            "Allocation, schedulers, what servers name (secrets, accounts, classes, queues), and "
            "the catalog against all of it. Ends with what to change, and with status 1 where "
            "something that was wished for cannot work."
        ),
    )
    doctor.add_argument(
        "--kubeconfig",
        type=file,
        metavar="FILE",
        help="how to reach the cluster (default: as kubectl, or as a pod of the cluster)",
    )
    add_catalog_arguments(doctor, otherwise="none")
    doctor.add_argument(
        "--namespace",
        type=namespace,
        metavar="NS",
        help="of the servers (default: the configuration's, else default)",
    )
    doctor.add_argument(
        "--service-account",
        type=object_name,
        metavar="SA",
        help="the hub's, to ask what it may do; without it, the rights of whoever asks count",
    )
    doctor.add_argument(
        "--release",
        type=object_name,
        default=RELEASE,
        metavar="NAME",
        help=f"as for gpu-spawner rbac, whose command is printed (default: {RELEASE})",
    )
    doctor.add_argument(
        "--pull-secret",
        type=object_name,
        action="append",
        default=[],
        metavar="NAME",
        help="a pull secret that should be there, beside those of the configuration; can be given "
        "several times",
    )
    doctor.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from gpu_spawner.core.catalog.examination import Verdict

    findings = asyncio.run(_examine(arguments))
    for finding in findings:
        print(f"{finding.verdict.value:>8}  {finding.what}")
    wanted = [finding for finding in findings if finding.cure]
    if wanted:
        print("\nTo change:")
        for number, (cure, found) in enumerate(_by_cure(wanted).items(), start=1):
            whats = "\n     ".join(finding.what for finding in found)
            print(f"{number:>3}. {whats}\n     {cure}")
    has_trouble = any(finding.verdict is Verdict.TROUBLE for finding in findings)
    if not wanted:
        print("\nNothing to change.")
    return 1 if has_trouble else 0


def _by_cure(findings: "list[Finding]") -> "dict[str, list[Finding]]":
    """Put together what one change mends."""
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.cure, []).append(finding)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hub:
    """What is known of the hub.

    Attributes:
        catalog: None where none was named.
        pods: of its servers, by profile and mechanism.
        has_own_namespaces: whether every user has a namespace, which does not exist before.
        preloads: whether it keeps images on nodes.
    """

    namespace: str
    catalog: "Catalog | None" = None
    pods: "Mapping[tuple[str, str], Mapping[str, Any]]" = field(default_factory=dict)
    has_own_namespaces: bool = False
    preloads: bool = True


async def _hub(arguments: argparse.Namespace) -> _Hub:
    from gpu_spawner.hub.rendering import idle_spawner, sample_pods

    if not (arguments.profiles or arguments.config):
        return _Hub(namespace=arguments.namespace or "default")
    config = read_config(arguments)
    catalog = read_catalog(arguments, config)
    with idle_spawner(config, _NOBODY) as spawner:
        has_own_namespaces = spawner.enable_user_namespaces
        configured = spawner.namespace if arguments.config else "default"
    return _Hub(
        namespace=arguments.namespace or configured,
        catalog=catalog,
        pods=await sample_pods(config, catalog, _NOBODY),
        has_own_namespaces=has_own_namespaces,
        preloads=hub_settings(arguments, config).preload,
    )


async def _examine(arguments: argparse.Namespace) -> "list[Finding]":
    from gpu_spawner.core.catalog.examination import Finding, Verdict, examine
    from gpu_spawner.kube.client import ClusterClient
    from gpu_spawner.kube.questions import api_groups, server_version
    from gpu_spawner.kube.watcher import read_once

    kubeconfig: Path | None = arguments.kubeconfig
    hub = await _hub(arguments)
    async with await ClusterClient.connect(kubeconfig) as client:
        version = await server_version(client)
        found = [Finding(verdict=Verdict.GOOD, what=f"The API server is {version}.")]
        groups = await api_groups(client)
        found += await _rights(client, arguments, hub, groups)
        found += await _named(client, arguments, hub)
    snapshot = await read_once(kubeconfig=kubeconfig)
    return [*found, *examine(snapshot, groups, hub.catalog)]


async def _rights(
    client: "ClusterClient", arguments: argparse.Namespace, hub: _Hub, groups: Collection[str]
) -> "list[Finding]":
    from gpu_spawner.core.catalog.examination import Finding, Verdict
    from gpu_spawner.kube.questions import denied_rights
    from gpu_spawner.kube.rights import FEATURES

    name = arguments.service_account
    account = f"system:serviceaccount:{hub.namespace}:{name}" if name else ""
    who = f"Service account {name}" if name else "Whoever asks here"
    lacking: dict[str, str] = {}
    found = []
    for feature in FEATURES.values():
        if why := _unneeded(feature, hub, groups):
            what = f"No rights are needed for {feature.name}: {why}."
            found.append(Finding(verdict=Verdict.GOOD, what=what))
            continue
        denied = [
            *await denied_rights(client, feature.in_cluster, namespace="", account=account),
            *await denied_rights(
                client, feature.in_namespace, namespace=hub.namespace, account=account
            ),
        ]
        if denied:
            lacking[feature.name] = "; ".join(map(str, denied))
        else:
            what = f"{who} has the rights for {feature.name}."
            found.append(Finding(verdict=Verdict.GOOD, what=what))
    for one, missing in lacking.items():
        found.append(
            Finding(
                verdict=Verdict.TROUBLE if one == "spawn" else Verdict.ADVICE,
                what=f"{who} lacks rights for {one}: {missing}. It is to {FEATURES[one].purpose}",
                cure=f"Grant them: {_command(arguments, hub.namespace, lacking)}",
            )
        )
    return found


def _unneeded(feature: "Feature", hub: _Hub, groups: Collection[str]) -> str:
    """Return why a feature has nothing to do; empty where it may have."""
    if feature.api_group and feature.api_group not in groups:
        return f"the cluster has no {feature.api_group}"
    if feature.name == "preload" and not hub.preloads:
        return "preload is off"
    if feature.name == "queues" and hub.catalog is not None:
        is_queued = any(profile.queue is not None for profile in hub.catalog.profiles)
        return "" if is_queued else "no profile waits in a queue"
    return ""


def _command(arguments: argparse.Namespace, where: str, features: Iterable[str]) -> str:
    """Return the one command that grants all of these features."""
    words = ["gpu-spawner", "rbac", *features, "--namespace", where]
    if arguments.service_account:
        words += ["--service-account", arguments.service_account]
    if arguments.release != RELEASE:
        words += ["--release", arguments.release]
    return f"{shlex.join(words)} | kubectl apply -f -"


async def _named(
    client: "ClusterClient", arguments: argparse.Namespace, hub: _Hub
) -> "list[Finding]":
    """Say of everything that servers' pods name whether it is there."""
    from gpu_spawner.core.catalog.named_objects import (
        NamedObject,
        examine_named,
        is_cluster_wide,
        named_in,
    )
    from gpu_spawner.kube.presence import look_for

    named_by: dict[NamedObject, set[str]] = {}
    for name in arguments.pull_secret:
        named_by.setdefault(NamedObject("Secret", name), set()).add("--pull-secret")
    for (slug, mechanism), pod in hub.pods.items():
        for one in named_in(pod, mechanism=mechanism):
            # What has the user's name in it is made for each user.
            is_personal = _NOBODY in one.name
            if not is_personal and (is_cluster_wide(one) or not hub.has_own_namespaces):
                named_by.setdefault(one, set()).add(f"profile {slug}")
    found = await look_for(client, named_by, namespace=hub.namespace)
    return examine_named(found, named_by, namespace=hub.namespace)
