"""``gpu-spawner doctor``: what stands in the way of GPUs on a cluster, and what to change."""

import argparse
import asyncio
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_spawner.cli.arguments import RELEASE, Commands, directory, file

if TYPE_CHECKING:
    from gpu_spawner.core.catalog.examination import Finding
    from gpu_spawner.kube.client import ClusterClient

__all__ = ["add_to"]


def add_to(commands: Commands) -> None:
    """Add the command and its arguments."""
    doctor = commands.add_parser(
        "doctor",
        help="what stands in the way on a cluster, and what to change",
        description=(
            "Look at a cluster as the hub will: rights, device plugins, Dynamic Resource "
            "Allocation, schedulers, pull secrets, and the catalog against all of it. Ends with "
            "what to change, and with status 1 where something that was wished for cannot work."
        ),
    )
    doctor.add_argument(
        "--kubeconfig",
        type=file,
        metavar="FILE",
        help="how to reach the cluster (default: as kubectl, or as a pod of the cluster)",
    )
    doctor.add_argument("--profiles", type=directory, metavar="DIR", help="the catalog")
    doctor.add_argument(
        "--namespace", default="default", metavar="NS", help="of the servers (default: default)"
    )
    doctor.add_argument(
        "--service-account",
        default="",
        metavar="SA",
        help="the hub's, to ask what it may do; without it, the rights of whoever asks count",
    )
    doctor.add_argument(
        "--release",
        default=RELEASE,
        metavar="NAME",
        help=f"as for gpu-spawner rbac, whose command is printed (default: {RELEASE})",
    )
    doctor.add_argument(
        "--pull-secret",
        action="append",
        default=[],
        metavar="NAME",
        help="a pull secret of the servers that should be there; can be given several times",
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


async def _examine(arguments: argparse.Namespace) -> "list[Finding]":
    from gpu_spawner.catalog_files import read_directory
    from gpu_spawner.core.catalog.examination import Finding, Verdict, examine
    from gpu_spawner.kube.client import ClusterClient
    from gpu_spawner.kube.questions import api_groups, server_version
    from gpu_spawner.kube.watcher import read_once

    catalog = read_directory(arguments.profiles) if arguments.profiles else None
    kubeconfig: Path | None = arguments.kubeconfig
    async with await ClusterClient.connect(kubeconfig) as client:
        version = await server_version(client)
        found = [Finding(verdict=Verdict.GOOD, what=f"The API server is {version}.")]
        groups = await api_groups(client)
        found += await _rights(client, arguments)
        found += await _secrets(client, arguments)
    snapshot = await read_once(kubeconfig=kubeconfig)
    return [*found, *examine(snapshot, groups, catalog)]


async def _rights(client: "ClusterClient", arguments: argparse.Namespace) -> "list[Finding]":
    from gpu_spawner.core.catalog.examination import Finding, Verdict
    from gpu_spawner.kube.questions import denied_rights
    from gpu_spawner.kube.rights import FEATURES

    namespace, name = arguments.namespace, arguments.service_account
    account = f"system:serviceaccount:{namespace}:{name}" if name else ""
    who = f"Service account {name}" if name else "Whoever asks here"
    lacking: dict[str, str] = {}
    for feature in FEATURES.values():
        denied = [
            *await denied_rights(client, feature.in_cluster, namespace="", account=account),
            *await denied_rights(
                client, feature.in_namespace, namespace=namespace, account=account
            ),
        ]
        if denied:
            lacking[feature.name] = "; ".join(map(str, denied))
    cure = f"Grant them: {_command(arguments, lacking)}"
    found = []
    for feature in FEATURES.values():
        if feature.name not in lacking:
            what = f"{who} has the rights for {feature.name}."
            found.append(Finding(verdict=Verdict.GOOD, what=what))
            continue
        missing = lacking[feature.name]
        found.append(
            Finding(
                verdict=Verdict.TROUBLE if feature.name == "spawn" else Verdict.ADVICE,
                what=f"{who} lacks rights for {feature.name}: {missing}. It is to "
                f"{feature.purpose}",
                cure=cure,
            )
        )
    return found


def _command(arguments: argparse.Namespace, features: Iterable[str]) -> str:
    """Return the one command that grants all of these features."""
    words = ["gpu-spawner", "rbac", *features, "--namespace", arguments.namespace]
    if arguments.service_account:
        words += ["--service-account", arguments.service_account]
    if arguments.release != RELEASE:
        words += ["--release", arguments.release]
    return f"{shlex.join(words)} | kubectl apply -f -"


async def _secrets(client: "ClusterClient", arguments: argparse.Namespace) -> "list[Finding]":
    from gpu_spawner.core.catalog.examination import Finding, Verdict
    from gpu_spawner.kube.questions import has_object

    found = []
    for name in arguments.pull_secret:
        path = f"/api/v1/namespaces/{arguments.namespace}/secrets/{name}"
        is_there = await has_object(client, path)
        if is_there:
            found.append(Finding(verdict=Verdict.GOOD, what=f"The pull secret {name} is there."))
        else:
            why = "may not be read" if is_there is None else "is not there"
            found.append(
                Finding(
                    verdict=Verdict.TROUBLE if is_there is False else Verdict.ADVICE,
                    what=f"The pull secret {name} {why} in the namespace {arguments.namespace}.",
                    cure="Create it there: kubectl create secret docker-registry.",
                )
            )
    return found
