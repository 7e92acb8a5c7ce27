"""What the hub knows of its GPUs and its starts, on the hub's own ``/hub/metrics``.

Gauges are read from what the hub knows at the moment Prometheus asks (what grows as starts go by is
in ``start_metrics``). Labels come from the catalog, never from what a user sent, so that their
number is bounded. What is unknown has no sample: a gap in a graph is honest, a zero would not be.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gpu_spawner.core.catalog.claims import is_template_name
from gpu_spawner.core.catalog.holdings import WHOLE_GPU_MILLI, Holding
from gpu_spawner.core.catalog.limits import Held, Limit
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.cluster.objects import PROFILE_LABEL
from gpu_spawner.core.offers.availability import Availability, ProfileOffer
from gpu_spawner.core.offers.closed_devices import ClosedDevices
from gpu_spawner.hub.live import Live
from gpu_spawner.hub.preload_metrics import preload_families
from gpu_spawner.kube.conditions import Condition, ReflectorStatus

__all__ = ["LiveCollector"]


class LiveCollector(Collector):
    """The gauges of one hub, read when they are asked for."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._closed: tuple[Catalog, ClosedDevices] | None = None

    def describe(self) -> Iterable[Metric]:
        """Name nothing beforehand: registering must not read a cluster that is not watched yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every gauge."""
        live = self._live
        yield GaugeMetricFamily(
            "gpu_spawner_profiles",
            "Profiles of the catalog in use.",
            value=len(live.catalog.profiles),
        )
        yield GaugeMetricFamily(
            "gpu_spawner_catalog_problems",
            "Mistakes in the profiles as they are on disk now; while there are any, the last good "
            "catalog stays in use.",
            value=len(live.catalog_problems),
        )
        yield GaugeMetricFamily(
            "gpu_spawner_cluster_problems",
            "What no node of the cluster as it is could ever satisfy of the profiles in use.",
            value=len(live.cluster_problems),
        )
        yield GaugeMetricFamily(
            "gpu_spawner_seats_promised",
            "Starts that were told yes and whose pod has no node yet.",
            value=len(live.book),
        )
        yield from _watched(live.watch_status())
        yield from _offered(live.latest_offers())
        yield self._devices()
        yield from _claimed(live)
        yield _waiting(live)
        together = live.limits.together
        held = live.holders.held(live.catalog).values() if together else ()
        yield from _held_together(together, held)
        if live.settings.preload:
            readiness = live.preloading.readiness
            extra_images = live.settings.preload_extra_images
            yield from preload_families(readiness, live.catalog, extra_images)

    def _devices(self) -> Metric:
        family = GaugeMetricFamily(
            "gpu_spawner_devices",
            "GPUs (or slices, or replicas, as share says) of a flavor: free and used on nodes that "
            "servers can use; closed on nodes that are cordoned or not ready, whoever holds them.",
            labels=["flavor", "share", "state"],
        )
        counted: dict[tuple[str, str], tuple[int, int]] = {}
        for profile in self._live.latest_offers():
            for count in profile.flavors:
                if count.free is not None and count.total is not None:
                    # Profiles differ in the nodes they may use: the widest view counts.
                    key, found = (count.flavor, count.share), (count.total, count.free)
                    counted[key] = max(counted.get(key, found), found)
        for (flavor, share), (total, free) in counted.items():
            family.add_metric([flavor, share, "free"], free)
            family.add_metric([flavor, share, "used"], max(0, total - free))
        catalog = self._live.catalog
        if self._closed is None or self._closed[0] is not catalog:
            self._closed = catalog, ClosedDevices(catalog)
        for (flavor, share), number in self._closed[1].count(self._live.snapshot()).items():
            family.add_metric([flavor, share, "closed"], number)
        return family


