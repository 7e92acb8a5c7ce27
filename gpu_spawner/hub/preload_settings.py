"""The settings an admin gives about preloading images; part of ``Settings``."""

import re
from collections.abc import Mapping
from typing import Any, Final

from traitlets import (
    Bool,
    CaselessStrEnum,
    Dict,
    Float,
    HasTraits,
    Integer,
    TraitError,
    Unicode,
    validate,
)
from traitlets import List as ListTrait

from gpu_spawner.core.catalog.fields import read_image_reference
from gpu_spawner.core.preload.policy import DEFAULT_RESOURCES, HELPER_IMAGE, PAUSE_IMAGE, Strategy
from gpu_spawner.core.preload.steering import Steering
from gpu_spawner.core.quantity import parse_nano
from gpu_spawner.preload.options import AUTO
from gpu_spawner.preload.surroundings import parse_owner

__all__ = ["PreloadSettings"]

_RELEASE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_COUNTED: Final = frozenset({"cpu", "memory", "ephemeral-storage"})


class PreloadSettings(HasTraits):
    """Traits; the help texts are what ``jupyterhub --help-all`` shows."""

    preload = Bool(
        True,
        config=True,
        help="""
        Whether to keep the images of profiles on the nodes that can run them, before a user comes.

        Each profile says when (`preload: always`, `on-demand` or `never`). The hub makes
        DaemonSets for that, one for each image and kind of node, whose pods pull an image and hold
        it, and ask for next to nothing. It needs the right to list, watch, create, update, patch
        and delete DaemonSets in its namespace; without it, it says so once and everything
        else works. False makes none, and removes those that were made.

        Switch off zero-to-jupyterhub's `prePuller` for these images, or every node pulls all.
        """,
    )
    preload_elsewhere = Bool(
        False,
        config=True,
        help="""
        Whether a Deployment of its own runs `gpu-spawner preload`: the hub then writes nothing, and
        only watches which images are where.
        """,
    )
    preload_strategy = CaselessStrEnum(
        [AUTO, *(strategy.value for strategy in Strategy)],
        default_value=AUTO,
        config=True,
        help="""
        How a pod makes its node pull an image.

        `image-volume` mounts it and runs nothing of it (Kubernetes 1.35 and a container runtime
        that can); `helper` runs, in the image, a small program that it brings along, so that
        images without a shell work too; `sleep` runs the image's own `sleep`. `auto`, the default,
        takes `image-volume` where the API server accepts it, else `helper`. Choose `helper`
        yourself where the API server is newer than the nodes' container runtimes.
        """,
    )
    preload_pulls_per_node = Integer(
        1,
        min=1,
        config=True,
        help="""
        How many images one node may be pulling for us at once.

        Most kubelets pull one image after another (`serializeImagePulls`): with more than 1, a
        user's own pull waits for all of them.
        """,
    )
    preload_pulls_in_cluster = Integer(
        10,
        min=1,
        config=True,
        help="""
        How many pulls may be under way for us in the whole cluster, for the registry's sake.

        It can be kept only with the right to list nodes; without it, images go to all nodes of a
        kind at once, one image after the other.
        """,
    )
    preload_grace_seconds = Integer(
        3600,
        min=0,
        config=True,
        help="""
        How long an image stays held on its nodes, in seconds, after no profile names it any more
        or, where it is preloaded on demand, after its last server has stopped.

        0 lets it go at once. What is no longer held is deleted by a node when it needs the room.
        """,
    )
    preload_disk_share = Float(
        0.5,
        min=0,
        max=1,
        config=True,
        help="""
        How much of a node's disk preloaded images may fill; 0 sets no limit.

        An image is taken to need three times its compressed size. Images that come later on the
        page give way; `gpu-spawner preload --plan` names them.
        """,
    )
    preload_refresh_tags = Bool(
        True,
        config=True,
        help="""
        Whether nodes pull an image again when other nodes have a newer one under the same tag.

        Nodes that pulled a tag such as `latest` in different weeks have different images.
        References with a digest never move.
        """,
    )
    preload_extra_images = Dict(
        ListTrait(Unicode()),
        config=True,
        help="""
        Further images to preload: from an image reference to the slugs of the profiles on whose
        nodes it should be; an empty list means the nodes of every profile. Example::

            c.GPUSpawner.preload_extra_images = {"quay.io/site/proxy:2": ["pytorch-gpus"]}

        A profile that does not exist is named in the hub's log.
        """,
    )
    preload_namespace = Unicode(
        "",
        config=True,
        help="""
        The namespace of the DaemonSets; the servers' own by default.

        Two hubs that share one need names of their own: see `preload_release`.
        """,
    )
    preload_owner = Unicode(
        "secret/hub",
        config=True,
        help="""
        Which object owns the DaemonSets, as kind/name: when it is deleted, Kubernetes deletes them.

        The default is a Secret that zero-to-jupyterhub makes and that `helm uninstall` deletes.
        A Secret, ConfigMap, Deployment, Service or ServiceAccount of the same namespace will do;
        empty means none.
        """,
    )
    preload_release = Unicode(
        "",
        config=True,
        help="""
        Tells the DaemonSets of this hub from those of another one in the same namespace, such as
        the name of its Helm release; empty for the only one. Two hubs must not have the same: each
        would remove what only the other one wants.

        DaemonSets that were made under another name, or none, are nobody's then; switch preloading
        off before you change it, or remove them yourself.
        """,
    )
    preload_resources = Dict(
        {kind: dict(amounts) for kind, amounts in DEFAULT_RESOURCES.items()},
        config=True,
        help="""
        What a container of a preloading pod requests, and may use: `requests` and `limits` of
        `cpu`, `memory` and `ephemeral-storage`, as Kubernetes writes them. Never a GPU.
        """,
    )
    preload_priority_class = Unicode(
        "",
        config=True,
        help="""
        The PriorityClass of the preloading pods; empty for the cluster's default.

        One with a negative value lets a node that runs out of disk evict them before users.
        """,
    )
    preload_pause_image = Unicode(
        PAUSE_IMAGE, config=True, help="What holds an image that is mounted as a volume."
    )
    preload_helper_image = Unicode(
        HELPER_IMAGE,
        config=True,
        help="""
        Where `preload_strategy = "helper"` takes its program from: an image with a statically
        linked `/bin/busybox` and `/bin/cp`. Name a mirror's where nodes cannot reach Docker Hub.
        """,
    )
    preload_dry_run = Bool(
        False,
        config=True,
        help="Whether only to log what preloading would do. `gpu-spawner preload --plan` does too.",
    )
    preload_steer = CaselessStrEnum(
        [steering.value for steering in Steering],
        default_value=Steering.WARM.value,
        config=True,
        help="""
        Whether a server prefers nodes that have its image already.

        `warm` prefers all of them that have room. `packed` prefers them only where they are as full
        as any node the server fits on, so that whole nodes stay free for large servers; in
        schedulers that pack (zero-to-jupyterhub's user-scheduler) any preference would outweigh
        that. `off` prefers none. It is never more than a preference.
        """,
    )
    longest_start_seconds = Integer(
        1800,
        min=0,
        config=True,
        help="""
        How far `start_timeout` may be extended, in seconds, for a server whose image has to be
        pulled first: by twice the expected time of the pull, and at most to this. 0 never extends.
        """,
    )

    @validate("preload_release")
    def _validate_release(self, proposal: Mapping[str, Any]) -> str:
        value = str(proposal["value"])
        if value and not _RELEASE.fullmatch(value):
            raise TraitError(
                "preload_release must be at most 40 small letters, digits and dashes, got "
                f"{value[:60]!r}"
            )
        return value

    @validate("preload_extra_images")
    def _validate_extra_images(self, proposal: Mapping[str, Any]) -> Any:
        for reference in proposal["value"]:
            try:
                read_image_reference(reference)
            except ValueError as error:
                raise TraitError(f"preload_extra_images: {error}") from None
        return proposal["value"]

    @validate("preload_owner")
    def _validate_owner(self, proposal: Mapping[str, Any]) -> str:
        value = str(proposal["value"])
        if value and parse_owner(value) is None:
            raise TraitError(
                f"preload_owner must be kind/name, such as secret/hub, got {value[:60]!r}"
            )
        return value

    @validate("preload_resources")
    def _validate_resources(self, proposal: Mapping[str, Any]) -> Any:
        value = proposal["value"]
        for kind, amounts in value.items():
            if kind not in ("requests", "limits") or not isinstance(amounts, Mapping):
                raise TraitError(f"preload_resources has requests and limits, got {kind!r}")
            if not set(amounts) <= _COUNTED:
                raise TraitError(
                    f"preload_resources.{kind} may name {', '.join(sorted(_COUNTED))}; "
                    f"got {', '.join(sorted(map(str, set(amounts) - _COUNTED)))[:60]}"
                )
        _check_amounts(value.get("requests", {}), value.get("limits", {}))
        return value


def _check_amounts(requests: Mapping[str, Any], limits: Mapping[str, Any]) -> None:
    """Find what the API server would refuse in every DaemonSet.

    Raises:
        TraitError: an amount is none, or a request is above its limit.
    """
    read: dict[tuple[str, str], int] = {}
    for kind, amounts in (("requests", requests), ("limits", limits)):
        for name, amount in amounts.items():
            key = f"preload_resources.{kind}.{name}"
            try:
                read[kind, name] = parse_nano(amount)
            except (TypeError, ValueError) as error:
                raise TraitError(f"{key}: {error}") from None
            if read[kind, name] < 0:
                raise TraitError(f"{key} must not be negative, got {str(amount)[:60]!r}")
    for name in requests.keys() & limits.keys():
        if read["requests", name] > read["limits", name]:
            raise TraitError(f"preload_resources.requests.{name} is above its limit")
