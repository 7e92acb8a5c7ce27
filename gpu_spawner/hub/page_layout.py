"""Lay out the spawn page of one user from the catalog and the offers.

It decides which choices make a row, what is preselected and what is offered instead. Every fact
and every reason comes from the catalog and the offers; the short words from ``page_words``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gpu_spawner.core.catalog.lifetime import say_exactly
from gpu_spawner.core.catalog.model import ANY, Catalog, Choice, Profile, Selection, Share
from gpu_spawner.core.messages import gettext, joined
from gpu_spawner.core.offers.availability import ChoiceOffer, FlavorCount, ProfileOffer
from gpu_spawner.core.offers.sentences import say_expected
from gpu_spawner.core.wording import gigabytes, listed
from gpu_spawner.hub.allowance import Allowance
from gpu_spawner.hub.languages import ENGLISH, Language
from gpu_spawner.hub.page_filters import amount_views, filters_of, most_memory
from gpu_spawner.hub.page_model import Card, Correction, ImageView, Notice, Page, Row, Tile
from gpu_spawner.hub.page_notes import closed_notes
from gpu_spawner.hub.page_words import (
    age_words,
    choice_phrase,
    count_words,
    image_facts,
    isolation_words,
    resource_facts,
    share_facts,
    tile_title,
    tile_words,
)
from gpu_spawner.hub.view import View

__all__ = ["build_page"]


def build_page(  # noqa: PLR0913 - everything that is shown comes in here
    view: View,
    *,
    selected: Selection | None,
    age_seconds: int | None,
    allowance: Allowance | None = None,
    correction: Correction | None = None,
    language: Language = ENGLISH,
) -> Page:
    """Lay out the page of one user.

    Args:
        view: what the user may see, and what is known about it.
        selected: what to preselect; None leaves every radio button unchecked.
        age_seconds: how old the numbers are; None when nothing is known.
        allowance: what the user may hold; None for no limits.
        correction: what of the choice was refused; None where nothing was.
        language: what all texts of the page are in.
    """
    by_slug = {offer.slug: offer for offer in view.offers}
    beyond = allowance.beyond_of(view.catalog) if allowance is not None else {}
    shown = [profile for profile in view.catalog.profiles if profile.slug in by_slug]
    nothing_known = bool(shown) and all(by_slug[profile.slug].state is None for profile in shown)
    made = [
        (
            profile.order,
            _shared(_Card(view, profile, by_slug[profile.slug], selected, beyond), language),
        )
        for profile in shown
    ]
    if view.catalog.denied:
        made += [
            (profile.order, _denied_card(profile, message))
            for profile, message in view.catalog.denied
        ]
        made.sort(key=lambda numbered: numbered[0])
    cards = tuple(
        replace(
            card,
            correction=language.localized(correction),
            own_image=correction.text or card.own_image,
        )
        if correction is not None and correction.profile == card.slug
        else card
        for _, card in made
    )
    page = Page(
        cards=cards,
        age=language.say(age_words(age_seconds)),
        age_seconds=age_seconds,
        unknown=language.say(by_slug[shown[0].slug].because) if nothing_known else "",
        notice=None,
        holding=language.say(allowance.summary) if allowance is not None else "",
        is_waiting=selected is not None and selected.wait,
        filters=view.kept(
            f"filters in {language.tag}", cards, lambda: filters_of(cards, view.catalog)
        ),
    )
    picked = page.picked
    if picked is None or not picked.because:
        return page
    alternative = page.tiles().get(picked.instead)
    return replace(
        page,
        cards=tuple(card.pointing_at(alternative) for card in cards),
        notice=Notice(what=picked.phrase, because=picked.because, alternative=alternative),
    )


@dataclass(frozen=True, slots=True)
class _Card:
    """What every part of one card is made from."""

    view: View
    profile: Profile
    offer: ProfileOffer
    selected: Selection | None
    beyond: Mapping[str, str]

    @property
    def catalog(self) -> Catalog:
        """The part of the catalog that the user may see."""
        return self.view.catalog

    @property
    def denied(self) -> dict[str, str]:
        """Why choices are not open to the user, by their key."""
        return {one.choice.key: one.message for one in self.profile.denied if one.choice}

    @property
    def selection(self) -> Selection | None:
        """What is preselected in this card, if anything."""
        is_here = self.selected is not None and self.selected.profile == self.profile.slug
        return self.selected if is_here else None

    def alternative(self, key: str) -> str:
        """Return the key of the nearest choice that would start and that the user may hold."""
        return self.view.instead(key, self.image, self.beyond)

    @property
    def image(self) -> str:
        """The image that is preselected in this card."""
        wanted = self.selection.image if self.selection else ""
        return wanted if wanted in self.profile.images else self.profile.images[0]


@dataclass(frozen=True, slots=True)
class _Line:
    """The choices of one row; a None keeps the counts of several rows in the same columns.

    ``share`` is None where the tiles of the row differ in it.
    """

    flavor: str
    share: Share | None
    choices: tuple[Choice | None, ...]

    @property
    def offered(self) -> list[Choice]:
        """The choices without the gaps; never empty."""
        return [choice for choice in self.choices if choice is not None]


def _shared(card: _Card, language: Language) -> Card:
    """Lay out a card, unless it was laid out before from the same offer for users with as much."""
    picked = card.selection
    name = f"card of {card.profile.slug} in {language.tag}"
    if picked is not None:  # an image of one's own could be anything, and is no name
        name = f"{name} with {picked.choice.key} and {picked.image}"
    # When a place is expected to come free is said in minutes from now.
    is_timed = any(choice.expected is not None for choice in card.offer.choices)
    as_of = card.view.as_of if is_timed else None
    return card.view.kept(
        name,
        (card.offer, picked, card.view.states, card.beyond, as_of),
        lambda: language.localized(_card(card)),
    )


def _card(card: _Card) -> Card:
    images = tuple(
        ImageView(
            name=name,
            title=card.catalog.images[name].display_name,
            facts=image_facts(card.catalog.images[name]),
            is_selected=name == card.image,
        )
        for name in card.profile.images
    ) + tuple(
        ImageView(
            name=one.image,
            title=card.catalog.images[one.image].display_name,
            facts="",
            is_selected=False,
            denied=one.message,
        )
        for one in card.profile.denied
        if one.image
    )
    rows = tuple(_row(card, line, number) for number, line in enumerate(_lines(card.profile)))
    isolation = {row.isolation for row in rows}
    # What separates neighbours is said once where it is the same for the whole card.
    common = isolation.pop() if len(isolation) == 1 else ""
    own, selection = card.profile.own_image, card.selection
    return Card(
        slug=card.profile.slug,
        title=card.profile.display_name,
        description=card.profile.description,
        description_html=card.profile.description_html,
        facts=resource_facts(card.profile),
        images=images,
        rows=tuple(replace(row, isolation="") for row in rows) if common else rows,
        isolation=common,
        max_wait=say_exactly(card.profile.max_wait_seconds),
        amounts=amount_views(card.profile, selection),
        own_images=own.allowed if own is not None else (),
        own_image=selection.own_image if selection is not None else "",
        own_image_denied=next(
            (one.message for one in card.profile.denied if one.option == "own_image"), ""
        ),
        category=card.profile.category,
        flavors=tuple(
            dict.fromkeys(name for choice in card.profile.choices for name in choice.flavors)
        ),
        memory_gb=most_memory(card.catalog, card.profile),
    )


def _denied_card(profile: Profile, message: str) -> Card:
    return Card(
        slug=profile.slug,
        title=profile.display_name,
        description=profile.description,
        description_html=profile.description_html,
        facts=(),
        images=(),
        rows=(),
        isolation="",
        denied=message,
        category=profile.category,
        flavors=tuple(dict.fromkeys(name for block in profile.gpu for name in block.flavors)),
    )


def _lines(profile: Profile) -> list[_Line]:
    """Arrange a profile's choices: a row for each flavor, or flavor and share where both vary."""
    choices_shown = [
        *profile.choices,
        *(one.choice for one in profile.denied if one.choice is not None),
    ]
    present = {choice.count for choice in choices_shown}
    ordered = dict.fromkeys(count for block in profile.gpu for count in block.counts)
    counts = [count for count in ordered if count in present] or [0]
    rows: dict[tuple[str, Share | None], list[Choice]] = {}
    for choice in choices_shown:
        row = (choice.flavor, choice.share if len(counts) > 1 else None)
        rows.setdefault(row, []).append(choice)
    lines = []
    for (flavor, _), choices in rows.items():
        shares = {choice.share for choice in choices}
        if len(shares) > 1:
            lines.append(_Line(flavor, None, tuple(choices)))
        else:
            by_count = {choice.count: choice for choice in choices}
            lines.append(_Line(flavor, shares.pop(), tuple(by_count.get(n) for n in counts)))
    return lines


