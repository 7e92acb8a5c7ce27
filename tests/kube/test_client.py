"""Reaching an API server: which one, with which credentials, and what each failure is called."""

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
import pytest
import yaml
from kubernetes_asyncio import config as kubernetes_config
from kubernetes_asyncio.client import Configuration, CoreV1Api
from kubernetes_asyncio.client.exceptions import ApiException
from kubernetes_asyncio.config import incluster_config
from kubernetes_asyncio.config.config_exception import ConfigException
from kubernetes_asyncio.config.incluster_config import InClusterConfigLoader
from scripted_api import ScriptedApi, listing, raw, refusal, watching

from gpu_spawner.core.errors import ClusterError, ConfigError
from gpu_spawner.kube import configuration as module
from gpu_spawner.kube.client import ClusterClient
from gpu_spawner.kube.configuration import load_configuration
from gpu_spawner.kube.failures import SilenceError, ThrottledError, translated_failures


@pytest.fixture(autouse=True)
def no_default(monkeypatch):
    """No test leaves the process-wide configuration behind, or depends on this machine's."""
    monkeypatch.setattr(Configuration, "_default", None)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


def write_kubeconfig(path, url, user=None, **more):
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [
            {"name": "u", "user": user or {"token": "first"}},
            {"name": "v", "user": {"token": "second"}},
        ],
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u"}},
            {"name": "two", "context": {"cluster": "c", "user": "v"}},
        ],
        **more,
    }
    path.write_text(yaml.safe_dump(content))
    return path


@asynccontextmanager
async def serving(*answers):
    """A client of an API server that gives these answers."""
    async with ScriptedApi(*answers) as api, ClusterClient(Configuration(host=api.url)) as client:
        yield client


async def get(client, path="/api/v1/nodes", timeout_seconds=10.0):
    return await client.get(path, {"a": "b c"}, doing="asking", timeout_seconds=timeout_seconds)


async def test_sends_the_query_and_the_token(tmp_path):
    async with ScriptedApi(raw(b"body")) as api:
        path = write_kubeconfig(tmp_path / "config", api.url)
        async with await ClusterClient.connect(path) as client:
            assert await get(client) == b"body"
    assert api.requests == [("/api/v1/nodes", {"a": "b c"})]
    assert api.headers[0]["authorization"] == "Bearer first"
    assert api.headers[0]["User-Agent"].startswith("gpu-spawner/")


async def test_typed_calls_share_the_connection(tmp_path):
    async with ScriptedApi(listing([{"metadata": {"name": "a"}}])) as api:
        path = write_kubeconfig(tmp_path / "config", api.url)
        async with await ClusterClient.connect(path) as client:
            nodes = await CoreV1Api(client.api).list_node()
    assert [each.metadata.name for each in nodes.items] == ["a"]


async def test_a_context_can_be_named(tmp_path):
    path = write_kubeconfig(tmp_path / "config", "http://x")
    configuration = await load_configuration(path, "two")
    assert configuration.api_key["BearerToken"] == "Bearer second"


async def test_the_environment_names_the_kubeconfig(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "config", "http://env")))
    assert (await load_configuration()).host == "http://env"


async def test_several_kubeconfigs_are_merged(tmp_path, monkeypatch):
    path = write_kubeconfig(tmp_path / "config", "http://merged")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'absent'}:{path}")
    assert (await load_configuration()).host == "http://merged"


async def test_what_kubespawner_has_loaded_is_used_with_its_changes(tmp_path, monkeypatch):
    """KubeSpawner's ``load_config`` sets the default and then its traits' host and CA."""
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "config", "http://other")))
    Configuration.set_default(Configuration(host="http://changed"))
    configuration = await load_configuration()
    assert configuration.host == "http://changed"
    assert configuration is not Configuration.get_default()


