"""What spoils the requests of a hub: at random, one after another, or by killing it.

Each is a hook of the embedded API server, and spares everybody but the hub.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from running_hub import RunningHub

from gpu_spawner.sim.apiserver.api_errors import ApiError
from gpu_spawner.sim.apiserver.faults import Fault, RequestFacts


class Weather:
    """Spoils a part of the hub's requests, in a repeatable order; counts what it did.

    Every kind of fault has its turn.

    Attributes:
        share: of the requests, from 0 to 1.
        counts: of faults, by what they were.
    """

    def __init__(self, username: str, seed: int) -> None:
        self.share = 0.0
        self._username = username
        self._dice = random.Random(seed)
        self._lock = threading.Lock()
        self._faults: dict[str, Callable[[], Fault]] = {
            "dropped": lambda: Fault(drops_connection=True),
            "late": lambda: Fault(delay_seconds=4.0),
            "never answered": lambda: Fault(never_answers=True),
            "answer lost": lambda: Fault(loses_answer=True),
            **{
                str(error.code): partial(Fault, error=error)
                for error in (
                    ApiError(410, "Expired", "too old resource version", {}),
                    ApiError(429, "TooManyRequests", "slow down", {"retryAfterSeconds": 1}),
                    ApiError(500, "InternalError", "oops", {}),
                    ApiError(503, "ServiceUnavailable", "later", {}),
                )
            },
        }
        of_both = ("dropped", "never answered", "410", "429", "500", "503")
        self._watch_faults: dict[str, Callable[[], Fault]] = {
            **{f"watch {name}": self._faults[name] for name in of_both},
            "watch cut": lambda: Fault(cuts_watch_after=self._dice.randrange(1, 4)),
            "watch frames lost": lambda: Fault(spoils_watch=self._lose),
            "watch frames in another order": lambda: Fault(spoils_watch=lambda sent: sent[::-1]),
        }
        self.counts = Counter(dict.fromkeys((*self._faults, *self._watch_faults), 0))

    @property
    def total(self) -> int:
        """How many faults there were."""
        return sum(self.counts.values())

    def _lose(self, frames: list[bytes]) -> list[bytes]:
        return [frame for frame in frames if self._dice.random() < 0.7]

    def __call__(self, facts: RequestFacts) -> Fault | None:
        if facts.user != self._username or not facts.resource:
            return None
        with self._lock:
            if self._dice.random() >= self.share:
                return None
            kinds = self._watch_faults if facts.verb == "watch" else self._faults
            fewest = min(self.counts[name] for name in kinds)
            name = self._dice.choice([name for name in kinds if self.counts[name] == fewest])
            self.counts[name] += 1
            return kinds[name]()


class InTurn:
    """Spoils the first requests of a hub for each of some kinds, with one fault after another.

    Attributes:
        met: how many were spoilt, by kind.
    """

    def __init__(self, username: str, verb: str, kinds: set[str], faults: Sequence[Fault]) -> None:
        self.met: Counter[str] = Counter()
        self._username = username
        self._verb = verb
        self._kinds = kinds
        self._faults = faults

    def __call__(self, facts: RequestFacts) -> Fault | None:
        kind = facts.resource
        if facts.user != self._username or facts.verb != self._verb or kind not in self._kinds:
            return None
        if self.met[kind] == len(self._faults):
            return None
        self.met[kind] += 1
        return self._faults[self.met[kind] - 1]


OF_SERVERS = frozenset({"persistentvolumeclaims", "pods", "resourceclaimtemplates"})


def step_of(facts: RequestFacts) -> str:
    """Name what a hub asks for on behalf of a server; nothing for what it does all the time."""
    if facts.verb in ("list", "watch") or facts.resource not in OF_SERVERS:
        return ""
    return f"{facts.verb} {facts.resource}"


class Killer:
    """Kills a hub at the first request of a kind, before it is carried out or after."""

    def __init__(self, username: str, hub: RunningHub, step: str, *, before: bool) -> None:
        self.has_killed = threading.Event()
        self._username = username
        self._hub = hub
        self._step = step
        self._before = before

    def __call__(self, facts: RequestFacts) -> Fault | None:
        if facts.user != self._username or self.has_killed.is_set():
            return None
        if step_of(facts) != self._step:
            return None
        self._hub.process.kill()
        self._hub.process.wait(timeout=20)
        self.has_killed.set()
        # The request itself has arrived; nobody waits for the answer.
        return Fault(drops_connection=True) if self._before else None
