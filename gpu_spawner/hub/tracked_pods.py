"""What KubeSpawner does not do when the API server is not well: try again, and make sure.

KubeSpawner tries again when an answer does not come in time, and gives up when it is a 429, a 503
or a broken connection. A stop that was given up leaves a pod that JupyterHub has forgotten, and a
start that was given up tells its user nothing but "500".
"""

from collections.abc import Awaitable, Mapping
from typing import Any

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.hub.first_lists import FirstLists, UnreadError
from gpu_spawner.hub.leftovers import PodKey
from gpu_spawner.hub.server_refusal import refused_by_cluster, refused_without_list
from gpu_spawner.kube.failures import cluster_error, may_pass, translated_failures

__all__ = ["TrackedPods"]


class TrackedPods(FirstLists):
    """KubeSpawner that knows whether a pod of its may be left when its server is over.

    Without profiles it is KubeSpawner's own in everything.
    """

    live: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._tracked: PodKey | None = None
        self._trouble: tuple[ClusterError, str] | None = None

    async def _start(self) -> Any:
        self._trouble = None
        try:
            return await super()._start()
        except TimeoutError as error:
            if self._trouble is None:
                raise
            trouble, what = self._trouble
            raise refused_by_cluster(trouble, what, self.namespace) from error
        except UnreadError as error:
            raise refused_without_list(error, self.namespace) from error
        except Exception as error:
            # What KubeSpawner does besides can fail as well.
            if self.has_profiles and (known := cluster_error(error, "starting a server")):
                raise refused_by_cluster(known, "pod", self.namespace) from error
            raise

    async def _make_create_pod_request(self, pod: Any, request_timeout: float) -> Any:
        """Create the pod; a pod that was made without an answer is replaced by the next try."""
        creating = super()._make_create_pod_request(pod, request_timeout)
        if not self.has_profiles:
            return await creating
        self._tracked = (self.namespace, self.pod_name)
        self.live.leftovers.keep(self._tracked)
        return await self._patiently("pod", creating)

    async def _make_create_pvc_request(self, pvc: Any, request_timeout: float) -> Any:
        """Create the volume; one that is there already is as good."""
        creating = super()._make_create_pvc_request(pvc, request_timeout)
        return await (self._patiently("volume", creating) if self.has_profiles else creating)

    async def _patiently(self, what: str, creating: Awaitable[Any]) -> Any:
        """Return what KubeSpawner asks for: whether it is done, or is to be tried again.

        Raises:
            SpawnRefused: the API server has decided against it.
        """
        try:
            with translated_failures(f"creating {what} {self.namespace}/{self.pod_name}"):
                is_done = await creating
        except ClusterError as error:
            if not may_pass(error):
                raise refused_by_cluster(error, what, self.namespace) from error
            self.log.warning("It is tried again: %s", error)
            self._trouble = (error, what)
            return False
        self._trouble = None
        return is_done

    async def _make_delete_pod_request(
        self, pod_name: str, delete_options: Any, grace_seconds: int, request_timeout: float
    ) -> Any:
        """Delete the pod; where it is not known whether that was done, KubeSpawner tries again."""
        return await self._until_deleted(
            f"pod {self.namespace}/{pod_name}",
            super()._make_delete_pod_request(
                pod_name, delete_options, grace_seconds, request_timeout
            ),
        )

    async def _make_delete_pvc_request(self, pvc_name: str, request_timeout: float) -> Any:
        """Delete the volume of a user who is deleted, for whom nobody asks a second time."""
        return await self._until_deleted(
            f"volume {self.namespace}/{pvc_name}",
            super()._make_delete_pvc_request(pvc_name, request_timeout),
        )

    async def _until_deleted(self, what: str, deleting: Awaitable[Any]) -> Any:
        """Return what KubeSpawner asks for: whether it is done, or is to be tried again."""
        try:
            return await deleting
        except Exception as error:
            if not (self.has_profiles and may_pass(error)):
                raise
            self.log.warning("The %s was not deleted yet: %s", what, error)
            return False

    async def stop(self, now: bool = False) -> None:  # noqa: FBT001, FBT002 - JupyterHub's signature
        """Stop the server; when this returns its pod was seen to go."""
        await super().stop(now)
        self._tracked = None

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take up a server of the last hub."""
        super().load_state(state)
        if self.has_profiles and getattr(self.orm_spawner, "server", None) is not None:
            self._tracked = (self.namespace, self.pod_name)

    def clear_state(self) -> None:
        """Forget the server that is over; its pod is looked for where nobody saw it go."""
        super().clear_state()
        if self._tracked is not None:
            self.live.leftovers.look_for(self._tracked)
            self._tracked = None