def _row(card: _Card, line: _Line, number: int) -> Row:
    # Short, as it is the better part of each tile; the catalog's order is part of the page's shape.
    row_id = f"g{card.catalog.profiles.index(card.profile)}-{number}"
    by_share = line.share is None and bool(line.flavor)
    tiles: list[Tile | None] = []
    for position, choice in enumerate(line.choices):
        offer = card.offer.choice(choice.key) if choice else None
        element_id = f"{row_id}-{position}"
        if choice is not None and choice.key in card.denied:
            tiles.append(_denied_tile(card, choice, element_id, by_share=by_share))
        elif choice is None or offer is None:
            tiles.append(None)
        else:
            tiles.append(_tile(card, choice, offer, element_id, by_share=by_share))
    title, subtitle = _row_title(card, line)
    count = next(
        (
            counted
            for counted in card.offer.flavors
            if line.share is not None
            and (counted.flavor, counted.share) == (line.flavor, line.share.label)
        ),
        None,
    )
    return Row(
        id=row_id,
        title=title,
        subtitle=subtitle,
        summary=count_words(count),
        percent=_percent(count),
        isolation=isolation_words(card.catalog, line.offered),
        tiles=tuple(tiles),
        notes=closed_notes(tiles),
    )


def _row_title(card: _Card, line: _Line) -> tuple[str, str]:
    if not line.flavor:
        return "", ""
    if line.flavor == ANY:
        names = dict.fromkeys(name for choice in line.offered for name in choice.flavors)
        titles = [card.catalog.flavors[name].display_name for name in names]
        return gettext("Whichever is free first"), listed(titles, word="or")
    flavor = card.catalog.flavors[line.flavor]
    facts = share_facts(card.catalog, line.offered[0])
    parts: list[str] = []
    if line.share is not None and line.share.kind != "whole" and facts is not None:
        parts.append(facts.title)
    if line.share is not None and facts is not None and facts.memory_bytes:
        memory = gigabytes(facts.memory_bytes)
        parts.append(
            ""
            if memory in flavor.display_name
            else gettext("{memory} of GPU memory", memory=memory)
        )
    return flavor.display_name, joined(" · ", parts)


