"""What is counted as starts go by, on the hub's own ``/hub/metrics``.

Labels come from the catalog, never from what a user sent, so that their number is bounded.
"""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

__all__ = [
    "CLAIM_TEMPLATES_COLLECTED",
    "CLAIM_TEMPLATES_MADE",
    "STARTS_FAILED",
    "STARTS_REFUSED",
    "STARTS_UNDER_WAY",
    "START_SECONDS",
    "WAIT_SECONDS",
    "image_label",
]

_BUCKETS: Final = (2.5, 5, 10, 20, 30, 60, 120, 180, 300, 600, 900, 1800, 3600)
"""Seconds. A start with the image on the node takes under 20; a cold one some minutes."""

STARTS_REFUSED: Final = Counter(
    "gpu_spawner_starts_refused",
    "Starts that were refused before a pod was made, by reason (the label of JupyterHub's own "
    "spawn metric). An option that names no profile has an empty profile.",
    ["profile", "reason"],
)
STARTS_FAILED: Final = Counter(
    "gpu_spawner_starts_failed",
    "Starts that failed after their pod was made, by reason.",
    ["profile", "reason"],
)
STARTS_UNDER_WAY: Final = Gauge(
    "gpu_spawner_starts_under_way",
    "Starts that were told yes and are not over: waiting for a place, pulling, starting.",
    ["profile"],
)
START_SECONDS: Final = Histogram(
    "gpu_spawner_start_duration_seconds",
    "Time from the start to the running pod of starts that succeeded; image tells whether a node "
    "with room had the image already (warm), none had (cold), or nobody knew (unknown).",
    ["profile", "image"],
    buckets=_BUCKETS,
)
WAIT_SECONDS: Final = Histogram(
    "gpu_spawner_scheduling_wait_seconds",
    "Time a pod of a start that succeeded waited for its node.",
    ["profile"],
    buckets=(1, *_BUCKETS),
)
CLAIM_TEMPLATES_MADE: Final = Counter(
    "gpu_spawner_claim_templates_made", "ResourceClaimTemplates that the hub created."
)
CLAIM_TEMPLATES_COLLECTED: Final = Counter(
    "gpu_spawner_claim_templates_collected",
    "ResourceClaimTemplates that the hub deleted, because no server used them any more.",
)


def image_label(*, is_cold: bool | None) -> str:
    """Return the value of the label ``image``."""
    if is_cold is None:
        return "unknown"
    return "cold" if is_cold else "warm"
