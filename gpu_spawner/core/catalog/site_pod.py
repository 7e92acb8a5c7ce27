"""Where a profile meets a site: merge a fragment into KubeSpawner's settings, and count the result.

``SitePod`` holds the KubeSpawner settings that every server of the site gets. Lists are appended
to, mappings are merged; node affinity terms, of which Kubernetes needs one to match, are combined
so that the site's rule and the profile's both hold.
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import msgspec

from gpu_spawner.core.catalog.amounts import Amount
from gpu_spawner.core.catalog.claims import NOTEBOOK, PodClaim
from gpu_spawner.core.catalog.fragment import PodFragment
from gpu_spawner.core.catalog.override import merge_setting
from gpu_spawner.core.catalog.sidecar_pods import SHM_PATH, SHM_VOLUME
from gpu_spawner.core.placement.pod_request import PodRequest, request_from_pod
from gpu_spawner.core.quantity import format_bytes

__all__ = ["SITE_SETTINGS", "SitePod", "claims_of", "request_of", "settings_of"]

SITE_SETTINGS: Final = (
    "cpu_guarantee",
    "cpu_limit",
    "environment",
    "extra_annotations",
    "extra_containers",
    "extra_labels",
    "extra_pod_config",
    "extra_resource_guarantees",
    "extra_resource_limits",
    "init_containers",
    "mem_guarantee",
    "mem_limit",
    "node_affinity_preferred",
    "node_affinity_required",
    "node_selector",
    "pod_affinity_required",
    "pod_anti_affinity_required",
    "scheduler_name",
    "service_account",
    "start_timeout",
    "tolerations",
    "volume_mounts",
    "volumes",
)
"""The KubeSpawner traits a ``SitePod`` is made of; others do not change where a pod fits, and are
not merged with anything unless a profile's ``kubespawner_override`` names them."""

_CAMEL: Final[Mapping[str, str]] = MappingProxyType(
    {
        "label_selector": "labelSelector",
        "match_expressions": "matchExpressions",
        "match_fields": "matchFields",
        "match_label_keys": "matchLabelKeys",
        "match_labels": "matchLabels",
        "mismatch_label_keys": "mismatchLabelKeys",
        "namespace_selector": "namespaceSelector",
        "pod_affinity_term": "podAffinityTerm",
        "toleration_seconds": "tolerationSeconds",
        "topology_key": "topologyKey",
    }
)
"""KubeSpawner takes both spellings inside affinities and tolerations; Kubernetes takes one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SitePod:
    """What every server of a site gets.

    Attributes:
        settings: KubeSpawner traits by name (``SITE_SETTINGS``, and those that profiles override),
            as the site configured them; what is absent is at KubeSpawner's default.
        labels: of every server's pod, as far as other pods' anti-affinity looks at them.
    """

    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    namespace: str = "default"
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def settings_of(fragment: PodFragment, site: SitePod) -> dict[str, Any]:
    """Return the KubeSpawner settings of a server: the fragment's, merged into the site's.

    Only settings that differ from the site's are named. Setting all of them on a fresh spawner
    gives the pod that ``request_of`` counts.
    """
    extended = {name: str(amount) for name, amount in fragment.extended_resources.items()}
    additions: dict[str, Any] = {
        "extra_resource_guarantees": dict(extended),
        "extra_resource_limits": dict(extended),
        "node_selector": dict(fragment.node_selector),
        "node_affinity_preferred": list(fragment.preferred_terms),
        "tolerations": [toleration.as_manifest() for toleration in fragment.tolerations],
        "environment": dict(fragment.environment),
        "extra_labels": dict(fragment.labels),
        "extra_annotations": dict(fragment.annotations),
        "extra_containers": [_unexpanded(container) for container in fragment.sidecars],
    }
    settings: dict[str, Any] = {"image": fragment.image}
    settings |= _amounts("cpu", fragment.cpu, 1000)
    settings |= _amounts("mem", fragment.memory, 1)
    terms = _both(site.settings.get("node_affinity_required") or (), fragment.required_terms)
    if fragment.required_terms:
        settings["node_affinity_required"] = terms
    settings |= _plain_values(fragment)
    for name, addition in additions.items():
        if addition:
            settings[name] = _merged(site.settings.get(name), addition)
    if fragment.shm_bytes:
        settings |= _shm(fragment.shm_bytes, site)
    for name, value in fragment.override.items():
        settings[name] = _merged(settings.get(name, site.settings.get(name)), value)
    return deepcopy(settings)  # KubeSpawner completes some of what it is given in place


def _plain_values(fragment: PodFragment) -> dict[str, Any]:
    """Return the settings that replace the site's, where the profile or the image has any."""
    settings: dict[str, Any] = {}
    if fragment.scheduler_name is not None:
        settings["scheduler_name"] = fragment.scheduler_name or None
    if fragment.service_account is not None:
        settings["service_account"] = fragment.service_account
    if fragment.start_timeout_seconds is not None:
        settings["start_timeout"] = fragment.start_timeout_seconds
    if fragment.default_url:
        settings["default_url"] = fragment.default_url
    if fragment.cmd:
        settings["cmd"] = list(fragment.cmd)
    return settings


def claims_of(fragment: PodFragment) -> tuple[PodClaim, ...]:
    """Return the claims of a server's pod, which no KubeSpawner setting can carry.

    Whoever builds the pod adds them: an entry in ``spec.resourceClaims`` for each, and one in
    ``resources.claims`` of every container they name. Sidecars have theirs already.
    """
    return fragment.claims


