"""The spawn page's requests, refused where they cannot be read as text.

JupyterHub decodes the query and the fields of a form as UTF-8 before it asks a spawner for
anything, and answers what is not with 500.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from jupyterhub.handlers.pages import SpawnHandler
from tornado import web

__all__ = ["SPAWN_PATHS", "ReadableSpawnHandler"]

SPAWN_PATHS: Final = ("/spawn", "/spawn/([^/]+)", "/spawn/([^/]+)/([^/]+)")
"""Where JupyterHub has its handler, below the hub's prefix."""


class ReadableSpawnHandler(SpawnHandler):
    """JupyterHub's handler of the spawn page; what is not text is answered with 400."""

    async def prepare(self) -> None:
        """Look at all that JupyterHub will decode."""
        await super().prepare()
        request = self.request
        if not (_is_text(request.query_arguments) and _is_text(request.body_arguments)):
            raise web.HTTPError(400, "What was chosen cannot be read: it is not UTF-8 text.")


def _is_text(arguments: Mapping[str, Sequence[bytes]]) -> bool:
    try:
        for values in arguments.values():
            for value in values:
                value.decode()
    except UnicodeDecodeError:
        return False
    return True
