"""ResourceClaimTemplates in the cluster: make, read, list and delete them; no decisions.

Only ``resource.k8s.io/v1`` is spoken, which is served from Kubernetes 1.34 on.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

import msgspec

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.kube.client import ClusterClient, Request
from gpu_spawner.kube.failures import malformed

__all__ = [
    "LABELS",
    "MANAGER",
    "ClaimTemplates",
    "StoredTemplate",
    "is_no_such_object",
    "template_manifest",
]

MANAGER: Final = "gpu-spawner"
_MANAGED_BY: Final = "app.kubernetes.io/managed-by"

LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        _MANAGED_BY: MANAGER,
        "app.kubernetes.io/part-of": "jupyterhub",
        "app.kubernetes.io/component": "claim-template",
    }
)
"""On every template of ours; the claims made from one carry the same, but for the component."""

_API: Final = "/apis/resource.k8s.io/v1"
_KIND: Final = "resourceclaimtemplates"
_PAGE_SIZE: Final = 500
_ENDED: Final = frozenset({"Succeeded", "Failed"})

_T = TypeVar("_T")


class _Meta(msgspec.Struct, rename="camel"):
    name: str
    namespace: str
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    labels: dict[str, str] | None = None


class _Inner(msgspec.Struct):
    spec: dict[str, Any] = {}


class StoredTemplate(msgspec.Struct):
    """A ResourceClaimTemplate as the API server has it."""

    metadata: _Meta
    inner: _Inner = msgspec.field(name="spec", default_factory=_Inner)

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return (self.metadata.namespace, self.metadata.name)

    @property
    def claim_spec(self) -> Mapping[str, Any]:
        """The ``ResourceClaimSpec`` of the claims that are made from it."""
        return self.inner.spec

    @property
    def is_ours(self) -> bool:
        """Whether this plugin made it, and may take it away."""
        return (self.metadata.labels or {}).get(_MANAGED_BY) == MANAGER

    @property
    def created_at(self) -> float | None:
        """Unix time of its creation, by the API server's clock."""
        created = self.metadata.creation_timestamp
        return created.timestamp() if created else None


class _PodClaim(msgspec.Struct, rename="camel"):
    resource_claim_template_name: str | None = None


class _PodSpec(msgspec.Struct, rename="camel"):
    resource_claims: list[_PodClaim] | None = None


class _PodStatus(msgspec.Struct):
    phase: str = ""


class _Pod(msgspec.Struct):
    spec: _PodSpec
    status: _PodStatus = msgspec.field(default_factory=_PodStatus)


class _ListMeta(msgspec.Struct):
    next_page: str | None = msgspec.field(name="continue", default=None)


class _List(msgspec.Struct, Generic[_T]):
    metadata: _ListMeta
    items: list[_T] | None = None


