"""What the spawn page shows, as plain values: the template and the live stream both read these.

``page_layout`` makes them from the catalog and the offers; nothing here decides anything.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gpu_spawner.core.messages import gettext

__all__ = [
    "AmountView",
    "Card",
    "Correction",
    "Filters",
    "ImageView",
    "Note",
    "Notice",
    "Page",
    "Row",
    "Tile",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One choice: a radio button and what is known about it.

    Attributes:
        id: of the radio button.
        key: the choice's key, the radio button's value.
        state: ``ready``, ``cold``, ``scale_up``, ``busy``, ``impossible`` or ``unknown``, with the
            card's image;
            ``limit`` where it is more than the user may hold, ``denied`` where it is not for them.
        label: state and number in words; ``detail`` one more short line, may be empty.
        because: the sentence why it cannot start now; empty when it can, or when nobody knows.
        instead: the key of the nearest choice that would start; empty when none.
        images: name, state, label, detail and reason with each *other* image of the profile, where
            they differ.
    """

    id: str
    key: str
    title: str
    subtitle: str
    phrase: str
    state: str
    label: str
    detail: str
    free: int | None
    total: int | None
    because: str
    instead: str
    is_selected: bool
    images: tuple[tuple[str, str, str, str, str], ...]

    @property
    def is_disabled(self) -> bool:
        """What is busy may be waited for; what no node could run, or is denied, is closed."""
        return self.state in ("impossible", "denied")

    @property
    def phrase_pattern(self) -> str:
        """The phrase with ``{}`` for the count that it begins with, if it does."""
        count = self.key.rpartition("/")[2]
        return f"{{}}{self.phrase[len(count) :]}" if self.phrase.startswith(f"{count} ") else ""

    @property
    def other_images(self) -> str:
        """``images`` as one attribute: parts separated by ``|``, what is in them by ``=``.

        A label that is the same with that image is left out.
        """
        return "|".join(
            f"{name}={state}={'' if label == self.label else label}={detail}={because}"
            for name, state, label, detail, because in self.images
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A reason, and which tiles of the row it is about (empty: all of them)."""

    what: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The choices of one flavor (or of one share of it); ``None`` leaves a column empty."""

    id: str
    title: str
    subtitle: str
    summary: str
    percent: int | None
    isolation: str
    tiles: tuple[Tile | None, ...]
    notes: tuple[Note, ...]

    @property
    def phrase(self) -> str:
        """The pattern that the phrases of several tiles have in common; empty where none have."""
        patterns = Counter(tile.phrase_pattern for tile in self.tiles if tile is not None)
        pattern, number = patterns.most_common(1)[0]
        return pattern if number > 1 else ""

    def note_of(self, tile: Tile) -> int:
        """The position of the note that says why a tile of the row is closed."""
        return next(at for at, note in enumerate(self.notes) if note.text == tile.because)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageView:
    """One environment of a profile and its facts in one line.

    ``denied`` says why this user may not pick it; empty where the user may.
    """

    name: str
    title: str
    facts: str
    is_selected: bool
    denied: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountView:
    """CPU or memory to choose: the option's name, a title, and each value with its words.

    ``denied`` says why this user may not choose; empty where the user may.
    """

    name: str
    title: str
    values: tuple[tuple[str, str], ...]
    selected: str
    denied: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One field of a card that the user has to correct before anything starts.

    Attributes:
        profile: the slug of the card.
        field: the option, as ``OptionError`` names it.
        message: what is wrong with it, in a sentence.
        text: what was typed into the field for an image of one's own; empty for other fields.
    """

    profile: str
    field: str
    message: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Card:
    """One profile; ``isolation`` is said here where it is the same for every row.

    Cards are kept and shown to many, so that they are told apart by identity, which costs nothing.

    Attributes:
        description_html: HTML of the admin's, to be shown as it is instead of the description.
        max_wait: how long a place may be waited for, in words; empty where it may not.
        amounts: what may be chosen of CPU and memory.
        own_images: the patterns of images that may be brought; empty where none may.
        own_image: what was brought last, or typed just now.
        own_image_denied: why this user may bring none; empty where the user may, or nobody may.
        correction: what the user has to correct on it; None while nothing is.
        pointed_at: the key of the choice on it that the page's notice leads to; empty for none.
        denied: why this user may not start it; then there is nothing else to pick in it.
        category, flavors, memory_gb: what it is found by among many; the memory is the most that
            one server of it can have on GPUs.
    """

    slug: str
    title: str
    description: str
    facts: tuple[str, ...]
    images: tuple[ImageView, ...]
    rows: tuple[Row, ...]
    isolation: str
    description_html: str = ""
    max_wait: str = ""
    amounts: tuple[AmountView, ...] = ()
    own_images: tuple[str, ...] = ()
    own_image: str = ""
    own_image_denied: str = ""
    correction: Correction | None = None
    pointed_at: str = ""
    denied: str = ""
    category: str = ""
    flavors: tuple[str, ...] = ()
    memory_gb: int = 0

    @property
    def image(self) -> ImageView:
        """The environment that is preselected."""
        return next((image for image in self.images if image.is_selected), self.images[0])

    @property
    def image_field(self) -> str:
        """The form field of the environment, named as KubeSpawner names a profile's option."""
        return f"profile-option-{self.slug}--image"

    @property
    def tiles(self) -> Iterator[Tile]:
        """The tiles of all rows."""
        return (tile for row in self.rows for tile in row.tiles if tile is not None)

    def pointing_at(self, tile: Tile | None) -> "Card":
        """Return the card with what a notice leads to, where that is on it."""
        is_here = tile is not None and tile in [one for row in self.rows for one in row.tiles]
        return replace(self, pointed_at=tile.key) if tile is not None and is_here else self

    def field_id(self, option: str) -> str:
        """The id of the field of an option."""
        return f"gs-{self.slug}-{option}"

    @property
    def fields(self) -> dict[str, str]:
        """The titles of the fields that are shown, by their option."""
        fields: dict[str, str] = {"image": gettext("Environment")} if len(self.images) > 1 else {}
        fields |= {amount.name: amount.title for amount in self.amounts}
        return fields | ({"own_image": gettext("Image")} if self.own_images else {})

    @property
    def to_correct(self) -> str:
        """The option whose field the user has to correct; empty where it is none that is shown."""
        one = self.correction
        return one.field if one is not None and one.field in self.fields else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What many cards can be narrowed by: values with their words; GPU memory in GB."""

    categories: tuple[str, ...]
    flavors: tuple[tuple[str, str], ...]
    memories: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """The preselected choice cannot start now: why, and what would."""

    what: str
    because: str
    alternative: Tile | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything on the page.

    Attributes:
        age: the age of the numbers in words, ``age_seconds`` the same for the script.
        unknown: one sentence when nothing is known of the cluster; empty otherwise.
        holding: how much of the user's limits is used, in a sentence; empty without limits.
        running: what is said of the user's running servers that are to be stopped.
        failure: how the last start of this server ended, where that was badly; else empty.
        is_waiting: whether the box to wait for what is full is ticked.
        notes: what else is to be said on top, such as names that have changed.
        filters: None where there are few cards.
        link_url: of this page, for links to pass on.
        renamed: what has another name now, as ``visible_renames`` returns it.
    """

    cards: tuple[Card, ...]
    age: str
    age_seconds: int | None
    unknown: str
    notice: Notice | None
    holding: str = ""
    is_waiting: bool = False
    running: tuple[str, ...] = ()
    failure: str = ""
    notes: tuple[str, ...] = ()
    filters: Filters | None = None
    link_url: str = ""
    renamed: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)

    @property
    def to_correct(self) -> Card | None:
        """The card with a field that the user has to correct."""
        return next((card for card in self.cards if card.to_correct), None)

    @property
    def may_wait(self) -> bool:
        """Whether there is anything that one may wait for."""
        return any(card.max_wait for card in self.cards)

    @property
    def longest_wait(self) -> str:
        """How long one may wait, where that is the same wherever one may; else empty."""
        waits = {card.max_wait for card in self.cards if card.max_wait}
        return waits.pop() if len(waits) == 1 else ""

    def tiles(self) -> dict[str, Tile]:
        """Every tile by its key."""
        return {tile.key: tile for card in self.cards for tile in card.tiles}

    @property
    def picked(self) -> Tile | None:
        """The tile that is selected."""
        return next((tile for card in self.cards for tile in card.tiles if tile.is_selected), None)
