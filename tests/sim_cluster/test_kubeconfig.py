"""Reading kubeconfigs, and saying what is wrong with those that lead nowhere."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from gpu_spawner.core.errors import ConfigError
from gpu_spawner.sim.kubeconfig import endpoint_of, read_kubeconfig


def config(user: dict[str, Any] | None = None, **cluster: Any) -> dict[str, Any]:
    return {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1/", **cluster}}],
        "users": [{"name": "u", "user": user or {}}],
    }


def test_a_token_inline_or_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    assert endpoint_of(config({"token": "inline"})).token == "inline"
    path = tmp_path / "config"
    path.write_text(json.dumps(config({"tokenFile": "token"})))
    endpoint = read_kubeconfig(path)
    assert (endpoint.server, endpoint.token, endpoint.tls) == (
        "http://127.0.0.1:1",
        "from-file",
        None,
    )


def test_https_is_verified_unless_the_file_says_otherwise() -> None:
    strict = endpoint_of(config(server="https://x"))
    lax = endpoint_of(config(server="https://x", **{"insecure-skip-tls-verify": True}))
    assert strict.tls is not None
    assert strict.tls.check_hostname
    assert lax.tls is not None
    assert not lax.tls.check_hostname


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(config() | {"current-context": ""}, "current-context", id="no context"),
        pytest.param(config() | {"clusters": []}, "no entry named 'c'", id="no cluster"),
        pytest.param(config(server=5), "no server URL, but 5", id="no server"),
        pytest.param(config({"exec": {}}), "users.exec: is not supported", id="a plugin"),
        pytest.param(config({"tokenFile": "/none"}), "cannot be read", id="no token file"),
        pytest.param(
            config(server="https://x", **{"certificate-authority-data": "?"}),
            "is not base64",
            id="not base64",
        ),
        pytest.param(
            config(
                server="https://x",
                **{"certificate-authority-data": base64.b64encode(b"x").decode()},
            ),
            "certificate that does not load",
            id="not a certificate",
        ),
    ],
)
def test_mistakes(document: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        endpoint_of(document, source="kc")
    assert str(caught.value).startswith("kc: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("[", "is not YAML"), ("a", "holds no mapping"), (None, "cannot be read")],
)
def test_files_that_are_none(tmp_path: Path, text: str | None, expected: str) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=expected):
        read_kubeconfig(path)
