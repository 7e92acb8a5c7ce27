"""What should be preloaded: every image of the catalog with the nodes that can use it.

A wish is an image and a pool; a pool is what a node must be like for the servers that use the
image: labels, taints, architecture, driver, and room for at least one such server if the node were
empty. Wishes come in the order in which they matter: ``preload: always`` before ``on-demand``, and
within each the default image of every profile before its other images.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from gpu_spawner.core.catalog.compile import PodFragment, compile_ways
from gpu_spawner.core.catalog.model import ANY, Catalog, Preload, Profile, Selection
from gpu_spawner.core.catalog.site_pod import SitePod, request_of, settings_of
from gpu_spawner.core.cluster.selectors import NO_EXECUTE, Toleration
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.resources import EMPTY

__all__ = ["Pool", "Wish", "pull_secrets_of", "unknown_profiles", "used_on_demand", "wishes_of"]

_NOT_READY: Final = frozenset({"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What the nodes of some servers have in common.

    Attributes:
        rules: a request for nothing that only such nodes take.
        requests: the requests of the servers; a node is useful if it could ever take one of them.
            Not part of the pool's identity.
        pull_secrets: names of Secrets with credentials for the registry, those of the servers.
        service_account: of the servers, for the Secrets it brings with it; empty where it is not to
            be used. Our pods get no token of it.
        release: whose servers these are, where several hubs share a namespace; empty for the only
            hub's. Each looks after DaemonSets of its own.
    """

    rules: PodRequest
    requests: tuple[PodRequest, ...]
    pull_secrets: tuple[str, ...] = ()
    service_account: str = ""
    release: str = ""

    @property
    def key(self) -> str:
        """Ten hexadecimal digits that stay the same as long as the pool does."""
        identity = [_bare(self.rules), self.pull_secrets]
        if self.service_account:
            identity.append({"serviceAccountName": self.service_account})
        if self.release:
            identity.append(self.release)
        text = msgspec.json.encode(identity, order="deterministic")
        return hashlib.sha256(text).hexdigest()[:10]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """An image that the nodes of a pool should have.

    Attributes:
        image: the reference, exactly as servers name it.
        profiles: slugs of the profiles that want it there, in page order.
        on_demand: whether it is wanted only because somebody uses it now.
        size_bytes: compressed; None where nobody said.
    """

    image: str
    pool: Pool
    profiles: tuple[str, ...]
    on_demand: bool = False
    size_bytes: int | None = None

    @property
    def set_name(self) -> str:
        """The name of its DaemonSet."""
        digest = hashlib.sha256(self.image.encode()).hexdigest()[:10]
        return f"gpu-preload-{self.pool.key}-{digest}"


@dataclass(slots=True, kw_only=True)
class _Draft:
    rules: PodRequest
    pull_secrets: tuple[str, ...]
    service_account: str
    image: str
    size_bytes: int | None
    on_demand: bool
    rank: tuple[int, ...]
    profiles: dict[str, None]
    requests: dict[PodRequest, None]


def wishes_of(  # noqa: PLR0913 - what is offered, to whom, and for whose hub
    catalog: Catalog,
    site: SitePod | None = None,
    *,
    used: Iterable[tuple[str, str]] = (),
    extra: Mapping[str, Iterable[str]] | None = None,
    namespace: str = "",
    release: str = "",
) -> tuple[Wish, ...]:
    """List what should be preloaded.

    Args:
        catalog: the profiles; those with ``preload: never`` wish for nothing.
        site: what every server of the site gets; ``image_pull_secrets`` among its settings.
        used: (profile, image) of the servers that run now, or are starting: what ``on-demand``
            profiles are to have.
        extra: further references, with the slugs of the profiles to whose nodes they go (none:
            every profile's).
        namespace: of the DaemonSets; the servers' service accounts are there only where it is
            theirs too.
        release: of the hub, as in ``Pool``.

    Raises:
        ConfigError: the site's settings make no valid pod.
    """
    site = site or SitePod()
    collecting = _Collecting(catalog, frozenset(used), extra or {})
    for position, profile in enumerate(catalog.profiles):
        for fragment in _fragments(catalog, profile):
            request = request_of(fragment, site)
            settings = {**site.settings, **settings_of(fragment, site)}
            rules, secrets = _rules(request), pull_secrets_of(settings)
            account = _service_account(settings) if site.namespace == namespace else ""
            for found in collecting.images(profile, fragment, settings):
                collecting.add(
                    _Draft(
                        rules=rules,
                        pull_secrets=secrets,
                        service_account=account,
                        image=found.reference,
                        size_bytes=found.size_bytes,
                        on_demand=found.on_demand,
                        rank=(found.on_demand, *found.rank, position),
                        profiles={profile.slug: None},
                        requests={request: None},
                    )
                )
    drafts = sorted(collecting.drafts.values(), key=lambda draft: draft.rank)
    return tuple(_wish(draft, release) for draft in drafts)


