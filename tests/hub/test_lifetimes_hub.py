"""Servers are stopped when their time is over, also where the hub was away; others never."""

import sqlite3
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from cluster_thread import ClusterThread
from hub_profiles import PROFILES, MakeHub
from other_process import wait_until
from page_examples import CATALOG

from gpu_spawner.core.catalog.lifetime import Lifetime
from gpu_spawner.core.offers.expectation import ServerEnd
from gpu_spawner.hub.lifetimes import SETTLING_SECONDS, Lifetimes

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(240)]

RULES = """
c.GPUSpawner.profiles["10-cpu"]["max_lifetime"] = "12h"
c.GPUSpawner.profiles["10-cpu"]["idle_timeout"] = "1h"
c.GPUSpawner.lifetime_check_seconds = 0.2
"""

SLOW_START = """
import asyncio
import quiet_proxy

class SlowProxy(quiet_proxy.QuietProxy):
    async def get_all_routes(self):
        await asyncio.sleep(1)
        return await super().get_all_routes()

c.JupyterHub.proxy_class = SlowProxy
"""
"""A hub that looks after the lifetimes of servers five times before it asks for their routes."""


class TestRealHub:
    def test_overstayed_servers_are_stopped_after_a_restart_too(
        self, make_hub: MakeHub, cluster: ClusterThread
    ) -> None:
        first = make_hub(PROFILES + RULES)
        first.start("ada", {"profile": "cpu"})
        first.start("grace", {"profile": "gpus", "count": 1})
        for user in ("ada", "grace"):
            wait_until(lambda user=user: first.user(user)["servers"][""]["ready"], "ready", 60)
        with first.progress("ada") as events:
            messages = [event.get("message", "") for event in events]
        assert any("ready" in message for message in messages)
        first.process.kill()
        first.process.wait()
        database = first.folder / "hub.sqlite"
        with sqlite3.connect(database) as connection:
            connection.execute("UPDATE spawners SET started = '2020-01-01 00:00:00.000000'")
        connection.close()
        again = f'c.JupyterHub.db_url = "sqlite:///{database}"\n'
        second = make_hub(PROFILES + RULES + SLOW_START + again)
        wait_until(lambda: not cluster.pods("ada"), "the server is stopped", 60)
        # JupyterHub does not survive it when a server begins to stop as it looks for its route.
        _, is_running, since = second.log().partition("JupyterHub is now running")
        assert is_running
        assert "Stopping ada. It may run for 12 h." in since
        assert second.user("grace")["servers"][""]["ready"]
        wait_until(
            lambda: "servers_ended_total 1.0" in second.rest("GET", "../metrics").text,
            "it is counted",
        )
        # It was a stop: the next start is as any other.
        assert second.start("ada", {"profile": "cpu"}).status_code in (201, 202)
        second.stop("ada")
        second.stop("grace")


