"""What a start would create, without starting anything: for ``gpu-spawner render``.

The pod is built by the spawner itself, as the configuration of a hub would have it; only the token
and what else JupyterHub makes up at each start are missing from it.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from jupyterhub.utils import maybe_future
from kubespawner.objects import make_namespace, make_owner_reference
from traitlets import TraitError
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from gpu_spawner.core.catalog.access import without_access_rules
from gpu_spawner.core.catalog.compile import compile_selection, compile_ways
from gpu_spawner.core.catalog.fragment import PodFragment
from gpu_spawner.core.catalog.model import Catalog, Selection
from gpu_spawner.core.catalog.options import parse_form_key, parse_options
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.errors import ConfigError, OptionError, Problem
from gpu_spawner.core.offers.board import OfferBoard
from gpu_spawner.core.offers.choosing import Choosing
from gpu_spawner.core.wording import listed, quoted
from gpu_spawner.hub.catalog_source import CatalogSource
from gpu_spawner.hub.settings import read_settings
from gpu_spawner.hub.site import placement_site
from gpu_spawner.hub.spawner import GPUSpawner
from gpu_spawner.kube.claim_templates import template_manifest
from gpu_spawner.kube.offline import without_cluster

__all__ = [
    "Rendering",
    "board_for",
    "idle_spawner",
    "load_config",
    "read_configured",
    "render",
    "sample_pods",
]

_UNKNOWN_UID: Final = "00000000-0000-0000-0000-000000000000"


def load_config(path: Path | None) -> Config:
    """Read a ``jupyterhub_config.py``; without one, every setting is at its default.

    Raises:
        ConfigError: it cannot be run; whatever it raises is named.
    """
    if path is None:
        return Config()
    try:
        config: Config = PyFileConfigLoader(path.name, path=str(path.parent)).load_config()
    except Exception as error:  # the file is a program of the site's
        message = f"cannot be read: {type(error).__name__}: {error}."
        cure = "Run it where the hub runs: it may need what is there."
        raise ConfigError([Problem(file=str(path), message=message, cure=cure)]) from error
    return config


def read_configured(config: Config) -> Catalog:
    """Read the catalog that a hub with this configuration has.

    Raises:
        ConfigError: it has mistakes, or there is none.
    """
    settings = read_settings(GPUSpawner, config)
    if not settings.has_profiles:
        message = "sets neither c.GPUSpawner.profiles nor c.GPUSpawner.profiles_dir."
        raise ConfigError(
            [Problem(file="the configuration", message=message, cure="Name a directory.")]
        )
    return CatalogSource(settings).read()


@contextmanager
def idle_spawner(config: Config, username: str) -> Iterator[GPUSpawner]:
    """Make a spawner of one user, which has no hub and no cluster, in a running event loop.

    Raises:
        ConfigError: KubeSpawner does not take a setting.
    """
    user = SimpleNamespace(name=username, id=1, url=f"/user/{username}/", settings={}, groups=[])
    hub = SimpleNamespace(
        public_host="", url="/hub/", base_url="/hub/", api_url="http://hub:8081/hub/api"
    )
    with without_cluster():
        try:
            # _mock: KubeSpawner's word for a spawner that is not a hub's.
            spawner = GPUSpawner(config=config, user=user, hub=hub, _mock=True)
        except TraitError as error:
            raise ConfigError([Problem(file="the configuration", message=str(error))]) from error
    yield spawner


def board_for(spawner: GPUSpawner, catalog: Catalog, snapshot: Snapshot) -> OfferBoard:
    """Return what is on offer in a cluster for servers with a spawner's settings."""
    board = OfferBoard(
        catalog,
        placement_site(spawner, spawner.site_setting),
        pull_bytes_per_second=spawner.pull_bytes_per_second,
        choosing=Choosing(spawner.choose),
    )
    board.update(snapshot)
    return board


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """What a start would create.

    Attributes:
        documents: as Kubernetes' JSON, in the order in which they are created.
        notes: what somebody who reads them should know, one sentence each.
    """

    documents: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]


async def render(
    spawner: GPUSpawner,
    catalog: Catalog,
    selection: Selection,
    snapshot: Snapshot | None = None,
) -> Rendering:
    """Return everything a start with this selection would create.

    Args:
        spawner: from ``idle_spawner``; the selection stays applied to it.
        catalog: what the selection was made from.
        selection: the choice; with a mechanism, that one is used.
        snapshot: the cluster, which decides between several ways of serving it; without one it is
            the first.

    Raises:
        OptionError: no way of serving it is by its mechanism.
    """
    ways = compile_ways(catalog, selection)
    if not ways:
        every = compile_ways(catalog, replace(selection, mechanisms=()))
        names = dict.fromkeys(name for way in every for name in way.selection.mechanisms)
        raise OptionError(
            "mechanism",
            f"{quoted(selection.choice.key)} is not served by {quoted(selection.mechanism)}; "
            f"there is {listed(names, word='or')}.",
        )
    taken = selection
    if snapshot is not None and len(ways) > 1:
        taken = board_for(spawner, catalog, snapshot).resolve(selection)
    fragment = compile_selection(catalog, taken)
    spawner.apply_fragment(fragment)
    pod = await spawner.get_pod_manifest()
    if spawner.modify_pod_hook:
        pod = await maybe_future(spawner.modify_pod_hook(spawner, pod))
    templates = {claim.template.name: claim.template.spec for claim in spawner.pod_claims}
    manifest = _plain(spawner, pod)
    documents = [
        *_before(spawner),
        *(template_manifest(spawner.namespace, name, spec) for name, spec in templates.items()),
        manifest,
        *_after(spawner, manifest),
    ]
    return Rendering(documents=tuple(documents), notes=tuple(_notes(spawner, fragment, ways)))


