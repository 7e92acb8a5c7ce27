"""The hash by which a DaemonSet's pods and revisions are named (``controller-revision-hash``).

Kubernetes hashes a pod template as its Go struct prints itself with every type spelled out, unset
fields included. Only a printout that agrees to the letter gives the hash a real cluster would show:
``data/go-pod-template.txt`` lists the structs of Kubernetes 1.36 with their fields in order. What
is printed how follows github.com/davecgh/go-spew, k8s.io/utils ``dump`` and k8s.io/apimachinery
``pkg/api/resource``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

__all__ = ["template_hash"]

# As generated names: no vowels, no look-alikes.
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_FNV_OFFSET: Final = 2166136261
_FNV_PRIME: Final = 16777619
_TEMPLATE: Final = "v1.PodTemplateSpec"
_ZERO_TIME: Final = "{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}"
_QUANTITY: Final = re.compile(r"(-?)([0-9]*)(?:\.([0-9]*))?([A-Za-z].*)?", re.ASCII)
_EXPONENT: Final = re.compile(r"[eE]([+-]?[0-9]+)", re.ASCII)
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
# Up to so many digits a quantity is a machine integer, beyond them a big one.
_MOST_DIGITS: Final = 18
_SMALLEST_SCALE: Final = -9
_LARGEST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """One field of a Go struct.

    Attributes:
        key: the field's name in JSON, in lower case; ``*`` where the struct is embedded.
        kind: the Go type, with its stars and brackets.
    """

    name: str
    key: str
    kind: str


def template_hash(template: Mapping[str, Any], collisions: int | None = None) -> str:
    """Return the hash of a pod template as the API server keeps it.

    Args:
        template: with its defaults.
        collisions: the DaemonSet's ``status.collisionCount``.
    """
    data = _struct(_TEMPLATE, template).encode()
    printed = f"({_TEMPLATE})".encode() + data
    if collisions is not None:
        printed += collisions.to_bytes(4, "little") + bytes(4)
    number = _FNV_OFFSET
    for byte in printed:
        number = ((number ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return "".join(_ALPHABET[ord(digit) % len(_ALPHABET)] for digit in str(number))


@cache
def _structs() -> dict[str, tuple[_Field, ...]]:
    path = resources.files("gpu_spawner.sim").joinpath("data/go-pod-template.txt")
    rows = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return {name: tuple(_read_field(text) for text in fields) for name, *fields in rows}


def _read_field(text: str) -> _Field:
    names, _, kind = text.partition(":")
    name, _, key = names.partition("=")
    return _Field(name=name, key=(key or name).lower(), kind=kind)


def _struct(name: str, value: Mapping[str, Any]) -> str:
    found = {key.lower(): item for key, item in value.items()}
    shown = []
    for field in _structs()[name]:
        inner = value if field.key == "*" else found.get(field.key)
        shown.append(f"{field.name}:{_typed(field.kind, inner)}")
    return f"{{{' '.join(shown)}}}"


def _typed(kind: str, value: Any) -> str:
    """Print a value of a field, with its type."""
    if kind.startswith("*"):
        return f"({kind})" + ("<nil>" if value is None else _plain(kind[1:], value))
    return f"({kind})" + _plain(kind, value)


def _plain(kind: str, value: Any) -> str:
    """Print a value whose type has been told."""
    if kind.startswith("[]"):
        return f"[{' '.join(_plain(kind[2:], item) for item in value)}]" if value else "<nil>"
    if kind.startswith("map["):
        return _map(value, "string")
    if kind in _structs():
        return _struct(kind, value or {})
    return _SCALARS.get(kind, _text)(value)


def _map(value: Mapping[str, Any] | None, kind: str) -> str:
    if not value:
        return "<nil>"
    ordered = sorted(value.items(), key=lambda item: item[0].encode())
    return f"map[{' '.join(f'{key}:{_plain(kind, item)}' for key, item in ordered)}]"


def _number_or_text(value: int | str | None) -> str:
    is_text = isinstance(value, str)
    number, text = (0, value) if is_text else (value or 0, "")
    return f"{{Type:(intstr.Type){int(is_text)} IntVal:(int32){number} StrVal:(string){text}}}"


def _text(value: str | None) -> str:
    return value or ""


def _integer(value: int | None) -> str:
    return str(value or 0)


def _truth(value: bool | None) -> str:  # noqa: FBT001  a value of the template, no switch
    return "true" if value else "false"


def _time(value: object) -> str:
    # A template that dates itself gets the hash of one that does not.
    del value
    return _ZERO_TIME


def _quantity(value: str | None) -> str:
    """Print a quantity that is spelled canonically, as Kubernetes has parsed it."""
    if value is None:
        return _amount(0, 0, "", "")
    text = str(value)
    if text == "0":
        return _amount(0, 0, "0", "DecimalSI")
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity")
    sign, whole, fraction, suffix = match[1], match[2].lstrip("0"), match[3] or "", match[4] or ""
    digits = whole + fraction
    number = int(digits or "0")
    negative = -1 if sign else 1
    if suffix in _BINARY:
        return _binary(text, negative * number, digits, fraction, _BINARY[suffix])
    exponent = _EXPONENT.fullmatch(suffix)
    form = "DecimalExponent" if exponent else "DecimalSI"
    scale = (int(exponent[1]) if exponent else _DECIMAL.get(suffix, 18)) - len(fraction)
    if len(digits) > _MOST_DIGITS or scale < _SMALLEST_SCALE:
        return _big(negative * _at_nano_scale(number, scale), form)
    is_canonical = scale % 3 == 0 and not digits.endswith("000") and not digits.startswith("0")
    return _amount(negative * number, scale, text if is_canonical else "", form)


def _binary(text: str, number: int, digits: str, fraction: str, bits: int) -> str:
    value = number << bits
    precision = 15 - len(digits) - bits * 3 // 10 - 1
    if precision < 0 or fraction or abs(value) > _LARGEST:
        return _big(min(value, _LARGEST) * 10**9, "BinarySI")
    return _amount(value, 0, text if number & 7 else "", "BinarySI")


def _at_nano_scale(number: int, scale: int) -> int:
    """Return a decimal in billionths, rounded away from zero."""
    shift = scale - _SMALLEST_SCALE
    power = int(10 ** abs(shift))
    return number * power if shift >= 0 else -(-number // power)


def _amount(value: int, scale: int, cached: str, form: str) -> str:
    integer = f"(resource.int64Amount){{value:(int64){value} scale:(resource.Scale){scale}}}"
    return (
        f"{{i:{integer} d:(resource.infDecAmount){{Dec:(*inf.Dec)<nil>}} "
        f"s:(string){cached} Format:(resource.Format){form}}}"
    )


def _big(billionths: int, form: str) -> str:
    rest = abs(billionths)
    words = []
    while rest:
        words.append(str(rest & (2**64 - 1)))
        rest >>= 64
    unscaled = (
        f"(big.Int){{neg:(bool){str(billionths < 0).lower()} abs:(big.nat)[{' '.join(words)}]}}"
    )
    integer = "(resource.int64Amount){value:(int64)0 scale:(resource.Scale)0}"
    decimal = f"(*inf.Dec){{unscaled:{unscaled} scale:(inf.Scale)9}}"
    return (
        f"{{i:{integer} d:(resource.infDecAmount){{Dec:{decimal}}} "
        f"s:(string) Format:(resource.Format){form}}}"
    )


_SCALARS: Final[dict[str, Callable[[Any], str]]] = {
    "bool": _truth,
    "int32": _integer,
    "int64": _integer,
    "intstr.IntOrString": _number_or_text,
    "resource.Quantity": _quantity,
    "v1.ResourceList": lambda value: _map(value, "resource.Quantity"),
    "v1.Time": _time,
}
