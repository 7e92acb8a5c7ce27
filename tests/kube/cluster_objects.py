"""Short ways to change the objects of a simulated API server behind its back."""

from typing import Any

from gpu_spawner.sim.apiserver.kinds import Resource, find_resource
from gpu_spawner.sim.apiserver.server import ApiServer


class Objects:
    """The nodes and pods of a server, written straight into its store."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server

    def put_node(self, name: str, gpus: int = 8, **spec: Any) -> None:
        self._put(
            "nodes",
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name, "uid": f"uid-{name}"},
                "spec": spec,
                "status": {
                    "allocatable": {"cpu": "64", "pods": "110", "nvidia.com/gpu": str(gpus)},
                    "conditions": [{"type": "Ready", "status": "True"}],
                },
            },
        )

    def put_pod(self, name: str, node: str = "", gpus: int = 1, phase: str = "Running") -> None:
        self._put(
            "pods",
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
                "spec": {
                    "nodeName": node,
                    "containers": [
                        {
                            "name": "c",
                            "image": "i",
                            "resources": {"requests": {"nvidia.com/gpu": str(gpus)}},
                        }
                    ],
                },
                "status": {"phase": phase},
            },
        )

    def remove(self, plural: str, name: str) -> None:
        namespace = "default" if plural == "pods" else ""
        record = self.server.store.get(_resource(plural), namespace, name)
        if record is not None:
            self.server.store.remove(record)

    def forget_history(self) -> None:
        """Make every version that was ever given out too old to continue from."""
        self.server.store.forget_history()

    def _put(self, plural: str, obj: dict[str, Any]) -> None:
        self.server.store.put(_resource(plural), obj)


def _resource(plural: str) -> Resource:
    resource = find_resource("", "v1", plural)
    assert resource is not None
    return resource
