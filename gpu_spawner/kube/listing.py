"""Read all objects of a kind, page by page, as of one moment.

A list of 150,000 pods in one piece would be a gigabyte that the server, the network and the hub
all have to hold at once; in pages the loop also gets its turn in between. It does not try again
after a failure, except where paging itself is what failed.
"""

from dataclasses import dataclass
from typing import Any

from gpu_spawner.core.cluster.decoding import decode_list
from gpu_spawner.core.errors import ClusterError
from gpu_spawner.kube.client import ClusterClient
from gpu_spawner.kube.conditions import WatchedKind
from gpu_spawner.kube.failures import malformed

__all__ = ["Listing", "list_all"]

# After the second 410 amid paging, ask for the list in one piece, as the Go client does:
# https://github.com/kubernetes/client-go/blob/master/tools/pager/pager.go
_PAGED_ATTEMPTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Every object of a kind, and the version from which a watch continues."""

    objects: list[Any]
    version: str


async def list_all(
    client: ClusterClient, kind: WatchedKind, *, page_size: int, timeout_seconds: float
) -> Listing:
    """List all objects of a kind.

    Args:
        client: the connection.
        kind: what to list.
        page_size: how many objects to ask for at a time.
        timeout_seconds: for each page.

    Raises:
        ClusterError: a page could not be had, or makes no sense.
    """
    for _ in range(_PAGED_ATTEMPTS):
        try:
            return await _read_pages(client, kind, page_size, timeout_seconds)
        except ClusterError as error:
            # 410: we were so slow that the server has forgotten the version of page one.
            if error.status != 410:
                raise
    return await _read_pages(client, kind, 0, timeout_seconds)


async def _read_pages(
    client: ClusterClient, kind: WatchedKind, page_size: int, timeout_seconds: float
) -> Listing:
    doing = f"listing {kind.name}"
    query = dict(kind.query) | ({"limit": str(page_size)} if page_size else {})
    objects: list[Any] = []
    token = ""
    while True:
        body = await client.get(kind.path, query, doing=doing, timeout_seconds=timeout_seconds)
        page = decode_list(kind.reader, body)
        objects.extend(page.items)
        if not page.next_token:
            if not page.resource_version:
                raise malformed(doing, "the list has no resourceVersion")
            return Listing(objects=objects, version=page.resource_version)
        if page.next_token == token:
            raise malformed(doing, "a page of the list points to itself")
        token = page.next_token
        query["continue"] = token
