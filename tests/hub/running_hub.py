"""A real hub as a subprocess, and what a browser or a script asks of it."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from hub_process import HubProcess, start_afresh, start_forked
from other_process import free_port, wait_until

TOKEN = "a-token-of-the-tests"
HERE = Path(__file__).parent
READY_SECONDS = 60.0

CONFIG = """
import sys
sys.path.insert(0, {here!r})
c = get_config()  # noqa: F821 - traitlets gives it
c.JupyterHub.bind_url = "http://127.0.0.1:{proxy_port}{base_url}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.proxy_class = "quiet_proxy.QuietProxy"
c.JupyterHub.db_url = "sqlite:///{folder}/hub.sqlite"
c.JupyterHub.cookie_secret = b"c" * 32
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.allow_named_servers = True
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 3}}
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {{"admin"}}
c.JupyterHub.load_groups = {{"research": {{"users": ["rosalind"]}}}}
c.JupyterHub.services = [{{"name": "tests", "api_token": {token!r}}}]
c.JupyterHub.load_roles = [
    {{"name": "tests", "services": ["tests"],
      "scopes": ["admin:users", "admin:servers", "list:users", "access:servers",
                 "read:metrics", "admin-ui"]}},
]
c.KubeSpawner.namespace = "gpu-demo"
c.KubeSpawner.start_timeout = 60
c.KubeSpawner.delete_grace_period = 1
"""


class Browser:
    """A signed-in user: cookies, and the token that JupyterHub wants in every form."""

    def __init__(self, hub: "RunningHub", username: str) -> None:
        self.hub = hub
        self.username = username
        self.session = requests.Session()
        self.session.headers["User-Agent"] = "Mozilla/5.0"
        self.session.headers["Sec-Fetch-Mode"] = "navigate"
        self.get("login")
        answer = self.session.post(
            hub.url("login"),
            params={"_xsrf": self.xsrf},
            data={"username": username, "password": "any"},
            allow_redirects=False,
        )
        assert answer.status_code == 302, answer.text
        self.get("home")

    @property
    def xsrf(self) -> str:
        """The token; every cookie path has its own, the longest path counts."""
        cookies = [cookie for cookie in self.session.cookies if cookie.name == "_xsrf"]
        cookies.sort(key=lambda cookie: len(cookie.path))
        return str(cookies[-1].value)

    def get(self, path: str, **arguments: Any) -> requests.Response:
        return self.session.get(self.hub.url(path), timeout=30, **arguments)

    def post_form(
        self, data: Any = None, path: str = "spawn", **arguments: Any
    ) -> requests.Response:
        self.get(path)
        return self.session.post(
            self.hub.url(path),
            params={"_xsrf": self.xsrf},
            data=data,
            timeout=60,
            allow_redirects=False,
            **arguments,
        )


class RunningHub:
    """A hub: its addresses, its REST API, its log."""

    def __init__(self, process: HubProcess, folder: Path, port: int, base_url: str) -> None:
        self.process = process
        self.folder = folder
        self.port = port
        self.base_url = base_url

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{self.base_url}hub/{path}"

    def log(self) -> str:
        return (self.folder / "hub.log").read_text()

    def rest(
        self, method: str, path: str, body: Any = None, token: str = TOKEN, **arguments: Any
    ) -> requests.Response:
        """Ask the REST API as the tests' service; ``body`` is JSON, or bytes as they are."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        return requests.request(
            method,
            self.url(f"api/{path}"),
            data=data,
            headers={
                "Authorization": f"token {token}",
                "Content-Type": "application/json",
                **arguments.pop("headers", {}),
            },
            timeout=60,
            **arguments,
        )

    def add_user(self, name: str) -> str:
        answer = self.rest("POST", f"users/{name}")
        assert answer.status_code in (201, 409), answer.text
        return name

    def user(self, name: str) -> dict[str, Any]:
        answer = self.rest("GET", f"users/{name}?include_stopped_servers")
        model: dict[str, Any] = answer.json()
        return model

    def wait_counted(self) -> None:
        """Wait until the hub knows the cluster: before, it answers, and knows of nothing free."""

        def has_looked() -> bool:
            kinds = self.rest("GET", "gpu-spawner/inventory").json()["watch"]
            return bool(kinds) and all(kind["condition"] != "starting" for kind in kinds)

        wait_until(has_looked, "the hub has read the cluster")

    def wait_not_modified(self, path: str) -> None:
        """Ask twice until the second answer is that nothing is new: something may have changed."""

        def is_unchanged() -> bool:
            first = self.rest("GET", path)
            assert first.status_code == 200
            again = self.rest("GET", path, headers={"If-None-Match": first.headers["ETag"]})
            return again.status_code == 304 and again.content == b""

        wait_until(is_unchanged, f"{path} is not sent again")

    def wait_empty(self) -> None:
        """Wait until nobody's GPUs are counted: the hub hears later than others that a pod is gone.

        On a hub that may not see nodes, or has no profiles of ours, there is nothing to wait for.
        """

        def is_empty() -> bool:
            nodes = self.rest("GET", "gpu-spawner/inventory").json().get("nodes") or []
            return not any(node["holders"] for node in nodes)

        wait_until(is_empty, "nobody holds a GPU")

    def start(self, name: str, options: Any = None, server: str = "") -> requests.Response:
        """Start a server of a user over REST, in the way that both JupyterHubs understand."""
        self.add_user(name)
        path = f"users/{name}/servers/{server}" if server else f"users/{name}/server"
        return self.rest("POST", path, options)

    def stop(self, name: str, server: str = "", *, seconds: float = 60) -> None:
        """Stop a server and wait until the hub says that it is gone."""
        path = f"users/{name}/servers/{server}" if server else f"users/{name}/server"

        def is_stopped() -> bool:
            model = self.user(name).get("servers", {}).get(server)
            if model is None or model["stopped"]:
                return True
            if not model["pending"]:
                self.rest("DELETE", path)
            return False

        self.rest("DELETE", path)
        wait_until(is_stopped, f"the server of {name} is stopped", seconds)

    def failure(self, name: str) -> str:
        """Wait until the start that is under way fails, and return the message users see."""
        with self.progress(name) as events:
            for event in events:
                if event.get("failed"):
                    return str(event["message"])
        raise AssertionError("the start did not fail")

    @contextmanager
    def progress(self, name: str, server: str = "") -> Iterator[Iterator[dict[str, Any]]]:
        path = f"users/{name}/servers/{server}" if server else f"users/{name}/server"
        answer = self.rest("GET", f"{path}/progress", stream=True)
        assert answer.status_code == 200, answer.text
        with answer:
            yield events_of(answer)


