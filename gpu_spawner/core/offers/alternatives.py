"""What to take instead of a choice that cannot start now."""

from collections.abc import Callable, Iterable

from gpu_spawner.core.catalog.model import ANY
from gpu_spawner.core.offers.availability import ChoiceOffer

__all__ = ["nearest_alternative"]


def _any(_offer: ChoiceOffer) -> bool:
    return True


def nearest_alternative(
    key: str,
    offers: Iterable[ChoiceOffer],
    *,
    image: str = "",
    is_permitted: Callable[[ChoiceOffer], bool] = _any,
) -> ChoiceOffer | None:
    """Return the choice nearest to the one with this key that would start now, if any would.

    Nearest is: in the same profile; with a GPU as before, or without; with the same kind of share;
    with the same image; as many, or else fewer, or else more; with no less memory on its GPUs, and
    with little more; of the same flavor. Of equals, one whose image is there comes first.

    Args:
        key: of the choice that cannot be had.
        offers: what the user may see; whatever is returned is one of these.
        image: what was picked with it; empty for the profile's first.
        is_permitted: tells whether the user may hold a choice.
    """
    every = list(offers)
    wanted = next((offer for offer in every if offer.key == key), None)
    if wanted is None:
        return None
    starting = [
        offer
        for offer in every
        if offer.flavor != ANY
        and offer.key != key
        and _with_image(offer, wanted, image).starts_now
        and is_permitted(offer)
    ]
    image = image or next(iter(wanted.images), "")
    return min(starting, key=lambda offer: _distance(wanted, offer, image), default=None)


def _with_image(offer: ChoiceOffer, wanted: ChoiceOffer, image: str) -> ChoiceOffer:
    """Return an offer as it is once it is picked: within a profile the image stays."""
    return offer.with_image(image) if offer.profile == wanted.profile else offer


def _distance(wanted: ChoiceOffer, offer: ChoiceOffer, image: str) -> tuple[int, ...]:
    more, fewer = max(offer.count - wanted.count, 0), max(wanted.count - offer.count, 0)
    had, asked = offer.gpu_bytes or 0, wanted.gpu_bytes or 0
    return (
        offer.profile != wanted.profile,
        (offer.count == 0) != (wanted.count == 0),
        _kind(offer) != _kind(wanted),
        bool(image) and image not in offer.images,
        more > 0,
        more + fewer,
        had < asked,
        abs(had - asked),
        offer.share != wanted.share,
        offer.flavor != wanted.flavor,
        -(offer.state or 0),
    )


def _kind(offer: ChoiceOffer) -> str:
    """Return the kind of share: of "mig-1g.10gb" it is "mig"."""
    return offer.share.partition("-")[0]
