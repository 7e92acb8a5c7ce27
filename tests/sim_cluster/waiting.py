"""Wait for a condition with a deadline, for what nothing can notify us of (files, processes)."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

__all__ = ["until"]


async def until(
    condition: Callable[[], object | Awaitable[object]], what: str, seconds: float = 30
) -> None:
    """Return once ``condition`` holds; fail naming ``what`` when it has not after ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                holds = condition()
                if inspect.isawaitable(holds):
                    holds = await holds
                if holds:
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"after {seconds} s still not so: {what}") from None