async def sample_pods(
    config: Config, catalog: Catalog, username: str
) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Return a pod of every profile, for every mechanism that it may be served by.

    Choices of one profile that are served alike differ in amounts and in nodes only.

    Args:
        config: the hub's.
        catalog: what is offered; rules of access do not matter.
        username: whose servers they would be.

    Raises:
        ConfigError: a pod cannot be built.
    """
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    open_to_all = without_access_rules(catalog)
    for profile in open_to_all.profiles:
        for choice in profile.choices:
            selection = parse_options(open_to_all, parse_form_key(choice.key), groups=())
            for way in compile_ways(open_to_all, selection):
                key = profile.slug, way.selection.mechanism
                if key not in found:
                    found[key] = await _sample(config, open_to_all, way.selection, username)
    return found


async def _sample(
    config: Config, catalog: Catalog, selection: Selection, username: str
) -> Mapping[str, Any]:
    with idle_spawner(config, username) as spawner:
        try:
            rendering = await render(spawner, catalog, selection)
        except Exception as error:  # hooks are programs of the site's
            message = f"no pod can be built of it: {type(error).__name__}: {error}."
            cure = "Run it where the hub runs: the configuration may need what is there."
            raise ConfigError(
                [Problem(file=f"profile {selection.profile}", message=message, cure=cure)]
            ) from error
    return next(one for one in rendering.documents if one["kind"] == "Pod")


def _before(spawner: GPUSpawner) -> Iterator[dict[str, Any]]:
    """Yield what is created before the pod, if it is not there yet."""
    if spawner.enable_user_namespaces:
        labels = spawner._expand_all(spawner.user_namespace_labels)  # noqa: SLF001 - as KubeSpawner itself does
        annotations = spawner._expand_all(spawner.user_namespace_annotations)  # noqa: SLF001 - likewise
        yield _plain(spawner, make_namespace(spawner.namespace, labels, annotations))
    if spawner.storage_pvc_ensure:
        yield _plain(spawner, spawner.get_pvc_manifest())


def _after(spawner: GPUSpawner, pod: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what is created when the pod is there; it would belong to the pod."""
    if not (spawner.internal_ssl or spawner.services_enabled):
        return
    owner = make_owner_reference(spawner.pod_name, _UNKNOWN_UID)
    make = spawner.get_service_manifest
    # KubeSpawner 7.0 takes the owner alone.
    takes_port = "port" in inspect.signature(make).parameters
    service = make(owner, spawner._get_pod_port(pod)) if takes_port else make(owner)  # noqa: SLF001 - as KubeSpawner itself does
    manifest = _plain(spawner, service)
    manifest["metadata"].pop("ownerReferences", None)  # the pod's uid is not known before it exists
    yield manifest


def _plain(spawner: GPUSpawner, model: Any) -> dict[str, Any]:
    """Write a client object as JSON, in the namespace it is created in."""
    manifest: dict[str, Any] = spawner.api.api_client.sanitize_for_serialization(model)
    # KubeSpawner leaves out of some what the address of its request says.
    kind = type(model).__name__.removeprefix("V1")
    manifest = {"apiVersion": "v1", "kind": kind, **manifest}
    if kind != "Namespace":
        manifest["metadata"].setdefault("namespace", spawner.namespace)
    return manifest


def _notes(
    spawner: GPUSpawner, fragment: PodFragment, ways: Sequence[PodFragment]
) -> Iterator[str]:
    taken = fragment.selection
    pairs = list(zip(taken.flavors, taken.mechanisms, strict=True))
    others = [name for way in ways if way.selection != taken for name in way.selection.mechanisms]
    if others:
        yield (
            f"This is by {listed(dict.fromkeys(taken.mechanisms), word='or')}, for "
            f"{listed(taken.flavors)}; there are other ways: {listed(dict.fromkeys(others))}."
        )
    if len(pairs) > 1 and fragment.claims:
        alternatives = listed([f"{flavor} (by {name})" for flavor, name in pairs], word="or")
        yield (
            f"The scheduler decides between {alternatives}, in this order; status.allocation of "
            "the claim tells which it was."
        )
    if fragment.service_account:
        yield (
            f"The service account {quoted(fragment.service_account)} and its rights are for an "
            "admin to make; helm-values/experiments-rbac.yaml shows how."
        )
    if spawner.internal_ssl:
        yield "With internal_ssl there is a Secret as well, whose keys are made at each start."
    yield "The hub fills in JUPYTERHUB_API_TOKEN and the like at each start."
