"""``GPUSpawner``: KubeSpawner with profiles that know which GPUs are free.

Every override is thin: it gathers, asks what the hub knows or the core, and translates. With no
profiles of ours configured each of them is KubeSpawner's own.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from typing import Any, Final

from traitlets import default

from gpu_spawner.core.catalog.claims import PodClaim
from gpu_spawner.core.catalog.compile import PodFragment
from gpu_spawner.core.catalog.lifetime import Lifetime
from gpu_spawner.core.catalog.model import Selection
from gpu_spawner.core.catalog.options import parse_options
from gpu_spawner.core.catalog.own_images import read_reference
from gpu_spawner.core.catalog.site_pod import claims_of, settings_of
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.errors import OptionError
from gpu_spawner.core.messages import gettext
from gpu_spawner.hub.applied import AppliedSettings
from gpu_spawner.hub.asked import remember_asked, remember_refusal
from gpu_spawner.hub.claimed_pods import ClaimedPods
from gpu_spawner.hub.failure_count import refusals_not_counted
from gpu_spawner.hub.form_fields import check_tile, options_from_fields, options_from_link
from gpu_spawner.hub.interleaving import with_news
from gpu_spawner.hub.live import Live
from gpu_spawner.hub.measure import measured_start
from gpu_spawner.hub.outcome import failure_of, line_message, progress_message, too_late
from gpu_spawner.hub.patience import StartPatience, full_timeout
from gpu_spawner.hub.quiet_log import ShowForm
from gpu_spawner.hub.reader import in_readers_language
from gpu_spawner.hub.refusal import SpawnRefused, refuse_option
from gpu_spawner.hub.registries import Registries
from gpu_spawner.hub.registry import is_live, line_of, live_of
from gpu_spawner.hub.resumed_start import PendingAgain, age_of, may_resume, until
from gpu_spawner.hub.seats import Place, Seats
from gpu_spawner.hub.settings import Settings
from gpu_spawner.hub.site import site_pod
from gpu_spawner.hub.spawn_page import spawn_page

__all__ = ["GPUSpawner"]

_LOOK_SECONDS: Final = 0.5
_NEWS_SECONDS: Final = 1.0
"""How long nothing may happen on the progress page before the place in the line is looked at."""
_LIFETIME: Final = "gpu_spawner_lifetime"


def _architectures(snapshot: Snapshot) -> frozenset[str]:
    """Return the processors of a cluster's nodes; nothing where they are unknown."""
    nodes = (snapshot.nodes or {}).values()
    return frozenset(state.node.architecture for state in nodes) - {""}


