"""Which images servers run from, by the profile each was started from.

Counted as pods come and go: a cluster may have 150,000 pods, and somebody asks every two seconds.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from gpu_spawner.core.cluster.objects import IMAGE_LABEL, PROFILE_LABEL, Pod

__all__ = ["ImageUse", "UseCounter", "uses_of"]

_ALIVE: Final = frozenset({"Pending", "Running"})


class ImageUse(NamedTuple):
    """What a server that runs or is starting says of itself in its pod's labels.

    Attributes:
        namespace: of the pod.
        profile: slug of the profile it was started from, by this hub or another.
        image: name of the image in the catalog.
    """

    namespace: str
    profile: str
    image: str


def uses_of(pods: Iterable[Pod]) -> dict[ImageUse, int]:
    """Count what many pods use."""
    return dict(Counter(use for use in map(_use_of, pods) if use is not None))


class UseCounter:
    """The uses of pods that come and go."""

    def __init__(self, uses: Mapping[ImageUse, int] | None = None) -> None:
        self._uses: dict[ImageUse, int] = dict(uses or {})
        self._built: Mapping[ImageUse, int] | None = None

    def add(self, pod: Pod) -> None:
        """Count a pod that was not there before."""
        self._change(pod, 1)

    def remove(self, pod: Pod) -> None:
        """Count a pod no more."""
        self._change(pod, -1)

    def build(self) -> Mapping[ImageUse, int]:
        """Return the present counts, none of them zero, as a map that no later change touches.

        It is the same object as before where nothing has changed.
        """
        if self._built is None:
            self._built = self._uses.copy()
        return self._built

    def _change(self, pod: Pod, by: int) -> None:
        use = _use_of(pod)
        if use is None:
            return
        self._built = None
        count = self._uses.get(use, 0) + by
        if count:
            self._uses[use] = count
        else:
            del self._uses[use]


def _use_of(pod: Pod) -> ImageUse | None:
    labels = pod.labels
    if PROFILE_LABEL not in labels or pod.phase not in _ALIVE or pod.is_terminating:
        return None
    image = labels.get(IMAGE_LABEL)
    return ImageUse(pod.namespace, labels[PROFILE_LABEL], image) if image else None
