"""Whatever is sent, the answer is an object or a reason, never a broken server."""

import contextlib
import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transcript import load_steps
from wild_objects import wild

from gpu_spawner.sim.apiserver.api_errors import ApiError
from gpu_spawner.sim.apiserver.bootstrap import bootstrap
from gpu_spawner.sim.apiserver.codec import Strictness, decode_body
from gpu_spawner.sim.apiserver.deletion import DeleteOptions, delete
from gpu_spawner.sim.apiserver.housekeeping import Housekeeping
from gpu_spawner.sim.apiserver.kinds import RESOURCES, Resource, resource_for_kind
from gpu_spawner.sim.apiserver.patching import parse_patch
from gpu_spawner.sim.apiserver.registry import Registry, Target
from gpu_spawner.sim.apiserver.store import Store
from gpu_spawner.sim.apiserver.wire.printers import printer_for
from gpu_spawner.sim.apiserver.wire.wire_types import type_name

STORED = [item for item in RESOURCES if item.is_stored]
NOW = 1_700_000_000.0
NAMESPACE = "default"
JSON_PATCH = "application/json-patch+json"

Obj = dict[str, Any]


class Cluster:
    """A cluster without HTTP."""

    def __init__(self) -> None:
        self.registry = Registry(Store(), lambda: NOW)
        self.housekeeping = Housekeeping(self.registry)
        bootstrap(self.registry)
        self.housekeeping.settle()

    def create(self, resource: Resource, body: Any) -> Obj:
        obj = decode_body(resource, body, Strictness("Ignore"), json.dumps(body).encode())
        made = self.registry.create(_target(resource), obj)
        self.housekeeping.settle()
        printer_for(resource).cells(copy.deepcopy(made), NOW)
        return made

    def patch(self, resource: Resource, name: str, patch: Any, subresource: str = "") -> None:
        raw = json.dumps(patch).encode()
        change = parse_patch(resource, JSON_PATCH, raw, Strictness("Ignore"))
        obj, _ = self.registry.update(_target(resource, name, subresource), change)
        self.housekeeping.settle()
        printer_for(resource).cells(copy.deepcopy(obj), NOW)


def _target(resource: Resource, name: str = "", subresource: str = "") -> Target:
    namespace = NAMESPACE if resource.is_namespaced else ""
    return Target(resource=resource, namespace=namespace, name=name, subresource=subresource)


def _recorded() -> list[tuple[Resource, Obj]]:
    """Return what the real server accepted, as it was sent."""
    found = []
    for step in load_steps():
        request, response = step.get("request", {}), step.get("response", {})
        body = request.get("body")
        if request.get("method") != "POST" or response.get("status") != 201:
            continue
        if not isinstance(body, dict) or "kind" not in body:
            continue
        resource = resource_for_kind(body["apiVersion"], body["kind"])
        if resource is not None and resource.is_stored:
            body = copy.deepcopy(body)
            body["metadata"].pop("namespace", None)
            found.append((resource, body))
    return found


RECORDED = _recorded()


def _places(value: Any, path: str = "") -> Iterator[str]:
    """Yield the JSON pointer of everything inside a value."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        place = f"{path}/{str(key).replace('~', '~0').replace('/', '~1')}"
        yield place
        yield from _places(item, place)


@pytest.mark.parametrize("resource", STORED, ids=lambda resource: resource.kind)
@given(data=st.data())
def test_creating_anything(resource: Resource, data: st.DataObject) -> None:
    body = data.draw(wild(type_name(resource)))
    metadata = body.get("metadata")
    body["metadata"] = {"name": "x", **(metadata if isinstance(metadata, dict) else {})}
    body["metadata"].pop("namespace", None)
    body |= {"kind": resource.kind, "apiVersion": resource.api_version}
    cluster = Cluster()
    with contextlib.suppress(ApiError):
        made = cluster.create(resource, body)
        name = made["metadata"]["name"]
        delete(cluster.registry, _target(resource, name), DeleteOptions())
        cluster.housekeeping.settle()


@given(st.sampled_from(RECORDED), st.data())
def test_breaking_what_was_accepted(recorded: tuple[Resource, Obj], data: st.DataObject) -> None:
    resource, body = recorded
    cluster = Cluster()
    try:
        made = cluster.create(resource, copy.deepcopy(body))
    except ApiError:
        # It needed something that was there when it was recorded.
        return
    place = data.draw(st.sampled_from(sorted(_places(made))))
    kinds = st.sampled_from(STORED).flatmap(lambda kind: wild(type_name(kind)))
    value = data.draw(
        st.none()
        | st.sampled_from(["", "x", "-", 0, -1, 2**40, True, [], {}, [None], [{}], {"a": None}])
        | kinds
    )
    operation = data.draw(st.sampled_from(["replace", "add", "remove"]))
    patch = [{"op": operation, "path": place, "value": value}]
    subresource = data.draw(st.sampled_from(["", "status"]))
    with contextlib.suppress(ApiError):
        cluster.patch(resource, made["metadata"]["name"], patch, subresource)
