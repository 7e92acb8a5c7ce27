"""Fixtures for the tests of the embedded API server."""

from collections.abc import AsyncIterator

import pytest
from api_caller import Api, serving


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """Run a new cluster, and call it as its administrator."""
    async with serving() as caller:
        yield caller
