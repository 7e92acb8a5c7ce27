"""The embedded API server says of devices and claims what a real one said, word for word.

``tests/data/device-refusals.json`` was recorded from kube-apiserver 1.36.2: claims, slices and
classes to be created, and what a scheduler or a driver reports in the status of a claim.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.apiserver.server import ApiServer
from gpu_spawner.sim.client import KubeClient
from gpu_spawner.sim.kubeconfig import endpoint_of

RECORDING = Path(__file__).parents[1] / "data" / "device-refusals.json"
CASES: list[dict[str, Any]] = json.loads(RECORDING.read_text(encoding="utf-8"))["cases"]

GROUP = "/apis/resource.k8s.io/v1"
CLAIMS = f"{GROUP}/namespaces/default/resourceclaims"
PLAIN = {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com"}}]}
KINDS = {
    "claim": (CLAIMS, "ResourceClaim"),
    "slice": (f"{GROUP}/resourceslices", "ResourceSlice"),
    "class": (f"{GROUP}/deviceclasses", "DeviceClass"),
}


def manifest(kind: str, spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": "c"},
        "spec": spec,
    }


async def send(client: KubeClient, case: dict[str, Any]) -> None:
    """Do what was recorded, and take away what it made."""
    if case["kind"] == "status":
        claim = await client.create(CLAIMS, manifest("ResourceClaim", {"devices": PLAIN}))
        try:
            await client.replace(f"{CLAIMS}/c/status", {**claim, "status": case["content"]})
        finally:
            await client.delete(f"{CLAIMS}/c")
        return
    path, kind = KINDS[case["kind"]]
    content = {"devices": case["content"]} if case["kind"] == "claim" else case["content"]
    await client.create(path, manifest(kind, content))
    await client.delete(f"{path}/c")


async def answers() -> dict[str, str]:
    server = ApiServer()
    await server.start()
    found = {}
    try:
        async with KubeClient(endpoint_of(server.kubeconfig())) as client:
            for case in CASES:
                try:
                    await send(client, case)
                except ClusterError as error:
                    found[case["what"]] = error.message
                else:
                    found[case["what"]] = ""
    finally:
        await server.stop()
    return found


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    return asyncio.run(answers())


@pytest.mark.parametrize("case", [pytest.param(case, id=case["what"]) for case in CASES])
def test_refuses_as_recorded(said: dict[str, str], case: dict[str, Any]) -> None:
    # The client keeps what is worth showing of a long message.
    assert said[case["what"]] == case["message"][:500]
