"""What this machine gives to pods: addresses and folders."""

import socket
from pathlib import Path
from typing import Any

import pytest

from gpu_spawner.sim.node.network import LoopbackNetwork, NetworkUnavailableError
from gpu_spawner.sim.node.volumes import VolumeFolders
from gpu_spawner.sim.times import go_duration

POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u1"},
    "spec": {
        "volumes": [
            {"name": "home", "persistentVolumeClaim": {"claimName": "home-ada"}},
            {"name": "shm", "emptyDir": {"medium": "Memory"}},
            {"name": "conf", "configMap": {"name": "c"}},
            {"name": "host", "hostPath": {"path": "/etc"}},
        ]
    },
}


def container(**mounts: str) -> dict[str, Any]:
    return {"volumeMounts": [{"name": name, "mountPath": path} for name, path in mounts.items()]}


def test_every_pod_can_listen_on_the_same_port() -> None:
    network = LoopbackNetwork("test")
    with socket.socket() as one, socket.socket() as other:
        one.bind((network.pod_address(), 0))
        other.bind((network.pod_address(), one.getsockname()[1]))
    network.close()


def test_two_clusters_have_two_networks_and_one_gets_its_own_back() -> None:
    first, second = LoopbackNetwork("same"), LoopbackNetwork("same")
    address = first.pod_address()
    assert address.split(".")[1] != second.pod_address().split(".")[1]
    first.close()
    again = LoopbackNetwork("same")
    assert again.pod_address(address) == address
    assert again.pod_address(address) != address
    again.release(address)
    assert again.pod_address(address) == address
    again.close()
    second.close()


def test_a_machine_without_such_addresses_is_told_plainly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class OneAddress(socket.socket):
        def bind(self, _address: Any) -> None:
            raise OSError(99, "Cannot assign requested address")

    monkeypatch.setattr(socket, "socket", OneAddress)
    with pytest.raises(NetworkUnavailableError, match="Run it on Linux"):
        LoopbackNetwork()


def test_a_claim_stays_and_an_empty_dir_goes_with_its_pod(tmp_path: Path) -> None:
    folders = VolumeFolders(tmp_path)
    spec = container(home="/home/jovyan", shm="/dev/shm")
    mounted = folders.mount(POD, spec, {})
    (mounted.home / "thesis").write_text("kept")
    Path(mounted.mounts.translate("/dev/shm/x")).write_text("not kept")
    folders.remove_pod("u1")
    again = folders.mount(POD, spec, {})
    assert (again.home / "thesis").read_text() == "kept"
    assert not Path(again.mounts.translate("/dev/shm/x")).exists()


def test_files_of_config_maps_stay_inside_their_volume(tmp_path: Path) -> None:
    folders = VolumeFolders(tmp_path / "state")
    files = {"conf": {"a.ini": "1", "../../../escape": "2"}}
    mounted = folders.mount(POD, container(conf="/etc/conf"), files)
    assert Path(mounted.mounts.translate("/etc/conf/a.ini")).read_text() == "1"
    assert not list(tmp_path.glob("escape"))


def test_host_paths_are_not_the_hosts(tmp_path: Path) -> None:
    mounted = VolumeFolders(tmp_path).mount(POD, container(host="/host-etc"), {})
    assert mounted.mounts.translate("/host-etc/passwd").startswith(str(tmp_path))


def test_a_mount_inside_the_home_is_seen_there(tmp_path: Path) -> None:
    mounted = VolumeFolders(tmp_path).mount(POD, container(home="/home/jovyan/work"), {})
    assert (mounted.home / "work").resolve() == tmp_path / "volumes" / "n" / "home-ada"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.35, "350ms"), (1.5, "1.5s"), (12.345, "12.345s"), (62.05, "1m2.05s")],
)
def test_durations_as_go_prints_them(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text