def _watched(status: Iterable[ReflectorStatus]) -> Iterator[Metric]:
    condition = GaugeMetricFamily(
        "gpu_spawner_watch_condition",
        "1 for how the following of a kind of object goes, 0 for the other conditions.",
        labels=["kind", "condition"],
    )
    age = GaugeMetricFamily(
        "gpu_spawner_watch_age_seconds",
        "Age of what is known of a kind; absent while nothing is known.",
        labels=["kind"],
    )
    events = CounterMetricFamily(
        "gpu_spawner_watch_events",
        "Changes taken from the watches of a kind since the hub started.",
        labels=["kind"],
    )
    failures = CounterMetricFamily(
        "gpu_spawner_watch_failures",
        "Failed calls for a kind since the hub started; that a cluster does not serve what it need "
        "not serve is no failure.",
        labels=["kind"],
    )
    for each in status:
        for one in Condition:
            condition.add_metric([each.kind, one.value], float(each.condition is one))
        if each.age_seconds is not None:
            age.add_metric([each.kind], each.age_seconds)
        events.add_metric([each.kind], each.events)
        failures.add_metric([each.kind], each.failures)
    yield from (condition, age, events, failures)


def _offered(offers: Iterable[ProfileOffer]) -> Iterator[Metric]:
    seats = GaugeMetricFamily(
        "gpu_spawner_seats",
        "Servers of a choice that would start now (free), and that would if every usable node "
        "were empty (total).",
        labels=["profile", "choice", "state"],
    )
    state = GaugeMetricFamily(
        "gpu_spawner_choice_state",
        "1 for how soon a choice can start, 0 for the other states; absent where it is unknown.",
        labels=["profile", "choice", "state"],
    )
    for profile in offers:
        for choice in profile.choices:
            for name, number in (("free", choice.free), ("total", choice.total)):
                if number is not None:
                    seats.add_metric([profile.slug, choice.key, name], number)
            if choice.state is not None:
                for one in Availability:
                    is_it = float(choice.state is one)
                    state.add_metric([profile.slug, choice.key, one.word], is_it)
    yield from (seats, state)


def _waiting(live: Live) -> Metric:
    family = GaugeMetricFamily(
        "gpu_spawner_starts_waiting",
        "Starts whose pod waits because no node has room now, or in a queue of the cluster.",
        labels=["profile"],
    )
    pods = live.cluster().pods
    if pods is None:
        return family
    counts = {profile.slug: 0 for profile in live.catalog.profiles}
    for key in live.book.promised():
        pod = pods.get(key)
        if pod is None or pod.node_name or not (pod.is_gated or pod.unschedulable_message):
            continue
        slug = pod.labels.get(PROFILE_LABEL, "")
        if slug in counts:
            counts[slug] += 1
    for slug, number in counts.items():
        family.add_metric([slug], number)
    return family


def _claimed(live: Live) -> Iterator[Metric]:
    kept = GaugeMetricFamily(
        "gpu_spawner_claim_templates",
        "ResourceClaimTemplates of the servers' choices that are in the cluster; absent where they "
        "may not be read.",
        labels=[],
    )
    templates = live.snapshot().claim_templates
    if templates is not None:
        # With a namespace for each user, they are in many.
        everywhere, ours = live.settings.enable_user_namespaces, live.settings.namespace
        names = (name for where, name in templates if everywhere or where == ours)
        kept.add_metric([], sum(map(is_template_name, names)))
    yield kept


def _held_together(limits: Mapping[str, Limit], held: Collection[Held]) -> Iterator[Metric]:
    gpus = GaugeMetricFamily(
        "gpu_spawner_group_gpus",
        "GPUs that the members of a group hold together (held), and may hold (limit); a part of a "
        "GPU counts as the part of its memory.",
        labels=["group", "state"],
    )
    memory = GaugeMetricFamily(
        "gpu_spawner_group_gpu_memory_bytes",
        "GPU memory that the members of a group hold together, and may hold.",
        labels=["group", "state"],
    )
    servers = GaugeMetricFamily(
        "gpu_spawner_group_servers",
        "Servers that the members of a group have together, and may have.",
        labels=["group", "state"],
    )
    for group, limit in limits.items():
        now = Holding.sum(one.holding for one in held if group in one.groups)
        for family, name, unit in (
            (gpus, "gpu_milli", WHOLE_GPU_MILLI),
            (memory, "memory_bytes", 1),
            (servers, "servers", 1),
        ):
            most = getattr(limit, name)
            if most is not None:
                family.add_metric([group, "held"], getattr(now, name) / unit)
                family.add_metric([group, "limit"], most / unit)
    yield from (gpus, memory, servers)
