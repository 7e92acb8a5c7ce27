"""How preloading goes, as gauges: which images are on how many nodes, and how long pulls take.

An image is labelled by its key in the catalog, and by its reference where only
``preload_extra_images`` names it; images that users bring are in no label.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.preload.readiness import Readiness

__all__ = ["preload_families"]

_STATES: Final = ("ready", "pulling", "waiting", "paused")


def preload_families(
    readiness: Readiness, catalog: Catalog, extra_images: Iterable[str]
) -> Iterator[Metric]:
    """Yield the gauges.

    Args:
        readiness: what the preloader knows.
        catalog: the catalog in use.
        extra_images: references that are preloaded beside the catalog's.
    """
    labels = {reference: reference for reference in extra_images}
    labels |= {image.reference: name for name, image in catalog.images.items()}
    yield _nodes(readiness, labels)
    yield _pull_times(readiness, labels)
    yield GaugeMetricFamily(
        "gpu_spawner_preload_unknown",
        "Kinds of objects of the preloader that cannot be read now; 0 while all is well.",
        value=len(readiness.trouble),
    )


def _nodes(readiness: Readiness, labels: Mapping[str, str]) -> Metric:
    family = GaugeMetricFamily(
        "gpu_spawner_preload_nodes",
        "Nodes that should have an image (wanted), and how far they are: ready, pulling, waiting "
        "for a turn, paused (not usable now), blocked (failed, or without room).",
        labels=["image", "state"],
    )
    found: dict[str, dict[str, set[str]]] = {}
    for outlook in readiness.outlooks:
        label = labels.get(outlook.wish.image)
        if label is None:
            continue
        nodes = found.setdefault(label, {state: set() for state in (*_STATES, "blocked")})
        for state in _STATES:
            nodes[state].update(getattr(outlook, state))
        nodes["blocked"].update(chain.from_iterable(outlook.blocked.values()))
    for label, nodes in found.items():
        family.add_metric([label, "wanted"], len(set[str]().union(*nodes.values())))
        for state, names in nodes.items():
            family.add_metric([label, state], len(names))
    return family


def _pull_times(readiness: Readiness, labels: Mapping[str, str]) -> Metric:
    family = GaugeMetricFamily(
        "gpu_spawner_image_pull_seconds",
        "How long pulls of an image took on the nodes of a flavor (none: nodes without a GPU of "
        "the catalog): a moving average. Absent where none was seen.",
        labels=["image", "flavor"],
    )
    for reference, label in labels.items():
        for flavor, pull in readiness.times.all_of(reference).items():
            family.add_metric([label, flavor or "none"], pull.seconds)
    return family
