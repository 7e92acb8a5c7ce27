"""The preloader inside the hub: its settings, and the site's part of every pod."""

import asyncio
from types import SimpleNamespace
from typing import Any, Final

from gpu_spawner.core.catalog.site_pod import SitePod
from gpu_spawner.core.preload.durations import PullTimes
from gpu_spawner.core.preload.policy import Policy
from gpu_spawner.core.preload.readiness import Readiness
from gpu_spawner.hub.connection import connect
from gpu_spawner.hub.known import Known
from gpu_spawner.hub.settings import HubSettings
from gpu_spawner.hub.site import site_pod
from gpu_spawner.preload.options import PreloadOptions
from gpu_spawner.preload.service import Preloader

__all__ = [
    "Preloading",
    "preload_options",
    "site_of_hub",
    "site_of_spawner",
]

_PULL_SECRETS: Final = "image_pull_secrets"
_RETRY_SECONDS: Final = 30.0
_LONGEST_WAIT_SECONDS: Final = 60.0


class Preloading:
    """The hub's preloader, and what it knows.

    Attributes:
        readiness: which images are where, and how long pulls take.
    """

    def __init__(self, settings: HubSettings) -> None:
        self._settings = settings
        self._preloader: Preloader | None = None
        self._nothing = Readiness(times=PullTimes(settings.pull_bytes_per_second))

    @property
    def readiness(self) -> Readiness:
        """What is known now; nothing before it runs."""
        return self._preloader.readiness if self._preloader is not None else self._nothing

    def catalog_changed(self) -> None:
        """Plan again soon."""
        if self._preloader is not None:
            self._preloader.poke()

    async def run(self, live: Known) -> None:
        """Preload for as long as the hub runs; where that fails, begin again after a while."""
        settings = self._settings
        await live.wait_first_reading(_LONGEST_WAIT_SECONDS)
        while settings.watch_cluster and live.watcher is None:
            # Planning without the nodes is for those who may not see them, not for a bad moment.
            await live.wait_for_change(live.serial, timeout_seconds=_RETRY_SECONDS)
        while True:
            try:
                client = await connect(settings)
                async with client:
                    site = site_of_hub(settings)
                    self._preloader = Preloader(
                        preload_options(settings),
                        catalog=lambda: live.catalog,
                        site=lambda: site,  # noqa: B023 - configuration does not change
                        watcher=live.watcher,
                        log=settings.log,
                        on_change=live.announce,
                    )
                    await self._preloader.run(client)
                    return
            except Exception:
                # Whatever a client library raises for its files, or a bug: servers start without.
                settings.log.exception("Cannot preload images")
                await asyncio.sleep(_RETRY_SECONDS)


def preload_options(settings: Any) -> PreloadOptions:
    """Return the settings as the preloader takes them.

    Args:
        settings: ``HubSettings``, or a spawner.
    """
    return PreloadOptions(
        policy=Policy(
            is_on=settings.preload,
            namespace=settings.preload_namespace or settings.namespace,
            pulls_per_node=settings.preload_pulls_per_node,
            pulls_in_cluster=settings.preload_pulls_in_cluster,
            grace_seconds=settings.preload_grace_seconds,
            disk_share=settings.preload_disk_share,
            refreshes_tags=settings.preload_refresh_tags,
            resources=settings.preload_resources,
            priority_class=settings.preload_priority_class,
            pause_image=settings.preload_pause_image,
            helper_image=settings.preload_helper_image,
        ),
        strategy=settings.preload_strategy,
        owner=settings.preload_owner,
        release=settings.preload_release,
        is_dry_run=settings.preload_dry_run,
        is_observer=settings.preload_elsewhere,
        extra_images={
            reference: tuple(slugs) for reference, slugs in settings.preload_extra_images.items()
        },
        pull_bytes_per_second=settings.pull_bytes_per_second,
    )


def site_of_spawner(spawner: Any) -> SitePod:
    """Return what every server gets, with the credentials for its images."""
    return site_pod(spawner, spawner.site_setting, [_PULL_SECRETS])


def site_of_hub(settings: HubSettings) -> SitePod:
    """Return the same before there is any spawner: from one that belongs to nobody.

    What a site's hooks set for single users is not in it.
    """
    user = SimpleNamespace(name="nobody", id=0, url="/user/nobody/", settings={}, groups=[])
    hub = SimpleNamespace(public_host="", url="/hub/", base_url="/hub/", api_url="/hub/api")
    # _mock: KubeSpawner's word for a spawner that is not a hub's.
    spawner = settings.spawner_class(config=settings.hub_config, user=user, hub=hub, _mock=True)
    return site_of_spawner(spawner)
