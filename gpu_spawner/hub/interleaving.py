"""Tell what is new while the next step of something is awaited."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

__all__ = ["with_news"]

_T = TypeVar("_T")


async def with_news(
    steps: AsyncGenerator[_T, Any], news: Callable[[], _T | None], pause_seconds: float
) -> AsyncGenerator[_T, None]:
    """Yield the steps as they come, and in the pauses between them what ``news`` says.

    The same news are told once in a row.

    Args:
        steps: whoever made it closes it.
        news: what is to be said now; None for nothing.
        pause_seconds: how long no step may come before the news are asked for.
    """
    upcoming: asyncio.Future[_T] | None = None
    told: _T | None = None
    try:
        while True:
            if upcoming is None:
                upcoming = asyncio.ensure_future(anext(steps))
            await asyncio.wait({upcoming}, timeout=pause_seconds)
            if upcoming.done():
                finished, upcoming = upcoming, None
                try:
                    step = finished.result()
                except StopAsyncIteration:
                    return
                yield step
            elif (now := news()) is not None and now != told:
                told = now
                yield now
    finally:
        if upcoming is not None:
            upcoming.cancel()
            await asyncio.wait({upcoming})
