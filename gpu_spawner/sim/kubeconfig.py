"""Read a kubeconfig: where an API server is and how to prove who one is.

Understands what the embedded server writes and what clusters hand out: a bearer token (inline or
in a file), a client certificate and a CA certificate (inline or in files). Credential plugins
(``exec``, ``auth-provider``) are refused by name: the embedded cluster's clients run no programs.
"""

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gpu_spawner.core.errors import ConfigError, Problem

__all__ = ["Endpoint", "endpoint_of", "kubeconfig_for", "read_kubeconfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An API server as one user sees it.

    Attributes:
        server: the base URL, without a trailing slash.
        token: the bearer token, empty where a client certificate identifies the user.
        tls: how to verify the server and identify ourselves; None for plain HTTP.
        namespace: the context's namespace.
    """

    server: str
    token: str = ""
    tls: ssl.SSLContext | None = None
    namespace: str = "default"


def endpoint_of(
    config: Mapping[str, Any], *, source: str = "kubeconfig", folder: Path | None = None
) -> Endpoint:
    """Take the current context of a parsed kubeconfig.

    Args:
        config: the document.
        source: the name of the document in error messages.
        folder: what relative file names in it are relative to.

    Raises:
        ConfigError: the document does not lead to a server and a way to log in.
    """
    return _Reader(config, source, folder or Path.cwd()).endpoint()


def read_kubeconfig(path: Path) -> Endpoint:
    """Read the current context of the kubeconfig at ``path``.

    Raises:
        ConfigError: the file cannot be read or does not lead to a server and a way to log in.
    """
    return endpoint_of(_load(path), source=str(path), folder=path.parent)


def kubeconfig_for(path: Path, name: str, token: str) -> dict[str, Any]:
    """Return a kubeconfig for the server of the current context at ``path``, for somebody else.

    Args:
        path: of a kubeconfig.
        name: of who is to use the other one.
        token: proves who they are.

    Raises:
        ConfigError: the document cannot be read or does not lead to a server.
    """
    cluster = dict(_Reader(_load(path), str(path), path.parent).cluster())
    if authority := cluster.get("certificate-authority"):
        # A relative name was relative to where the first document is.
        cluster["certificate-authority"] = str((path.parent / authority).absolute())
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": "cluster", "user": name}}],
        "current-context": name,
    }


def _load(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _mistake(str(path), "", f"cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise _mistake(str(path), "", "is not YAML.") from error
    if not isinstance(config, dict):
        raise _mistake(str(path), "", "is not a kubeconfig: it holds no mapping.")
    return config


def _mistake(source: str, key: str, message: str, cure: str = "") -> ConfigError:
    return ConfigError([Problem(file=source, key=key, message=message, cure=cure)])


class _Reader:
    def __init__(self, config: Mapping[str, Any], source: str, folder: Path) -> None:
        self._config = config
        self._source = source
        self._folder = folder

    def cluster(self) -> Mapping[str, Any]:
        return self._named("clusters", "cluster", self._context().get("cluster"))

    def endpoint(self) -> Endpoint:
        context, cluster = self._context(), self.cluster()
        user = self._named("users", "user", context.get("user"))
        server = cluster.get("server")
        if not isinstance(server, str) or not server.startswith(("http://", "https://")):
            raise _mistake(self._source, "clusters", f"has no server URL, but {server!r}.")
        for plugin in ("exec", "auth-provider"):
            if plugin in user:
                raise _mistake(
                    self._source,
                    f"users.{plugin}",
                    "is not supported here.",
                    "Use a token or a client certificate, such as a service account's.",
                )
        token = self._text(user, "token") or self._token_file(user)
        return Endpoint(
            server=server.rstrip("/"),
            token=token,
            tls=self._tls(cluster, user) if server.startswith("https://") else None,
            namespace=str(context.get("namespace") or "default"),
        )

    def _context(self) -> Mapping[str, Any]:
        current = self._config.get("current-context")
        if not isinstance(current, str) or not current:
            raise _mistake(
                self._source,
                "current-context",
                "is missing or empty.",
                "Choose one with kubectl config use-context.",
            )
        return self._named("contexts", "context", current)

    def _named(self, plural: str, singular: str, name: Any) -> Mapping[str, Any]:
        entries = self._config.get(plural)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and entry.get("name") == name:
                found = entry.get(singular)
                return found if isinstance(found, dict) else {}
        raise _mistake(self._source, plural, f"has no entry named {name!r}.")

    @staticmethod
    def _text(mapping: Mapping[str, Any], key: str) -> str:
        value = mapping.get(key)
        return value if isinstance(value, str) else ""

    def _token_file(self, user: Mapping[str, Any]) -> str:
        name = self._text(user, "tokenFile")
        return self._file(name, "users.tokenFile").decode().strip() if name else ""

    def _file(self, name: str, key: str) -> bytes:
        try:
            return (self._folder / name).read_bytes()
        except OSError as error:
            raise _mistake(self._source, key, f"cannot be read: {error}.") from error

    def _pem(self, mapping: Mapping[str, Any], key: str) -> bytes:
        if inline := self._text(mapping, f"{key}-data"):
            try:
                return base64.b64decode(inline, validate=True)
            except binascii.Error as error:
                raise _mistake(self._source, f"{key}-data", "is not base64.") from error
        name = self._text(mapping, key)
        return self._file(name, key) if name else b""

    def _tls(self, cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
        context = ssl.create_default_context()
        try:
            if authority := self._pem(cluster, "certificate-authority"):
                context.load_verify_locations(cadata=authority.decode())
            if cluster.get("insecure-skip-tls-verify") is True:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            certificate = self._pem(user, "client-certificate")
            if certificate:
                _load_client_certificate(context, certificate, self._pem(user, "client-key"))
        except (ssl.SSLError, ValueError) as error:
            message = f"has a certificate that does not load: {error}."
            raise _mistake(self._source, "", message) from error
        return context


def _load_client_certificate(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    # The ssl module takes a client certificate from a file only.
    descriptor, name = tempfile.mkstemp()
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate + b"\n" + key)
        context.load_cert_chain(name)
    finally:
        Path(name).unlink()
