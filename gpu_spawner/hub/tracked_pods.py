"""What KubeSpawner does not do for pods when the API server is not well: try again, and make sure.

KubeSpawner tries again when an answer does not come in time, and gives up when it is a 429, a 503
or a broken connection; a stop that was given up leaves a pod that JupyterHub has forgotten.
"""

from collections.abc import Mapping
from typing import Any

from kubespawner import KubeSpawner

from gpu_spawner.hub.leftovers import PodKey
from gpu_spawner.kube.failures import may_pass

__all__ = ["TrackedPods"]


class TrackedPods(KubeSpawner):
    """KubeSpawner that knows whether a pod of its may be left when its server is over."""

    live: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._tracked: PodKey | None = None

    async def _make_create_pod_request(self, pod: Any, request_timeout: float) -> Any:
        """Create the pod; where it is not known whether that was done, KubeSpawner tries again.

        A pod that was made without an answer is in the way of the next try, and replaced then.
        """
        self._tracked = (self.namespace, self.pod_name)
        self.live.leftovers.keep(self._tracked)
        try:
            return await super()._make_create_pod_request(pod, request_timeout)
        except Exception as error:
            if not may_pass(error):
                raise
            self.log.warning("The pod %s/%s was not created yet: %s", *self._tracked, error)
            return False

    async def _make_delete_pod_request(
        self, pod_name: str, delete_options: Any, grace_seconds: int, request_timeout: float
    ) -> Any:
        """Delete the pod; where it is not known whether that was done, KubeSpawner tries again."""
        try:
            return await super()._make_delete_pod_request(
                pod_name, delete_options, grace_seconds, request_timeout
            )
        except Exception as error:
            if not may_pass(error):
                raise
            self.log.warning(
                "The pod %s/%s was not deleted yet: %s", self.namespace, pod_name, error
            )
            return False

    async def stop(self, now: bool = False) -> None:  # noqa: FBT001, FBT002 - JupyterHub's signature
        """Stop the server; when this returns its pod was seen to go."""
        await super().stop(now)
        self._tracked = None

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up a server of the last hub."""
        super().load_state(state)
        if getattr(self.orm_spawner, "server", None) is not None:
            self._tracked = (self.namespace, self.pod_name)

    def clear_state(self) -> None:
        """Forget the server that is over; its pod is looked for where nobody saw it go."""
        super().clear_state()
        if self._tracked is not None:
            self.live.leftovers.look_for(self._tracked)
            self._tracked = None
