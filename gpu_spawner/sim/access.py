"""Who is calling: bearer tokens, service accounts, impersonation.

Tokens are compared in constant time, kept in memory only, and never written to a log.
"""

import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gpu_spawner.sim.api_errors import unauthorized

__all__ = [
    "ADMIN",
    "ANONYMOUS",
    "Authenticator",
    "User",
    "impersonated",
    "named_user",
    "service_account_user",
]

_AUTHENTICATED: Final = "system:authenticated"
_SERVICE_ACCOUNTS: Final = "system:serviceaccounts"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An identity as RBAC sees it."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""

    @property
    def is_master(self) -> bool:
        """Whether everything is allowed."""
        return "system:masters" in self.groups


ADMIN: Final = User(name="admin", groups=("system:masters", _AUTHENTICATED))
ANONYMOUS: Final = User(name="system:anonymous", groups=("system:unauthenticated",))


def named_user(user: User | str) -> User:
    """Return a user known by name only: the administrator, or one without rights."""
    if isinstance(user, User):
        return user
    return ADMIN if user == ADMIN.name else User(name=user, groups=(_AUTHENTICATED,))


def service_account_user(namespace: str, name: str, uid: str = "") -> User:
    """Return the identity of a service account."""
    groups = (_SERVICE_ACCOUNTS, f"{_SERVICE_ACCOUNTS}:{namespace}", _AUTHENTICATED)
    return User(name=f"system:serviceaccount:{namespace}:{name}", groups=groups, uid=uid)


class Authenticator:
    """Knows every valid token."""

    def __init__(self, users: Mapping[str, User], clock: Callable[[], float]) -> None:
        self._static = {token.encode(): user for token, user in users.items()}
        self._issued: dict[bytes, tuple[User, float]] = {}
        self._clock = clock

    def token_of(self, name: str) -> str:
        """Return the token of a user known from the start.

        Raises:
            KeyError: there is no such user.
        """
        for token, user in self._static.items():
            if user.name == name:
                return token.decode()
        raise KeyError(name)

    def issue(self, user: User, seconds: float) -> str:
        """Make a token that is valid for a while."""
        now = self._clock()
        self._issued = {key: entry for key, entry in self._issued.items() if entry[1] > now}
        token = secrets.token_urlsafe(32)
        self._issued[token.encode()] = (user, now + seconds)
        return token

    def identify(self, headers: Mapping[str, str]) -> User:
        """Return who sends a request; nobody in particular without a token.

        Raises:
            ApiError: 401 for a token that is not valid.
        """
        header = headers.get("Authorization", "")
        if not header:
            return ANONYMOUS
        scheme, _, token = header.partition(" ")
        user = self.review(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise unauthorized()
        return user

    def review(self, token: str) -> User | None:
        """Return whose token it is. Every known one is compared, whichever matches."""
        sent = token.encode()
        found: User | None = None
        for known, user in self._static.items():
            if hmac.compare_digest(known, sent):
                found = user
        now = self._clock()
        for known, (user, end) in self._issued.items():
            if hmac.compare_digest(known, sent) and end > now:
                found = user
        return found


def impersonated(headers: Mapping[str, str], groups: Sequence[str]) -> User | None:
    """Return whom the caller wants to act as, if anybody.

    Args:
        headers: of the request.
        groups: the values of every ``Impersonate-Group`` header.
    """
    name = headers.get("Impersonate-User", "")
    if not name:
        return None
    parts = name.split(":")
    if len(parts) == 4 and parts[:2] == ["system", "serviceaccount"] and not groups:
        return service_account_user(parts[2], parts[3])
    wanted = tuple(dict.fromkeys((*groups, _AUTHENTICATED)))
    return User(name=name, groups=wanted)
