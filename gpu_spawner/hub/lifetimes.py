"""Stop servers that have run, or were unused, for as long as their profile allows.

Level-triggered: every so often each running server is judged by what is true now, so that nothing
is forgotten where the hub was away. A server is held to the rule that it was started under, or to
what its profile says by now where that is more generous; one of which the rule is not known is left
alone. When a server was started, and when it was last used, is JupyterHub's own bookkeeping, which
jupyterhub-idle-culler goes by as well.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from jupyterhub import orm
from jupyterhub.metrics import SERVER_STOP_DURATION_SECONDS, ServerStopStatus
from prometheus_client import Counter

from gpu_spawner.core.catalog.lifetime import Lifetime, Verdict
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.catalog.renames import current_names
from gpu_spawner.core.messages import gettext, sentences
from gpu_spawner.core.offers.expectation import ServerEnd
from gpu_spawner.core.wording import quoted, say_duration

__all__ = ["SERVERS_ENDED", "SETTLING_SECONDS", "Lifetimes", "RunningServer"]

SERVERS_ENDED: Final = Counter(
    "gpu_spawner_servers_ended",
    "Servers that were stopped because of their profile's max_lifetime or idle_timeout.",
)

SETTLING_SECONDS: Final = 600.0
"""After its start the hub does not know for so long who is active: servers tell it every 5 min."""
_ANY_MOMENT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, order=True)
class RunningServer:
    """A server that is to be stopped.

    Attributes:
        stops_at: Unix time, to the minute.
        name: of the server; empty for the default one.
        is_idle: whether using it puts that off.
        because: the rule, in a sentence.
    """

    stops_at: float
    name: str
    is_idle: bool
    because: str

    def words(self, now: float) -> str:
        """Say when it stops and why."""
        who = (
            gettext("The server {name}", name=quoted(self.name))
            if self.name
            else gettext("The default server")
        )
        return sentences(self._when(who, self.stops_at - now), self.because)

    def _when(self, who: str, left: float) -> str:
        if left < _ANY_MOMENT_SECONDS:
            if self.is_idle:
                return gettext("{who} runs, and stops at any moment unless it is used.", who=who)
            return gettext("{who} runs, and stops at any moment.", who=who)
        time = say_duration(left)
        if self.is_idle:
            return gettext("{who} runs, and stops in {time} unless it is used.", who=who, time=time)
        return gettext("{who} runs, and stops in {time}.", who=who, time=time)


class Lifetimes:
    """Looks after the running servers of one hub.

    Args:
        hub: JupyterHub's tornado settings: the database session, the users, the proxy.
        catalog: gives the present catalog.
        log: of the hub.
        warning_seconds: how long before its end a server is named in the log.
        clock: Unix time, in seconds.

    Attributes:
        on_ends: is told, after each look, when which servers are expected to be stopped.
    """

    def __init__(
        self,
        hub: Mapping[str, Any],
        catalog: Callable[[], Catalog],
        log: Any,
        *,
        warning_seconds: float = 600.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._hub: Final = hub
        self._catalog: Final = catalog
        self.log: Final = log
        self.on_ends: Callable[[tuple[ServerEnd, ...]], None] | None = None
        self._warning_seconds: Final = warning_seconds
        self._clock: Final = clock
        self._began: Final = clock()
        self._warned: set[tuple[str, str, str]] = set()

    async def run(self, period_seconds: float) -> None:
        """Look again and again, once the hub has started.

        A hub that starts gives running servers their routes, and ends itself where one of them is
        being stopped between its look and that.
        """
        await asyncio.wait({self._hub["app"]._start_future})  # noqa: SLF001 - nothing else tells it
        while True:
            await asyncio.sleep(period_seconds)
            try:
                await self.look()
            except Exception:
                # Whatever it was, servers must not run for ever because of it.
                self.log.exception("Could not look after the lifetimes of servers")

    async def look(self) -> None:
        """Judge every running server once, and stop those that are over."""
        over = []
        warned = set()
        ends: list[ServerEnd] = []
        for user, spawner in self._running():
            verdict = self._judge(spawner)
            if verdict is None:
                continue
            ends.extend(self._expected_end(spawner, verdict))
            if verdict.seconds_left <= 0:
                over.append(self._stop(user, spawner, verdict))
            elif verdict.seconds_left <= self._warning_seconds:
                warned.add((user.name, spawner.name, verdict.because))
                if (user.name, spawner.name, verdict.because) not in self._warned:
                    name = spawner._log_name  # noqa: SLF001 - what JupyterHub calls it in its log
                    left = say_duration(verdict.seconds_left)
                    self.log.info("%s is stopped in %s. %s", name, left, verdict.because)
        self._warned = warned
        if self.on_ends is not None:
            self.on_ends(tuple(sorted(ends)))
        await asyncio.gather(*over)

    def _expected_end(self, spawner: Any, verdict: Verdict) -> Iterator[ServerEnd]:
        """Yield when a server is expected to end; one that is used may go on being used."""
        pod = getattr(spawner, "namespace", ""), getattr(spawner, "pod_name", "")
        last_used = _unix(spawner.orm_spawner.last_activity)
        is_used = last_used is None or self._clock() - last_used < SETTLING_SECONDS
        if not all(pod) or (verdict.is_idle and is_used):
            return
        at = self._clock() + max(verdict.seconds_left, 0.0)
        # Whole minutes, so that nothing is told anew while nothing is new.
        yield ServerEnd(round(at / 60) * 60.0, pod, "idle" if verdict.is_idle else "lifetime")

    def of_user(self, user: Any) -> tuple["RunningServer", ...]:
        """Return the running servers of a user that are to be stopped, the soonest first."""
        now = self._clock()
        ruled = []
        for spawner in list(user.spawners.values()):
            verdict = self._judge(spawner, is_settled=True) if spawner.ready else None
            if verdict is not None:
                at = now + max(verdict.seconds_left, 0.0)
                if verdict.is_idle:  # nobody is called idle before that
                    at = max(at, self._began + SETTLING_SECONDS)
                # Whole minutes, so that nothing is told anew while nothing is new.
                at = round(at / 60) * 60.0
                ruled.append(RunningServer(at, spawner.name, verdict.is_idle, verdict.because))
        return tuple(sorted(ruled))

    def _running(self) -> Iterator[tuple[Any, Any]]:
        """Yield the servers that run and that nothing is being done with, with their users."""
        query = self._hub["db"].query(orm.Spawner).filter(orm.Spawner.server_id.isnot(None))
        for orm_spawner in query.all():
            user = self._hub["users"].get(orm_spawner.user)
            spawner = user.spawners.get(orm_spawner.name) if user is not None else None
            if spawner is not None and spawner.ready and not spawner.pending:
                yield user, spawner

    def _judge(self, spawner: Any, *, is_settled: bool = False) -> Verdict | None:
        rule = self._rule(spawner)
        started = _unix(spawner.orm_spawner.started)
        if rule is None or started is None:
            return None
        now = self._clock()
        last_used = _unix(spawner.orm_spawner.last_activity) or started
        if not is_settled and now - self._began < SETTLING_SECONDS:
            rule = Lifetime(max_seconds=rule.max_seconds)
        return rule.judge(ran_seconds=now - started, idle_seconds=now - last_used)

    def _rule(self, spawner: Any) -> Lifetime | None:
        promised: Lifetime | None = getattr(spawner, "lifetime", None)
        catalog = self._catalog()
        options = current_names(catalog, spawner.user_options or {})
        profile = catalog.profile(str(options.get("profile")))
        if promised is None or profile is None:
            return promised
        return promised.or_longer(profile.lifetime)

    async def _stop(self, user: Any, spawner: Any, verdict: Verdict) -> None:
        """Stop a server as JupyterHub's own handlers do: this is a stop, not a failure."""
        name, log_name = spawner.name, spawner._log_name  # noqa: SLF001 - as above
        self.log.warning("Stopping %s. %s", log_name, verdict.because)
        spawner._stop_pending = True  # noqa: SLF001 - nobody else may begin anything with it now
        began = time.monotonic()
        status = ServerStopStatus.failure
        try:
            await self._hub["proxy"].delete_user(user, name)
            await user.stop(name)
            status = ServerStopStatus.success
        except Exception:
            # It is running still, so that it is tried again when one looks next.
            self.log.exception("Could not stop %s", log_name)
        finally:
            spawner._stop_pending = False  # noqa: SLF001 - as JupyterHub itself does
            elapsed = time.monotonic() - began
            SERVER_STOP_DURATION_SECONDS.labels(status=status).observe(elapsed)
        if status == ServerStopStatus.success:
            SERVERS_ENDED.inc()


def _unix(moment: datetime | None) -> float | None:
    """Return Unix time; the database keeps moments in UTC, without saying so."""
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
