"""Questions to an API server that ``gpu-spawner doctor`` asks beside reading the cluster."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gpu_spawner.kube.client import ClusterClient, Request
from gpu_spawner.kube.failures import malformed
from gpu_spawner.kube.rights import Rule

__all__ = ["Denied", "api_groups", "ask", "denied_rights", "server_version"]

_SECONDS: Final = 20.0
_AUTHORIZATION: Final = "/apis/authorization.k8s.io/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """A right that is missing: of which resource, and which verbs."""

    group: str
    resource: str
    verbs: tuple[str, ...]

    def __str__(self) -> str:
        """Read as "list, watch of nodes"."""
        name = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{', '.join(self.verbs)} of {name}"


async def ask(
    client: ClusterClient, path: str, doing: str, query: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the answer to one GET, an object.

    Raises:
        ClusterError: anything but a success with an object.
    """
    return _decode(
        await client.get(path, query or {}, doing=doing, timeout_seconds=_SECONDS), doing
    )


async def server_version(client: ClusterClient) -> str:
    """Return the API server's version, such as ``v1.36.2``."""
    found = await ask(client, "/version", "asking for the API server's version")
    return str(found.get("gitVersion", "unknown"))


async def api_groups(client: ClusterClient) -> frozenset[str]:
    """Return the names of the API groups that are served, those of custom resources included."""
    found = await ask(client, "/apis", "asking for the API groups")
    groups = found.get("groups") or ()
    return frozenset(str(group.get("name", "")) for group in groups if isinstance(group, Mapping))


async def denied_rights(
    client: ClusterClient, rules: tuple[Rule, ...], *, namespace: str, account: str = ""
) -> list[Denied]:
    """Return which of the rights are missing.

    Args:
        client: the connection.
        rules: the rights.
        namespace: where they are needed; empty for the whole cluster.
        account: the user name of the account that needs them (``system:serviceaccount:NS:NAME``);
            empty for whoever asks. Asking for another account takes an administrator.
    """
    denied = []
    for rule in rules:
        for resource in rule.resources:
            verbs = [
                verb
                for verb in rule.verbs
                if not await _may(
                    client,
                    {
                        "group": rule.group,
                        "resource": resource,
                        "verb": verb,
                        "namespace": namespace,
                    },
                    account,
                )
            ]
            if verbs:
                denied.append(Denied(group=rule.group, resource=resource, verbs=tuple(verbs)))
    return denied


async def _may(client: ClusterClient, attributes: Mapping[str, str], account: str) -> bool:
    kind = "SubjectAccessReview" if account else "SelfSubjectAccessReview"
    spec: dict[str, Any] = {"resourceAttributes": dict(attributes)}
    if account:
        _, _, namespace, _ = account.split(":")
        spec |= {
            "user": account,
            "groups": [
                "system:serviceaccounts",
                f"system:serviceaccounts:{namespace}",
                "system:authenticated",
            ],
        }
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
    doing = "asking what an account may do"
    request = Request("POST", f"{_AUTHORIZATION}/{kind.lower()}s", body=body)
    answer = _decode(await client.send(request, doing=doing, timeout_seconds=_SECONDS), doing)
    status = answer.get("status")
    return isinstance(status, Mapping) and bool(status.get("allowed"))


def _decode(body: bytes, doing: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise malformed(doing, str(error)) from None
