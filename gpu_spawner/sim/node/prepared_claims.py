"""Which claims are prepared on a node, for which pods, kept in a file.

What the kubelet and the driver of Dynamic Resource Allocation remember: it survives both, because
a device that a container uses must not be given away when they start again.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from gpu_spawner.sim.node.gpus import Device

__all__ = ["PreparedClaim", "PreparedClaims", "PreparedDevice"]


class PreparedDevice(msgspec.Struct, frozen=True, kw_only=True):
    """One device of a claim, ready for containers.

    Attributes:
        request: the claim's request it was allocated for, without the alternative.
        name: as its pool calls it.
        is_exclusive: whether no other claim may have it at the same time.
        seen_as: what containers see.
    """

    request: str
    name: str
    cdi_id: str
    is_exclusive: bool
    seen_as: Device


class PreparedClaim(msgspec.Struct, kw_only=True):
    """A claim that some pod of the node uses.

    Attributes:
        pod_uids: the pods that use it.
        devices: None until it is prepared.
    """

    uid: str
    namespace: str
    name: str
    pod_uids: list[str]
    devices: list[PreparedDevice] | None = None


_ENCODER: Final = msgspec.json.Encoder()


class PreparedClaims:
    """The claims of one node; ``path`` is where they are kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._claims: dict[str, PreparedClaim] = {}
        if path.exists():
            known = msgspec.json.decode(path.read_bytes(), type=list[PreparedClaim])
            self._claims = {claim.uid: claim for claim in known}

    def __iter__(self) -> Iterator[PreparedClaim]:
        return iter(list(self._claims.values()))

    def get(self, uid: str) -> PreparedClaim | None:
        """Return a claim by its uid."""
        return self._claims.get(uid)

    def named(self, namespace: str, name: str) -> PreparedClaim | None:
        """Return a claim by its place."""
        for claim in self._claims.values():
            if (claim.namespace, claim.name) == (namespace, name):
                return claim
        return None

    def put(self, claim: PreparedClaim) -> None:
        """Remember a claim, or what has become of it."""
        self._claims[claim.uid] = claim
        self._save()

    def drop(self, uid: str) -> None:
        """Forget a claim: its devices are free."""
        if self._claims.pop(uid, None) is not None:
            self._save()

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(_ENCODER.encode(list(self._claims.values())))
        # A crash leaves the old file or the new one, never half of one.
        fresh.replace(self._path)
