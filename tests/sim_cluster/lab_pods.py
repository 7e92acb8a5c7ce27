"""The pods of one namespace of a simulated cluster, as a test speaks of them."""

from collections.abc import Callable
from typing import Any

from waiting import until

from gpu_spawner.sim.cluster import Cluster

NAMESPACE = "lab"
Json = dict[str, Any]


class Pods:
    """The pods of one namespace, as a test speaks of them."""

    def __init__(self, cluster: Cluster) -> None:
        self.client = cluster.client
        self.path = f"/api/v1/namespaces/{NAMESPACE}/pods"

    async def create(self, name: str, *command: str, gpus: int = 0, **spec: Any) -> Json:
        """Create a pod with one container ``main``; keys of ``spec`` go into the container.

        ``pod`` among them is merged into the pod's spec instead.
        """
        pod_spec = spec.pop("pod", {})
        container: Json = {"name": "main", "image": "there:1", **spec}
        if command:
            container["command"] = list(command)
        if gpus:
            container["resources"] = {"limits": {"nvidia.com/gpu": str(gpus)}}
        manifest = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "containers": [container],
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}] if gpus else [],
                "terminationGracePeriodSeconds": 5,
                "automountServiceAccountToken": False,
                **pod_spec,
            },
        }
        return await self.client.create(self.path, manifest)

    async def get(self, name: str) -> Json | None:
        return await self.client.get_or_none(f"{self.path}/{name}")

    async def delete(self, name: str, grace_seconds: int | None = None) -> None:
        await self.client.delete(f"{self.path}/{name}", grace_seconds=grace_seconds)

    async def wait(self, name: str, condition: Callable[[Json], object], what: str) -> Json:
        """Return the pod as soon as the condition holds for it."""
        found: list[Json] = []

        async def holds() -> bool:
            pod = await self.get(name)
            if pod is not None and condition(pod):
                found.append(pod)
            return bool(found)

        await until(holds, f"{name}: {what}")
        return found[0]

    async def wait_phase(self, name: str, phase: str) -> Json:
        return await self.wait(name, lambda pod: pod["status"]["phase"] == phase, phase)

    async def wait_waiting(self, name: str, reason: str) -> Json:
        """Return the pod once its container waits for ``reason``."""

        def waits(pod: Json) -> bool:
            return any(
                status["state"].get("waiting", {}).get("reason") == reason
                for status in pod["status"].get("containerStatuses", ())
            )

        return await self.wait(name, waits, reason)

    async def wait_restarts(self, name: str, count: int) -> Json:
        """Return the pod once its container runs again after so many restarts."""

        def has_restarted(pod: Json) -> bool:
            return any(
                status["restartCount"] >= count and "running" in status["state"]
                for status in pod["status"].get("containerStatuses", ())
            )

        return await self.wait(name, has_restarted, f"{count} restarts")

    async def wait_gone(self, name: str) -> None:
        async def is_gone() -> bool:
            return await self.get(name) is None

        await until(is_gone, f"{name} is gone")

    async def events(self, name: str) -> list[tuple[str, str]]:
        """Return reason and message of the events about the pod, oldest first."""
        return [(each["reason"], each["message"]) for each in await self._events(name)]

    async def messages(self, name: str, reason: str) -> list[str]:
        """Return the messages of all events of this reason, the same one as often as it was told.

        The API counts an event that is told again in the same words; two pulls that took the same
        number of milliseconds are one object.
        """
        found = [each for each in await self._events(name) if each["reason"] == reason]
        return [each["message"] for each in found for _ in range(each.get("count") or 1)]

    async def wait_event(self, name: str, reason: str) -> str:
        """Return the message of the first event of this reason, once there is one."""
        found: list[str] = []

        async def is_there() -> bool:
            found.extend(text for kind, text in await self.events(name) if kind == reason)
            return bool(found)

        await until(is_there, f"an event {reason} of {name}")
        return found[0]

    async def wait_told(self, name: str, reason: str, text: str = "", *, times: int = 1) -> None:
        """Return once such events were told so often; a pod's status may be there before them."""

        async def is_told() -> bool:
            messages = await self.messages(name, reason)
            return len([one for one in messages if not text or one == text]) >= times

        await until(is_told, f"{times} event(s) {reason} {text} of {name}")

    async def _events(self, name: str) -> list[Json]:
        answer = await self.client.get(
            f"/api/v1/namespaces/{NAMESPACE}/events",
            fieldSelector=f"involvedObject.name={name}",
        )
        # Their names end in the time they were made at.
        return sorted(answer["items"], key=lambda each: str(each["metadata"]["name"]))