def unknown_profiles(catalog: Catalog, extra: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Return the slugs that further images name and no profile has, in alphabetical order."""
    known = {profile.slug for profile in catalog.profiles}
    return tuple(sorted({slug for slugs in extra.values() for slug in slugs} - known))


def used_on_demand(snapshot: Snapshot, namespace: str = "") -> frozenset[tuple[str, str]]:
    """Return (profile, image) of every server that runs or is starting, from its pod's labels.

    Args:
        snapshot: the cluster.
        namespace: of the servers: whoever may make pods elsewhere has no say. Empty where each user
            has a namespace.
    """
    return frozenset(
        (use.profile, use.image) for use in snapshot.uses if namespace in ("", use.namespace)
    )


def pull_secrets_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names in KubeSpawner's ``image_pull_secrets``: texts, mappings or objects."""
    names = []
    for one in settings.get("image_pull_secrets") or ():
        name = one if isinstance(one, str) else _field(one, "name")
        if isinstance(name, str) and name:
            names.append(name)
    return tuple(dict.fromkeys(names))


def _service_account(settings: Mapping[str, Any]) -> str:
    """Return the servers' service account; none where each user has another."""
    name = settings.get("service_account")
    return name if isinstance(name, str) and "{" not in name else ""


def _fragments(catalog: Catalog, profile: Profile) -> Iterator[PodFragment]:
    """Compile every choice with every image; "any" of several flavors adds no node of its own."""
    if profile.preload is Preload.NEVER:
        return
    choices = [choice for choice in profile.choices if choice.flavor != ANY]
    for image in profile.images:
        for choice in choices:
            selection = Selection(
                profile=profile.slug,
                flavor=choice.flavor,
                flavors=choice.flavors,
                share=choice.share,
                count=choice.count,
                image=image,
            )
            yield from compile_ways(catalog, selection)


class _Found(NamedTuple):
    """An image that a server pulls, and how much it matters."""

    rank: tuple[int, ...]
    reference: str
    size_bytes: int | None
    on_demand: bool


class _Collecting:
    """Gathers the images of all servers; what is wanted twice is wished for once."""

    def __init__(
        self,
        catalog: Catalog,
        used: frozenset[tuple[str, str]],
        extra: Mapping[str, Iterable[str]],
    ) -> None:
        self.drafts: Final[dict[tuple[str, PodRequest, tuple[str, ...], str], _Draft]] = {}
        self._sizes: Final = {
            image.reference: image.size_bytes for image in catalog.images.values()
        }
        self._used: Final = used
        self._extra: Final = {reference: tuple(slugs) for reference, slugs in extra.items()}

    def images(
        self, profile: Profile, fragment: PodFragment, settings: Mapping[str, Any]
    ) -> Iterator[_Found]:
        """Yield all that such a server pulls, the images of its sidecars and helpers included."""
        name = fragment.selection.image
        on_demand = profile.preload is Preload.ON_DEMAND
        if on_demand and (profile.slug, name) not in self._used:
            return
        place = profile.images.index(name)
        yield _Found((place, 0), fragment.image, self._sizes.get(fragment.image), on_demand)
        for setting in ("init_containers", "extra_containers"):
            containers = settings.get(setting) or ()
            for one in containers.values() if isinstance(containers, Mapping) else containers:
                beside = _field(one, "image")
                if isinstance(beside, str) and beside:
                    yield _Found((place, 1), beside, self._sizes.get(beside), on_demand)
        for reference, slugs in self._extra.items():
            if not slugs or profile.slug in slugs:
                size_bytes = self._sizes.get(reference)
                yield _Found((len(profile.images), 2), reference, size_bytes, on_demand)

    def add(self, draft: _Draft) -> None:
        """Take in one wish."""
        key = (draft.image, draft.rules, draft.pull_secrets, draft.service_account)
        known = self.drafts.setdefault(key, draft)
        if known is draft:
            return
        known.rank = min(known.rank, draft.rank)
        known.on_demand = known.on_demand and draft.on_demand
        known.size_bytes = max((known.size_bytes or 0, draft.size_bytes or 0)) or None
        known.profiles.update(draft.profiles)
        known.requests.update(draft.requests)


def _wish(draft: _Draft, release: str) -> Wish:
    return Wish(
        image=draft.image,
        pool=Pool(
            rules=draft.rules,
            requests=tuple(draft.requests),
            pull_secrets=draft.pull_secrets,
            service_account=draft.service_account,
            release=release,
        ),
        profiles=tuple(draft.profiles),
        on_demand=draft.on_demand,
        size_bytes=draft.size_bytes,
    )


def _rules(request: PodRequest) -> PodRequest:
    """Keep of a request what says which nodes it is for."""
    return PodRequest(
        requests=EMPTY,
        node_selector=request.node_selector,
        affinity=request.affinity,
        tolerations=tuple(sorted(filter(_is_own, request.tolerations), key=_toleration_key)),
        architectures=request.architectures,
        min_cuda=request.min_cuda,
    )


def _is_own(toleration: Toleration) -> bool:
    """Tell whether a toleration is the server's; the API server adds two to every pod."""
    is_added = toleration.key in _NOT_READY and toleration.effect == NO_EXECUTE
    return not (is_added and toleration.operator == "Exists")


def _toleration_key(toleration: Toleration) -> tuple[str, ...]:
    return (toleration.key, toleration.operator, toleration.value, toleration.effect)


def _bare(rules: PodRequest) -> Any:
    """Write the rules down in a form that is the same in every process."""
    return json.loads(
        msgspec.json.encode(
            {
                "selector": rules.node_selector,
                "affinity": rules.affinity,
                "tolerations": rules.tolerations,
                "architectures": sorted(rules.architectures),
                "min_cuda": rules.min_cuda,
            }
        )
    )


def _field(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
