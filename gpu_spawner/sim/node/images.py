"""The images of one simulated node: which are there, and pulls that take as long as they would.

A pull takes its size divided by the node's bandwidth; several pulls at once share the bandwidth
evenly. A pull that nobody waits for any more goes on, as the container runtime's does.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gpu_spawner.sim.fleet import ImageFacts

__all__ = ["ImageNotFoundError", "NodeImages", "PulledImage", "image_id", "normalized_reference"]

# A registry answers "not found", and a runtime finds a tag unchanged, about this fast.
_RESOLVE_SECONDS = 0.2
# The kubelet reports at most this many images of a node (nodeStatusMaxImages), largest first.
_MOST_REPORTED_IMAGES = 50


class ImageNotFoundError(Exception):
    """No registry has the image; the text is the container runtime's."""

    def __init__(self, reference: str) -> None:
        name = normalized_reference(reference)
        super().__init__(
            f'rpc error: code = NotFound desc = failed to pull and unpack image "{name}": '
            f'failed to resolve reference "{name}": {name}: not found'
        )


def normalized_reference(reference: str) -> str:
    """Spell ``reference`` out as a container runtime does.

    >>> normalized_reference("busybox")
    'docker.io/library/busybox:latest'
    >>> normalized_reference("quay.io/jupyter/base-notebook:2026-10-01")
    'quay.io/jupyter/base-notebook:2026-10-01'
    >>> normalized_reference("me/own@sha256:00")
    'docker.io/me/own@sha256:00'
    """
    host, slash, path = reference.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, path = "docker.io", reference
    if host == "docker.io" and "/" not in path:
        path = f"library/{path}"
    if "@" not in path and ":" not in path.rpartition("/")[2]:
        path = f"{path}:latest"
    return f"{host}/{path}"


def image_id(reference: str) -> str:
    """Return the digest form of ``reference``: the one given, or one made up from the name."""
    name = normalized_reference(reference)
    repository, at, _ = name.partition("@")
    if at:
        return name
    repository = name.rpartition(":")[0]
    return f"{repository}@sha256:{hashlib.sha256(name.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledImage:
    """The outcome of a pull.

    Attributes:
        seconds: how long it took from being asked for.
    """

    size_bytes: int
    seconds: float


@dataclass(slots=True, kw_only=True)
class _Pull:
    remaining_bytes: float
    done: asyncio.Event = field(default_factory=asyncio.Event)


class NodeImages:
    """What one node has, and what it is pulling.

    Args:
        bandwidth: bytes a second, shared by all pulls.
        facts: looks up what a registry knows about a reference.
        present: references that are there from the start.
        on_change: called whenever the node has got another image.
    """

    def __init__(
        self,
        *,
        bandwidth: int,
        facts: Callable[[str], ImageFacts],
        present: Iterable[str] = (),
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._bandwidth = max(bandwidth, 1)
        self._facts = facts
        self._sizes: dict[str, int] = {}
        self._pulls: dict[str, _Pull] = {}
        self._transfer: asyncio.Task[None] | None = None
        self._pulls_changed = asyncio.Event()
        self._on_change = on_change
        for reference in present:
            self._sizes[normalized_reference(reference)] = facts(reference).size

    def has(self, reference: str) -> bool:
        """Say whether a container of this image can start without a pull."""
        return normalized_reference(reference) in self._sizes

    def restore(self, status: Iterable[Mapping[str, Any]]) -> None:
        """Add what a node's ``status.images`` tells."""
        for image in status:
            for name in (image.get("names") or ())[-1:]:
                self._sizes.setdefault(name, image.get("sizeBytes") or 0)

    def as_status(self) -> list[dict[str, Any]]:
        """Return ``status.images`` of the node."""
        largest_first = sorted(self._sizes.items(), key=lambda item: (-item[1], item[0]))
        return [
            {
                "names": [name] if "@" in name else [image_id(name), name],
                "sizeBytes": size,
            }
            for name, size in largest_first[:_MOST_REPORTED_IMAGES]
        ]

    async def pull(self, reference: str) -> PulledImage:
        """Return once the node has the image.

        Raises:
            ImageNotFoundError: no registry has it.
        """
        started = asyncio.get_running_loop().time()
        name = normalized_reference(reference)
        facts = self._facts(reference)
        if facts.is_missing or name in self._sizes:
            await asyncio.sleep(_RESOLVE_SECONDS)
        if facts.is_missing:
            raise ImageNotFoundError(reference)
        if name not in self._sizes:
            pull = self._pulls.get(name)
            if pull is None:
                pull = self._pulls[name] = _Pull(remaining_bytes=facts.size)
                self._pulls_changed.set()
            if self._transfer is None or self._transfer.done():
                self._transfer = asyncio.create_task(self._run_transfer())
            await pull.done.wait()
        return PulledImage(
            size_bytes=facts.size, seconds=asyncio.get_running_loop().time() - started
        )

    async def stop(self) -> None:
        """Give up all pulls."""
        if self._transfer is not None:
            self._transfer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._transfer
            self._transfer = None

    async def _run_transfer(self) -> None:
        loop = asyncio.get_running_loop()
        while self._pulls:
            sharing = dict(self._pulls)
            share = self._bandwidth / len(sharing)
            next_done_seconds = min(each.remaining_bytes for each in sharing.values()) / share
            self._pulls_changed.clear()
            before = loop.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(next_done_seconds):
                    await self._pulls_changed.wait()
            moved = (loop.time() - before) * share
            for name, pull in sharing.items():
                pull.remaining_bytes -= moved
                # Half a byte is rounding, not a rest.
                if pull.remaining_bytes < 0.5:
                    self._finish(name)

    def _finish(self, name: str) -> None:
        self._sizes[name] = self._facts(name).size
        self._on_change()
        self._pulls.pop(name).done.set()
