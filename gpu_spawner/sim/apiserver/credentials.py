"""The secrets of one embedded cluster: the administrator's token and the key that signs others.

They live as long as the cluster: a client's token is good after the server was restarted.
"""

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["Credentials", "load_or_create_credentials"]

_FILE: Final = "credentials.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What only this cluster knows; not shown when printed.

    Attributes:
        admin_token: the bearer token of the administrator.
        signing_key: of the tokens of service accounts.
    """

    admin_token: str = field(repr=False)
    signing_key: bytes = field(repr=False)


def load_or_create_credentials(directory: Path | None) -> Credentials:
    """Return the secrets kept in a directory, or new ones that are kept there if there is one."""
    path = directory / _FILE if directory is not None else None
    if path is not None and path.exists():
        return msgspec.json.decode(path.read_bytes(), type=Credentials)
    created = Credentials(
        admin_token=secrets.token_urlsafe(24), signing_key=secrets.token_bytes(32)
    )
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(created))
    return created
