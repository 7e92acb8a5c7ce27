"""What the cluster offers the preloader: who owns its objects, and how images can be pulled."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.preload.policy import Policy, Strategy
from gpu_spawner.core.preload.puller_set import SetSpec, build_set
from gpu_spawner.core.preload.wishes import Pool, Wish
from gpu_spawner.core.resources import EMPTY
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
    """Finds out what depends on the cluster; a failure leaves it to be found out later.

    The owner is looked for again from time to time, and whenever DaemonSets of ours have gone: one
    that is made anew under its old name owns nothing yet, and the cluster deletes at once what
    names the old one.

    Args:
        monotonic: seconds that only ever grow.
    """

    def __init__(
        self,
        api: PreloadApi,
        options: PreloadOptions,
        log: Log,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._options = options
        self._log = log
        self._monotonic = monotonic
        self._owners: tuple[Mapping[str, Any], ...] | None = None
        self._owners_at = 0.0
        self._strategy: Strategy | None = None
        self._tried_at: float | None = None

    def forget_owners(self) -> None:
        """Look for the owner again before anything is written."""
        self._owners_at = -math.inf

    async def policy(self) -> Policy:
        """Return the policy with owner and strategy.

        Raises:
            ClusterError: the API server fails; nothing should be written before it answers.
        """
        now = self._monotonic()
        if self._owners is None or now - self._owners_at >= self._options.resync_seconds:
            owners = await self._find_owners()
            if not owners and owners != self._owners and parse_owner(self._options.owner):
                self._log.info(
                    "preloading: %s was not found: the preloader's DaemonSets will not go with it",
                    self._options.owner,
                )
            self._owners, self._owners_at = owners, now
        policy = replace(self._options.policy, owners=self._owners)
        if self._options.strategy != AUTO:
            return replace(policy, strategy=Strategy(self._options.strategy))
        if self._strategy is None and self._may_try(now):
            self._strategy, self._tried_at = await self._find_strategy(policy), now
        return replace(policy, strategy=self._strategy or Strategy.HELPER)

    def _may_try(self, now: float) -> bool:
        return self._tried_at is None or now - self._tried_at >= self._options.forbidden_seconds

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
        return () if found is None else (found,)

    async def _find_strategy(self, policy: Policy) -> Strategy | None:
        """Take image volumes where the API server has them, and keeps them in a DaemonSet.

        What is tried holds the image that holds all others, so that no rule about one of the site's
        images decides for the rest. None where nobody can tell yet: the right to try it is missing,
        or a rule of the site forbids it. Then the helper is used until the answer is another.
        """
        strategy = Strategy.HELPER
        if await self._api.server_minor() >= _IMAGE_VOLUMES_FROM:
            rules = PodRequest(requests=EMPTY)
            pool = Pool(rules=rules, requests=(), release=self._options.release)
            wish = Wish(image=policy.pause_image, pool=pool, profiles=())
            spec = SetSpec(wish=wish, hosts=frozenset())
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
