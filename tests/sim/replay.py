"""Replaying the recorded steps against an API server, as an ordinary client.

The recording leaves out what was done between the steps (a pod that a step talks about had to be
created), and some of its requests are summaries. ``_BEFORE`` and ``_INSTEAD`` supply both, by the
name of the step.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from transcript import Comparison

_PODS = "/api/v1/namespaces/t/pods"
_CLAIMS = "/apis/resource.k8s.io/v1/namespaces/t/resourceclaims"
_CONFIG_MAPS = "/api/v1/namespaces/t/configmaps"
# What other parts of the cluster do takes a moment.
_DEADLINE_SECONDS = 10.0
_POLL_SECONDS = 0.05

Step = dict[str, Any]


@dataclass(slots=True)
class Answer:
    """One answer of the server."""

    status: int
    content_type: str
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text) if self.content_type == "application/json" else self.text


@dataclass(slots=True)
class Replay:
    """One run through the recording.

    ``outcomes`` maps the index of each step to the differences found, none meaning agreement.
    """

    url: str
    token: str
    session: aiohttp.ClientSession
    comparison: Comparison = field(default_factory=Comparison)
    outcomes: dict[int, list[str]] = field(default_factory=dict)

    async def run(self, steps: list[Step]) -> None:
        """Replay every step."""
        for index, step in enumerate(steps):
            try:
                self.outcomes[index] = await self._step(step)
            except (AssertionError, TimeoutError, KeyError, ValueError) as error:
                self.outcomes[index] = [f"{type(error).__name__}: {error}"]

    async def call(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> Answer:
        """Send a request as the administrator."""
        return await self._send({"method": method, "path": path, "body": body}, content_type)

    async def _step(self, step: Step) -> list[str]:
        what = step["what"]
        if what in _BEFORE:
            await _BEFORE[what](self)
        if "meanwhile" in step:
            return await self._watch(step)
        ask = _INSTEAD.get(what)
        request = step["request"]
        if ask is not None or request["method"] != "GET":
            return self._judge(step, await (ask(self) if ask else self._send(request)))
        end = asyncio.get_running_loop().time() + _DEADLINE_SECONDS
        while True:
            found = self._judge(step, await self._send(request, is_wrong=what == "wrong token"))
            if not found or asyncio.get_running_loop().time() > end:
                return found
            await asyncio.sleep(_POLL_SECONDS)

    def _judge(self, step: Step, answer: Answer) -> list[str]:
        recorded = step["response"]
        found: list[str] = []
        if "status" in recorded and answer.status != recorded["status"]:
            found.append(f"status: expected {recorded['status']}, got {answer.status}")
        if "contentType" in recorded and answer.content_type != recorded["contentType"]:
            found.append(f"Content-Type: {answer.content_type}")
        if "body" in recorded:
            found += self.comparison.differences(recorded["body"], answer.body)
        if "items" in recorded:
            found += self.comparison.differences(recorded["items"], answer.body["items"], "items")
        if "summary" in recorded:
            found += self.comparison.differences(
                recorded["summary"], _summarise(recorded["summary"], answer.body), "summary"
            )
        return found

    async def _watch(self, step: Step) -> list[str]:
        """Open the watch, do what was done meanwhile, and compare the frames."""
        listed = (await self.call("GET", _CONFIG_MAPS)).body
        version = listed["metadata"]["resourceVersion"]
        path = step["request"]["path"].replace("<rv>", version)
        found: list[str] = []
        async with self.session.get(self.url + path) as response:
            for action in step["meanwhile"]:
                answer = await self._send(action["request"])
                found += self._judge(action, answer)
            text = await response.text()
        frames = [json.loads(line) for line in text.splitlines()]
        if "<rv>" not in step["request"]["path"]:
            # What was there before is replayed first; the recording shows what came then.
            frames = frames[-len(step["response"]["frames"]) :]
        return found + self.comparison.differences(step["response"]["frames"], frames, "frames")

    async def _send(
        self, request: dict[str, Any], content_type: str = "", *, is_wrong: bool = False
    ) -> Answer:
        body = request.get("body")
        headers = {}
        if body is not None:
            headers["Content-Type"] = request.get("contentType") or content_type
        if request.get("as"):
            headers["Impersonate-User"] = request["as"]
        if is_wrong:
            headers["Authorization"] = "Bearer wrong"
        data = body if isinstance(body, str) or body is None else json.dumps(body)
        async with self.session.request(
            request["method"], self.url + request["path"], data=data, headers=headers
        ) as response:
            kind = response.headers.get("Content-Type", "")
            return Answer(response.status, kind, await response.text())


def _summarise(recorded: dict[str, Any], body: Any) -> Any:
    if "names" in recorded:
        names = [item["metadata"]["name"] for item in body["items"]]
        return {"names": [name for name in names if not name.startswith("g-")]}
    if "hasContinue" in recorded:
        return {
            "items": len(body["items"]),
            "hasContinue": bool(body["metadata"].get("continue")),
            "remainingItemCount": body["metadata"].get("remainingItemCount"),
        }
    if "nodeName" in recorded:
        return {"nodeName": body["spec"].get("nodeName", "")}
    return body


def _pod(name: str, image: str = "img:1", **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": image, **spec.pop("container", {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], **spec},
    }


def _claiming_pod(name: str, template: str) -> dict[str, Any]:
    return _pod(
        name,
        "i",
        container={"resources": {"claims": [{"name": "gpu"}]}},
        resourceClaims=[{"name": "gpu", "resourceClaimTemplateName": template}],
    )


async def _create(replay: Replay, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await replay.call("POST", path, body)
    assert answer.status == 201, answer.text
    created: dict[str, Any] = answer.body
    return created


async def _until(replay: Replay, path: str, accepts: Callable[[Any], bool]) -> None:
    async with asyncio.timeout(_DEADLINE_SECONDS):
        while True:
            if accepts((await replay.call("GET", path)).body):
                return
            await asyncio.sleep(_POLL_SECONDS)


async def _pod_to_bind(replay: Replay) -> None:
    await _create(replay, _PODS, _pod("bindme", schedulerName="nobody"))


async def _pod_too_big(replay: Replay) -> None:
    container = {"resources": {"limits": {"nvidia.com/gpu": "3"}}}
    await _create(replay, _PODS, _pod("big", "i", container=container))


async def _owner_and_owned(replay: Replay) -> None:
    owner = await _create(
        replay,
        _CONFIG_MAPS,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}},
    )
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "owner",
        "uid": owner["metadata"]["uid"],
    }
    metadata = {"name": "owned", "ownerReferences": [reference]}
    await _create(
        replay, _CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    )


async def _second_claiming_pod(replay: Replay) -> None:
    await _create(replay, _PODS, _claiming_pod("claims2", "one"))


async def _pod_with_missing_template(replay: Replay) -> None:
    await _create(replay, _PODS, _claiming_pod("claims3", "missing"))


async def _free_the_device(replay: Replay) -> None:
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
    await replay.call("DELETE", f"{_PODS}/claims", options)


async def _counted_quota(replay: Replay) -> None:
    path = "/api/v1/namespaces/t/resourcequotas/q"
    await _until(replay, path, lambda quota: bool(quota.get("status", {}).get("used")))


async def _stale_replacement(replay: Replay) -> Answer:
    """Replace a pod twice with the same version in hand; the second is too late."""
    pod = (await replay.call("GET", f"{_PODS}/l1")).body
    pod["metadata"]["labels"]["put"] = "1"
    first = await replay.call("PUT", f"{_PODS}/l1", pod)
    assert first.status == 200, first.text
    return await replay.call("PUT", f"{_PODS}/l1", pod)


async def _claiming_pod_created(replay: Replay) -> Answer:
    return await replay.call("POST", _PODS, _claiming_pod("claims", "one"))


async def _daemon_set_created(replay: Replay) -> Answer:
    """The recorded request was changed for a later step; this is what was sent."""
    template = {
        "metadata": {"labels": {"app": "pull"}},
        "spec": {"containers": [{"name": "pause", "image": "registry.k8s.io/pause:3.10"}]},
    }
    body = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "pull"},
        "spec": {"selector": {"matchLabels": {"app": "pull"}}, "template": template},
    }
    return await replay.call("POST", "/apis/apps/v1/namespaces/t/daemonsets", body)


_BEFORE: dict[str, Callable[[Replay], Awaitable[None]]] = {
    "bind a pod": _pod_to_bind,
    "an unschedulable pod says why": _pod_too_big,
    "delete the owner": _owner_and_owned,
    "its reason": _second_claiming_pod,
    "events of a pod naming a missing template": _pod_with_missing_template,
    "the device freed goes to the waiting pod": _free_the_device,
    "over quota": _counted_quota,
}
_INSTEAD: dict[str, Callable[[Replay], Awaitable[Answer]]] = {
    "replace with a stale version": _stale_replacement,
    "pod with a claim template": _claiming_pod_created,
    "daemonset (defaults filled in)": _daemon_set_created,
}
