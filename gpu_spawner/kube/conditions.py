"""What is followed, and the words for how that goes.

To follow one more kind of object: a line in ``KINDS``, and a reader in ``core.cluster.decoding``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gpu_spawner.core.messages import gettext

__all__ = ["KINDS", "WITHDRAWN_BY_STATUS", "Condition", "ReflectorStatus", "WatchedKind"]


class Condition(StrEnum):
    """How the following of one kind goes."""

    STARTING = "starting"
    """Nothing was heard yet."""
    FOLLOWING = "following"
    """Listed, and the watch was accepted."""
    FAILING = "failing"
    """Calls fail. What was known before stays good until it is too old."""
    FORBIDDEN = "forbidden"
    """The hub lacks the right. Asked again now and then."""
    NOT_SERVED = "not-served"
    """The API server has no such kind. Asked again now and then."""


WITHDRAWN_BY_STATUS = {403: Condition.FORBIDDEN, 404: Condition.NOT_SERVED}
"""The answers that say that a kind is not, or no longer, ours to know, by HTTP status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedKind:
    """A kind of object, in the whole cluster or in one namespace.

    Attributes:
        name: the plural, as in RBAC rules and in ``Snapshot.unknown``.
        path: where the API server lists it. What offers are counted from is listed across
            namespaces, without a fallback to the hub's own: GPUs held by pods of other namespaces
            would look free.
        query: selectors, for a part of the objects there.
        form: which reader of ``core.cluster.decoding`` they are read by; empty for ``name``.
        namespace: where they are; empty for the whole cluster.
        is_optional: whether a cluster that does not serve it simply has none.
    """

    name: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    form: str = ""
    namespace: str = ""
    is_optional: bool = False

    @property
    def reader(self) -> str:
        """The name of the reader of ``core.cluster.decoding``."""
        return self.form or self.name

    def why_unknown(self, condition: Condition) -> str:
        """Say for people why nothing is known of this kind under a withdrawn condition."""
        if condition is Condition.NOT_SERVED:
            return gettext("the cluster does not serve {path}", path=self.path)
        if self.namespace:
            return gettext(
                "the hub may not read {kind} in the namespace {namespace}",
                kind=self.name,
                namespace=self.namespace,
            )
        return gettext("the hub may not read {kind} in the whole cluster", kind=self.name)


KINDS = (
    WatchedKind(name="nodes", path="/api/v1/nodes"),
    WatchedKind(name="pods", path="/api/v1/pods"),
    *[
        WatchedKind(name=name, path=f"/apis/resource.k8s.io/v1/{name}", is_optional=True)
        for name in (
            "resourceslices",
            "deviceclasses",
            "resourceclaims",
            "resourceclaimtemplates",
            "devicetaintrules",
        )
    ],
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectorStatus:
    """How the following of one kind goes, for an admin's page and the metrics.

    Attributes:
        kind: the plural.
        condition: in one word.
        reason: the last failure, empty while all is well.
        age_seconds: how old what is held has become (``Freshness``); ``None``: nothing is held.
        is_stale: older than allowed, so that decisions treat the kind as unknown.
        lists: how often the whole was listed.
        watches: how often a watch was asked for.
        events: how many changes were taken from watches.
        failures: how many calls failed, ever; to find that the cluster does not serve an optional
            kind is no failure.
    """

    kind: str
    condition: Condition
    reason: str
    age_seconds: float | None
    is_stale: bool
    lists: int
    watches: int
    events: int
    failures: int

    @property
    def is_known(self) -> bool:
        """Whether decisions may rely on this kind."""
        return self.age_seconds is not None and not self.is_stale
