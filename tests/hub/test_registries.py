"""Asking a registry: what it may answer, and where the hub never goes."""

import io
import json
from typing import Any

import pytest
from tornado.httpclient import HTTPRequest, HTTPResponse
from tornado.httputil import HTTPHeaders

from gpu_spawner.core.catalog.own_images import read_reference
from gpu_spawner.hub.registries import Answer, Registries

pytestmark = pytest.mark.hosts

MANIFEST = {"layers": [{"size": 3 * 10**9}, {"size": 2 * 10**9}]}
DIGEST = "sha256:" + "a" * 64


class Registry:
    """A registry as its answers, by URL; everything asked is written down."""

    def __init__(self, answers: dict[str, Any], challenge: str = "") -> None:
        self.answers = answers
        self.challenge = challenge
        self.asked: list[HTTPRequest] = []

    async def fetch(self, request: HTTPRequest, *, raise_error: bool) -> HTTPResponse:
        assert not raise_error
        self.asked.append(request)
        headers = HTTPHeaders()
        answer = self.answers.get(request.url.partition("?")[0], 404)
        if (
            self.challenge
            and "/manifests/" in request.url
            and "Authorization" not in request.headers
        ):
            answer = 401
            headers["WWW-Authenticate"] = self.challenge
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return HTTPResponse(request, answer, headers=headers, buffer=io.BytesIO(b""))
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return HTTPResponse(request, 200, headers=headers, buffer=io.BytesIO(body))


async def ask(
    registry: Registry, reference: str, max_bytes: int | None = None, **settings: Any
) -> Answer:
    name = read_reference(reference)
    assert name is not None
    return await Registries(registry, **settings).ask(reference, name, max_bytes)


URL = "https://quay.io/v2/jupyter/a/manifests/1"


async def test_there_and_not_there() -> None:
    registry = Registry({URL: MANIFEST})
    assert await ask(registry, "quay.io/jupyter/a:1") == Answer()
    missing = await ask(registry, "quay.io/jupyter/a:2")
    assert missing.is_known
    assert "no image quay.io/jupyter/a:2 that everybody may pull" in missing.problem


async def test_a_token_for_everybody_is_fetched_from_the_same_host() -> None:
    registry = Registry(
        {URL: MANIFEST, "https://quay.io/v2/auth": {"token": "t"}},
        'Bearer realm="https://quay.io/v2/auth",service="quay.io",scope="everything"',
    )
    assert await ask(registry, "quay.io/jupyter/a:1") == Answer()
    assert "scope=repository%3Ajupyter%2Fa%3Apull" in registry.asked[1].url
    assert registry.asked[2].headers["Authorization"] == "Bearer t"


@pytest.mark.parametrize(
    "challenge",
    [
        'Bearer realm="https://evil.example/token",service="quay.io"',
        'Bearer realm="http://quay.io/token"',
        'Bearer realm="https://quay.io@evil.example/token"',
        'Bearer realm="https://quay.io:8443/token"',
        'Basic realm="https://quay.io/token"',
        "Bearer",
        "nonsense",
    ],
)
async def test_the_hub_goes_nowhere_else_for_a_token(challenge: str) -> None:
    registry = Registry({URL: MANIFEST}, challenge)
    answer = await ask(registry, "quay.io/jupyter/a:1")
    assert not answer.is_known
    assert {request.url for request in registry.asked} == {URL}


async def test_nothing_is_followed_and_nothing_waits_for_ever() -> None:
    registry = Registry({URL: 307})
    answer = await ask(registry, "quay.io/jupyter/a:1")
    assert not answer.is_known
    assert all(request.follow_redirects is False for request in registry.asked)
    assert all(request.request_timeout == 5 for request in registry.asked)


async def test_docker_hub_is_called_otherwise() -> None:
    url = "https://registry-1.docker.io/v2/library/python/manifests/3"
    registry = Registry(
        {url: MANIFEST, "https://auth.docker.io/token": {"token": "t"}},
        'Bearer realm="https://auth.docker.io/token",service="registry.docker.io"',
    )
    assert await ask(registry, "docker.io/python:3") == Answer()


async def test_size_counts_the_layers_of_the_first_image() -> None:
    child = f"https://quay.io/v2/jupyter/a/manifests/{DIGEST}"
    registry = Registry({URL: {"manifests": [{"digest": DIGEST}]}, child: MANIFEST})
    assert await ask(registry, "quay.io/jupyter/a:1", 5 * 10**9) == Answer()
    answer = await ask(registry, "quay.io/jupyter/a:1", 4 * 10**9)
    assert "at most" in answer.problem
    assert answer.is_known


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"null",
        b"x" * (5 * 2**20),
        {"manifests": [1]},
        {"layers": [None]},
        OSError("no route"),
        500,
        429,
    ],
)
async def test_whatever_comes_is_an_answer(body: Any) -> None:
    answer = await ask(Registry({URL: body}), "quay.io/jupyter/a:1", 10)
    assert not answer.is_known
    assert answer.problem.startswith("quay.io could not be asked")


@pytest.mark.parametrize("code", [401, 403])
async def test_what_is_hidden_may_be_there_for_a_site_with_secrets(code: int) -> None:
    registry = Registry(
        {URL: code, "https://quay.io/v2/auth": {"token": "t"}},
        'Bearer realm="https://quay.io/v2/auth"',
    )
    assert (await ask(registry, "quay.io/jupyter/a:1")).is_known
    assert not (await ask(registry, "quay.io/jupyter/a:1", has_pull_secrets=True)).is_known
    assert (await ask(registry, "quay.io/jupyter/a:2", has_pull_secrets=True)).is_known


async def test_a_token_from_a_host_that_the_admin_names() -> None:
    registry = Registry(
        {URL: MANIFEST, "https://login.example/jwt": {"token": "t"}},
        'Bearer realm="https://login.example/jwt",service="x"',
    )
    assert not (await ask(registry, "quay.io/jupyter/a:1")).is_known
    told = await ask(registry, "quay.io/jupyter/a:1", token_hosts=["login.example"])
    assert told == Answer()


def platform(architecture: Any, digit: str) -> dict[str, Any]:
    return {"digest": f"sha256:{digit * 64}", "platform": {"architecture": architecture}}


async def test_an_image_for_other_processors() -> None:
    index = {"manifests": [platform("arm64", "b"), platform("unknown", "c")]}
    registry = Registry({URL: index})
    answer = await ask(registry, "quay.io/jupyter/a:1", architectures=["amd64"])
    assert answer.is_known
    assert answer.problem == (
        "quay.io/jupyter/a:1 is built for arm64; the nodes of this cluster have amd64."
    )
    assert await ask(registry, "quay.io/jupyter/a:1", architectures=["arm64"]) == Answer()
    assert await ask(registry, "quay.io/jupyter/a:1") == Answer()


async def test_the_size_is_that_of_what_the_nodes_would_pull() -> None:
    url = "https://quay.io/v2/jupyter/a/manifests/sha256:"
    registry = Registry(
        {
            URL: {"manifests": [platform("s390x", "b"), platform("amd64", "c")]},
            url + "b" * 64: {"layers": [{"size": 10}]},
            url + "c" * 64: MANIFEST,
        }
    )
    answer = await ask(registry, "quay.io/jupyter/a:1", 10**9, architectures=["amd64"])
    assert "is 5 GB large" in answer.problem