class Clock:
    """The time, as a test sets it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Site:
    """One running server, with as much of a hub around it as is looked at."""

    def __init__(self, lifetime: Lifetime | None, profile: str = "cpu") -> None:
        self.clock = Clock()
        self.stopped: list[str] = []
        self.lines: list[str] = []
        moment = self._moment()
        row = SimpleNamespace(user="ada", name="", started=moment, last_activity=moment)
        self.spawner = SimpleNamespace(
            name="",
            _log_name="ada",
            ready=True,
            pending=None,
            lifetime=lifetime,
            namespace="jupyter",
            pod_name="jupyter-ada",
            user_options={"profile": profile},
            orm_spawner=row,
        )
        user = SimpleNamespace(name="ada", spawners={"": self.spawner}, stop=self._stop)
        query = SimpleNamespace(filter=lambda _: SimpleNamespace(all=lambda: [row]))
        hub: dict[str, Any] = {
            "db": SimpleNamespace(query=lambda _: query),
            "users": {"ada": user},
            "proxy": SimpleNamespace(delete_user=self._delete_route),
        }
        log = SimpleNamespace(info=self._log, warning=self._log, exception=self._log)
        self.lifetimes = Lifetimes(hub, lambda: CATALOG, log, clock=self.clock)

    def _moment(self) -> Any:
        return datetime.fromtimestamp(self.clock.now, UTC).replace(tzinfo=None)

    def use(self) -> None:
        self.spawner.orm_spawner.last_activity = self._moment()

    def _log(self, text: str, *values: Any) -> None:
        self.lines.append(text % values)

    async def _delete_route(self, user: Any, name: str) -> None:
        del user, name

    async def _stop(self, name: str) -> None:
        self.stopped.append(name)
        self.spawner.ready = False

    async def after(self, seconds: float) -> bool:
        """Let time pass, look, and tell whether the server was stopped."""
        self.clock.now += seconds
        await self.lifetimes.look()
        return bool(self.stopped)


HOUR = 3600.0


class TestRules:
    """With a clock of the test's own; the catalog's profile ``cpu`` itself has no rule."""

    async def test_lifetime_is_kept_whatever_the_use(self) -> None:
        site = Site(Lifetime(max_seconds=7200), profile="gone")
        assert not await site.after(7199)
        site.use()
        assert await site.after(1)

    async def test_use_puts_idleness_off(self) -> None:
        site = Site(Lifetime(idle_seconds=3600), profile="gone")
        assert not await site.after(HOUR - 1)
        site.use()
        assert not await site.after(HOUR - 1)
        assert await site.after(1)

    async def test_others_are_told_when_a_place_comes_free(self) -> None:
        """Of a server that is used nobody knows when it will be idle."""
        told: list[tuple[ServerEnd, ...]] = []
        site = Site(Lifetime(idle_seconds=3600, max_seconds=86400), profile="gone")
        site.lifetimes.on_ends = told.append
        began = site.clock.now
        pod = ("jupyter", "jupyter-ada")
        await site.after(700)
        site.use()
        await site.after(300)
        await site.after(400)
        site.use()
        await site.after(0)
        assert [[end.at - began for end in ends] for ends in told] == [
            [3600],
            [],
            [4320],
            [],
        ]
        await site.after(84600)
        assert told[-1] == (ServerEnd(told[-1][0].at, pod, "idle"),)

    async def test_one_warning_then_the_end(self) -> None:
        site = Site(Lifetime(max_seconds=7200), profile="gone")
        await site.after(7200 - 600)
        await site.after(60)
        assert site.lines == ["ada is stopped in 10 min. It may run for 2 h."]
        assert await site.after(600)
        assert site.lines[1:] == ["Stopping ada. It may run for 2 h."]

    async def test_a_profile_that_says_otherwise_now_keeps_it(self) -> None:
        assert not await Site(Lifetime(max_seconds=7200), profile="cpu").after(10**6)

    async def test_without_a_known_rule_it_is_left_alone(self) -> None:
        assert not await Site(None, profile="gone").after(10**9)
        assert not await Site(Lifetime(), profile="gone").after(10**9)

    async def test_what_is_pending_or_of_unknown_age_is_left_alone(self) -> None:
        site = Site(Lifetime(max_seconds=7200), profile="gone")
        site.spawner.pending = "stop"
        assert not await site.after(10**6)
        site = Site(Lifetime(max_seconds=7200), profile="gone")
        site.spawner.orm_spawner.started = None
        assert not await site.after(10**6)

    async def test_just_after_a_restart_nobody_is_called_idle(self) -> None:
        site = Site(Lifetime(idle_seconds=600, max_seconds=10**6), profile="gone")
        site.spawner.orm_spawner.started = site._moment().replace(year=2026)
        site.spawner.orm_spawner.last_activity = site.spawner.orm_spawner.started
        site.spawner.lifetime = Lifetime(idle_seconds=600)
        assert not await site.after(SETTLING_SECONDS - 1)
        assert await site.after(1)

    async def test_a_stop_that_fails_is_tried_again(self) -> None:
        site = Site(Lifetime(max_seconds=7200), profile="gone")
        real = site.lifetimes._hub["users"]["ada"].stop

        async def fail(name: str) -> None:
            raise RuntimeError(name)

        site.lifetimes._hub["users"]["ada"].stop = fail
        assert not await site.after(7200)
        site.lifetimes._hub["users"]["ada"].stop = real
        assert await site.after(1)