def request_of(fragment: PodFragment, site: SitePod) -> PodRequest:
    """Return what the server's pod asks of the cluster, as placement counts it.

    Persistent volumes are taken to be usable from every node.
    """
    settings = {**site.settings, **settings_of(fragment, site)}
    notebook = {"name": NOTEBOOK, "resources": _resources(settings)}
    affinity = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": _camel(settings.get("node_affinity_required"))
            }
            if settings.get("node_affinity_required")
            else None,
            "preferredDuringSchedulingIgnoredDuringExecution": _camel(
                settings.get("node_affinity_preferred")
            ),
        },
        "podAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": _camel(
                settings.get("pod_affinity_required")
            )
        },
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": _camel(
                settings.get("pod_anti_affinity_required")
            )
        },
    }
    spec = {
        "containers": [notebook, *map(_container, settings.get("extra_containers") or ())],
        "initContainers": [*map(_container, settings.get("init_containers") or ())],
        "nodeSelector": dict(settings.get("node_selector") or {}),
        "affinity": affinity,
        "tolerations": _camel(settings.get("tolerations")),
        "schedulerName": settings.get("scheduler_name"),
        "resourceClaims": [
            {"name": claim.name, "resourceClaimTemplateName": claim.template.name}
            for claim in fragment.claims
        ],
    }
    metadata = {
        "namespace": site.namespace,
        "labels": dict(site.labels),
        "annotations": dict(fragment.annotations),
    }
    request = request_from_pod(
        {"metadata": metadata, "spec": spec},
        source=f"profile {fragment.selection.profile}",
        claim_specs={claim.template.name: claim.template.spec for claim in fragment.claims},
        volumes_bind_anywhere=True,
    )
    if fragment.fraction is not None:  # a site may have given its resources other names
        request = msgspec.structs.replace(
            request,
            fraction=fragment.fraction,
            requests=fragment.fraction.without_uncounted(request.requests),
        )
    return msgspec.structs.replace(
        request, architectures=fragment.architectures, min_cuda=fragment.min_cuda
    )


def _unexpanded(value: Any) -> Any:
    """Write texts so that KubeSpawner, which fills in ``{username}``, gives them back unchanged."""
    if isinstance(value, Mapping):
        return {key: _unexpanded(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_unexpanded(inner) for inner in value]
    return value.replace("{", "{{").replace("}", "}}") if isinstance(value, str) else value


def _amounts(name: str, amount: Amount, divisor: int) -> dict[str, Any]:
    """Set request and limit together, or neither: half of a site's pair would not fit ours."""
    if amount.request is None and amount.limit is None:
        return {}

    def show(value: int | None) -> int | float | None:
        return value if value is None or divisor == 1 else value / divisor

    return {f"{name}_guarantee": show(amount.request), f"{name}_limit": show(amount.limit)}


def _merged(current: Any, addition: Any) -> Any:
    return addition if current is None else merge_setting(current, addition)


def _both(site: Iterable[Any], ours: Iterable[Any]) -> list[dict[str, Any]]:
    """Combine two lists of terms, each with "or" inside, so that both lists hold."""
    site_terms, our_terms = _camel(list(site)), list(ours)
    if not site_terms or not our_terms:
        return [*site_terms, *our_terms]
    return [
        {
            part: [*(one.get(part) or ()), *(other.get(part) or ())]
            for part in ("matchExpressions", "matchFields")
            if one.get(part) or other.get(part)
        }
        for one in site_terms
        for other in our_terms
    ]


def _shm(shm_bytes: int, site: SitePod) -> dict[str, Any]:
    """Mount a memory volume of this size at /dev/shm, in place of one the site mounts there."""
    volume = {
        "name": SHM_VOLUME,
        "emptyDir": {"medium": "Memory", "sizeLimit": format_bytes(shm_bytes)},
    }
    mount = {"name": SHM_VOLUME, "mountPath": SHM_PATH}
    mounts = site.settings.get("volume_mounts") or []
    if isinstance(mounts, Mapping):
        kept: Any = {key: one for key, one in mounts.items() if not _is_at(one, SHM_PATH)}
        new_mounts: Any = {**kept, SHM_VOLUME: mount}
    else:
        new_mounts = [*(one for one in mounts if not _is_at(one, SHM_PATH)), mount]
    volumes = site.settings.get("volumes") or []
    new_volumes: Any = (
        {**volumes, SHM_VOLUME: volume} if isinstance(volumes, Mapping) else [*volumes, volume]
    )
    return {"volumes": new_volumes, "volume_mounts": new_mounts}


def _is_at(mount: Any, path: str) -> bool:
    return bool(_field(mount, "mountPath", "mount_path") == path)


def _field(thing: Any, *names: str) -> Any:
    """Read a field of a mapping in either spelling, or of a client object."""
    for name in names:
        found = thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
        if found is not None:
            return found
    return None


def _resources(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write the notebook container's resources as KubeSpawner does; zero means not set there."""
    pairs = {
        "requests": ("cpu_guarantee", "mem_guarantee", "extra_resource_guarantees"),
        "limits": ("cpu_limit", "mem_limit", "extra_resource_limits"),
    }
    return {
        kind: {
            **({"cpu": settings[cpu]} if settings.get(cpu) else {}),
            **({"memory": settings[memory]} if settings.get(memory) else {}),
            **(settings.get(extra) or {}),
        }
        for kind, (cpu, memory, extra) in pairs.items()
    }


def _container(raw: Any) -> dict[str, Any]:
    """Take from a container what is counted: its requests, and whether it stays beside others."""
    resources = _field(raw, "resources")
    return {
        "name": str(_field(raw, "name") or ""),
        "resources": {
            kind: dict(_field(resources, kind) or {}) if resources is not None else {}
            for kind in ("requests", "limits")
        },
        "restartPolicy": _field(raw, "restartPolicy", "restart_policy"),
    }


def _camel(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_CAMEL.get(key, key): _camel(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_camel(inner) for inner in value]
    return [] if value is None else value
