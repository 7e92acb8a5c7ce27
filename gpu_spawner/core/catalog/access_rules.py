"""Rules of access: whom they let in, and what is said to whom they do not."""

from collections.abc import Collection
from dataclasses import dataclass

__all__ = ["EVERYONE", "Access", "Person", "Restriction"]


@dataclass(frozen=True, slots=True)
class Person:
    """Who wants something: a user's name and groups. An empty name is nobody in particular."""

    username: str
    groups: frozenset[str]

    @classmethod
    def of(cls, username: object, groups: object) -> "Person":
        """Take what an authenticator says for what it is worth.

        Fails closed: whatever is not a collection of group names counts as no groups at all, and
        whatever is not a name as nobody.
        """
        # None and a bare string are seen where groups are meant.
        if isinstance(groups, (str, bytes)) or not isinstance(groups, Collection):
            groups = ()
        return cls(
            username=username if isinstance(username, str) else "",
            groups=frozenset(group for group in groups if isinstance(group, str)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may have something: whoever is in one of the groups, or is one of the users.

    Attributes:
        groups, users: None where there is no such rule; with neither everyone is let in, and with
            empty ones nobody.
        message: what everybody else is told; empty where they do not see it at all.
    """

    groups: frozenset[str] | None = None
    users: frozenset[str] | None = None
    message: str = ""

    @property
    def is_open(self) -> bool:
        """Whether everyone is let in."""
        return self.groups is None and self.users is None

    def refusal(self, person: Person) -> str | None:
        """Return what to tell somebody who is not let in, empty for nothing; None lets them in."""
        if self.is_open or person.groups & (self.groups or frozenset()):
            return None
        if self.users is not None and person.username and person.username in self.users:
            return None
        return self.message


EVERYONE = Access()


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """A rule about some of a profile's choices, of its images, or of its options.

    Attributes:
        flavors, shares, counts: the choices that agree with each of these that is not empty;
            ``shares`` are labels, ``mig-3g.40gb``.
        images: names; a rule about images is about no choices.
        options: ``own_image``, ``cpu``, ``memory``; a rule about options is about nothing else.
    """

    access: Access
    flavors: frozenset[str] = frozenset()
    shares: frozenset[str] = frozenset()
    counts: frozenset[int] = frozenset()
    images: frozenset[str] = frozenset()
    options: frozenset[str] = frozenset()

    def covers_choice(self, flavor: str, share: str, count: int) -> bool:
        """Tell whether it is about this choice."""
        return not (self.images or self.options) and all(
            not named or value in named
            for named, value in (
                (self.flavors, flavor),
                (self.shares, share),
                (self.counts, count),
            )
        )
