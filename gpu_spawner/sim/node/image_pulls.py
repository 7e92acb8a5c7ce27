"""See to it that a node has what a pod wants to use, as often as it takes.

Policies, events, reasons and messages are the kubelet's (kubernetes/pkg/kubelet/images, 1.36). One
image after the other is pulled for a pod, however many containers it has.
"""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from gpu_spawner.core.errors import ClusterError
from gpu_spawner.sim.image_registry import Login
from gpu_spawner.sim.node.image_store import StoredImage
from gpu_spawner.sim.node.images import PulledImage
from gpu_spawner.sim.node.pod_context import PodContext
from gpu_spawner.sim.node.volumes import decoded_secret
from gpu_spawner.sim.pull_errors import PullError
from gpu_spawner.sim.times import go_duration

__all__ = ["ImageNeverPulledError", "obtain_image", "try_image"]

# ErrImagePull is shown for about one sync of the kubelet before it becomes ImagePullBackOff.
_LONGEST_ERROR_SHOWN_SECONDS = 1.0
_DOCKER_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})

Show = Callable[[str, str], None]
"""Called with reason and message of what keeps the image from being used."""


class ImageNeverPulledError(Exception):
    """The image is not there, and the pod does not want it to be pulled."""


async def obtain_image(  # noqa: PLR0913  whose image, which, and whom to tell
    context: PodContext,
    reference: str,
    policy: str,
    *,
    container: str = "",
    show: Show,
    problem: Exception | None = None,
) -> StoredImage:
    """Return the image once it can be used, however often it has to be tried.

    Args:
        context: the pod that wants it.
        reference: the image as the pod names it.
        policy: ``Always``, ``IfNotPresent`` or ``Never``.
        container: the one that wants it, for events; empty for a volume of the pod.
        show: hears of each failure.
        problem: what ``try_image`` has just failed of, where it was tried before.
    """
    failures = 0
    while True:
        if problem is None:
            try:
                return await try_image(context, reference, policy, container=container)
            except (PullError, ImageNeverPulledError) as error:
                problem = error
        failures += 1
        delay = context.services.backoff.delay_seconds(failures)
        if isinstance(problem, ImageNeverPulledError):
            show("ErrImageNeverPull", str(problem))
        else:
            show("ErrImagePull", str(problem))
            shown = min(_LONGEST_ERROR_SHOWN_SECONDS, delay / 2)
            await asyncio.sleep(shown)
            delay -= shown
            waiting = f'Back-off pulling image "{reference}"'
            context.event("Normal", "BackOff", waiting, container=container)
            show("ImagePullBackOff", f"{waiting}: ErrImagePull: {problem}")
        await asyncio.sleep(delay)
        problem = None


async def try_image(
    context: PodContext, reference: str, policy: str, *, container: str = ""
) -> StoredImage:
    """Return the image, pulled if need be.

    Raises:
        PullError: it cannot be pulled now.
        ImageNeverPulledError: it is not there and is not to be pulled.
    """
    async with context.pulling:
        images = context.node.images
        logins = await _read_logins(context)
        if policy != "Always" and images.may_use(reference, logins):
            text = f'Container image "{reference}" already present on machine and can be accessed '
            context.event("Normal", "Pulled", f"{text}by the pod", container=container)
            image = images.store.find(reference)
            if image is not None:
                return image
        if policy == "Never":
            text = f'Container image "{reference}" is not present with pull policy of Never'
            context.event("Warning", "ErrImageNeverPull", text, container=container)
            raise ImageNeverPulledError(text)
        context.event("Normal", "Pulling", f'Pulling image "{reference}"', container=container)
        try:
            pulled = await images.pull(reference, logins)
        except PullError as error:
            text = f'Failed to pull image "{reference}": {error}'
            context.event("Warning", "Failed", text, container=container)
            raise
        context.event("Normal", "Pulled", _success(reference, pulled), container=container)
        return pulled.image


def _success(reference: str, pulled: PulledImage) -> str:
    took, waited = go_duration(pulled.seconds), go_duration(pulled.waited_seconds)
    return (
        f'Successfully pulled image "{reference}" in {took} ({waited} including waiting). '
        f"Image size: {pulled.size_bytes} bytes."
    )


async def _read_logins(context: PodContext) -> list[Login]:
    """Return what the pod's pull secrets say; one that cannot be read is told of."""
    logins: list[Login] = []
    missing: list[str] = []
    for reference in context.pod["spec"].get("imagePullSecrets") or ():
        name = reference.get("name")
        if not name:
            continue
        path = f"/api/v1/namespaces/{context.namespace}/secrets/{name}"
        try:
            secret = await context.services.client.get(path)
        except ClusterError:
            missing.append(name)
        else:
            logins += _logins_of(secret)
    if missing:
        text = (
            f"Unable to retrieve some image pull secrets ({', '.join(missing)}); attempting to "
            "pull the image may not succeed."
        )
        context.event("Warning", "FailedToRetrieveImagePullSecret", text)
    return logins


def _logins_of(secret: Mapping[str, Any]) -> list[Login]:
    data = decoded_secret(secret)
    try:
        if secret.get("type") == "kubernetes.io/dockercfg":
            entries = json.loads(data.get(".dockercfg", "{}"))
        else:
            entries = json.loads(data.get(".dockerconfigjson", "{}")).get("auths") or {}
        found = [(host, *_user_and_password(entry)) for host, entry in entries.items()]
    except (ValueError, AttributeError):
        # The kubelet too makes nothing of a secret it cannot read.
        return []
    return [Login(host=_host(host), user=user, password=password) for host, user, password in found]


def _user_and_password(entry: Mapping[str, str]) -> tuple[str, str]:
    if entry.get("auth"):
        user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        return user, password
    return entry.get("username", ""), entry.get("password", "")


def _host(entry: str) -> str:
    host = entry.removeprefix("https://").removeprefix("http://").partition("/")[0]
    return "docker.io" if host in _DOCKER_HUB_NAMES else host
