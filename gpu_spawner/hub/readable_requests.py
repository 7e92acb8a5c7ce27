"""The spawn page's requests, refused where they cannot be read as text.

JupyterHub decodes the query and the fields of a form as UTF-8 before it asks a spawner for
anything, and answers what is not with 500.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from jupyterhub.handlers.pages import SpawnHandler
from tornado import web

from gpu_spawner.core.messages import gettext
from gpu_spawner.hub.reader import in_readers_language

__all__ = ["SPAWN_PATHS", "ReadableSpawnHandler"]

SPAWN_PATHS: Final = ("/spawn", "/spawn/([^/]+)", "/spawn/([^/]+)/([^/]+)")
"""Where JupyterHub has its handler, below the hub's prefix."""


class _UnreadableError(web.HTTPError):
    """What was sent is no text."""

    def __init__(self) -> None:
        self.sentence = gettext("What was chosen cannot be read: it is not UTF-8 text.")
        super().__init__(400, self.sentence)

    @property
    def jupyterhub_message(self) -> str:
        """The sentence as JupyterHub's page of an error shows it."""
        return in_readers_language(self.sentence)


class ReadableSpawnHandler(SpawnHandler):
    """JupyterHub's handler of the spawn page; what is not text is answered with 400."""

    async def prepare(self) -> None:
        """Look at all that JupyterHub will decode."""
        await super().prepare()
        request = self.request
        if not (_is_text(request.query_arguments) and _is_text(request.body_arguments)):
            raise _UnreadableError


def _is_text(arguments: Mapping[str, Sequence[bytes]]) -> bool:
    try:
        for values in arguments.values():
            for value in values:
                value.decode()
    except UnicodeDecodeError:
        return False
    return True