async def test_loading_does_not_set_the_default(tmp_path):
    await load_configuration(write_kubeconfig(tmp_path / "config", "http://x"))
    assert Configuration._default is None


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("[]", id="a list"),
        pytest.param("{", id="no YAML"),
        pytest.param("{clusters: 7}", id="wrong types"),
        pytest.param(
            "{current-context: x, contexts: [], clusters: [], users: []}", id="no context"
        ),
        pytest.param("\x00", id="binary"),
    ],
)
async def test_a_file_that_is_no_kubeconfig_is_a_mistake_with_its_name(tmp_path, content):
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        await load_configuration(path)
    assert caught.value.problems[0].file == str(path)
    assert "cannot be used as a kubeconfig" in str(caught.value)


async def test_no_configuration_at_all_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"no such file.*Set KUBECONFIG"):
        await load_configuration()


async def test_a_context_that_does_not_exist_is_named(tmp_path):
    path = write_kubeconfig(tmp_path / "config", "http://x")
    with pytest.raises(ConfigError, match="context 'nowhere'"):
        await load_configuration(path, "nowhere")


async def test_a_rotated_service_account_token_is_used_for_the_next_request(tmp_path, monkeypatch):
    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("old")
    authority.write_text("certificate")
    async with ScriptedApi(raw(b""), raw(b"")) as api:

        def load(configuration: Configuration) -> None:
            InClusterConfigLoader(
                token_filename=str(token),
                cert_filename=str(authority),
                environ={"KUBERNETES_SERVICE_HOST": "x", "KUBERNETES_SERVICE_PORT": "1"},
            ).load_and_set(configuration)
            configuration.host, configuration.ssl_ca_cert = api.url, None

        monkeypatch.setattr(kubernetes_config, "load_incluster_config", load)
        monkeypatch.setattr(incluster_config, "TOKEN_REFRESH_PERIOD", timedelta(0))
        async with await ClusterClient.connect() as client:
            await get(client)
            token.write_text("new")
            await get(client)
    assert [each["authorization"] for each in api.headers] == ["Bearer old", "Bearer new"]


async def test_a_token_file_of_a_kubeconfig_is_read_again(tmp_path, monkeypatch):
    token = tmp_path / "token"
    token.write_text("old")
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    async with ScriptedApi(raw(b""), raw(b""), raw(b"")) as api:
        path = write_kubeconfig(tmp_path / "config", api.url, {"tokenFile": str(token)})
        async with await ClusterClient.connect(path) as client:
            await get(client)
            token.write_text("new")
            await get(client)
            now += 61
            await get(client)
    assert [each["authorization"] for each in api.headers] == [
        "Bearer old",
        "Bearer old",
        "Bearer new",
    ]


async def test_credentials_that_vanish_are_a_failed_call(tmp_path, monkeypatch):
    token = tmp_path / "token"
    token.write_text("old")
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    path = write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1", {"tokenFile": str(token)})
    async with await ClusterClient.connect(path) as client:
        token.unlink()
        now += 61
        with pytest.raises(ClusterError) as caught:
            await get(client)
    assert (caught.value.status, caught.value.reason) == (0, "FileNotFoundError")


async def test_a_refusal_carries_kubernetes_own_words():
    async with serving(refusal(403, "Forbidden", "nodes is forbidden")) as client:
        with pytest.raises(ClusterError) as caught:
            await get(client)
    error = caught.value
    assert (error.status, error.reason, error.message) == (403, "Forbidden", "nodes is forbidden")
    assert error.is_forbidden
    assert str(error) == "asking: 403 Forbidden: nodes is forbidden"


async def test_a_proxys_page_is_bounded():
    page = b"<html>" + b"x" * 200_000
    async with serving(raw(page, status=502, content_type="text/html")) as client:
        with pytest.raises(ClusterError) as caught:
            await get(client)
    assert caught.value.reason == "Bad Gateway"
    assert len(caught.value.message) == 500


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "3"}, 3.0),
        ({}, 0.0),
        ({"Retry-After": "-5"}, 0.0),
        ({"Retry-After": "1e99"}, 300.0),
        ({"Retry-After": "nan"}, 0.0),
    ],
)
async def test_a_server_may_say_when_to_come_back(headers, seconds):
    async with serving(refusal(429, "TooManyRequests", headers=headers)) as client:
        with pytest.raises(ThrottledError) as caught:
            await get(client)
    assert caught.value.retry_after_seconds == seconds


