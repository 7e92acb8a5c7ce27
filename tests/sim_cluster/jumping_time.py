"""A clock that jumps to the next timer: what only waits takes no time, and exactly as long.

For what has neither sockets nor processes, which would be left behind.
"""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any


class _Loop(asyncio.SelectorEventLoop):
    """An event loop in whose time nothing else ever happens."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Selector(self.jump))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds


class _Selector(selectors.DefaultSelector):
    """Lets the clock jump instead of waiting for files."""

    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout > 0:
            self._jump(timeout)
            timeout = 0
        return super().select(timeout)


def in_jumping_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an asynchronous test on such a clock; its fixtures must not be asynchronous."""

    @functools.wraps(test)
    def run(*arguments: Any, **fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=_Loop) as runner:
            runner.run(test(*arguments, **fixtures))

    return run
