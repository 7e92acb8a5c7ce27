"""Who gets a place: look for a free seat, and hold it from the yes until its pod is on a node."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gpu_spawner.core.catalog.compile import PodFragment, compile_selection
from gpu_spawner.core.catalog.lifetime import say_exactly
from gpu_spawner.core.catalog.model import Selection
from gpu_spawner.core.diagnosis.expected_pull import ExpectedPull
from gpu_spawner.core.messages import gettext, sentences
from gpu_spawner.core.offers.availability import ImageReadiness
from gpu_spawner.core.offers.scale_up import ScaleUp
from gpu_spawner.core.placement.seats import PodRequest, count_seats
from gpu_spawner.core.preload.steering import Room
from gpu_spawner.core.wording import within_sentence
from gpu_spawner.hub.allowance import Allowance
from gpu_spawner.hub.holders import ServerKey
from gpu_spawner.hub.live import Live
from gpu_spawner.hub.page_words import choice_phrase
from gpu_spawner.hub.refusal import REASON_CAPACITY, REASON_LIMIT, SpawnRefused
from gpu_spawner.hub.start_metrics import STARTS_REFUSED
from gpu_spawner.hub.warm_start import give_time_for_node, prepare_start

__all__ = ["Place", "Seats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a server can go, as it was found; nobody else is told so once it is held.

    Attributes:
        fragment: the profile's part of the pod.
        request: what the pod will ask for.
        pod_key: namespace and name of the pod.
        pulls: what to expect of the images it has to pull, by reference.
        readiness: where they are; None where nobody knows.
        scale_up: the node that is started for it; None where it needs none.
        owner: whose server it is, and the server's name.
        groups: of the owner.
    """

    live: Live
    fragment: PodFragment
    request: PodRequest
    pod_key: tuple[str, str]
    pulls: Mapping[str, ExpectedPull]
    readiness: ImageReadiness | None
    scale_up: ScaleUp | None
    owner: ServerKey
    groups: frozenset[str]

    @property
    def is_cold(self) -> bool | None:
        """Whether every node with room must pull an image first; None when nobody knows."""
        readiness = self.readiness
        return readiness.is_cold if readiness is not None and readiness.is_known else None

    def prepared(self, spawner: Any) -> "Place":
        """Return the place of a server that prefers nodes with its images, and may take longer."""

        def rooms() -> list[Room]:
            selection = replace(self.fragment.selection, wait=False)
            return self.live.board_for(spawner).rooms_of(selection)

        fragment = prepare_start(self.fragment, spawner, rooms, self.readiness)
        fragment = give_time_for_node(fragment, spawner, self.scale_up)
        return replace(self, fragment=fragment)

    def hold(self) -> None:
        """Count the seat as taken.

        It cannot be raced: between finding a place and this there is no ``await``.
        """
        live = self.live
        live.holders.add(self.owner, self.groups, self.fragment.selection)
        live.book.reserve(self.pod_key, self.request, live.snapshot(), time.monotonic())
        live.announce()

    def release(self) -> None:
        """Give the seat back, unless its pod has it by now; the server is over."""
        self.live.holders.remove(self.owner)
        self.live.book.release(self.pod_key)
        self.live.announce()


class Seats:
    """Finds places."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def find(self, spawner: Any, selection: Selection) -> Place:
        """Return the place this server would get now.

        What is unknown is not refused: Kubernetes decides then.

        Raises:
            SpawnRefused: it is more than its owner may hold, or no seat is free; with the reason,
                and what would start instead.
        """
        live = self._live
        beyond = Allowance(live, spawner).beyond(selection.choice)
        if beyond:
            STARTS_REFUSED.labels(selection.profile, REASON_LIMIT).inc()
            raise SpawnRefused(beyond, reason=REASON_LIMIT, status_code=403)
        board = live.board_for(spawner)
        # Whether somebody would wait changes nothing of what is free.
        resolved = board.resolve(replace(selection, wait=False))
        offer = board.offer_of(resolved)
        fragment = compile_selection(live.catalog, replace(resolved, wait=selection.wait))
        place = Place(
            live=live,
            fragment=fragment,
            request=board.request_of(resolved),
            pod_key=(spawner.namespace, spawner.pod_name),
            pulls=board.pulls_of(resolved),
            readiness=offer.images.get(selection.image),
            scale_up=offer.scale_up,
            owner=(spawner.user.name, spawner.name),
            groups=spawner.group_names,
        )
        is_full = (
            offer.free == 0 and not offer.scale_up and not self._fits_instead_of_its_old_pod(place)
        )
        may_wait = fragment.is_queued or (fragment.max_wait_seconds > 0 and offer.total != 0)
        if is_full and not may_wait and live.settings.refuse_when_full:
            STARTS_REFUSED.labels(selection.profile, REASON_CAPACITY).inc()
            raise self._refusal(spawner, selection, is_possible=offer.total != 0)
        return place

    def _fits_instead_of_its_old_pod(self, place: Place) -> bool:
        """Tell whether it fits once a pod of the same name is gone: KubeSpawner removes that."""
        snapshot = self._live.snapshot()
        pods = snapshot.pods
        if pods is None or place.pod_key not in pods:
            return False
        without = snapshot.without_pod(place.pod_key)
        return count_seats(without, place.request, limit=1).free != 0

    def _refusal(self, spawner: Any, selection: Selection, *, is_possible: bool) -> SpawnRefused:
        """Say why there is no seat, what would start instead, and whether one may wait."""
        view = self._live.view_for(spawner).with_amounts(selection)
        key = selection.choice.key
        offer = view.offer(key)
        profile = view.catalog.profile(selection.profile)
        what = choice_phrase(view.catalog, profile, selection.choice) if profile else key
        offer = offer.with_image(selection.image) if offer is not None else None
        if offer is None or offer.starts_now:
            reason: str = gettext("somebody else has just taken the last place")
        else:
            reason = within_sentence(offer.because)
        message = [gettext("{what} cannot start now: {reason}.", what=what, reason=reason)]
        beyond = Allowance(self._live, spawner).beyond_of(view.catalog)
        instead = view.choice(view.instead(key, selection.image, beyond))
        if instead is not None:
            name = choice_phrase(view.catalog, *instead)
            message.append(gettext("Free now: {choice}.", choice=name))
        if is_possible and profile is not None and profile.max_wait_seconds:
            time = say_exactly(profile.max_wait_seconds)
            message.append(gettext("Or wait for it, for up to {time}.", time=time))
        return SpawnRefused(sentences(*message), reason=REASON_CAPACITY)