class ClaimTemplates:
    """The templates of one API server. Every failure is a ``ClusterError``.

    Args:
        client: the connection; it stays the caller's to close.
    """

    def __init__(self, client: ClusterClient) -> None:
        self._client = client

    async def create(
        self, namespace: str, name: str, claim_spec: Mapping[str, Any], *, timeout_seconds: float
    ) -> StoredTemplate:
        """Create a template of ours and return it as it was stored.

        Raises:
            ClusterError: 409 where there is one of this name, whatever is in it.
        """
        doing = f"creating resourceclaimtemplate {namespace}/{name}"
        manifest = template_manifest(namespace, name, claim_spec)
        request = Request("POST", _path(namespace), body=manifest)
        body = await self._client.send(request, doing=doing, timeout_seconds=timeout_seconds)
        return _decode(body, StoredTemplate, doing)

    async def read(
        self, namespace: str, name: str, *, timeout_seconds: float
    ) -> StoredTemplate | None:
        """Return a template as it is stored; None where there is none, but the kind is served."""
        doing = f"reading resourceclaimtemplate {namespace}/{name}"
        try:
            body = await self._client.get(
                f"{_path(namespace)}/{name}", {}, doing=doing, timeout_seconds=timeout_seconds
            )
        except ClusterError as error:
            if is_no_such_object(error):
                return None
            raise
        return _decode(body, StoredTemplate, doing)

    async def delete(self, stored: StoredTemplate, *, timeout_seconds: float) -> bool:
        """Delete exactly this template.

        Returns:
            Whether it is gone: not where it was changed or made anew since it was read.
        """
        namespace, name = stored.key
        meta = stored.metadata
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": meta.uid, "resourceVersion": meta.resource_version},
        }
        try:
            await self._client.send(
                Request("DELETE", f"{_path(namespace)}/{name}", body=options),
                doing=f"deleting resourceclaimtemplate {namespace}/{name}",
                timeout_seconds=timeout_seconds,
            )
        except ClusterError as error:
            if error.status == 409:
                return False
            if not is_no_such_object(error):
                raise
        return True

    async def list_ours(self, namespace: str, *, timeout_seconds: float) -> list[StoredTemplate]:
        """Return this plugin's templates of a namespace; the empty one stands for all of them.

        Each page may take ``timeout_seconds``.
        """
        query = {"labelSelector": f"{_MANAGED_BY}={MANAGER}"}
        doing = f"listing {_KIND} of {namespace or 'all namespaces'}"
        pages = self._pages(_path(namespace), query, _List[StoredTemplate], doing, timeout_seconds)
        found = [one async for page in pages for one in page]
        # The selector has told; a server or a proxy that ignores it must not cost others theirs.
        return [one for one in found if one.is_ours]

    async def names_in_use(self, namespace: str, *, timeout_seconds: float) -> set[str]:
        """Return the names of the templates that pods of a namespace name, ended pods aside."""
        path = f"/api/v1/namespaces/{namespace}/pods"
        doing = f"listing pods of {namespace}"
        pages = self._pages(path, {}, _List[_Pod], doing, timeout_seconds)
        return {
            name
            async for page in pages
            for pod in page
            if pod.status.phase not in _ENDED
            for name in _templates_of(pod)
        }

    async def _pages(
        self,
        path: str,
        query: Mapping[str, str],
        kind: type[_List[_T]],
        doing: str,
        timeout_seconds: float,
    ) -> AsyncIterator[list[_T]]:
        token = ""
        while True:
            more = {"continue": token} if token else {}
            whole = {**query, "limit": str(_PAGE_SIZE), **more}
            body = await self._client.get(path, whole, doing=doing, timeout_seconds=timeout_seconds)
            page = _decode(body, kind, doing)
            yield page.items or []
            following = page.metadata.next_page or ""
            if not following:
                return
            if following == token:
                raise malformed(doing, "a page of the list points to itself")
            token = following


def template_manifest(namespace: str, name: str, claim_spec: Mapping[str, Any]) -> dict[str, Any]:
    """Write a template of ours as it is sent to the API server."""
    of_claims = {key: text for key, text in LABELS.items() if not key.endswith("/component")}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(LABELS)},
        "spec": {"metadata": {"labels": of_claims}, "spec": dict(claim_spec)},
    }


def is_no_such_object(error: ClusterError) -> bool:
    """Tell a missing object from a kind that is not served: the latter is no ``Status`` at all."""
    return error.status == 404 and error.reason == "NotFound" and "not found" in error.message


def _path(namespace: str) -> str:
    return f"{_API}/namespaces/{namespace}/{_KIND}" if namespace else f"{_API}/{_KIND}"


def _templates_of(pod: _Pod) -> Iterator[str]:
    for claim in pod.spec.resource_claims or ():
        if claim.resource_claim_template_name:
            yield claim.resource_claim_template_name


def _decode(body: bytes, kind: type[_T], doing: str) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:  # a proxy's page, or an object cut short
        raise malformed(doing, str(error)) from error
