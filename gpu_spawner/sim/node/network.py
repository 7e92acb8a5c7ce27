"""Addresses for nodes and pods on this machine's loopback interface.

Every pod gets an address of its own, so that all of them can listen on the same port, as pods do.
On Linux the whole of 127.0.0.0/8 is local; elsewhere only 127.0.0.1 is, and a cluster of processes
cannot be simulated that way: that is said plainly rather than half done.
"""

import errno
import ipaddress
import itertools
import socket
import zlib

from gpu_spawner.core.errors import GpuSpawnerError

__all__ = ["LoopbackNetwork", "NetworkUnavailableError"]

# 127.0 is the machine's own; 127.53 and 127.54 are common for local resolvers.
_FIRST_SUBNET, _LAST_SUBNET = 64, 191
# The kubelet's port; holding it on a subnet's first address marks the subnet as taken.
_GUARD_PORT = 10250
_NODE_BLOCK = 1
_FIRST_POD_BLOCK = 16


class NetworkUnavailableError(GpuSpawnerError):
    """This machine cannot give every pod its own address."""


class LoopbackNetwork:
    """One ``127.x.0.0/16``, ours alone until ``close``.

    Args:
        preference: the same text prefers the same network, so that addresses outlive a restart.
    """

    def __init__(self, preference: str = "") -> None:
        self._guard, self._subnet = _claim(preference)
        self._used: set[str] = set()
        self._pods = itertools.cycle(range(_FIRST_POD_BLOCK << 8, 1 << 16))

    def close(self) -> None:
        """Give the network back."""
        self._guard.close()

    def node_address(self, number: int) -> str:
        """Return the address of the node of this number, counted from 0."""
        return self._address((_NODE_BLOCK << 8) + 1 + number)

    def pod_address(self, wanted: str = "") -> str:
        """Return an address that no other pod has: ``wanted`` if it is of this network and free."""
        if wanted.startswith(f"127.{self._subnet}.") and wanted not in self._used:
            self._used.add(wanted)
            return wanted
        for number in self._pods:
            address = self._address(number)
            # Some programs take .0 and .255 for networks and broadcasts.
            if number & 0xFF not in (0, 0xFF) and address not in self._used:
                self._used.add(address)
                return address
        raise AssertionError("a cycle does not end")

    def release(self, address: str) -> None:
        """Let another pod have ``address``."""
        self._used.discard(address)

    def _address(self, number: int) -> str:
        base = int(ipaddress.IPv4Address(f"127.{self._subnet}.0.0"))
        return str(ipaddress.IPv4Address(base + number))


def _claim(preference: str) -> tuple[socket.socket, int]:
    count = _LAST_SUBNET - _FIRST_SUBNET + 1
    first = zlib.crc32(preference.encode()) % count
    for offset in range(count):
        subnet = _FIRST_SUBNET + (first + offset) % count
        guard = socket.socket()
        try:
            guard.bind((f"127.{subnet}.0.1", _GUARD_PORT))
            guard.listen()
        except OSError as error:
            guard.close()
            if error.errno == errno.EADDRINUSE:
                continue
            raise NetworkUnavailableError(
                f"no address beyond 127.0.0.1 can be used on this machine ({error.strerror}), but "
                "every simulated pod needs one of its own. Run it on Linux, or in a container "
                "or virtual machine with Linux."
            ) from error
        return guard, subnet
    raise NetworkUnavailableError(
        "every loopback network from 127.64 to 127.191 is taken by another simulated cluster."
    )
