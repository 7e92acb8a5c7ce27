"""How preloading goes, as plain values: for the inventory's JSON and the admins' page."""

from typing import Any

from gpu_spawner.core.preload.plan import Outlook
from gpu_spawner.core.preload.readiness import Readiness
from gpu_spawner.core.preload.report import pool_words, worth_telling

__all__ = ["preload_document"]


def preload_document(readiness: Readiness) -> dict[str, Any]:
    """Return the part ``preload`` of ``/hub/api/gpu-spawner/inventory``.

    ``images`` are those that are wanted, by pool of nodes, in the order in which they matter; times
    are Unix seconds, null where there is nothing to tell. ``unknown`` says why objects of the
    preloader cannot be read.
    """
    return {
        "images": [_image(outlook) for outlook in worth_telling(readiness.outlooks)],
        "unknown": dict(readiness.trouble),
    }


def _image(outlook: Outlook) -> dict[str, Any]:
    wish = outlook.wish
    places = (outlook.ready, outlook.pulling, outlook.waiting, outlook.paused)
    blocked = outlook.blocked.values()
    return {
        "image": wish.image,
        "profiles": list(wish.profiles),
        "pool": pool_words(wish.pool),
        "on_demand": wish.on_demand,
        "size_bytes": wish.size_bytes,
        "wanted": len({name for names in (*places, *blocked) for name in names}),
        "ready": list(outlook.ready),
        "pulling": list(outlook.pulling),
        "pulling_since": outlook.pulling_since or None,
        "waiting": list(outlook.waiting),
        "paused": list(outlook.paused),
        "blocked": [
            {"because": why, "nodes": list(names)} for why, names in outlook.blocked.items()
        ],
        "next_try": outlook.next_try or None,
        "versions": outlook.versions or 1,
    }