def events_of(answer: requests.Response) -> Iterator[Any]:
    """Read the data of server-sent events, whatever their names."""
    for line in answer.iter_lines(chunk_size=1):
        if line.startswith(b"data:"):
            yield json.loads(line[5:])


def named_events_of(answer: requests.Response) -> Iterator[tuple[str, Any]]:
    """Read server-sent events with their names."""
    name = "message"
    for line in answer.iter_lines(chunk_size=1):
        if line.startswith(b"event:"):
            name = line[6:].strip().decode()
        elif line.startswith(b"data:"):
            yield name, json.loads(line[5:])


def message_on(page: str) -> str:
    """Return what JupyterHub shows above the form, as it stands in the HTML."""
    found = re.search(r'class="spawn-error-msg[^>]*>\s*(.*?)\s*</p>', page, re.DOTALL)
    return found[1] if found else ""


def launch(
    folder: Path,
    config: str,
    environment: Mapping[str, str],
    base_url: str = "/",
    *,
    afresh: bool = False,
) -> RunningHub:
    """Start a hub with more configuration, without waiting for it."""
    port = free_port()
    text = CONFIG.format(
        here=str(HERE),
        folder=folder,
        port=port,
        proxy_port=free_port(),
        token=TOKEN,
        base_url=base_url,
    )
    (folder / "jupyterhub_config.py").write_text(text + config)
    start = start_afresh if afresh else start_forked
    return RunningHub(start(folder, environment), folder, port, base_url)


@contextmanager
def running_hub(
    folder: Path, config: str, *, kubeconfig: Path, base_url: str = "/", afresh: bool = False
) -> Iterator[RunningHub]:
    """Run a hub until the block is left."""
    folder.mkdir(parents=True, exist_ok=True)
    hub = launch(folder, config, {"KUBECONFIG": str(kubeconfig)}, base_url, afresh=afresh)

    def is_up() -> bool:
        if hub.process.poll() is not None:
            raise AssertionError(f"the hub ended at once:\n{hub.log()}")
        try:
            return requests.get(hub.url("health"), timeout=5).status_code == 200
        except requests.RequestException:
            return False

    try:
        wait_until(is_up, "the hub answers", READY_SECONDS)
        yield hub
    finally:
        hub.process.terminate()
        try:
            hub.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            hub.process.kill()
            hub.process.wait()
