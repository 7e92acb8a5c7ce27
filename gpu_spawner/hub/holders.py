"""Which servers of this hub run or start, and what each holds.

JupyterHub knows every server, whatever the cluster shows: a limit counts by this. A server is
written down at the moment it is told yes, with no ``await`` between the counting and that, so that
ten starts at once are judged one after another. What ran before the hub's own start is read from
its database once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from jupyterhub import orm

from gpu_spawner.core.catalog.access import without_access_rules
from gpu_spawner.core.catalog.holdings import WHOLE_GPU_MILLI, Holding, holding_of
from gpu_spawner.core.catalog.limits import Held
from gpu_spawner.core.catalog.model import Catalog, Selection
from gpu_spawner.core.catalog.options import parse_options
from gpu_spawner.core.errors import OptionError

__all__ = ["Holders", "ServerKey"]

ServerKey = tuple[str, str]
"""A user's name, and the name of the server; the default server's is empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    groups: frozenset[str]
    options: Mapping[str, Any]


class Holders:
    """The servers that hold something.

    Args:
        db: the hub's database session; None where there is no hub.
    """

    def __init__(self, db: Any = None) -> None:
        self._db: Final = db
        self._servers: dict[ServerKey, _Server] = {}
        self._from_before = frozenset(_running(db))

    def add(self, key: ServerKey, groups: Iterable[str], selection: Selection) -> None:
        """Write down a server that was told yes."""
        options = selection.as_user_options()
        self._servers[key] = _Server(groups=frozenset(groups), options=options)

    def remove(self, key: ServerKey) -> None:
        """Forget a server that stopped, or never came to be."""
        self._servers.pop(key, None)
        self._from_before -= {key}

    def held(self, catalog: Catalog) -> dict[ServerKey, Held]:
        """Return what every server holds, as the catalog counts it now."""
        servers = dict(self._servers)
        if self._from_before:
            running = _running(self._db)
            # One that stopped while nobody looked is gone for good.
            self._from_before &= running.keys()
            servers = {key: running[key] for key in self._from_before} | servers
        return {key: _held(key[0], server, catalog) for key, server in servers.items()}


def _running(db: Any) -> dict[ServerKey, _Server]:
    if db is None:
        return {}
    spawners = db.query(orm.Spawner).filter(orm.Spawner.server_id.isnot(None))
    return {
        (spawner.user.name, spawner.name): _Server(
            groups=frozenset(group.name for group in spawner.user.groups),
            options=spawner.user_options or {},
        )
        for spawner in spawners
    }


def _held(username: str, server: _Server, catalog: Catalog) -> Held:
    try:
        selection = parse_options(without_access_rules(catalog), server.options, groups=())
    except OptionError:
        # Its profile is gone from the catalog; what it was started with still tells the number.
        profile, count = server.options.get("profile"), server.options.get("count")
        return Held(
            username=username,
            groups=server.groups,
            profile=profile if isinstance(profile, str) else "",
            holding=Holding(
                gpu_milli=WHOLE_GPU_MILLI * count if isinstance(count, int) else 0, servers=1
            ),
        )
    return Held(
        username=username,
        groups=server.groups,
        profile=selection.profile,
        holding=holding_of(catalog, selection.choice),
    )
