"""What a container's process is started with."""

from pathlib import Path
from typing import Any

import pytest

from gpu_spawner.sim.node.containers import (
    ContainerSources,
    Mounts,
    build_command,
    build_environment,
)

POD: dict[str, Any] = {
    "metadata": {
        "name": "jupyter-ada",
        "namespace": "hub",
        "labels": {"app": "jupyterhub"},
        "annotations": {"hub.jupyter.org/username": "ada"},
    },
    "spec": {"nodeName": "h100-1"},
    "status": {"podIP": "127.70.16.1"},
}
MOUNTS = Mounts({"/home/jovyan": Path("/state/home"), "/home/jovyan/papers": Path("/state/papers")})


def sources(**changes: Any) -> ContainerSources:
    known = {"pod": POD, "secrets": {"s": {"token": "abc"}}, "config_maps": {"m": {"a": "1"}}}
    return ContainerSources(**(known | changes))


def environment_of(*env: dict[str, Any], env_from: Any = ()) -> dict[str, str]:
    return build_environment({"env": list(env), "envFrom": list(env_from)}, sources(), MOUNTS)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        pytest.param({"fieldRef": {"fieldPath": "metadata.name"}}, "jupyter-ada", id="name"),
        pytest.param({"fieldRef": {"fieldPath": "status.podIP"}}, "127.70.16.1", id="pod IP"),
        pytest.param({"fieldRef": {"fieldPath": "spec.nodeName"}}, "h100-1", id="node"),
        pytest.param(
            {"fieldRef": {"fieldPath": "metadata.annotations['hub.jupyter.org/username']"}},
            "ada",
            id="annotation",
        ),
        pytest.param({"secretKeyRef": {"name": "s", "key": "token"}}, "abc", id="secret"),
        pytest.param({"configMapKeyRef": {"name": "m", "key": "a"}}, "1", id="config map"),
        pytest.param({"resourceFieldRef": {"resource": "limits.cpu"}}, "0", id="no such limit"),
    ],
)
def test_values_from_elsewhere(source: dict[str, Any], value: str) -> None:
    assert environment_of({"name": "X", "valueFrom": source}) == {"X": value}


def test_variables_refer_to_earlier_ones_as_kubernetes_has_it() -> None:
    assert environment_of(
        {"name": "A", "value": "1"},
        {"name": "B", "value": "$(A)$(MISSING)$$(A)"},
    ) == {"A": "1", "B": "1$(MISSING)$(A)"}


def test_whole_secrets_with_a_prefix() -> None:
    found = environment_of(env_from=[{"prefix": "P_", "secretRef": {"name": "s"}}])
    assert found == {"P_token": "abc"}


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        pytest.param({"name": "none", "key": "k"}, 'secret "none" not found', id="no secret"),
        pytest.param({"name": "s", "key": "k"}, "couldn't find key k in secret s", id="no key"),
    ],
)
def test_what_is_missing_is_told_unless_it_is_optional(
    reference: dict[str, Any], message: str
) -> None:
    with pytest.raises(KeyError, match=message):
        environment_of({"name": "X", "valueFrom": {"secretKeyRef": reference}})
    optional = {"secretKeyRef": reference | {"optional": True}}
    assert environment_of({"name": "X", "valueFrom": optional}) == {}


def test_paths_inside_mounts_become_folders_and_the_server_gets_its_own_address() -> None:
    assert environment_of(
        {"name": "PAPERS", "value": "/home/jovyan/papers/data"},
        {"name": "HOME_TOO", "value": "/home/jovyan"},
        {"name": "OTHER", "value": "/home/jovyanne"},
        {"name": "JUPYTERHUB_SERVICE_URL", "value": "http://0.0.0.0:8888/user/ada/"},
    ) == {
        "PAPERS": "/state/papers/data",
        "HOME_TOO": "/state/home",
        "OTHER": "/home/jovyanne",
        "JUPYTERHUB_SERVICE_URL": "http://127.70.16.1:8888/user/ada/",
    }


@pytest.mark.parametrize(
    ("container", "words"),
    [
        pytest.param({}, ["start.sh"], id="the image's own"),
        pytest.param({"args": ["lab"]}, ["lab"], id="arguments replace it"),
        pytest.param({"command": ["a"], "args": ["$(V)"]}, ["a", "5"], id="both"),
        pytest.param({"command": ["/home/jovyan/run"]}, ["/state/home/run"], id="in a mount"),
    ],
)
def test_commands(container: dict[str, Any], words: list[str]) -> None:
    assert build_command(container, ["start.sh"], {"V": "5"}, MOUNTS) == words
