"""What claims want, made ready for the allocator: classes found, selectors compiled.

Decides which devices a wish selects. Selectors are asked once for all devices that look the same
to them: names like ``uuid`` differ on every device, and no selector that does not ask for them can
tell two such devices apart.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from gpu_spawner.core.cluster.claim_objects import ClaimSpec, Constraint, DeviceWish
from gpu_spawner.core.cluster.device_classes import DeviceClass
from gpu_spawner.core.devices.cel import (
    Selector,
    SelectorError,
    SelectorRuntimeError,
    SelectorUnsupportedError,
    compile_selector,
)
from gpu_spawner.core.devices.pools import Candidate, NodePool, facts_of
from gpu_spawner.core.errors import GpuSpawnerError

__all__ = [
    "CannotTellError",
    "ClaimPlan",
    "ClaimToAllocate",
    "DevicePlan",
    "FatalError",
    "MissingClassError",
    "RequestPlan",
    "WishPlan",
    "plan_claims",
]

_INTERN_LIMIT: Final = 100_000
_kinds: dict[Any, int] = {}
_last_kind = [0]


class FatalError(GpuSpawnerError):
    """Something is wrong with a claim or a class: the scheduler gives up on the pod everywhere."""


class MissingClassError(FatalError):
    """A class that a request names does not exist.

    Attributes:
        class_name: the class.
    """

    def __init__(self, request: str, class_name: str) -> None:
        super().__init__(f"request {request}: device class {class_name} does not exist")
        self.class_name: Final = class_name


class CannotTellError(GpuSpawnerError):
    """Whether devices can be allocated cannot be known here."""


class ClaimToAllocate(msgspec.Struct, frozen=True, kw_only=True):
    """A claim that holds nothing yet.

    Attributes:
        name: by which the pod knows it.
        label: what errors call it.
        spec: what it wants.
    """

    name: str
    label: str
    spec: ClaimSpec


class WishPlan:
    """A wish with its class and its selectors, and what they said of which kind of device.

    Attributes:
        request: the name of the request.
        alternative: the name of the alternative; empty where there is only one wish.
        capacity: how much of which capacity, in billionths.
    """

    __slots__ = (
        "_names",
        "_selectors",
        "_verdicts",
        "alternative",
        "capacity",
        "cls",
        "request",
        "wish",
    )

    def __init__(
        self, claim: str, request: str, alternative: str, wish: DeviceWish, cls: DeviceClass
    ) -> None:
        self.request: Final = request
        self.alternative: Final = alternative
        self.wish: Final = wish
        self.cls: Final = cls
        self.capacity: Final = dict(wish.capacity)
        self._selectors: Final = [
            *[(f"class {cls.name}: selector #{i}", text) for i, text in enumerate(cls.selectors)],
            *[(f"claim {claim}: selector #{i}", text) for i, text in enumerate(wish.selectors)],
        ]
        self._names: Final = _names_in(text for _, text in self._selectors)
        self._verdicts: dict[int, bool | GpuSpawnerError] = {}

    @property
    def names(self) -> frozenset[str] | None:
        """The attributes and capacities its selectors may look at; None for any."""
        return self._names

    @property
    def full_name(self) -> str:
        """The request, with the alternative where there are several."""
        return f"{self.request}/{self.alternative}" if self.alternative else self.request

    def selects(self, candidate: Candidate) -> bool:
        """Tell whether class and request select a device that can be used from the node.

        Raises:
            FatalError: a selector fails on this device.
            CannotTellError: a selector cannot be evaluated here.
        """
        kind = look(candidate, self._names)
        verdict = self._verdicts.get(kind)
        if verdict is None:
            verdict = self._verdicts[kind] = self._evaluate(candidate)
        if isinstance(verdict, GpuSpawnerError):
            raise verdict
        return verdict and candidate.is_usable

    def _evaluate(self, candidate: Candidate) -> bool | GpuSpawnerError:
        facts = facts_of(candidate)
        for where, text in self._selectors:
            try:
                if not _compiled(text).matches(facts):
                    return False
            except SelectorUnsupportedError as error:
                return CannotTellError(f"{where}: {error}")
            except SelectorRuntimeError as error:
                return FatalError(f"{where}: CEL runtime error: {error}")
            except SelectorError as error:
                return FatalError(f"{where}: CEL compile error: {error}")
        return True


class RequestPlan:
    """One request: its wishes, in the order in which they are tried."""

    __slots__ = ("has_alternatives", "name", "wishes")

    def __init__(self, name: str, wishes: Sequence[WishPlan], *, has_alternatives: bool) -> None:
        self.name: Final = name
        self.wishes: Final = tuple(wishes)
        self.has_alternatives: Final = has_alternatives


class ClaimPlan:
    """One claim: its requests and the conditions over their devices."""

    __slots__ = ("claim", "constraints", "requests")

    def __init__(self, claim: ClaimToAllocate, requests: Sequence[RequestPlan]) -> None:
        self.claim: Final = claim
        self.requests: Final = tuple(requests)
        self.constraints: Final[tuple[Constraint, ...]] = claim.spec.constraints


class DevicePlan:
    """The claims of a pod, ready for the allocator; equal only to itself.

    Attributes:
        names: attributes and capacities that can make a difference; None for any.
    """

    __slots__ = ("claims", "names")

    def __init__(self, claims: Sequence[ClaimPlan]) -> None:
        self.claims: Final = tuple(claims)
        names: set[str] | None = set()
        for claim in claims:
            for wish in [wish for request in claim.requests for wish in request.wishes]:
                names = None if names is None or wish.names is None else names | wish.names
            for entry in claim.constraints:
                if names is not None:
                    names.add(entry.match_attribute or entry.distinct_attribute)
        self.names: Final = frozenset(names) if names is not None else None

    def kind_of(self, pool: NodePool) -> int:
        """Return a number; pools with one number look the same to these claims."""
        kind = pool.kinds.get(self.names)
        if kind is None:
            kind = pool.kinds[self.names] = _number(
                (
                    pool.trouble,
                    tuple([self.kind_of_device(found) for found in pool.candidates]),
                    tuple(
                        [(name, *sorted(found.items())) for name, found in pool.counters.items()]
                    ),
                    pool.bystanders,
                )
            )
        return kind

    def kind_of_device(self, candidate: Candidate) -> int:
        """Return a number; devices with one number look the same to these claims."""
        device = candidate.device
        return _number(
            (
                look(candidate, self.names),
                candidate.is_usable,
                device.capacity,
                device.taints,
                device.consumes,
                device.is_shareable,
            )
        )


def plan_claims(
    claims: Iterable[ClaimToAllocate], classes: Mapping[str, DeviceClass]
) -> DevicePlan:
    """Find the classes of claims.

    Raises:
        FatalError: a class does not exist, or a request is of a kind that is not known.
    """
    return DevicePlan([_plan_claim(claim, classes) for claim in claims])


def look(candidate: Candidate, names: frozenset[str] | None) -> int:
    """Return a number; devices with one number are alike to who asks for these names only."""
    kind = candidate.kinds.get(names)
    if kind is None:
        facts = facts_of(candidate)
        kind = candidate.kinds[names] = _number(
            (
                facts.driver,
                facts.allow_multiple_allocations,
                # The type too: True equals 1 in Python.
                tuple(
                    [
                        (name, type(value), value)
                        for name, value in facts.attributes
                        if names is None or name in names
                    ]
                ),
                tuple(
                    [
                        (name, amount)
                        for name, amount in facts.capacity
                        if names is None or name in names
                    ]
                ),
            )
        )
    return kind


def _number(looks: object) -> int:
    kind = _kinds.get(looks)
    if kind is None:
        if len(_kinds) >= _INTERN_LIMIT:
            _kinds.clear()
        _last_kind[0] += 1
        kind = _kinds[looks] = _last_kind[0]
    return kind


def _plan_claim(claim: ClaimToAllocate, classes: Mapping[str, DeviceClass]) -> ClaimPlan:
    requests = []
    for request in claim.spec.requests:
        wishes = request.alternatives if request.exactly is None else (request.exactly,)
        if not wishes:
            raise FatalError(
                f"resource claim {claim.label}, request {request.name}: unknown request type"
            )
        has_alternatives = request.exactly is None
        plans = []
        for wish in wishes:
            alternative = wish.name if has_alternatives else ""
            cls = classes.get(wish.class_name)
            if cls is None:
                name = f"{request.name}/{alternative}" if alternative else request.name
                raise MissingClassError(name, wish.class_name)
            plans.append(WishPlan(claim.label, request.name, alternative, wish, cls))
        requests.append(RequestPlan(request.name, plans, has_alternatives=has_alternatives))
    return ClaimPlan(claim, requests)


def _names_in(texts: Iterable[str]) -> frozenset[str] | None:
    names: frozenset[str] = frozenset()
    for text in texts:
        try:
            found = _compiled(text).names
        except (SelectorError, SelectorUnsupportedError):
            return None
        if found is None:
            return None
        names |= found
    return names


_selectors: dict[str, Selector | SelectorError | SelectorUnsupportedError] = {}
_SELECTOR_LIMIT: Final = 2048


def _compiled(text: str) -> Selector:
    """Return a compiled selector, compiled once for all that use it.

    Raises:
        SelectorError: it does not compile.
        SelectorUnsupportedError: it may be fine, but cannot be evaluated here.
    """
    found = _selectors.get(text)
    if found is None:
        if len(_selectors) >= _SELECTOR_LIMIT:
            _selectors.clear()
        try:
            found = compile_selector(text)
        except (SelectorError, SelectorUnsupportedError) as error:
            found = error
        _selectors[text] = found
    if not isinstance(found, Selector):
        raise found
    return found
