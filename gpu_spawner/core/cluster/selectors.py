"""Labels, node selectors, node affinity, taints and tolerations, as kube-scheduler 1.36 reads them.

Decides whether a selector matches labels and whether tolerations cover a taint. What a requirement
that the API would not accept does (it matches nothing) follows
k8s.io/component-helpers ``scheduling/corev1/nodeaffinity`` and k8s.io/apimachinery ``pkg/labels``.
It knows nothing of pods or capacity.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

__all__ = [
    "NO_EXECUTE",
    "NO_SCHEDULE",
    "PREFER_NO_SCHEDULE",
    "LabelSelector",
    "NodeSelectorTerm",
    "Requirement",
    "Taint",
    "Toleration",
    "matches_any_term",
    "tolerates",
    "untolerated_taints",
]

NO_SCHEDULE: Final = "NoSchedule"
NO_EXECUTE: Final = "NoExecute"
PREFER_NO_SCHEDULE: Final = "PreferNoSchedule"

_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?", re.ASCII)
_LABEL_KEY = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?",
    re.ASCII,
)
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_INT64_MAX = 2**63 - 1


class Requirement(msgspec.Struct, frozen=True, kw_only=True):
    """One ``matchExpressions`` or ``matchFields`` entry."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def is_valid_for_labels(self) -> bool:
        """Tell whether the scheduler would accept it; a term with one it would not matches nothing.

        See ``NewRequirement`` in k8s.io/apimachinery ``pkg/labels``.
        """
        match self.operator:
            case "In" | "NotIn":
                shape = bool(self.values)
            case "Exists" | "DoesNotExist":
                shape = not self.values
            case "Gt" | "Lt":
                shape = len(self.values) == 1 and _parse_int64(self.values[0]) is not None
            case _:
                shape = False
        return (
            shape
            and _LABEL_KEY.fullmatch(self.key) is not None
            and all(_LABEL_VALUE.fullmatch(value) for value in self.values)
        )

    def matches_labels(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels satisfy this requirement, which must be valid."""
        found = labels.get(self.key)
        match self.operator:
            case "In":
                return found is not None and found in self.values
            case "NotIn":
                return found is None or found not in self.values
            case "Exists":
                return found is not None
            case "DoesNotExist":
                return found is None
            case _:
                return found is not None and _compares(self.operator, found, self.values[0])

    def matches_name(self, node_name: str) -> bool:
        """Tell whether a node's name satisfies this ``matchFields`` entry.

        Only ``metadata.name`` with ``In`` or ``NotIn`` and exactly one value is understood; a field
        other than the name is empty on every node.
        """
        if len(self.values) != 1:
            return False
        found = node_name if self.key == "metadata.name" else ""
        match self.operator:
            case "In":
                return found == self.values[0]
            case "NotIn":
                return found != self.values[0]
            case _:
                return False


class NodeSelectorTerm(msgspec.Struct, frozen=True, kw_only=True):
    """One term of a node affinity: all requirements must hold; an empty one matches nothing."""

    match_expressions: tuple[Requirement, ...] = ()
    match_fields: tuple[Requirement, ...] = ()

    def matches(self, node_name: str, labels: Mapping[str, str]) -> bool:
        """Tell whether a node satisfies every requirement of this term."""
        if not self.match_expressions and not self.match_fields:
            return False
        return all(
            requirement.is_valid_for_labels() and requirement.matches_labels(labels)
            for requirement in self.match_expressions
        ) and all(requirement.matches_name(node_name) for requirement in self.match_fields)


class LabelSelector(msgspec.Struct, frozen=True, kw_only=True):
    """A selector over pods or namespaces; an empty one matches everything."""

    match_labels: tuple[tuple[str, str], ...] = ()
    match_expressions: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels satisfy the selector."""
        return all(labels.get(key) == value for key, value in self.match_labels) and all(
            requirement.is_valid_for_labels() and requirement.matches_labels(labels)
            for requirement in self.match_expressions
        )

    @property
    def keys(self) -> frozenset[str]:
        """The label keys that decide whether it matches."""
        return frozenset(key for key, _ in self.match_labels) | frozenset(
            requirement.key for requirement in self.match_expressions
        )


class Taint(msgspec.Struct, frozen=True, kw_only=True):
    """A taint of a node."""

    key: str
    value: str = ""
    effect: str = NO_SCHEDULE

    @property
    def repels(self) -> bool:
        """Whether it keeps pods away; ``PreferNoSchedule`` only discourages."""
        return self.effect in (NO_SCHEDULE, NO_EXECUTE)

    def __str__(self) -> str:
        """Read as ``kubectl taint`` writes it."""
        return (
            f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"
        )


class Toleration(msgspec.Struct, frozen=True, kw_only=True):
    """A toleration of a pod; empty fields mean "any", as in the API."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""

    def tolerates(self, taint: Taint) -> bool:
        """Tell whether this toleration covers a taint.

        ``Gt`` and ``Lt`` compare integers where the cluster has
        ``TaintTolerationComparisonOperators`` (KEP-5471); a cluster without it refuses such pods.
        """
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        match self.operator:
            case "" | "Equal":
                return self.value == taint.value
            case "Exists":
                return True
            case "Gt" | "Lt":
                return _compares(self.operator, taint.value, self.value)
            case _:
                return False


def matches_any_term(
    terms: Iterable[NodeSelectorTerm], node_name: str, labels: Mapping[str, str]
) -> bool:
    """Tell whether a node satisfies at least one term; no terms at all match nothing."""
    return any(term.matches(node_name, labels) for term in terms)


def tolerates(tolerations: Iterable[Toleration], taint: Taint) -> bool:
    """Tell whether any toleration covers a taint."""
    return any(toleration.tolerates(taint) for toleration in tolerations)


def untolerated_taints(
    taints: Iterable[Taint], tolerations: Iterable[Toleration]
) -> tuple[Taint, ...]:
    """Return the taints that keep a pod with these tolerations away."""
    tolerations = tuple(tolerations)
    return tuple(taint for taint in taints if taint.repels and not tolerates(tolerations, taint))


def _compares(operator: str, found: str, wanted: str) -> bool:
    left, right = _parse_int64(found), _parse_int64(wanted)
    if left is None or right is None:
        return False
    return left > right if operator == "Gt" else left < right


def _parse_int64(text: str) -> int | None:
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if -_INT64_MAX - 1 <= number <= _INT64_MAX else None