class GPUSpawner(Settings, ClaimedPods):
    """Spawns servers on GPUs that are free, with KubeSpawner."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._applied = AppliedSettings(self)
        self._place: Place | None = None
        self._fragment: PodFragment | None = None
        self.lifetime: Lifetime | None = None
        self._accepted: Mapping[str, Any] = dict(self.user_options)

    @property
    def live(self) -> Live:
        """What the hub knows."""
        return live_of(self)

    @property
    def group_names(self) -> frozenset[str]:
        """The groups that decide what the server's owner may pick."""
        return frozenset(group.name for group in self.user.groups)

    def site_setting(self, name: str) -> Any:
        """Return a KubeSpawner setting as the site has it, whatever choice is applied now."""
        return self._applied.site_value(name)

    # What the user picks

    @default("options_form")
    def _options_form_default(self) -> Any:
        # Every page of the hub asks for this, if only to see whether there is a form.
        return spawn_page if self.has_profiles else super()._options_form_default()

    def _options_from_form(self, formdata: Mapping[str, Any]) -> Any:
        if not self.has_profiles:
            return super()._options_from_form(formdata)
        return self._options_of(options_from_fields, formdata)

    def options_from_query(self, query_data: Mapping[str, Any]) -> Any:
        """Read the options of a link."""
        if not self.has_profiles:
            return super().options_from_query(query_data)
        if set(query_data) <= {"_xsrf"}:
            # The form's own address: reloading it after a refusal must not start anything.
            raise ShowForm
        return self._options_of(options_from_link, query_data)

    def _options_of(
        self, read: Callable[[Mapping[str, Any]], dict[str, str]], sent: Mapping[str, Any]
    ) -> dict[str, str | int]:
        """Validate what a request sent, and refuse now what would be refused in a moment."""
        request = remember_asked(self)
        try:
            request.options = options = read(sent)
            selection = self._parse(options)
            check_tile(sent, self.live.catalog, selection.choice.key)
        except OptionError as error:
            remember_refusal(error)
            raise refuse_option(error) from None
        Seats(self.live).find(self, selection)
        return selection.as_user_options()

    def _parse(self, options: Any) -> Selection:
        """Validate options: one way for form, link and REST."""
        return parse_options(
            self.live.catalog, options, groups=self.group_names, username=self.user.name
        )

    # The start, in the order in which JupyterHub calls these

    async def _run_apply_user_options(self, user_options: Any) -> None:
        """Validate and hold a place before any hook of the site runs, for REST as for the form.

        This, and not ``apply_user_options``, because a site may have set that, and because what is
        raised there is logged with a traceback as if it were a mistake in a hook.
        """
        if self.has_profiles:
            with refusals_not_counted():
                await self._check_own_image(user_options)
                self._hold_place(user_options)
            if not self.apply_user_options:
                return
        await super()._run_apply_user_options(self.user_options)

    async def _check_own_image(self, user_options: Any) -> None:
        """Ask the registry for an image that the user brings, where the admin wants that.

        Before a place is held: nothing may be awaited between looking for one and holding it.
        """
        if not self.own_image_check:
            return
        try:
            selection = self._parse(user_options)
        except OptionError:  # refused in a moment, like any other
            return
        name = read_reference(selection.own_image)
        profile = self.live.catalog.profile(selection.profile)
        if name is None or profile is None or profile.own_image is None:
            return
        registries = Registries(
            token_hosts=self.own_image_token_hosts,
            has_pull_secrets=bool(self.site_setting("image_pull_secrets")),
            architectures=_architectures(self.live.cluster()),
        )
        answer = await registries.ask(selection.own_image, name, profile.own_image.max_bytes)
        if answer.problem and (answer.is_known or self.own_image_check_required):
            self._save(self._accepted if user_options != self._accepted else {})
            error = OptionError("own_image", answer.problem)
            remember_refusal(error)
            raise refuse_option(error)

    def _hold_place(self, user_options: Any) -> Place:
        try:
            selection = self._parse(user_options)
        except OptionError as error:
            # JupyterHub has saved them already, and a start without options would repeat them.
            self._save(self._accepted if user_options != self._accepted else {})
            raise refuse_option(error) from None
        self._save(selection.as_user_options())
        place = Seats(self.live).find(self, selection).prepared(self)
        place.hold()
        self._place = place
        profile = self.live.catalog.profile(selection.profile)
        self.lifetime = profile.lifetime if profile is not None else None
        self._accepted = dict(self.user_options)
        # JupyterHub reads this one before it lets the start begin.
        self._applied.apply(self._timeout_for(place.fragment))
        return place

    def _timeout_for(self, fragment: PodFragment) -> dict[str, int]:
        """Return the setting of how long a start may take; nothing where the site's holds."""
        seconds, wait_seconds = fragment.start_timeout_seconds, fragment.max_wait_seconds
        if seconds is None and not wait_seconds:
            return {}
        base = seconds if seconds is not None else self.site_setting("start_timeout")
        return {"start_timeout": full_timeout(base, wait_seconds)}

    def _save(self, options: Mapping[str, Any]) -> None:
        """Set the options that are shown, and that a start without options repeats."""
        self.user_options = dict(options)
        self.orm_spawner.user_options = dict(options)

    async def load_user_options(self) -> None:
        """Apply what was chosen; KubeSpawner calls this when the site's hooks are done."""
        if not self.has_profiles:
            await super().load_user_options()
            return
        place = self._place or self._hold_place(self.user_options)
        self.apply_fragment(place.fragment)

    def apply_fragment(self, fragment: PodFragment) -> None:
        """Become a spawner of this choice, in all that KubeSpawner builds from now on."""
        self._applied.apply(self._settings_for(fragment))
        self._fragment = fragment

    @property
    def pod_claims(self) -> tuple[PodClaim, ...]:
        """The claims of the choice that is applied now."""
        return claims_of(self._fragment) if self._fragment is not None else ()

    def _settings_for(self, fragment: PodFragment) -> dict[str, Any]:
        site = site_pod(self, self.site_setting, fragment.override)
        return settings_of(fragment, site) | self._timeout_for(fragment)

    async def _start(self) -> Any:
        if not self.has_profiles:
            return await super()._start()
        starting = asyncio.ensure_future(super()._start())
        with refusals_not_counted(), measured_start(self._place) as measure, self._remembering():
            try:
                await self._watch_start(starting)
                address = await starting
            except TimeoutError as error:
                # KubeSpawner's own patience ends anywhere within a tenth of start_timeout.
                if (pod := self._pod()) is None:
                    raise
                raise too_late(pod, self.events, self.start_timeout) from error
            finally:
                await self._abandon(starting)
            measure.succeeded(self._pod())
        return address

    def _is_hopeless(self) -> bool:
        return self._place is not None and line_of(self).is_hopeless(self._place, self)

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        """Keep the reason of a failed start for the page that is seen next."""
        server = (self.user.name, self.name)
        self.live.failures.forget(server)
        try:
            yield
        except SpawnRefused as failure:
            self.live.failures.remember(server, failure.sentence)
            raise

    async def _watch_start(
        self, starting: "asyncio.Future[Any]", *, ran_seconds: float = 0.0
    ) -> None:
        """Return when KubeSpawner is done; raise when what it waits for cannot come in time.

        KubeSpawner looks at the pod every few seconds, and takes one that failed for one that may
        still run.
        """
        patience = StartPatience(
            timeout_seconds=self.start_timeout,
            max_wait_seconds=self._place.fragment.max_wait_seconds if self._place else 0,
            stuck_seconds=self.stuck_seconds,
            is_hopeless=self._is_hopeless,
            began=time.monotonic() - ran_seconds,
        )
        seen = None
        while not starting.done():
            await asyncio.wait({starting}, timeout=_LOOK_SECONDS)
            pod = self._pod()
            if starting.done() or pod is None:
                continue
            await self.mend_claims(pod)
            if pod is not seen and (failure := failure_of(pod, self.events)) is not None:
                await self._abandon(starting)
                await self._remove_pod()
                raise failure
            seen = pod
            if (failure := patience.check(pod, lambda: self.events, time.monotonic())) is not None:
                raise failure

    async def _remove_pod(self) -> None:
        """Remove a pod that failed: without containers KubeSpawner takes it for gone already."""
        try:
            await self.stop(now=True)
        except Exception:
            # Why the start failed is worth more to the user than that this failed as well.
            self.log.exception("Could not remove the failed pod %s", self.pod_name)

    @staticmethod
    async def _abandon(starting: "asyncio.Future[Any]") -> None:
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})

    async def poll(self) -> int | None:
        """Tell whether the server runs; at the hub's start, once it does or cannot any more."""
        status: int | None = await super().poll()
        pod = self._pod()
        is_asked_at_start = self._check_pending and self.has_profiles and may_resume()
        if status is not None or not is_asked_at_start or pod is None or self.is_pod_running(pod):
            return status
        with self._remembering():
            is_left = await PendingAgain(self).until(self._resume)
        # Asked again for the address, which JupyterHub has from a time when there was none.
        after: int | None = await super().poll() if is_left else 1
        return after

    async def _resume(self) -> None:
        """Go on with a start of the last hub, until the server runs.

        Raises:
            SpawnRefused: it cannot any more, or not in time.
        """
        await until(lambda: is_live(self.user.settings))
        with suppress(OptionError, SpawnRefused):  # what it was told yes to may be gone by now
            place = Seats(self.live).find(self, self._parse(self.user_options)).prepared(self)
            place.hold()
            self._place = place
            self._applied.apply(self._timeout_for(place.fragment))
        starting = asyncio.ensure_future(until(self._is_over_or_up))
        try:
            await self._watch_start(starting, ran_seconds=age_of(self._pod()))
        finally:
            await self._abandon(starting)

    def _is_over_or_up(self) -> bool:
        pod = self._pod()
        return pod is None or bool(self.is_pod_running(pod))

    def get_state(self) -> dict[str, Any]:
        """Return what outlives a restart of the hub, the rule the server was started under too."""
        state: dict[str, Any] = super().get_state()
        if self.lifetime is not None:
            state[_LIFETIME] = self.lifetime.as_state()
        return state

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what ``get_state`` returned."""
        super().load_state(state)
        self.lifetime = Lifetime.from_state(state.get(_LIFETIME))

    def clear_state(self) -> None:
        """Forget the last start: JupyterHub calls this before each one and after each stop."""
        super().clear_state()
        self.lifetime = None
        self._applied.undo()
        self._fragment = None
        if self._place is not None:
            self._place.release()
            self._place = None

    async def progress(self) -> AsyncGenerator[dict[str, Any], None]:
        """Report the start in sentences; the first of them is when the server will be stopped."""
        words = self.lifetime.words if self.lifetime is not None else ""
        if words:
            said = gettext("This server {stops}.", stops=words)
            yield {"progress": 1, "message": in_readers_language(said)}
        async with aclosing(super().progress()) as steps:
            if not self.has_profiles:
                async for step in steps:
                    yield step
                return
            async with aclosing(with_news(steps, self._place_in_line, _NEWS_SECONDS)) as told:
                async for step in told:
                    yield self._in_words(step)

    def _place_in_line(self) -> dict[str, Any] | None:
        """Return where the server stands while it waits, as a step of its start."""
        if self._place is None:
            return None
        sentence, detail = line_of(self).words(self._place, self)
        return line_message(sentence, detail) if sentence else None

    def _in_words(self, step: dict[str, Any]) -> dict[str, Any]:
        try:
            return progress_message(step, self._pod(), self._place)
        except Exception:
            self.log.exception("Could not put the progress of %s into words", self.pod_name)
            return step

    def _pod(self) -> Mapping[str, Any] | None:
        reflector = self.pod_reflector
        if reflector is None:
            return None
        pod: Mapping[str, Any] | None = reflector.pods.get(f"{self.namespace}/{self.pod_name}")
        return pod
