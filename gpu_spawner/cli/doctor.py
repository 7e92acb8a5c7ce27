"""``gpu-spawner doctor``: what stands in the way of GPUs on a cluster, and what to change."""

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_spawner.cli.arguments import Commands, directory, file

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
        for number, finding in enumerate(wanted, start=1):
            print(f"{number:>3}. {finding.what}\n     {finding.cure}")
    has_trouble = any(finding.verdict is Verdict.TROUBLE for finding in findings)
    if not wanted:
        print("\nNothing to change.")
    return 1 if has_trouble else 0


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
    found = []
    for feature in FEATURES.values():
        denied = [
            *await denied_rights(client, feature.in_cluster, namespace="", account=account),
            *await denied_rights(
                client, feature.in_namespace, namespace=namespace, account=account
            ),
        ]
        if denied:
            missing = "; ".join(map(str, denied))
            command = f"gpu-spawner rbac {feature.name} --namespace {namespace}"
            if name:
                command += f" --service-account {name}"
            found.append(
                Finding(
                    verdict=Verdict.TROUBLE if feature.name == "spawn" else Verdict.ADVICE,
                    what=f"{who} lacks rights for {feature.name}: {missing}.",
                    cure=f"To {feature.purpose} Grant it: {command} | kubectl apply -f -",
                )
            )
        else:
            found.append(
                Finding(verdict=Verdict.GOOD, what=f"{who} has the rights for {feature.name}.")
            )
    return found


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
