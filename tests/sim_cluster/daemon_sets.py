"""The DaemonSets of one namespace of a simulated cluster, as a test speaks of them."""

from collections.abc import Callable, Mapping
from typing import Any

from lab_pods import NAMESPACE
from waiting import until

from gpu_spawner.sim.cluster import Cluster

Json = dict[str, Any]

TOLERATES_GPUS = [{"key": "nvidia.com/gpu", "operator": "Exists"}]


def daemon_set(
    name: str = "pull", image: str = "idle:1", spec: Mapping[str, Any] | None = None, **pod: Any
) -> Json:
    """Return a DaemonSet; ``spec`` is merged into its spec, other keys into its pods' spec."""
    container = {"name": "main", "image": image, "imagePullPolicy": "IfNotPresent"}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "containers": [container],
                    "terminationGracePeriodSeconds": 0,
                    "automountServiceAccountToken": False,
                    **pod,
                },
            },
            **(spec or {}),
        },
    }


class DaemonSets:
    """The DaemonSets of one namespace and what belongs to them."""

    def __init__(self, cluster: Cluster) -> None:
        self.client = cluster.client
        self.path = f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets"
        self._pods = f"/api/v1/namespaces/{NAMESPACE}/pods"

    async def create(self, *arguments: Any, **pod: Any) -> Json:
        return await self.client.create(self.path, daemon_set(*arguments, **pod))

    async def get(self, name: str = "pull") -> Json:
        return await self.client.get(f"{self.path}/{name}")

    async def patch(self, change: Json, name: str = "pull") -> None:
        await self.client.patch(f"{self.path}/{name}", change, strategic=True)

    async def set_image(self, image: str, name: str = "pull") -> None:
        template = {"spec": {"containers": [{"name": "main", "image": image}]}}
        await self.patch({"spec": {"template": template}}, name)

    async def pods(self, name: str = "pull") -> dict[str, list[Json]]:
        """Return its pods by the node they are on, leaving out those that are going."""
        answer = await self.client.get(self._pods, labelSelector=f"app={name}")
        found: dict[str, list[Json]] = {}
        for pod in answer["items"]:
            if "deletionTimestamp" not in pod["metadata"]:
                found.setdefault(pod["spec"].get("nodeName", ""), []).append(pod)
        return found

    async def wait_pods(
        self, condition: Callable[[dict[str, list[Json]]], object], what: str
    ) -> dict[str, list[Json]]:
        found: list[dict[str, list[Json]]] = []

        async def holds() -> bool:
            pods = await self.pods()
            if condition(pods):
                found.append(pods)
            return bool(found)

        await until(holds, what)
        return found[0]

    async def wait_on(self, *nodes: str) -> dict[str, list[Json]]:
        """Return the pods once there is one on each of these nodes and on no other."""

        def is_so(pods: dict[str, list[Json]]) -> bool:
            return pods.keys() == set(nodes) and all(len(each) == 1 for each in pods.values())

        return await self.wait_pods(is_so, f"pods on {nodes} alone")

    async def wait_status(self, name: str = "pull", **expected: int) -> Json:
        """Return the DaemonSet once its status says so; what it leaves out is 0."""
        found: list[Json] = []

        async def says() -> bool:
            daemon = await self.get(name)
            status = daemon["status"]
            if all(status.get(key, 0) == value for key, value in expected.items()):
                found.append(daemon)
            return bool(found)

        await until(says, f"{name} has the status {expected}")
        return found[0]

    async def revisions(self) -> list[Json]:
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/controllerrevisions"
        answer = await self.client.get(path)
        return sorted(answer["items"], key=lambda each: each["revision"])

    async def events(self, name: str = "pull") -> list[tuple[str, str, str]]:
        path = f"/api/v1/namespaces/{NAMESPACE}/events"
        selector = f"involvedObject.name={name},involvedObject.kind=DaemonSet"
        answer = await self.client.get(path, fieldSelector=selector)
        return [(each["type"], each["reason"], each["message"]) for each in answer["items"]]

    async def wait_event(self, reason: str) -> tuple[str, str]:
        found: list[tuple[str, str]] = []

        async def is_there() -> bool:
            found.extend((kind, text) for kind, why, text in await self.events() if why == reason)
            return bool(found)

        await until(is_there, f"an event {reason}")
        return found[0]
