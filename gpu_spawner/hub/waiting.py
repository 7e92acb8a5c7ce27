"""The line of those who wait for a place, as each of them is told about it."""

import time
from dataclasses import replace
from typing import Any, Final

from gpu_spawner.core.diagnosis.line_words import InUse, say_line, say_queue
from gpu_spawner.core.diagnosis.pod_diagnosis import IN_QUEUE
from gpu_spawner.core.offers.availability import Availability, ProfileOffer
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.placement.waiting_line import (
    Waiter,
    can_never_fit,
    place_in_line,
    possible_nodes,
    waiters_in,
)
from gpu_spawner.core.wording import within_sentence
from gpu_spawner.hub.live import Live
from gpu_spawner.hub.page_words import choice_phrase
from gpu_spawner.hub.seats import Place

__all__ = ["WaitingLine"]

_SAME_SECONDS: Final = 1.0
"""How long one look at all pods serves everybody who waits."""
_HARDWARE_SECONDS: Final = 30.0
"""How long it is believed which nodes have the hardware that a request needs."""


class WaitingLine:
    """Everybody who waits, in this hub and beside it."""

    def __init__(self, live: Live) -> None:
        self._live: Final = live
        self._waiters: tuple[Waiter, ...] = ()
        self._looked_at = float("-inf")
        self._nodes: dict[PodRequest, tuple[float, frozenset[str] | None]] = {}

    def words(self, place: Place, spawner: Any) -> tuple[str, str]:
        """Say where a server stands, and what the cluster says of that.

        Both are empty while no scheduler has said that it must wait.
        """
        pod = (self._live.cluster().pods or {}).get(place.pod_key)
        if pod is None or pod.node_name:
            return "", ""
        if pod.is_gated:
            standing = self._live.queues.standing(pod)
            if standing is None:
                return "", ""
            said = say_queue(standing.position, standing.length)
            return said or (IN_QUEUE if standing.reason else ""), standing.reason
        return (self._in_line(place, spawner) if pod.unschedulable_message else ""), ""

    def _in_line(self, place: Place, spawner: Any) -> str:
        line = place_in_line(place.pod_key, self._look())
        if line is None:
            return ""
        catalog = self._live.catalog
        selection = place.fragment.selection
        profile = catalog.profile(selection.profile)
        if profile is None or not set(selection.flavors) <= set(catalog.flavors):
            return ""  # the catalog was edited meanwhile
        offer = self._offer(place, spawner)
        return say_line(
            line,
            choice_phrase(catalog, profile, selection.choice),
            self._in_use(place, offer),
            self._because(place, offer),
        )

    def is_hopeless(self, place: Place, spawner: Any) -> bool:
        """Tell whether no node could ever take a server, busy or not, nor one that is started."""
        selection = replace(place.fragment.selection, wait=False)
        offer = self._live.board_for(spawner).offer_of(selection)
        if offer.total != 0 or offer.scale_up is not None:
            return False
        # Every node is looked at only where the count says that there is none.
        return can_never_fit(self._live.cluster(), place.request)

    def _offer(self, place: Place, spawner: Any) -> ProfileOffer | None:
        offers = self._live.view_for(spawner).offers
        slug = place.fragment.selection.profile
        return next((one for one in offers if one.slug == slug), None)

    @staticmethod
    def _because(place: Place, offer: ProfileOffer | None) -> str:
        """Return why nobody gets such a server now; empty where somebody would."""
        selection = place.fragment.selection
        choice = offer.choice(selection.choice.key) if offer is not None else None
        choice = choice.with_image(selection.image) if choice is not None else None
        if choice is None or choice.state is not Availability.BUSY:
            return ""
        return within_sentence(choice.because)

    @staticmethod
    def _in_use(place: Place, offer: ProfileOffer | None) -> InUse | None:
        selection = place.fragment.selection
        if selection.share is None or offer is None:
            return None
        return InUse.together(
            (count.free, count.total, count.unit)
            for count in offer.flavors
            if count.share == selection.share.label and count.flavor in selection.flavors
        )

    def _look(self) -> tuple[Waiter, ...]:
        now = time.monotonic()
        if now - self._looked_at >= _SAME_SECONDS:
            promised = self._live.book.promised()
            nodes = {key: self._nodes_for(request, now) for key, request in promised.items()}
            self._waiters = waiters_in(self._live.cluster(), nodes)
            self._looked_at = now
            self._nodes = {
                request: known
                for request, known in self._nodes.items()
                if now - known[0] < _HARDWARE_SECONDS
            }
        return self._waiters

    def _nodes_for(self, request: PodRequest, now: float) -> frozenset[str] | None:
        known = self._nodes.get(request)
        if known is None or now - known[0] >= _HARDWARE_SECONDS:
            known = self._nodes[request] = (now, possible_nodes(self._live.cluster(), request))
        return known[1]
