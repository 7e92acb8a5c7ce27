"""The registries of a simulated cluster, as one: what a reference leads to, for whom, and whether.

It starts from the fleet's facts and may be told otherwise while the cluster runs: a tag moves, an
image disappears, a limit is reached. All nodes pull from it.
"""

import fnmatch
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from gpu_spawner.sim.fleet_images import ImageFacts
from gpu_spawner.sim.image_names import (
    made_up_digest,
    normalized_reference,
    registry_host,
)
from gpu_spawner.sim.pull_errors import (
    ImageNotFoundError,
    PullDeniedError,
    PullThrottledError,
    RegistryUnreachableError,
)

__all__ = ["ImageRegistry", "Login", "Manifest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What a pull secret says to one registry.

    Attributes:
        host: the registry's, as images name it.
    """

    host: str
    user: str
    password: str

    @property
    def fingerprint(self) -> str:
        """What tells whether two secrets say the same."""
        return f"{self.host}/{self.user}:{self.password}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a reference leads to.

    Attributes:
        login: the one that opened it; None where none was needed.
    """

    digest: str
    facts: ImageFacts
    login: Login | None = None


class ImageRegistry:
    """All images there are.

    Args:
        facts: what is known of a reference from the start.
        default_command: what an image starts by itself of which nothing is known.
    """

    def __init__(
        self, facts: Callable[[str], ImageFacts], *, default_command: Sequence[str] = ()
    ) -> None:
        self._facts = facts
        self._default_command = tuple(default_command)
        self._changes: dict[str, dict[str, Any]] = {}

    def change(self, pattern: str, **facts: Any) -> None:
        """Let images that match ``pattern`` be otherwise from now on.

        ``facts`` are keys of an image in a fleet file: ``throttled=True``, ``digest="sha256:..."``.

        Raises:
            pydantic.ValidationError: a key or a value is none of an image.
        """
        ImageFacts.model_validate(facts)
        self._changes[pattern] = self._changes.get(pattern, {}) | facts

    def restore(self, pattern: str) -> None:
        """Take back what was changed for ``pattern``."""
        self._changes.pop(pattern, None)

    def facts(self, reference: str) -> ImageFacts:
        """Return what is known of an image at present."""
        facts = self._facts(reference)
        spellings = {reference, normalized_reference(reference)}
        for pattern, changes in self._changes.items():
            if any(fnmatch.fnmatchcase(spelling, pattern) for spelling in spellings):
                changed = facts.model_dump(by_alias=True) | changes
                facts = ImageFacts.model_validate(changed)
        return facts

    def command_of(self, reference: str) -> tuple[str, ...]:
        """Return what an image starts by itself; empty where no process is to be started."""
        command = self.facts(reference).command
        return self._default_command if command is None else command

    def digest_of(self, reference: str) -> str:
        """Return the digest a reference leads to at present."""
        name = normalized_reference(reference)
        _, _, digest = name.partition("@")
        return digest or self.facts(reference).digest or made_up_digest(name)

    def resolve(self, reference: str, logins: Collection[Login] = ()) -> Manifest:
        """Return what a reference leads to.

        Raises:
            PullError: the registry does not give it to somebody with these logins.
        """
        facts, name = self.facts(reference), normalized_reference(reference)
        if facts.is_unreachable:
            raise RegistryUnreachableError(name)
        if facts.is_missing:
            raise ImageNotFoundError(name)
        login = _opening(facts, [each for each in logins if each.host == registry_host(name)])
        if facts.is_denied or (facts.login and login is None):
            raise PullDeniedError(name)
        digest = self.digest_of(reference)
        if facts.is_throttled:
            raise PullThrottledError(name, digest)
        return Manifest(digest=digest, facts=facts, login=login)


def _opening(facts: ImageFacts, logins: Collection[Login]) -> Login | None:
    if not facts.login:
        return None
    return next((each for each in logins if f"{each.user}:{each.password}" == facts.login), None)
