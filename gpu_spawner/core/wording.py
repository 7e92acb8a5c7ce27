"""Small pieces of English: how a name, a list, a number of things or a size is written.

What is quoted may come from anybody, so a quotation is always bounded and printable.
"""

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Final

__all__ = [
    "as_sentence",
    "counted",
    "did_you_mean",
    "gigabytes",
    "listed",
    "nearest",
    "ordinal",
    "quoted",
    "say_bytes",
    "say_duration",
    "within_sentence",
]

_MAX_QUOTED: Final = 60
_MAX_LISTED: Final = 12
_UNPRINTABLE: Final = "\N{REPLACEMENT CHARACTER}"
_ENDINGS: Final = {1: "st", 2: "nd", 3: "rd"}
_SMALL_NUMBERS: Final = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")


def as_sentence(text: str) -> str:
    """End a text with a full stop, unless it has an end, so that another sentence may follow."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def within_sentence(sentence: str) -> str:
    """Write a sentence so that it can stand after a colon or a semicolon.

    >>> within_sentence("All 8 are in use."), within_sentence("GPUs are few")
    ('all 8 are in use', 'GPUs are few')
    """
    text = sentence.rstrip(".")
    is_word = text[:1].isupper() and text[1:2].islower()
    return text[:1].lower() + text[1:] if is_word else text


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
        return str(value) if abs(value) < 10**12 else "a huge number"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return "a mapping"
    return (
        "a list" if isinstance(value, (list, tuple)) else f"a value of type {type(value).__name__}"
    )


def listed(names: Iterable[object], *, word: str = "and") -> str:
    """Join names as a person would, at most twelve of them.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    >>> listed(["1", "2", "4"], word="or")
    '1, 2 or 4'
    """
    texts = [str(name) for name in names]
    if len(texts) > _MAX_LISTED:
        return f"{', '.join(texts[:_MAX_LISTED])} {word} {len(texts) - _MAX_LISTED} more"
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} {word} {texts[-1]}"


def nearest(name: str, known: Collection[str]) -> str | None:
    """Return the known name that was probably meant, if one is close."""
    if len(name) > 200:  # the comparison is quadratic in the length
        return None
    by_lower = {candidate.lower(): candidate for candidate in sorted(known)}
    matches = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


def did_you_mean(name: object, known: Collection[str]) -> str:
    """Return "Did you mean 'x'?" with a leading space, or nothing when no name is close."""
    guess = nearest(name, known) if isinstance(name, str) else None
    return f" Did you mean '{guess}'?" if guess is not None and guess != name else ""


def counted(number: int, one: str, many: str | None = None, *, in_words: bool = False) -> str:
    """Write a number with its noun.

    >>> counted(1, "node"), counted(3, "GPU"), counted(2, "node", in_words=True)
    ('1 node', '3 GPUs', 'two nodes')
    """
    noun = one if number == 1 else many or f"{one}s"
    spelled = in_words and 0 <= number < len(_SMALL_NUMBERS)
    return f"{_SMALL_NUMBERS[number] if spelled else f'{number:,}'} {noun}"


def ordinal(number: int) -> str:
    """Write a place in an order.

    >>> [ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)]
    ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '21st', '102nd', '111th']
    """
    is_teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if is_teen else _ENDINGS.get(number % 10, 'th')}"


def say_bytes(amount: int) -> str:
    """Write a size in the unit that its author meant: binary where that is whole, else decimal.

    >>> say_bytes(80 * 2**30), say_bytes(9_800_000_000), say_bytes(512 * 2**20)
    ('80 GiB', '9.8 GB', '512 MiB')
    """
    for exponent, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB")):
        if amount and amount % 2**exponent == 0:
            return f"{amount >> exponent} {unit}"
    for power, unit in ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        if amount >= 10**power:
            return f"{float(f'{amount / 10**power:.3g}'):,.10g} {unit}"
    return f"{amount} B"


def gigabytes(size_bytes: int) -> str:
    """Write a size as people say it of memory: 80 GB, whether it is 80Gi or 80G.

    >>> gigabytes(80 * 2**30), gigabytes(80 * 10**9), gigabytes(512 * 2**20), gigabytes(0)
    ('80 GB', '80 GB', '0.5 GB', '0 GB')
    """
    if not size_bytes:
        return "0 GB"
    if size_bytes < 2**29:
        return f"{max(1, round(size_bytes / 2**20))} MB"
    if size_bytes % 2**30 == 0 or size_bytes % 10**9:
        return f"{size_bytes / 2**30:.3g} GB"
    return f"{size_bytes / 10**9:.3g} GB"


def say_duration(seconds: float) -> str:
    """Write an expected duration roughly: nobody needs "197 s".

    >>> say_duration(8), say_duration(45), say_duration(197), say_duration(5400)
    ('10 s', '50 s', '3 min', '1.5 h')
    """
    if seconds < 55:
        return f"{max(10, -int(-seconds // 10) * 10)} s"
    if seconds < 3600:
        return f"{max(1, round(seconds / 60))} min"
    return f"{seconds / 3600:.2g} h"
