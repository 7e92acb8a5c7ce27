"""The settings an admin gives in ``c.GPUSpawner``, beside KubeSpawner's own.

They are read in two places: on every spawner, where traitlets expects them, and once for the whole
hub before there is any spawner (``read_settings``).
"""

from pathlib import Path
from typing import Any, Final

from traitlets import Bool, Dict, Enum, Float, List, Unicode, default
from traitlets.config import Config, LoggingConfigurable

from gpu_spawner.core.offers.board import PULL_BYTES_PER_SECOND
from gpu_spawner.core.offers.choosing import Choosing
from gpu_spawner.hub.languages import shipped_languages
from gpu_spawner.hub.preload_settings import PreloadSettings

__all__ = ["HubSettings", "Settings", "read_settings"]

_OWN_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where Kubernetes tells every pod the namespace it runs in."""


class Settings(PreloadSettings):
    """Our own traits; the help texts are what ``jupyterhub --help-all`` shows."""

    profiles = Dict(
        config=True,
        help="""
        The profiles that users pick from, as a mapping from slug to profile.

        A mapping and not a list, so that several Helm values files can add to it. A profile has
        the same keys as in a file of `profiles_dir`, whose profiles are added to these; `flavors`
        and `images` hold what it names. Profiles are shown in the order of the number that may
        stand before the slug.

        With neither, everything is KubeSpawner: its `profile_list` is shown and works as there.
        With either, ours are shown, KubeSpawner's `profile_list` is not, and the log says so.

        Read at the start of the hub, which does not start with a mistake in it. Example::

            c.GPUSpawner.profiles = {
                "10-data-science": {
                    "display_name": "Data science on CPU",
                    "images": ["scipy"],
                    "resources": {"cpu": {"request": 1}, "memory": {"request": "2Gi"}},
                }
            }
        """,
    )
    flavors = Dict(
        config=True,
        help="""
        The kinds of GPU that `profiles` name, as a mapping from name to flavor: what
        `flavors.yaml` holds in `profiles_dir`.
        """,
    )
    images = Dict(
        config=True,
        help="""
        The environments that `profiles` name, as a mapping from name to image: what `images.yaml`
        holds in `profiles_dir`.
        """,
    )
    profiles_dir = Unicode(
        "",
        config=True,
        help="""
        A directory with one YAML file for each profile (`20-pytorch-gpus.yaml`: the number orders
        the page, the rest is the slug), `flavors.yaml` and `images.yaml`.

        Read at the start of the hub, which does not start with a mistake in it; read again while
        the hub runs whenever a file changes. An edit with a mistake in it is reported in the log
        and leaves the last good profiles in place. `gpu-spawner check DIR` finds every mistake
        beforehand.
        """,
    )
    profiles_reload_seconds = Float(
        3.0,
        min=0,
        config=True,
        help="""
        How often to look for changed files in `profiles_dir`, in seconds; 0 never looks again
        after the start.
        """,
    )
    watch_cluster = Bool(
        True,
        config=True,
        help="""
        Whether to watch the cluster's nodes and pods, which is how the page knows what is free.

        It needs the right to list and watch nodes and pods in the whole cluster. Without that
        right the page says that what is free is not known, and everything else works; False does
        the same without asking.
        """,
    )
    refuse_when_full = Bool(
        True,
        config=True,
        help="""
        Whether to refuse a start at once, with the reason and the nearest choice that would start,
        when no place is free for it. False creates the pod anyway and lets it wait until
        `start_timeout`.
        """,
    )
    languages = List(
        Enum(shipped_languages()),
        default_value=list(shipped_languages()),
        minlen=1,
        config=True,
        help="""
        The languages that readers may have our part of the pages in, by their tags.

        Each reader gets the one that the browser asks for (`Accept-Language`). The first of the
        list is for whoever asks for none of them; the default is all languages that are shipped,
        English first. `["en"]` shows everybody English. What admins write into profiles is shown
        as it is. Logs, metrics, commands and the JSON API are always in English.
        """,
    )
    choose = Enum(
        [one.value for one in Choosing],
        Choosing.FULLEST.value,
        config=True,
        help="""
        Which flavor a server gets that takes whichever is free first, of those with a free place.

        `fullest` takes the one with the smallest part of a node's GPUs left, so that empty nodes
        stay empty for those who want many GPUs at once; `in_order` takes the first in the
        profile's list. Where flavors are equally full, and within one claim, which the scheduler
        decides about, the order of the list holds in any case.
        """,
    )
    stuck_seconds = Float(
        120.0,
        min=0,
        config=True,
        help="""
        For how long to bear a start that goes on only if somebody mends something, in seconds: a
        secret, a volume or a device class that does not exist, hardware that no node has. After
        that it fails with the reason instead of waiting until `start_timeout`. 0 always waits.
        """,
    )

    limits = Dict(
        config=True,
        help="""
        How much may be held at once: `gpus` (4, or 0.5; a part of a GPU counts as the part of its
        memory), `gpu_memory` ("160GB") and `servers`. Null means no limit.

        `default` holds for each user; `groups` for each member, the most generous of several
        groups; `users` for one user, instead of both. `together` holds for all members of a group
        together, and `profiles` for each user's servers of one profile. Example::

            c.GPUSpawner.limits = {
                "default": {"gpus": 1, "servers": 2},
                "groups": {"research": {"gpus": 8}},
                "users": {"ada": {"gpus": None}},
                "together": {"course-ml101": {"gpus": 20}},
                "profiles": {"llm-fine-tuning": {"servers": 1}},
            }

        The page shows what is left; form, links and REST are held to it alike. Servers that run
        when a limit is lowered go on.
        """,
    )
    lifetime_check_seconds = Float(
        60.0,
        min=0.1,
        config=True,
        help="""
        How often to look for servers that have run for their profile's `max_lifetime`, or were
        unused for its `idle_timeout`, in seconds.

        Profiles with neither are never stopped by this. Beside jupyterhub-idle-culler (`cull` in
        the chart's values) whichever comes first stops a server, and the culler's timeout holds
        for every profile: turn it off, or set it to the longest that any profile allows. Both go
        by the same bookkeeping of JupyterHub's.
        """,
    )
    own_image_check = Bool(
        False,
        config=True,
        help="""
        Whether to ask the registry for an image that a user brings (`own_image` of a profile)
        before its server starts: that it is there, may be pulled without a login, and is not
        larger than the profile's `max_size`.

        The hub needs https to the registries that profiles name; it follows no redirects, and
        fetches tokens from the registry's own host, or from `own_image_token_hosts`. It logs in
        nowhere: where servers have `image_pull_secrets`, an image that a registry does not show to
        everybody counts as one that cannot be asked about.
        """,
    )
    own_image_token_hosts = List(
        Unicode(),
        config=True,
        help="""
        Hosts that hand out tokens for registries on other hosts: `["gitlab.com"]` for images of
        registry.gitlab.com.
        """,
    )
    own_image_check_required = Bool(
        False,
        config=True,
        help="""
        Whether to refuse an image that a user brings when its registry cannot be asked. False lets
        it start: Kubernetes will say what is wrong with it.
        """,
    )
    pull_bytes_per_second = Float(
        PULL_BYTES_PER_SECOND,
        min=1,
        config=True,
        help="""
        How fast a node of this cluster pulls images, in bytes a second. With the `size` of an image
        it gives the time that the page adds for a node that has not got the image yet.

        The default, 100 MB/s, is what a registry of the same cloud region gives; measure with
        `kubectl get events --field-selector reason=Pulled`, whose messages tell size and time.
        """,
    )

    claim_template_max_age_seconds = Float(
        3600.0,
        min=0,
        config=True,
        help="""
        For how long to keep a ResourceClaimTemplate that no server uses, in seconds; 0 keeps all.

        Choices that are served by Dynamic Resource Allocation have a template each, in the
        namespace of the servers. The hub makes it when a server needs it, and removes those that
        carry its label `app.kubernetes.io/managed-by: gpu-spawner` and that no pod names.
        """,
    )

    @property
    def has_profiles(self) -> bool:
        """Whether there is a catalog of ours at all."""
        return bool(self.profiles_dir or self.profiles)


class HubSettings(Settings, LoggingConfigurable):
    """The same settings for the whole hub, with those of KubeSpawner that say where servers run.

    Attributes:
        spawner_class: the class they were read for.
        hub_config: everything the hub is configured with.
    """

    k8s_api_host = Unicode("", config=True)
    k8s_api_ssl_ca_cert = Unicode("", config=True)
    k8s_api_verify_ssl = Bool(None, allow_none=True, config=True)
    enable_user_namespaces = Bool(False, config=True)
    namespace = Unicode(config=True)

    spawner_class: Any = None
    hub_config: Config

    @default("namespace")
    def _namespace_default(self) -> str:
        """Return where KubeSpawner starts servers unless it is told otherwise."""
        return _OWN_NAMESPACE.read_text().strip() if _OWN_NAMESPACE.exists() else "default"


def read_settings(spawner_class: Any, config: Config, **keywords: Any) -> HubSettings:
    """Read the settings as a spawner of this class would, sections of its base classes included.

    Args:
        spawner_class: the hub's ``spawner_class``; a site may have subclassed ours.
        config: the hub's configuration.
        keywords: for the configurable, for example ``log``.
    """
    ours = Config()
    for section in spawner_class.section_names():
        # The other settings of these sections are a spawner's; traitlets would warn of them.
        ours.merge(
            {
                name: value
                for name, value in config.get(section, {}).items()
                if HubSettings.class_traits(config=True).get(name)
            }
        )
    settings = HubSettings(config=Config({"HubSettings": ours}), **keywords)
    settings.spawner_class = spawner_class
    settings.hub_config = config
    return settings
