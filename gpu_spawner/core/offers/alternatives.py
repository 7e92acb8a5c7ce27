"""What to take instead of a choice that cannot start now."""

from collections.abc import Iterable

from gpu_spawner.core.catalog.model import ANY
from gpu_spawner.core.offers.availability import ChoiceOffer

__all__ = ["nearest_alternative"]


def nearest_alternative(key: str, offers: Iterable[ChoiceOffer]) -> ChoiceOffer | None:
    """Return the choice nearest to the one with this key that would start now, if any would.

    Nearest is: in the same profile; with a GPU as before, or without; with the same kind of share;
    as many, or else fewer, or else more; of the same flavor. Of equals, one whose image is there
    comes first.
    """
    every = list(offers)
    wanted = next((offer for offer in every if offer.key == key), None)
    if wanted is None:
        return None
    starting = [
        offer for offer in every if offer.starts_now and offer.flavor != ANY and offer.key != key
    ]
    return min(starting, key=lambda offer: _distance(wanted, offer), default=None)


def _distance(wanted: ChoiceOffer, offer: ChoiceOffer) -> tuple[int, ...]:
    more, fewer = max(offer.count - wanted.count, 0), max(wanted.count - offer.count, 0)
    return (
        offer.profile != wanted.profile,
        (offer.count == 0) != (wanted.count == 0),
        offer.share != wanted.share,
        more > 0,
        more + fewer,
        offer.flavor != wanted.flavor,
        -(offer.state or 0),
    )
