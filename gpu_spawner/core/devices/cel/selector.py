"""A device selector: which devices an expression wants.

Decides whether a device matches, as the scheduler of Kubernetes 1.36 does, or says that it cannot
be told. Three outcomes are kept apart: the expression is wrong (the API server would refuse it),
it fails on a device (the scheduler gives up on the pod), it is beyond what we evaluate.
Source: k8s.io/dynamic-resource-allocation ``cel/compile.go``.
"""

from functools import lru_cache
from typing import Any

from gpu_spawner.core.devices.cel.amounts import amount_of_capacity
from gpu_spawner.core.devices.cel.checking import CheckError, OutcomeError, check, parse_only
from gpu_spawner.core.devices.cel.evaluation import Evaluate, Unserved, evaluator
from gpu_spawner.core.devices.cel.reads import names_read
from gpu_spawner.core.devices.cel.review import review, tests_device, unserved_name
from gpu_spawner.core.devices.cel.values import (
    BeyondUs,
    DomainMap,
    EvaluationError,
    EvaluationPanicError,
)
from gpu_spawner.core.devices.cel.versions import parse_version
from gpu_spawner.core.devices.facts import DeviceFacts, SemanticVersion
from gpu_spawner.core.errors import GpuSpawnerError

__all__ = [
    "Selector",
    "SelectorError",
    "SelectorRuntimeError",
    "SelectorUnsupportedError",
    "compile_selector",
]

_LONGEST_BYTES = 10 * 1024
_VARIABLES = frozenset(
    {"device.driver", "device.allowMultipleAllocations", "device.attributes", "device.capacity"}
)


class SelectorError(GpuSpawnerError):
    """The expression is no selector: the API server would refuse it.

    Attributes:
        outcome: the type of what it gives, where that is no bool and nothing else is wrong.
        report: what the compiler says, each error with its place; may be empty.
    """

    def __init__(self, message: str, *, outcome: str = "", report: str = "") -> None:
        super().__init__(message)
        self.outcome = outcome
        self.report = report


class SelectorRuntimeError(GpuSpawnerError):
    """The expression fails on a device: the scheduler would give up on the pod."""


class SelectorUnsupportedError(GpuSpawnerError):
    """What the expression says cannot be told here: what depends on it is unknown."""


class Selector:
    """A compiled expression; equal expressions give the same object.

    Attributes:
        expression: as it was written.
        names: the fully qualified names of the attributes and capacities it can look at; None
            where it may look at any.
    """

    __slots__ = ("_evaluate", "expression", "names")

    def __init__(self, expression: str, evaluate: Evaluate, names: frozenset[str] | None) -> None:
        self.expression = expression
        self.names = names
        self._evaluate = evaluate

    def __repr__(self) -> str:
        return f"Selector({self.expression!r})"

    def matches(self, device: DeviceFacts) -> bool:
        """Tell whether the device is wanted.

        Raises:
            SelectorRuntimeError: the expression fails on this device.
            SelectorUnsupportedError: the outcome on this device cannot be told.
        """
        try:
            outcome = self._evaluate(_scope_of(device))
        except (EvaluationError, EvaluationPanicError) as error:
            raise SelectorRuntimeError(str(error)) from None
        except (BeyondUs, RecursionError) as error:
            raise SelectorUnsupportedError(f"the selector cannot be evaluated: {error}") from None
        if not isinstance(outcome, bool):
            raise SelectorRuntimeError("the expression gives no boolean on this device")
        return outcome


@lru_cache(maxsize=2048)
def compile_selector(expression: str) -> Selector:
    """Compile a selector; the result is cached.

    Raises:
        SelectorError: the API server would refuse the expression.
        SelectorUnsupportedError: it may be fine, but we cannot evaluate it.
    """
    try:
        if len(expression.encode()) > _LONGEST_BYTES:
            raise SelectorError("the expression is longer than 10 KiB")
        return _compiled(expression)
    except (CheckError, EvaluationError) as error:
        outcome = error.outcome if isinstance(error, OutcomeError) else ""
        message = f"the expression is not a selector: {error}"
        report = error.report if isinstance(error, CheckError) else ""
        raise SelectorError(message, outcome=outcome, report=report) from None
    except UnicodeEncodeError:
        raise SelectorError("the expression has half a character in it") from None
    except (Unserved, RecursionError, ValueError) as error:
        raise SelectorUnsupportedError(f"the selector cannot be evaluated: {error}") from None


def _compiled(expression: str) -> Selector:
    if "`" in expression:
        raise Unserved("it has a backquote, which newer versions read as a name")
    try:
        tree, outcome = check(expression)
    except CheckError as error:
        name = unserved_name(parse_only(expression), str(error))
        if name:
            raise Unserved(name) from None
        raise
    if "has" in expression and tests_device(parse_only(expression)):
        raise Unserved("it tests for a field of device")
    review(tree, outcome)
    return Selector(expression, evaluator(tree, _VARIABLES), names_read(tree.root))


def _scope_of(device: DeviceFacts) -> dict[str, Any]:
    attributes, capacity = DomainMap(), DomainMap()
    for name, value in device.attributes:
        domain, _, identifier = name.partition("/")
        attributes.setdefault(domain, {})[identifier] = (
            parse_version(value.text) if isinstance(value, SemanticVersion) else value
        )
    for name, nano in device.capacity:
        domain, _, identifier = name.partition("/")
        capacity.setdefault(domain, {})[identifier] = amount_of_capacity(nano)
    return {
        "device.driver": device.driver,
        "device.allowMultipleAllocations": device.allow_multiple_allocations,
        "device.attributes": attributes,
        "device.capacity": capacity,
    }
