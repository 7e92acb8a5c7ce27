"""Ask a registry whether it has an image, and how large it is, before a start waits for it.

By the OCI distribution specification: the manifest under ``/v2/``, with an anonymous token where
the registry wants one. The hub goes nowhere a user sends it: hosts come from the admin's patterns,
only https is spoken, redirects are not followed, and tokens are fetched from the same host, or from
those that the admin named. Docker Hub, whose parts are called otherwise, is the exception that is
written down here.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.httputil import url_concat

from gpu_spawner.core.catalog.own_images import ImageName
from gpu_spawner.core.messages import gettext
from gpu_spawner.core.wording import listed, say_bytes

__all__ = ["Answer", "Registries"]

_TYPES: Final = (
    "application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)
_DOCKER_HUB: Final = ("docker.io", "registry-1.docker.io", "auth.docker.io")
_TIMEOUT_SECONDS: Final = 5.0
_MAX_BODY_BYTES: Final = 4 * 2**20
"""What registries allow for a manifest, by the specification."""
_PROVENANCE: Final = "unknown"
"""The architecture of an index's entries that tell where its images come from."""
_PARAMETER: Final = re.compile(r'([a-z]+)="([^"]{0,500})"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a registry said.

    Attributes:
        problem: why the image cannot be used, in a sentence; empty where it can.
        is_known: whether that is certain; False where the registry could not be asked, or keeps to
            itself what the cluster may still be allowed to pull.
    """

    problem: str = ""
    is_known: bool = True


class Registries:
    """Asks registries.

    Args:
        client: what sends requests; the hub's own where None is given.
        token_hosts: that may hand out tokens, beside each registry's own host.
        has_pull_secrets: whether servers pull with more rights than everybody has.
        architectures: of the cluster's nodes; empty where they are unknown.
    """

    def __init__(
        self,
        client: Any = None,
        *,
        token_hosts: Collection[str] = (),
        has_pull_secrets: bool = False,
        architectures: Collection[str] = (),
    ) -> None:
        self._client: Final = client
        self._token_hosts: Final = token_hosts
        self._has_pull_secrets: Final = has_pull_secrets
        self._architectures: Final = architectures

    async def ask(self, reference: str, name: ImageName, max_bytes: int | None) -> Answer:
        """Look for an image; every failure to do so is an answer as well."""
        client = self._client or AsyncHTTPClient()
        conversation = _Conversation(client, name, self._token_hosts)
        try:
            manifest = await conversation.manifest(name.pointer)
            built_for = _architectures(manifest)
            size_bytes = None
            if manifest is not None and max_bytes is not None:
                size_bytes = await _size(conversation, manifest, self._architectures)
        except Exception as error:  # noqa: BLE001 - whatever a network and a stranger can do
            said = gettext(
                "{host} could not be asked ({reason}).", host=name.host, reason=_kind(error)
            )
            return Answer(problem=said, is_known=False)
        if manifest is None:
            is_hidden = conversation.is_refused and self._has_pull_secrets
            said = gettext("There is no image {image} that everybody may pull.", image=reference)
            return Answer(problem=said, is_known=not is_hidden)
        if built_for and self._architectures and built_for.isdisjoint(self._architectures):
            return Answer(
                problem=gettext(
                    "{image} is built for {theirs}; the nodes of this cluster have {ours}.",
                    image=reference,
                    theirs=listed(sorted(built_for), word="or"),
                    ours=listed(sorted(self._architectures), word="or"),
                )
            )
        if max_bytes is not None and size_bytes is not None and size_bytes > max_bytes:
            return Answer(
                problem=gettext(
                    "{image} is {size} large; at most {most} are allowed.",
                    image=reference,
                    size=say_bytes(size_bytes),
                    most=say_bytes(max_bytes),
                )
            )
        return Answer()


class _Unusable(Exception):  # noqa: N818 - ends one conversation
    """The registry answers in a way that is not followed."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Conversation:
    """Requests to one registry about one repository."""

    def __init__(self, client: Any, name: ImageName, token_hosts: Collection[str]) -> None:
        self.is_refused = False
        self._client: Final = client
        is_hub = name.host == _DOCKER_HUB[0]
        self._host: Final = _DOCKER_HUB[1] if is_hub else name.host
        own_host = _DOCKER_HUB[2] if is_hub else name.host
        self._token_hosts: Final = frozenset({own_host, *token_hosts})
        self._path: Final = name.path if "/" in name.path or not is_hub else f"library/{name.path}"
        self._token = ""

    async def manifest(self, pointer: str) -> dict[str, Any] | None:
        """Return a manifest or an index; None where there is none."""
        url = f"https://{self._host}/v2/{self._path}/manifests/{pointer}"
        answer = await self._get(url)
        if answer.code == 401 and not self._token:
            self._token = await self._fetch_token(answer.headers.get("WWW-Authenticate", ""))
            answer = await self._get(url)
        if answer.code in (401, 403, 404):
            # Many registries say so of what does not exist, too.
            self.is_refused = answer.code != 404
            return None
        if answer.code != 200:
            raise _Unusable(gettext("it answers {status}", status=answer.code))
        manifest = json.loads(answer.body)
        if not isinstance(manifest, dict):
            raise _Unusable(gettext("its answer cannot be read"))
        return manifest

    async def _fetch_token(self, challenge: str) -> str:
        scheme, _, rest = challenge.partition(" ")
        given = dict(_PARAMETER.findall(rest))
        realm = urlsplit(given.get("realm", ""))
        if scheme.lower() != "bearer" or realm.scheme != "https":
            raise _Unusable(gettext("it wants another kind of login"))
        if realm.netloc not in self._token_hosts:
            raise _Unusable(gettext("it sends to another host for a token"))
        query = {"service": given.get("service", ""), "scope": f"repository:{self._path}:pull"}
        url = url_concat(f"https://{realm.netloc}{realm.path}", query)
        answer = await self._get(url)
        if answer.code != 200:
            return ""
        found = json.loads(answer.body)
        token = found.get("token") or found.get("access_token")
        return token if isinstance(token, str) and token.isprintable() else ""

    async def _get(self, url: str) -> HTTPResponse:
        headers = {"Accept": _TYPES}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = HTTPRequest(
            url,
            headers=headers,
            follow_redirects=False,
            connect_timeout=_TIMEOUT_SECONDS,
            request_timeout=_TIMEOUT_SECONDS,
        )
        answer: HTTPResponse = await self._client.fetch(request, raise_error=False)
        if answer.error is not None and answer.code == 599:
            raise answer.error
        if len(answer.body or b"") > _MAX_BODY_BYTES:
            raise _Unusable(gettext("its answer is too long"))
        return answer


def _platform(child: Any) -> str:
    """Return the architecture of an image of an index; empty for what is no image, or says none."""
    platform = child.get("platform")
    found = platform.get("architecture") if isinstance(platform, dict) else None
    if not isinstance(found, str) or not re.fullmatch(r"[a-z0-9]{1,20}", found, re.ASCII):
        return ""
    return "" if found == _PROVENANCE else found


def _architectures(manifest: dict[str, Any] | None) -> frozenset[str]:
    """Return what an image is built for; nothing where its manifest does not tell."""
    children = manifest.get("manifests") if manifest is not None else None
    if not isinstance(children, list):
        return frozenset()
    return frozenset(filter(None, map(_platform, children)))


async def _size(
    conversation: _Conversation, manifest: dict[str, Any], architectures: Collection[str]
) -> int | None:
    """Return the compressed size in bytes; None where unknown.

    Of an index it is that of the first image that the cluster's nodes could run.
    """
    children = manifest.get("manifests")
    if isinstance(children, list) and children:
        usual = architectures or ("amd64",)
        child = next((one for one in children if _platform(one) in usual), children[0])
        digest = child.get("digest")
        if not isinstance(digest, str) or not re.fullmatch(r"sha256:[a-f0-9]{64}", digest):
            return None
        manifest = await conversation.manifest(digest) or {}
    layers = manifest.get("layers")
    if not isinstance(layers, list):
        return None
    return sum(size for layer in layers if isinstance(size := layer.get("size"), int) and size > 0)


def _kind(error: Exception) -> str:
    return error.reason if isinstance(error, _Unusable) else type(error).__name__