def _percent(count: FlavorCount | None) -> int | None:
    if count is None or count.free is None or not count.total:
        return None
    return round(100 * count.free / count.total)


def _tile(
    card: _Card, choice: Choice, offer: ChoiceOffer, element_id: str, *, by_share: bool
) -> Tile:
    images = {image: _with_image(card.view, offer, image) for image in card.profile.images}
    state, label, detail, reason = images[card.image]
    title, subtitle = tile_title(card.catalog, choice, by_share=by_share)
    others = [
        (image, *words)
        for image, words in images.items()
        if words != (state, label, detail, reason)
    ]
    because = card.beyond.get(choice.key, "")
    if because:
        state, label, detail, others = "limit", gettext("over your limit"), "", []
    else:
        because = reason
    offer = offer.with_image(card.image)
    picked = card.selection
    return Tile(
        id=element_id,
        key=choice.key,
        title=title,
        subtitle=subtitle,
        phrase=choice_phrase(card.catalog, card.profile, choice),
        state=state,
        label=label,
        detail=detail,
        free=offer.free,
        total=offer.total,
        because=because,
        instead=card.alternative(choice.key) if because else "",
        is_selected=picked is not None and picked.choice.key == choice.key,
        images=tuple(others),
    )


def _with_image(view: View, offer: ChoiceOffer, image: str) -> tuple[str, str, str, str]:
    """Return state, label, detail and the reason why not, of a choice with one image."""
    one = offer.with_image(image)
    is_closed = one.state is not None and not one.starts_now
    because = one.because if is_closed else ""
    if because and one.expected is not None and view.as_of is not None:
        because = gettext(
            "{because}. {expected}",
            because=because,
            expected=say_expected(one.expected, view.as_of),
        )
    return (*tile_words(one, image), because)


def _denied_tile(card: _Card, choice: Choice, element_id: str, *, by_share: bool) -> Tile:
    title, subtitle = tile_title(card.catalog, choice, by_share=by_share)
    return Tile(
        id=element_id,
        key=choice.key,
        title=title,
        subtitle=subtitle,
        phrase=choice_phrase(card.catalog, card.profile, choice),
        state="denied",
        label=gettext("not open to you"),
        detail="",
        free=None,
        total=None,
        because=card.denied[choice.key],
        instead="",
        is_selected=False,
        images=(),
    )
