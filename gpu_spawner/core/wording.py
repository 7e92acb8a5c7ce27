"""Small pieces of text: how a name, a list, a number of things or a size is written.

What is quoted may come from anybody, so a quotation is always bounded and printable. What is about
a reader's choices and servers is a message, which other languages can say as well.
"""

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Final, Literal

from gpu_spawner.core.messages import Figure, Message, figure, gettext, joined, reworded

__all__ = [
    "as_sentence",
    "counted",
    "did_you_mean",
    "gigabyte_figure",
    "gigabytes",
    "listed",
    "nearest",
    "ordinal",
    "quoted",
    "say_bytes",
    "say_duration",
    "spelled",
    "within_sentence",
]

_MAX_QUOTED: Final = 60
_MAX_LISTED: Final = 12
_UNPRINTABLE: Final = "\N{REPLACEMENT CHARACTER}"
_SMALL_NUMBERS: Final = (
    gettext("two"),
    gettext("three"),
    gettext("four"),
    gettext("five"),
    gettext("six"),
    gettext("seven"),
    gettext("eight"),
)
_BINARY: Final = (
    (40, gettext("{number} TiB", number=1)),
    (30, gettext("{number} GiB", number=1)),
    (20, gettext("{number} MiB", number=1)),
)
_DECIMAL: Final = (
    (12, gettext("{number} TB", number=1)),
    (9, gettext("{number} GB", number=1)),
    (6, gettext("{number} MB", number=1)),
    (3, gettext("{number} kB", number=1)),
)


def as_sentence(text: str) -> str:
    """End a text with a full stop, unless it has an end, so that another sentence may follow."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def within_sentence(text: str) -> str:
    """Write a sentence so that it can stand after a colon or a semicolon.

    >>> within_sentence("Both are in use."), within_sentence("GPUs are free")
    ('both are in use', 'GPUs are free')
    """
    bare = _without_full_stop(text)
    is_word = bare[:1].isupper() and bare[1:2].islower()
    return reworded(bare[:1].lower() + bare[1:] if is_word else bare, text, _without_full_stop)


def _without_full_stop(text: str) -> str:
    return text.rstrip(".")


def quoted(value: object) -> str:
    """Show a value of unknown origin: at most 60 characters of text, or what kind of thing it is.

    >>> quoted("h100")
    "'h100'"
    >>> quoted(["h100"] * 1000)
    'a list'
    """
    if isinstance(value, str):
        shown = value if len(value) <= _MAX_QUOTED else value[: _MAX_QUOTED - 1] + "…"
        # Control characters, line separators and text-direction overrides are not printable.
        return "'" + "".join(c if c.isprintable() else _UNPRINTABLE for c in shown) + "'"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value) if abs(value) < 10**12 else gettext("a huge number")
    if isinstance(value, float):
        return repr(value)
    return _kind(value)


def _kind(value: object) -> Message:
    if isinstance(value, dict):
        return gettext("a mapping")
    if isinstance(value, (list, tuple)):
        return gettext("a list")
    return gettext("a value of type {type}", type=type(value).__name__)


def listed(names: Iterable[object], *, word: Literal["and", "or"] = "and") -> str:
    """Join names as a person would, at most twelve of them.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    >>> listed(["1", "2", "4"], word="or")
    '1, 2 or 4'
    """
    texts = [name if isinstance(name, str) else str(name) for name in names]
    if len(texts) < 2:
        return texts[0] if texts else ""
    if len(texts) > _MAX_LISTED:
        most, number = joined(", ", texts[:_MAX_LISTED]), len(texts) - _MAX_LISTED
        if word == "or":
            return gettext("{most} or {number} more", most=most, number=number)
        return gettext("{most} and {number} more", most=most, number=number)
    most = joined(", ", texts[:-1])
    if word == "or":
        return gettext("{most} or {last}", most=most, last=texts[-1])
    return gettext("{most} and {last}", most=most, last=texts[-1])


def nearest(name: str, known: Collection[str]) -> str | None:
    """Return the known name that was probably meant, if one is close."""
    if len(name) > 200:  # the comparison is quadratic in the length
        return None
    by_lower = {candidate.lower(): candidate for candidate in sorted(known)}
    matches = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


def did_you_mean(name: object, known: Collection[str]) -> str:
    """Return "Did you mean 'x'?", or nothing when no name is close."""
    guess = nearest(name, known) if isinstance(name, str) else None
    if guess is None or guess == name:
        return ""
    return gettext("Did you mean '{name}'?", name=guess)


def counted(number: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun, for those who administer.

    >>> counted(1, "node"), counted(3, "GPU")
    ('1 node', '3 GPUs')
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def spelled(number: int) -> str:
    """Write a number of at least two as a word where it is small.

    >>> spelled(2), spelled(12)
    ('two', '12')
    """
    return _SMALL_NUMBERS[number - 2] if 2 <= number <= 8 else figure(number)


def ordinal(number: int) -> Message:
    """Write a place in an order.

    >>> [str(ordinal(number)) for number in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)]
    ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '21st', '102nd', '111th']
    """
    digits = str(number)
    ending = 0 if number % 100 in (11, 12, 13) else number % 10
    if ending == 1:
        return gettext("{number}st", number=digits)
    if ending == 2:
        return gettext("{number}nd", number=digits)
    if ending == 3:
        return gettext("{number}rd", number=digits)
    return gettext("{number}th", number=digits)


def say_bytes(amount: int) -> Message:
    """Write a size in the unit that its author meant: binary where that is whole, else decimal.

    >>> say_bytes(80 * 2**30), say_bytes(9_800_000_000), say_bytes(512 * 2**20)
    ('80 GiB', '9.8 GB', '512 MiB')
    """
    for exponent, size in _BINARY:
        if amount and amount % 2**exponent == 0:
            return size.filled(number=figure(amount >> exponent, "d"))
    for power, size in _DECIMAL:
        if amount >= 10**power:
            return size.filled(number=_significant(amount / 10**power))
    return gettext("{number} B", number=figure(amount, "d"))


def _significant(number: float) -> Figure:
    """Write three digits of a number, without an exponent."""
    return figure(float(f"{number:.3g}"), ",.10g")


def gigabytes(size_bytes: int) -> Message:
    """Write a size as people say it of memory: 80 GB, whether it is 80Gi or 80G.

    >>> gigabytes(80 * 2**30), gigabytes(80 * 10**9), gigabytes(512 * 2**20), gigabytes(0)
    ('80 GB', '80 GB', '0.5 GB', '0 GB')
    """
    if 0 < size_bytes < 2**29:
        return gettext("{number} MB", number=figure(max(1, round(size_bytes / 2**20)), "d"))
    return gettext("{number} GB", number=gigabyte_figure(size_bytes))


def gigabyte_figure(size_bytes: int) -> Figure:
    """Write the same without its unit, which is GB."""
    if size_bytes % 2**30 == 0 or size_bytes % 10**9:
        return figure(size_bytes / 2**30, ".3g")
    return figure(size_bytes / 10**9, ".3g")


def say_duration(seconds: float) -> Message:
    """Write an expected duration roughly: nobody needs "197 s".

    >>> say_duration(8), say_duration(45), say_duration(197), say_duration(5400)
    ('10 s', '50 s', '3 min', '1.5 h')
    """
    if seconds < 55:
        return gettext("{number} s", number=figure(max(10, -int(-seconds // 10) * 10), "d"))
    if seconds < 3600:
        return gettext("{number} min", number=figure(max(1, round(seconds / 60)), "d"))
    return gettext("{number} h", number=figure(seconds / 3600, ".2g"))
