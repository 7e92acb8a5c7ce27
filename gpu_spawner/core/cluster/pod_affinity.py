"""Required anti-affinity between pods: who keeps whom away, and from which nodes.

Decides whether a term applies to a pod. The scheduler also knows required affinity ("only where
such a pod runs"); that one is not evaluated here and makes the number of seats unknown.
Source: pkg/scheduler/framework/plugins/interpodaffinity (1.36).
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from gpu_spawner.core.cluster.selectors import LabelSelector, Requirement
from gpu_spawner.core.cluster.wire import (
    WireAffinity,
    WireLabelSelector,
    WirePodAffinityTerm,
    WireRequirement,
)

__all__ = [
    "AntiAffinityTerm",
    "anti_affinity_from_raw",
    "anti_affinity_terms",
    "label_selector",
    "requirements",
]

_NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"  # set on every namespace by the API server
_CACHE_LIMIT: Final = 10_000
_NOTHING: Final = frozenset({b"", b"null", b"{}"})


class AntiAffinityTerm(msgspec.Struct, frozen=True, kw_only=True):
    """A required anti-affinity term: pods it selects may not share a topology domain.

    Attributes:
        selector: which pods; None selects none.
        namespaces: where these pods live; empty together with an absent ``namespace_selector``
            means the namespace of the pod that has the term.
        namespace_selector: which namespaces besides, by label; None for none.
        topology_key: the node label whose equal values make one domain.
    """

    selector: LabelSelector | None
    namespaces: tuple[str, ...] = ()
    namespace_selector: LabelSelector | None = None
    topology_key: str = ""

    def selects(
        self, labels: Mapping[str, str], namespace: str, *, own_namespace: str
    ) -> bool | None:
        """Tell whether a pod is one of those the term keeps away.

        Returns:
            None where it depends on labels of a namespace, which nobody here has read.
        """
        if self.selector is None or not self.selector.matches(labels):
            return False
        if namespace in self.namespaces:
            return True
        if self.namespace_selector is None:
            return not self.namespaces and namespace == own_namespace
        if self.namespace_selector.keys <= {_NAMESPACE_NAME}:
            return self.namespace_selector.matches({_NAMESPACE_NAME: namespace})
        return None


_decode_affinity = msgspec.json.Decoder(WireAffinity).decode
_terms_by_text: dict[bytes, tuple[AntiAffinityTerm, ...]] = {}


def anti_affinity_from_raw(raw: bytes) -> tuple[AntiAffinityTerm, ...]:
    """Parse ``spec.affinity`` as it was sent; equal texts share their terms.

    Raises:
        msgspec.ValidationError: it has not the shape of an affinity.
    """
    if raw in _NOTHING:
        return ()
    found = _terms_by_text.get(raw)
    if found is None:
        if len(_terms_by_text) >= _CACHE_LIMIT:
            _terms_by_text.clear()
        found = _terms_by_text[raw] = anti_affinity_terms(_decode_affinity(raw))
    return found


def anti_affinity_terms(affinity: WireAffinity | None) -> tuple[AntiAffinityTerm, ...]:
    """Return the required anti-affinity terms of an affinity."""
    if affinity is None or affinity.pod_anti_affinity is None:
        return ()
    return tuple(_term(term) for term in affinity.pod_anti_affinity.required or ())


def label_selector(wire: WireLabelSelector | None) -> LabelSelector | None:
    """Return a label selector as decisions use it; None selects nothing."""
    if wire is None:
        return None
    return LabelSelector(
        match_labels=tuple(sorted((wire.match_labels or {}).items())),
        match_expressions=requirements(wire.match_expressions),
    )


def requirements(wires: list[WireRequirement] | None) -> tuple[Requirement, ...]:
    """Return requirements as decisions use them."""
    return tuple(
        Requirement(
            key=wire.key or "", operator=wire.operator or "", values=tuple(wire.values or ())
        )
        for wire in wires or ()
    )


def _term(wire: WirePodAffinityTerm) -> AntiAffinityTerm:
    return AntiAffinityTerm(
        selector=label_selector(wire.label_selector),
        namespaces=tuple(wire.namespaces or ()),
        namespace_selector=label_selector(wire.namespace_selector),
        topology_key=wire.topology_key or "",
    )
