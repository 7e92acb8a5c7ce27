"""What KubeSpawner does not do for pods with claims: make them, and delete them in good order.

A pod that is deleted with a grace period of zero is gone from the API at once, and its devices are
free for the scheduler before the kubelet has taken them from its containers: two servers get the
same GPU (https://github.com/kubernetes/kubernetes/issues/141471). KubeSpawner does so whenever it
is in a hurry: ``stop(now=True)``, a pod of the same name in the way of a new one, a failed
``after_pod_created_hook``, a server that ended by itself. All of these go through one request.
"""

import random
import time
from collections.abc import Mapping
from typing import Any, Final

from tornado import web

from gpu_spawner.core.catalog.claims import PodClaim
from gpu_spawner.core.messages import gettext
from gpu_spawner.hub.claims import Patience
from gpu_spawner.hub.refusal import REASON_SETTINGS, SpawnRefused
from gpu_spawner.hub.tracked_pods import TrackedPods
from gpu_spawner.kube.failures import cluster_error
from gpu_spawner.kube.pacing import Backoff
from gpu_spawner.kube.pod_claims import add_claims, holds_devices, lacks_claims

__all__ = ["ClaimedPods"]

_SHORTEST_GRACE_SECONDS: Final = 1
_FIRST_DOUBT_SECONDS: Final = 4.0
"""How long the control plane may take to make a claim before its template is looked at again."""
_LONGEST_DOUBT_SECONDS: Final = 30.0

_NO_POD: Final = gettext(
    "The server cannot start: no pod can be built with the settings that this hub has for it. "
    "Pick another choice, and tell the administrators of this hub."
)


class ClaimedPods(TrackedPods):
    """KubeSpawner whose pods may have claims for devices."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._doubts = _new_doubts()
        self._doubt_at: float | None = None

    @property
    def pod_claims(self) -> tuple[PodClaim, ...]:
        """The claims of the choice that is applied now."""
        return ()

    async def get_pod_manifest(self) -> Any:
        """Build the pod; a hook of the site that modifies pods gets it with its claims.

        Raises:
            SpawnRefused: KubeSpawner cannot build it; the log says why.
        """
        try:
            pod = await super().get_pod_manifest()
        except Exception as error:
            if not self.has_profiles or _is_told_already(error):
                raise
            self.log.exception("The pod %s/%s cannot be built", self.namespace, self.pod_name)
            raise SpawnRefused(_NO_POD, reason=REASON_SETTINGS) from error
        add_claims(pod, self.pod_claims)
        return pod

    async def _start(self) -> Any:
        self._forget_doubts()
        try:
            return await super()._start()
        finally:
            if self.pod_claims:
                self.live.claims.release(self._holder)

    async def _make_create_pod_request(self, pod: Any, request_timeout: float) -> Any:
        """Create the pod, and before it the templates that its claims are made from.

        A template that comes late is found by the control plane only after a growing pause
        (https://github.com/kubernetes/kubernetes/issues/135835).
        """
        await self._ensure_templates(is_doubted=False)
        return await super()._make_create_pod_request(pod, request_timeout)

    async def _ensure_templates(self, *, is_doubted: bool) -> None:
        if not self.pod_claims:
            return
        await self.live.claims.ensure(
            self.namespace,
            [claim.template for claim in self.pod_claims],
            holder=self._holder,
            patience=Patience(
                request_seconds=self.k8s_api_request_timeout,
                total_seconds=self.k8s_api_request_retry_timeout,
            ),
            is_doubted=is_doubted,
        )

    @property
    def _holder(self) -> str:
        return f"{self.namespace}/{self.pod_name}"

    async def mend_claims(self, pod: Mapping[str, Any]) -> None:
        """Make the templates of a pod anew if somebody removed them before its claims were made.

        It looks only after a while without claims, and then seldom.

        Raises:
            SpawnRefused: a template cannot be had.
        """
        if not (self.pod_claims and lacks_claims(pod)):
            self._forget_doubts()
            return
        now = time.monotonic()
        if self._doubt_at is None:
            self._doubt_at = now + self._doubts.next_seconds()
        elif now >= self._doubt_at:
            self._doubt_at = now + self._doubts.next_seconds()
            await self._ensure_templates(is_doubted=True)

    def _forget_doubts(self) -> None:
        if self._doubt_at is not None:
            self._doubts, self._doubt_at = _new_doubts(), None

    async def _make_delete_pod_request(
        self, pod_name: str, delete_options: Any, grace_seconds: int, request_timeout: float
    ) -> Any:
        """Delete a pod, gracefully where it may hold a device, whatever the hurry."""
        reflector = self.pod_reflector
        pod = reflector.pods.get(f"{self.namespace}/{pod_name}") if reflector else None
        if grace_seconds < _SHORTEST_GRACE_SECONDS and holds_devices(pod):
            grace_seconds = _SHORTEST_GRACE_SECONDS
            delete_options.grace_period_seconds = grace_seconds
        return await super()._make_delete_pod_request(
            pod_name, delete_options, grace_seconds, request_timeout
        )


def _is_told_already(error: Exception) -> bool:
    """Tell whether an error of a site's hook has words for the user, or will be given some."""
    return isinstance(error, web.HTTPError) or cluster_error(error, "building the pod") is not None


def _new_doubts() -> Backoff:
    return Backoff(
        first_seconds=_FIRST_DOUBT_SECONDS,
        cap_seconds=_LONGEST_DOUBT_SECONDS,
        chance=random.random,
    )
