"""What the cluster offers the preloader: who owns its objects, and how images can be pulled."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.core.preload.policy import Policy, Strategy
from gpu_spawner.core.preload.puller_set import SetSpec, build_set
from gpu_spawner.core.preload.wishes import Wish
from gpu_spawner.kube.preload_api import OWNER_KINDS, PreloadApi
from gpu_spawner.preload.options import AUTO, PreloadOptions

__all__ = ["Surroundings", "parse_owner"]

_IMAGE_VOLUMES_FROM: Final = 35
"""The minor version from which image volumes are on by default (KEP-4639)."""

Log = logging.Logger | logging.LoggerAdapter[Any]


def parse_owner(text: str) -> tuple[str, str] | None:
    """Read ``kind/name``; None where that is not what it is.

    >>> parse_owner("Secret/hub"), parse_owner("hub")
    (('secret', 'hub'), None)
    """
    kind, slash, name = text.partition("/")
    if not slash or not name or kind.lower() not in OWNER_KINDS:
        return None
    return kind.lower(), name


class Surroundings:
    """Finds out, once, what depends on the cluster; a failure leaves it to be found out later."""

    def __init__(self, api: PreloadApi, options: PreloadOptions, log: Log) -> None:
        self._api = api
        self._options = options
        self._log = log
        self._owners: tuple[Mapping[str, Any], ...] | None = None
        self._strategy: Strategy | None = None

    async def policy(self, example: Wish | None) -> Policy:
        """Return the policy with owner and strategy.

        Args:
            example: a wish to try out on the API server what it accepts; None: there is none.

        Raises:
            ClusterError: the API server fails; nothing should be written before it answers.
        """
        if self._owners is None:
            self._owners = await self._find_owners()
        policy = replace(self._options.policy, owners=self._owners)
        if self._options.strategy != AUTO:
            return replace(policy, strategy=Strategy(self._options.strategy))
        if self._strategy is None and example is not None:
            self._strategy = await self._find_strategy(policy, example)
        return replace(policy, strategy=self._strategy or Strategy.HELPER)

    async def _find_owners(self) -> tuple[Mapping[str, Any], ...]:
        wanted = parse_owner(self._options.owner)
        if wanted is None:
            return ()
        try:
            found = await self._api.find_owner(*wanted)
        except ClusterError as error:
            if not error.is_forbidden:
                raise
            found = None
        if found is None:
            self._log.info(
                "preloading: %s was not found: the preloader's DaemonSets will not go with it",
                self._options.owner,
            )
            return ()
        return (found,)

    async def _find_strategy(self, policy: Policy, example: Wish) -> Strategy | None:
        """Take image volumes where the API server has them, and keeps them in a DaemonSet.

        None where nobody can tell yet: the right to try it is missing, or a rule of the site
        forbids it. Then the helper is used until the answer is another.
        """
        strategy = Strategy.HELPER
        if await self._api.server_minor() >= _IMAGE_VOLUMES_FROM:
            spec = SetSpec(wish=example, hosts=frozenset())
            trial = build_set(spec, replace(policy, strategy=Strategy.VOLUME))
            trial["metadata"]["name"] += "-trial"
            try:
                if _has_image_volume(await self._api.keeps(trial)):
                    strategy = Strategy.VOLUME
            except ClusterError as error:
                if error.status == 403:
                    return None
                if error.status not in (400, 422):
                    raise
        self._log.info("preloading: images are pulled by %s", strategy)
        return strategy


def _has_image_volume(kept: Mapping[str, Any]) -> bool:
    try:
        volumes = kept["spec"]["template"]["spec"]["volumes"]
        return any((volume.get("image") or {}).get("reference") for volume in volumes)
    except (KeyError, TypeError, AttributeError):
        return False
