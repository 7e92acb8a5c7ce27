"""The images of one simulated node: which are there, and pulls that take as long as they would.

A pull takes the bytes that are not there yet divided by the node's bandwidth; several pulls at once
share the bandwidth evenly. A pull that nobody waits for any more goes on, as the container
runtime's does. How many go on at once is the kubelet's setting (``maxParallelImagePulls``); those
beyond it wait their turn.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from gpu_spawner.sim.image_names import normalized_reference, registry_host
from gpu_spawner.sim.image_registry import ImageRegistry, Login, Manifest
from gpu_spawner.sim.node.image_store import ImageStore, StoredImage
from gpu_spawner.sim.pull_errors import DiskFullError, PullError

__all__ = ["NodeImages", "PulledImage"]

# A registry answers "not found", and a runtime finds a tag unchanged, about this fast.
_RESOLVE_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledImage:
    """The outcome of a pull.

    Attributes:
        seconds: how long it took from its turn on.
        waited_seconds: how long it took from being asked for.
    """

    image: StoredImage
    seconds: float
    waited_seconds: float

    @property
    def size_bytes(self) -> int:
        """The size of the whole image, also of what was there already."""
        return self.image.size


@dataclass(slots=True, kw_only=True)
class _Transfer:
    manifest: Manifest
    remaining_bytes: float
    done: asyncio.Event = field(default_factory=asyncio.Event)


class NodeImages:
    """What one node has, and what it is pulling.

    Args:
        bandwidth: bytes a second, shared by all pulls.
        registry: where images come from.
        present: references that are there from the start.
        store: what is there since an earlier life; by default nothing.
        most_at_once: how many pulls go on at once; 0 sets no limit.
        capacity: bytes of the disk the images are on; 0 sets no limit.
        on_change: called whenever the node has got or lost an image.

    Attributes:
        store: what is there.
        other_bytes: what is on the disk besides images.
    """

    def __init__(  # noqa: PLR0913  what a node is, in numbers
        self,
        *,
        bandwidth: int,
        registry: ImageRegistry,
        present: Iterable[str] = (),
        store: ImageStore | None = None,
        most_at_once: int = 0,
        capacity: int = 0,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.store = store or ImageStore()
        self.capacity = capacity
        self.other_bytes = 0
        self._bandwidth = max(bandwidth, 1)
        self._registry = registry
        self._turns: contextlib.AbstractAsyncContextManager[None] = (
            asyncio.Semaphore(most_at_once) if most_at_once else contextlib.nullcontext()
        )
        self._transfers: dict[str, _Transfer] = {}
        self._transferring: asyncio.Task[None] | None = None
        self._transfers_changed = asyncio.Event()
        self._pulls: set[asyncio.Task[PulledImage]] = set()
        self._on_change = on_change
        for reference in present if store is None else ():
            facts = registry.facts(reference)
            manifest = Manifest(digest=registry.digest_of(reference), facts=facts)
            self.store.add(reference, manifest)

    @property
    def available_bytes(self) -> int:
        """What is left of the disk."""
        return self.capacity - self.store.used_bytes - self.other_bytes

    def has(self, reference: str) -> bool:
        """Say whether the image is there."""
        return self.store.find(reference) is not None

    def may_use(self, reference: str, logins: Collection[Login]) -> bool:
        """Say whether somebody with these logins gets the image without asking the registry.

        What was pulled with a login is for those who have it too.
        """
        image = self.store.find(reference)
        if image is None:
            return False
        host = registry_host(normalized_reference(reference))
        known = {each.fingerprint for each in logins if each.host == host}
        return image.openers is None or bool(image.openers & known)

    async def pull(self, reference: str, logins: Collection[Login] = ()) -> PulledImage:
        """Return once the node has what the reference leads to at present.

        Raises:
            PullError: it cannot be had.
        """
        asked = asyncio.get_running_loop().time()
        pull = asyncio.create_task(self._pull(reference, logins, asked))
        self._pulls.add(pull)
        pull.add_done_callback(self._on_pull_done)
        return await asyncio.shield(pull)

    def remove(self, digest: str) -> int:
        """Remove an image; return how many bytes it was reported to have."""
        freed = self.store.remove(digest)
        self._on_change()
        return freed

    def fill(self, other_bytes: int) -> None:
        """Let so much be on the disk besides images."""
        self.other_bytes = other_bytes
        self._on_change()

    async def stop(self) -> None:
        """Give up all pulls; what they have moved is lost."""
        tasks = [*self._pulls, *([self._transferring] if self._transferring else [])]
        self._transferring = None
        self._transfers.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _pull(self, reference: str, logins: Collection[Login], asked: float) -> PulledImage:
        loop = asyncio.get_running_loop()
        async with self._turns:
            started = loop.time()
            try:
                manifest = self._registry.resolve(reference, logins)
            except PullError:
                await asyncio.sleep(_RESOLVE_SECONDS)
                raise
            if manifest.digest in self.store.digests:
                await asyncio.sleep(_RESOLVE_SECONDS)
            else:
                await self._transfer(reference, manifest)
            image = self.store.add(reference, manifest)
            self._on_change()
            now = loop.time()
            return PulledImage(image=image, seconds=now - started, waited_seconds=now - asked)

    def _on_pull_done(self, pull: asyncio.Task[PulledImage]) -> None:
        self._pulls.discard(pull)
        if not pull.cancelled():
            # Whoever waits for it hears of its failure; perhaps nobody does any more.
            pull.exception()

    async def _transfer(self, reference: str, manifest: Manifest) -> None:
        """Move the layers that are not there, together with whoever moves the same image.

        Raises:
            DiskFullError: there is no room for them.
        """
        transfer = self._transfers.get(manifest.digest)
        if transfer is None:
            remaining = self.store.missing_bytes(manifest)
            transfer = _Transfer(manifest=manifest, remaining_bytes=remaining)
            self._transfers[manifest.digest] = transfer
            self._transfers_changed.set()
        if self._transferring is None or self._transferring.done():
            self._transferring = asyncio.create_task(self._run_transfers())
        await transfer.done.wait()
        needed = self.store.missing_bytes(manifest) + manifest.facts.unpacked_bytes
        if (
            self.capacity
            and manifest.digest not in self.store.digests
            and needed > self.available_bytes
        ):
            raise DiskFullError(normalized_reference(reference), manifest.digest)

    async def _run_transfers(self) -> None:
        loop = asyncio.get_running_loop()
        while self._transfers:
            sharing = dict(self._transfers)
            share = self._bandwidth / len(sharing)
            rates = {
                digest: min(share, each.manifest.facts.bandwidth or share)
                for digest, each in sharing.items()
            }
            next_done_seconds = min(
                each.remaining_bytes / rates[digest] for digest, each in sharing.items()
            )
            self._transfers_changed.clear()
            before = loop.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(next_done_seconds):
                    await self._transfers_changed.wait()
            passed = loop.time() - before
            for digest, transfer in sharing.items():
                transfer.remaining_bytes -= passed * rates[digest]
                # Half a byte is rounding, not a rest.
                if transfer.remaining_bytes < 0.5:
                    self._transfers.pop(digest).done.set()
