"""One of several: a Lease that only one process holds at a time.

The usual protocol of ``coordination.k8s.io``: whoever holds the lease renews it; whoever sees that
it was not renewed for its whole duration, by its own clock, takes it. It keeps two controllers from
doing the same work; it is no proof against doing it twice, so the work must bear that.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.kube.client import ClusterClient, Request
from gpu_spawner.kube.failures import malformed

__all__ = ["Lease"]

_TIMEOUT_SECONDS: Final = 10.0


class Lease:
    """A lease and what we know of it.

    Args:
        client: the connection.
        namespace, name: of the Lease object.
        identity: who we are; different for every process.
        seconds: how long a holder that went silent is still believed in.
        monotonic: our clock.
    """

    def __init__(  # noqa: PLR0913 - what a lease is made of
        self,
        client: ClusterClient,
        *,
        namespace: str,
        name: str,
        identity: str,
        seconds: int = 30,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.identity: Final = identity
        self.seconds: Final = seconds
        self._client = client
        self._folder = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._monotonic = monotonic
        self._seen: Any = None
        self._seen_at = 0.0

    async def hold(self) -> bool:
        """Take or renew the lease; call it several times within its duration.

        Returns:
            Whether it is ours now.

        Raises:
            ClusterError: leases may not be used here, or the API server fails.
        """
        lease = await self._read()
        if lease is None:
            return await self._write("POST", self._folder, self._lease({}, {}))
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self.identity) and not self._is_silent(spec):
            return False
        path = f"{self._folder}/{self._name}"
        return await self._write("PUT", path, self._lease(lease["metadata"], spec))

    async def release(self) -> None:
        """Let the next one have it at once; where it is not ours, or that fails, it runs out."""
        try:
            lease = await self._read()
            if lease is None or (lease.get("spec") or {}).get("holderIdentity") != self.identity:
                return
            spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
            await self._write("PUT", f"{self._folder}/{self._name}", {**lease, "spec": spec})
        except ClusterError:
            return

    def _is_silent(self, spec: Any) -> bool:
        """Tell whether the holder has not renewed it for its whole duration, by our clock."""
        now = self._monotonic()
        renewed = (spec.get("holderIdentity"), spec.get("renewTime"))
        if renewed != self._seen:
            self._seen, self._seen_at = renewed, now
        duration = spec.get("leaseDurationSeconds")
        return now - self._seen_at >= (duration if isinstance(duration, int) else self.seconds)

    def _lease(self, metadata: Any, spec: Any) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        is_new = spec.get("holderIdentity") != self.identity
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {**metadata, "name": self._name},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": self.seconds,
                "acquireTime": now if is_new else spec.get("acquireTime") or now,
                "renewTime": now,
                "leaseTransitions": int(spec.get("leaseTransitions") or 0) + is_new,
            },
        }

    async def _read(self) -> Any:
        doing = f"reading the Lease {self._name}"
        try:
            body = await self._client.get(
                f"{self._folder}/{self._name}", {}, doing=doing, timeout_seconds=_TIMEOUT_SECONDS
            )
        except ClusterError as error:
            if error.status == 404:
                return None
            raise
        try:
            lease = msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise malformed(doing, str(error)) from None
        if not isinstance(lease, dict) or not isinstance(lease.get("metadata"), dict):
            raise malformed(doing, "it has no metadata")
        return lease

    async def _write(self, method: str, path: str, lease: Any) -> bool:
        doing = f"holding the Lease {self._name}"
        try:
            await self._client.send(
                Request(method, path, body=lease), doing=doing, timeout_seconds=_TIMEOUT_SECONDS
            )
        except ClusterError as error:
            if error.status == 409:  # somebody was faster
                return False
            raise
        return True
