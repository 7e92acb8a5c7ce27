"""Why a node has no seat for a pod, and how many it has.

Decides nothing: these are the answers of ``fitting`` and of the rules beside it.
"""

from enum import StrEnum

import msgspec

__all__ = ["NodeSeats", "Reason", "Rejection"]


class Reason(StrEnum):
    """Why a node has no seat (more) for a pod, in the order in which the rules are asked."""

    GATED = "gated"
    CORDONED = "cordoned"
    WRONG_NODE_NAME = "wrong node name"
    NOT_READY = "not ready"
    TAINT = "taint"
    SELECTOR = "selector"
    ARCHITECTURE = "architecture"
    DRIVER = "driver"
    PORT = "port"
    INSUFFICIENT = "insufficient"
    CARD_SHARE = "card share"
    ANTI_AFFINITY = "anti-affinity"
    REPELLED = "repelled"
    CLAIM = "claim"
    DEVICES = "devices"


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why a node has no seat (more).

    Attributes:
        reason: which rule refuses.
        detail: the facts, in a few words: the taint, the label, the amounts.
        resource: which resource is short (``pods`` included), or which device class is missing;
            empty for other reasons.
        short_by: by how much, in the units of :mod:`gpu_spawner.core.resources`; else 0.
        is_permanent: whether it would refuse even if every pod left the node.
        words: what the scheduler says, where it has more than one way to put a reason.
    """

    reason: Reason
    detail: str = ""
    resource: str = ""
    short_by: int = 0
    is_permanent: bool = True
    words: str = ""


class NodeSeats(msgspec.Struct, frozen=True, kw_only=True):
    """What one node offers a request.

    Attributes:
        free: how many such pods would fit now.
        total: how many if the node, otherwise as it is now, held no pods.
        rejections: everything that keeps the next such pod out, in the order of the reasons.
    """

    free: int
    total: int
    rejections: tuple[Rejection, ...]
