"""The checker: which expressions are selectors, by the rules of the API server.

Decides nothing itself: Google's CEL library parses an expression, expands its macros and checks
its types against the declarations below, which are those of the environment in which Kubernetes
1.36 checks device selectors. The checked tree is evaluated by :mod:`~.evaluation`, because the
library can carry neither versions nor quantities as values and has no maps with a default.
Source: k8s.io/apiserver ``pkg/cel/environment/base.go`` and ``pkg/cel/library``, cel-go ``ext``,
k8s.io/dynamic-resource-allocation ``cel/compile.go``.
"""

from functools import cache

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_optional

from gpu_spawner.core.devices.cel.tree import Tree, read_tree

__all__ = ["CheckError", "OutcomeError", "check", "matches_pattern", "parse_only"]

_VARIABLES = {
    "device.driver": "string",
    "device.allowMultipleAllocations": "bool",
    "device.attributes": "map<string,map<string,any>>",
    "device.capacity": "map<string,map<string,kubernetes.Quantity>>",
}

# Kubernetes compares numbers of different types; the library's own operators do not.
_ORDERED = ("bool", "string", "bytes", "timestamp", "duration")
_NUMBERS = ("int", "uint", "double")
_ORDER_OPERATORS = ("_<_", "_<=_", "_>_", "_>=_")

_LOCATED = "ERROR: <input>:"
_TOO_DEEP = "Exceeded max recursion depth"  # of 32; Kubernetes reads 250

_Q, _V = "kubernetes.Quantity", "kubernetes.Semver"
_COMPARABLE = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_SUMMABLE = ("int", "uint", "double", "duration")

_FUNCTIONS: dict[str, list[tuple[str, str]]] = {
    "quantity": [("quantity(string)", _Q)],
    "isQuantity": [("isQuantity(string)", "bool")],
    "sign": [(f"sign({_Q})", "int")],
    "isGreaterThan": [(f"{t}.isGreaterThan({t})", "bool") for t in (_Q, _V)],
    "isLessThan": [(f"{t}.isLessThan({t})", "bool") for t in (_Q, _V)],
    "compareTo": [(f"{t}.compareTo({t})", "int") for t in (_Q, _V)],
    "asApproximateFloat": [(f"{_Q}.asApproximateFloat()", "double")],
    "asInteger": [(f"{_Q}.asInteger()", "int")],
    "isInteger": [(f"{_Q}.isInteger()", "bool")],
    "add": [(f"{_Q}.add({_Q})", _Q), (f"{_Q}.add(int)", _Q)],
    "sub": [(f"{_Q}.sub({_Q})", _Q), (f"{_Q}.sub(int)", _Q)],
    "semver": [("semver(string)", _V), ("semver(string,bool)", _V)],
    "isSemver": [("isSemver(string)", "bool"), ("isSemver(string,bool)", "bool")],
    "major": [(f"{_V}.major()", "int")],
    "minor": [(f"{_V}.minor()", "int")],
    "patch": [(f"{_V}.patch()", "int")],
    "charAt": [("string.charAt(int)", "string")],
    "indexOf": [
        ("string.indexOf(string)", "int"),
        ("string.indexOf(string,int)", "int"),
        ("list<~A>.indexOf(~A)", "int"),
    ],
    "lastIndexOf": [
        ("string.lastIndexOf(string)", "int"),
        ("string.lastIndexOf(string,int)", "int"),
        ("list<~A>.lastIndexOf(~A)", "int"),
    ],
    "lowerAscii": [("string.lowerAscii()", "string")],
    "upperAscii": [("string.upperAscii()", "string")],
    "replace": [
        ("string.replace(string,string)", "string"),
        ("string.replace(string,string,int)", "string"),
    ],
    "split": [
        ("string.split(string)", "list<string>"),
        ("string.split(string,int)", "list<string>"),
    ],
    "substring": [("string.substring(int)", "string"), ("string.substring(int,int)", "string")],
    "trim": [("string.trim()", "string")],
    "join": [("list<string>.join()", "string"), ("list<string>.join(string)", "string")],
    "includes": [("dyn.includes(dyn)", "bool")],
    "isSorted": [(f"list<{t}>.isSorted()", "bool") for t in _COMPARABLE],
    "min": [(f"list<{t}>.min()", t) for t in _COMPARABLE],
    "max": [(f"list<{t}>.max()", t) for t in _COMPARABLE],
    "sum": [(f"list<{t}>.sum()", t) for t in _SUMMABLE],
    "slice": [("list<~A>.slice(int,int)", "list<~A>")],
    "reverse": [("list<~A>.reverse()", "list<~A>")],
    "flatten": [("list<list<~A>>.flatten()", "list<~A>")],
    "distinct": [("list<~A>.distinct()", "list<~A>")],
    "sort": [(f"list<{t}>.sort()", f"list<{t}>") for t in _COMPARABLE],
    "lists.range": [(r"lists\\.range(int)", "list<int>")],
    "sets.contains": [(r"sets\\.contains(list<~T>,list<~T>)", "bool")],
    "sets.equivalent": [(r"sets\\.equivalent(list<~T>,list<~T>)", "bool")],
    "sets.intersects": [(r"sets\\.intersects(list<~T>,list<~T>)", "bool")],
}


