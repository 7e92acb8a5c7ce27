"""The API server that tests use instead of the embedded one, where somebody named one.

``GPU_SPAWNER_KUBECONFIG`` is the kubeconfig of an administrator. Only nodes and kubelets are
simulated then; tests that need to reach into the API server, or to misuse it, are skipped.
"""

import os
from pathlib import Path

import pytest

__all__ = ["KUBECONFIG", "embedded_only"]

KUBECONFIG: Path | None = (
    Path(named).absolute() if (named := os.environ.get("GPU_SPAWNER_KUBECONFIG")) else None
)
"""None: the embedded API server."""


def embedded_only(reason: str) -> pytest.MarkDecorator:
    """Mark tests that only the embedded cluster can serve, and say why."""
    return pytest.mark.skipif(KUBECONFIG is not None, reason=reason)
