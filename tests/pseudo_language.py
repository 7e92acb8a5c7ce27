"""A language in which every translated piece stands in brackets: what is outside was forgotten."""

import re

from gpu_spawner.core.messages import translate

_INNERMOST = re.compile(r"⟦[^⟦⟧]*⟧")


class Pseudo:
    """Translations as ``core.messages`` wants them; numbers keep their signs."""

    def gettext(self, message: str, /) -> str:
        return f"⟦{message}⟧"

    def ngettext(self, msgid1: str, msgid2: str, n: int, /) -> str:
        return f"⟦{msgid1 if n == 1 else msgid2}⟧"

    def pgettext(self, context: str, message: str, /) -> str:
        return message if context in ("between thousands", "before decimals") else f"⟦{message}⟧"

    def npgettext(self, context: str, msgid1: str, msgid2: str, n: int, /) -> str:
        return self.pgettext(context, msgid1 if n == 1 else msgid2)


def left_in_english(text: str) -> str:
    """Return the words of a text that no translation would touch."""
    return " ".join(re.findall(r"[^\W\d_]+", outside_brackets(translate(text, Pseudo()))))


def outside_brackets(text: str) -> str:
    """Return what stands outside of all brackets."""
    while (shorter := _INNERMOST.sub("", text)) != text:
        text = shorter
    return text