async def test_a_server_may_say_so_in_the_body_too():
    body = b'{"reason":"TooManyRequests","details":{"retryAfterSeconds":4}}'
    async with serving(raw(body, status=429)) as client:
        with pytest.raises(ThrottledError) as caught:
            await get(client)
    assert caught.value.retry_after_seconds == 4


async def test_no_answer_in_time_is_silence():
    async with serving() as client:
        with pytest.raises(SilenceError) as caught:
            await get(client, timeout_seconds=0.05)
    assert caught.value.status == 0


async def test_nobody_there_is_no_answer():
    async with ClusterClient(Configuration(host="http://127.0.0.1:1")) as client:
        with pytest.raises(ClusterError, match="asking: no answer ClientConnectorError"):
            await get(client)


async def test_a_stream_that_breaks_off_fails_and_one_that_ends_does_not():
    whole, broken = watching(b"one", stay_open=False), watching(b"two", break_off=True)
    async with serving(whole, broken) as client:
        assert await drain(client) == b"one"
        with pytest.raises(ClusterError):
            await drain(client)


async def test_a_silent_stream_is_cut():
    async with serving(watching(b"one")) as client:
        with pytest.raises(SilenceError):
            await drain(client, silence_seconds=0.05)


async def drain(client, silence_seconds=10.0):
    async with client.stream("/x", {}, doing="reading", silence_seconds=silence_seconds) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_the_kernel_asks_whether_a_silent_peer_is_still_there():
    async with (
        serving(watching(b"one")) as client,
        client.stream("/x", {}, doing="reading", silence_seconds=10) as chunks,
    ):
        await anext(chunks)
        (protocol,) = client.api.rest_client.pool_manager.connector._acquired
        peer = protocol.transport.get_extra_info("socket")
        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10


async def test_connections_are_used_again_after_a_whole_answer():
    async with serving(*[raw(b"x")] * 5) as client:
        for _ in range(5):
            await get(client)
        pool = client.api.rest_client.pool_manager.connector._conns
        assert sum(len(each) for each in pool.values()) == 1


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (ApiException(status=500, reason="Oops"), ClusterError, "Oops"),
        (ApiException(), ClusterError, "Unknown"),
        (TimeoutError(), SilenceError, "TimeoutError"),
        (ssl.SSLError("bad certificate"), ClusterError, "SSLError"),
        (ConnectionResetError(), ClusterError, "ConnectionResetError"),
        (aiohttp.ServerDisconnectedError(), ClusterError, "ServerDisconnectedError"),
        (aiohttp.SocketTimeoutError(), SilenceError, "SocketTimeoutError"),
        (ConfigException("no token"), ClusterError, "Credentials"),
    ],
)
def test_every_failure_has_one_name(error, kind, reason):
    with pytest.raises(ClusterError) as caught, translated_failures("trying"):
        raise error
    assert type(caught.value) is kind
    assert caught.value.reason == reason
    assert caught.value.doing == "trying"


def test_a_timeout_behind_another_error_is_silence():
    """The kernel's ETIMEDOUT arrives wrapped by aiohttp."""

    def fail() -> None:
        raise aiohttp.ClientPayloadError from TimeoutError(110, "Connection timed out")

    with pytest.raises(SilenceError), translated_failures("trying"):
        fail()


@pytest.mark.parametrize("error", [ZeroDivisionError(), asyncio.CancelledError()])
def test_a_bug_and_a_cancellation_pass_through(error):
    with pytest.raises(type(error)), translated_failures("trying"):
        raise error
