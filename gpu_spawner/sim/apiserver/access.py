"""Who is calling: bearer tokens, service accounts, impersonation.

Tokens are compared in constant time and never written to a log. Those of service accounts are
signed statements, as in a real cluster: nothing has to be remembered to check one.
"""

import base64
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from gpu_spawner.sim.apiserver.api_errors import unauthorized

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """What the token of a service account states."""

    namespace: str
    name: str
    uid: str
    expires: float


class Authenticator:
    """Knows every valid token."""

    def __init__(
        self,
        users: Mapping[str, User],
        clock: Callable[[], float],
        signing_key: bytes,
        account_uid: Callable[[str, str], str],
    ) -> None:
        """Prepare to judge tokens.

        Args:
            users: by token, those known from the start.
            clock: unix seconds.
            signing_key: signs the tokens of service accounts.
            account_uid: gives the uid of the service account of a namespace and name, empty where
                there is none; a token is no longer good without the account it was issued for.
        """
        self._static = {token.encode(): user for token, user in users.items()}
        self._clock = clock
        self._key = signing_key
        self._account_uid = account_uid

    def token_of(self, name: str) -> str:
        """Return the token of a user known from the start.

        Raises:
            KeyError: there is no such user.
        """
        for token, user in self._static.items():
            if user.name == name:
                return token.decode()
        raise KeyError(name)

    def issue(self, namespace: str, name: str, uid: str, seconds: float) -> str:
        """Make a token for a service account that is valid for a while."""
        expires = self._clock() + seconds
        claim = _Claim(namespace=namespace, name=name, uid=uid, expires=expires)
        payload = _to_text(msgspec.json.encode(claim))
        return f"{payload}.{self._signature(payload)}"

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
        sent = _bytes(token)
        found: User | None = None
        for known, user in self._static.items():
            if hmac.compare_digest(known, sent):
                found = user
        return found or self._account_of(token)

    def _account_of(self, token: str) -> User | None:
        """Return the service account that a signed token belongs to."""
        payload, _, signature = token.rpartition(".")
        expected = self._signature(payload)
        if not hmac.compare_digest(_bytes(expected), _bytes(signature)):
            return None
        claim = msgspec.json.decode(_from_text(payload), type=_Claim)
        is_there = self._account_uid(claim.namespace, claim.name) == claim.uid
        if not is_there or claim.expires <= self._clock():
            return None
        return service_account_user(claim.namespace, claim.name, claim.uid)

    def _signature(self, payload: str) -> str:
        return _to_text(hmac.digest(self._key, _bytes(payload), "sha256"))


def _bytes(text: str) -> bytes:
    # A header may hold bytes that are no text.
    return text.encode(errors="surrogateescape")


def _to_text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _from_text(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


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
