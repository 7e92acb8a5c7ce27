"""A slow allocator that is obviously right, for the clusters of ``device_strategies``.

It tries every assignment of devices and takes the first that breaks no rule.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import combinations, product
from typing import Any

__all__ = ["reference_device_seats", "reference_devices"]

Raw = dict[str, Any]
Given = list[tuple[Raw, Raw]]
"""Pairs of wish and device, in the order of the requests."""

_GI = {"1Gi": 1, "2Gi": 2, "3Gi": 3, "4Gi": 4, "8Gi": 8}


def reference_device_seats(items: list[Raw], spec: Raw) -> dict[str, int]:
    """Return how many pods with one such claim each node takes, one after another."""
    seats = {}
    for node in (item for item in items if item["kind"] == "Node"):
        name = node["metadata"]["name"]
        devices = _devices_on(items, name)
        taken, consumed = _held(items, name)
        count = 0
        while count < int(node["status"]["allocatable"]["pods"]):
            given = next(_solutions(spec, devices, taken, consumed), None)
            if given is None:
                break
            _take(given, taken, consumed)
            count += 1
        if count:
            seats[name] = count
    return seats


def reference_devices(items: list[Raw], spec: Raw, node: str) -> list[tuple[str, str]]:
    """Return which device each request of one claim gets on a node; nothing where it gets none.

    For claims whose requests have no alternatives.
    """
    given = next(_solutions(spec, _devices_on(items, node), *_held(items, node)), [])
    names = [
        request["name"]
        for request in spec["devices"]["requests"]
        for _ in range(request["exactly"]["count"])
    ]
    return [(name, device["name"]) for name, (_, device) in zip(names, given, strict=bool(given))]


def _devices_on(items: list[Raw], node: str) -> list[Raw]:
    return [
        device
        for item in items
        if item["kind"] == "ResourceSlice" and item["spec"]["nodeName"] == node
        for device in item["spec"].get("devices", ())
    ]


def _held(items: list[Raw], node: str) -> tuple[set[str], Counter[str]]:
    taken: set[str] = set()
    consumed: Counter[str] = Counter()
    for item in items:
        allocation = item.get("status", {}).get("allocation") or {"devices": {"results": []}}
        for result in allocation["devices"]["results"]:
            if result["pool"] == node and "shareID" in result:
                consumed[result["device"]] += _GI[result["consumedCapacity"]["memory"]]
            elif result["pool"] == node:
                taken.add(result["device"])
    return taken, consumed


def _solutions(
    spec: Raw, devices: list[Raw], taken: set[str], consumed: Counter[str]
) -> Iterator[Given]:
    """Yield every assignment that breaks no rule, in the order in which they are tried."""
    choices = []
    for request in spec["devices"]["requests"]:
        wishes = [request["exactly"]] if "exactly" in request else request["firstAvailable"]
        choices.append(
            [
                [(wish, device) for device in chosen]
                for wish in wishes
                for chosen in combinations(devices, wish["count"])
            ]
        )
    is_same = bool(spec["devices"].get("constraints"))
    for parts in product(*choices):
        given = [pair for part in parts for pair in part]
        roots = {device["attributes"]["root"]["string"] for _, device in given}
        if is_same and len(roots) > 1:
            continue
        if all(_suits(wish, device) for wish, device in given) and _fits(
            given, devices, taken, consumed
        ):
            yield given


def _suits(wish: Raw, device: Raw) -> bool:
    attributes = {name: value["string"] for name, value in device["attributes"].items()}
    selectors = [entry["cel"]["expression"] for entry in wish.get("selectors", ())]
    return (
        attributes["kind"] == wish["deviceClassName"]
        and all(text.endswith(f'"{attributes["model"]}"') for text in selectors)
        and ("taints" not in device or "tolerations" in wish)
        and _amount(wish, device) <= _GI[device["capacity"]["memory"]["value"]]
    )


def _fits(given: Given, devices: list[Raw], taken: set[str], consumed: Counter[str]) -> bool:
    taken, consumed = set(taken), Counter(consumed)
    for wish, device in given:
        name = device["name"]
        if device.get("allowMultipleAllocations"):
            consumed[name] += _amount(wish, device)
            if consumed[name] > _GI[device["capacity"]["memory"]["value"]]:
                return False
        elif name in taken:
            return False
        else:
            taken.add(name)
    return sum(_units(device) for device in devices if device["name"] in taken) <= 4 or not any(
        _units(device) for _, device in given
    )


def _take(given: Given, taken: set[str], consumed: Counter[str]) -> None:
    for wish, device in given:
        if device.get("allowMultipleAllocations"):
            consumed[device["name"]] += _amount(wish, device)
        else:
            taken.add(device["name"])


def _amount(wish: Raw, device: Raw) -> int:
    wanted = wish.get("capacity", {"requests": {}})["requests"].get("memory")
    return _GI[wanted or device["capacity"]["memory"]["value"]]


def _units(device: Raw) -> int:
    used = device.get("consumesCounters", ())
    return sum(int(entry["counters"]["units"]["value"]) for entry in used)