class CheckError(Exception):
    """The expression is refused; the message is one line.

    Attributes:
        report: all that the library says, as the API server's compiler does: each error with its
            place and the line it is in; empty where it was not the library that refused.
    """

    def __init__(self, message: str, report: str = "") -> None:
        super().__init__(message)
        self.report = report


class OutcomeError(CheckError):
    """The expression is fine, but no selector: ``outcome`` is the type it gives."""

    def __init__(self, outcome: str) -> None:
        super().__init__(f"it gives {outcome}, a selector gives a bool")
        self.outcome = outcome


def check(expression: str) -> tuple[Tree, str]:
    """Parse and check an expression; return its tree and the type of its outcome.

    Raises:
        CheckError: it does not parse or its types do not fit.
        ValueError: it is nested deeper than the library reads.
    """
    tree = _read(expression, is_checked=True)
    return tree, tree.type_of(tree.root)


def parse_only(expression: str) -> Tree:
    """Parse an expression without checking it: the tree has no types.

    Raises:
        CheckError: it does not parse.
        ValueError: it is nested deeper than the library reads.
    """
    return _read(expression, is_checked=False)


def _read(expression: str, *, is_checked: bool) -> Tree:
    try:
        compiled = _environment().compile(expression, disable_check=not is_checked)
        return read_tree(compiled.serialize())
    except RuntimeError as error:
        report = str(error).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
        first = report.partition("\n")[0].removeprefix(_LOCATED).strip()
        if _TOO_DEEP in first or not report.startswith(_LOCATED):
            raise ValueError("it is nested deeper than we read") from None
        raise CheckError(first, report) from None


def matches_pattern(text: str, pattern: str) -> bool | None:
    """Search a text for a regular expression (RE2 syntax); None where that is not one."""
    found = _matcher().eval(data={"text": text, "pattern": pattern})
    return bool(found.value()) if found.type() == cel.Type.BOOL else None


@cache
def _environment() -> cel.Env:
    return cel.NewEnv(
        config=cel.NewEnvConfigFromYaml(_declarations()),
        extensions=[ext_bindings.ExtBindings(), ext_optional.ExtOptional()],
    )


@cache
def _matcher() -> cel.Expression:
    text = cel.Type.STRING
    return cel.NewEnv(variables={"text": text, "pattern": text}).compile("text.matches(pattern)")


def _declarations() -> str:
    """Write the environment in the library's configuration format."""
    lines = ["stdlib:", "  exclude_functions:"]
    lines += [f'    - name: "{operator}"' for operator in _ORDER_OPERATORS]
    lines += ["variables:"]
    for name, written in _VARIABLES.items():
        lines += [f'  - name: "{name}"', f'    type: "{written}"']
    lines += ["functions:"]
    pairs = [(kind, kind) for kind in _ORDERED] + [(a, b) for a in _NUMBERS for b in _NUMBERS]
    for operator in _ORDER_OPERATORS:
        escaped = operator.replace("<", r"\\<").replace(">", r"\\>")
        overloads = [(f"{escaped}({left},{right})", "bool") for left, right in pairs]
        lines += _function(operator, overloads)
    for name, overloads in _FUNCTIONS.items():
        lines += _function(name, overloads)
    return "\n".join(lines)


def _function(name: str, overloads: list[tuple[str, str]]) -> list[str]:
    lines = [f'  - name: "{name}"', "    overloads:"]
    for position, (signature, result) in enumerate(overloads):
        lines += [
            f'      - id: "{name}_{position}"',
            f'        signature: "{signature}"',
            f'        return: "{result}"',
        ]
    return lines
