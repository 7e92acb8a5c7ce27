"""Flavors of different DRA mechanisms in one claim: what is joined, counted, bound and promised."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.catalog_files import read_mapping
from gpu_spawner.core.catalog.compile import PodFragment, compile_selection, compile_ways
from gpu_spawner.core.catalog.holdings import holding_of
from gpu_spawner.core.catalog.model import Catalog, Selection
from gpu_spawner.core.catalog.options import parse_options
from gpu_spawner.core.catalog.site_pod import SitePod, request_of
from gpu_spawner.core.cluster.claim_objects import claim_from_api
from gpu_spawner.core.cluster.objects import pod_from_api
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.offers.board import OfferBoard
from gpu_spawner.core.placement.scheduling import Placed, schedule
from gpu_spawner.hub.page_words import isolation_words, share_facts

Raw = dict[str, Any]

DRIVER = "gpu.nvidia.com"
GIB = 2**30
MEMORY = {"memory": "10Gi"}
PARTED: Raw = {
    "memory": "80GB",
    "mig": {"profiles": ["1g.12gb"]},
    "dra": {"mig_device_class": "mig.nvidia.com", "attributes": {"productName": "B"}},
}
POOLED: Raw = {
    "memory": "48GB",
    "dra": {"memory_capacity": "memory", "attributes": {"productName": "L"}},
}
PLUGGED: Raw = {
    "memory": "80GB",
    "mig": {"profiles": ["1g.12gb"]},
    "node_labels": {"nvidia.com/gpu.product": "NVIDIA-A100"},
}

HAMI: Raw = {"memory": "48GB", "hami": {}, "node_labels": {"pool": "h"}}


def catalog_of(flavors: dict[str, Raw], share: Any = MEMORY, **profile: Any) -> Catalog:
    gpu = {"flavors": list(flavors), "share": share, "count": profile.pop("count", 1)}
    return read_mapping(
        {
            "flavors": {name: {"display_name": name, **one} for name, one in flavors.items()},
            "images": {"base": {"image": "quay.io/site/base:1", "display_name": "Base"}},
            "10-it": {"display_name": "It", "images": ["base"], "gpu": gpu, **profile},
        }
    )


def selection_of(catalog: Catalog, **options: Any) -> Selection:
    return parse_options(catalog, {"profile": "it", **options}, groups=())


def ways_of(flavors: dict[str, Raw], share: Any = MEMORY, **profile: Any) -> list[PodFragment]:
    catalog = catalog_of(flavors, share, **profile)
    return list(compile_ways(catalog, selection_of(catalog)))


def had(ways: list[PodFragment]) -> list[list[tuple[str, str]]]:
    return [list(zip(way.selection.flavors, way.selection.mechanisms, strict=True)) for way in ways]


def devices_of(way: PodFragment) -> Any:
    (claim,) = way.claims
    return claim.template.spec["devices"]


class TestWhatIsJoined:
    def test_each_alternative_has_what_its_mechanism_asks_for(self) -> None:
        (way,) = ways_of({"parted": PARTED, "pooled": POOLED})
        (request,) = devices_of(way)["requests"]
        first, second = request["firstAvailable"]
        assert (first["name"], first["deviceClassName"]) == ("parted", "mig.nvidia.com")
        assert "capacity" not in first
        assert (second["name"], second["deviceClassName"]) == ("pooled", DRIVER)
        assert second["capacity"] == {"requests": {"memory": "10Gi"}}
        assert way.environment["GPU_SPAWNER_MECHANISM"] == "dra-mig,dra-capacity"
        assert way.environment["GPU_SPAWNER_FLAVOR"] == "any"

    def test_constraints_and_configs_name_their_alternative(self) -> None:
        parted = {**PARTED, "dra": {**PARTED["dra"], "slices_of_one_gpu": True}}
        config = {"parameters": {"apiVersion": "x/v1", "kind": "Config"}}
        distinct = [{"distinct_attribute": "uuid"}]
        pooled = {
            **POOLED,
            "dra": {**POOLED["dra"], "config": [config], "constraints": distinct},
        }
        (way,) = ways_of({"parted": parted, "pooled": pooled}, count=2)
        devices = devices_of(way)
        assert [(one["requests"], set(one)) for one in devices["constraints"]] == [
            (["gpu/parted"], {"requests", "matchAttribute"}),
            (["gpu/pooled"], {"requests", "distinctAttribute"}),
        ]
        assert [one["requests"] for one in devices["config"]] == [["gpu/pooled"]]

    @pytest.mark.parametrize(
        ("flavors", "profile", "expected"),
        [
            pytest.param(
                {"plugged": PLUGGED, "parted": PARTED, "pooled": POOLED},
                {},
                [[("plugged", "mig")], [("parted", "dra-mig"), ("pooled", "dra-capacity")]],
                id="a device plugin's are a way of their own",
            ),
            pytest.param(
                {"parted": PARTED, "hami": HAMI, "pooled": POOLED},
                {},
                [[("parted", "dra-mig"), ("pooled", "dra-capacity")], [("hami", "hami")]],
                id="so are another scheduler's, whatever the order",
            ),
            pytest.param(
                {"parted": PARTED, "pooled": {**POOLED, "node_labels": {"pool": "x"}}},
                {},
                [[("parted", "dra-mig")], [("pooled", "dra-capacity")]],
                id="node labels cannot follow what is given",
            ),
            pytest.param(
                {"both": {**PARTED, "dra": {**PARTED["dra"], "memory_capacity": "memory"}},
                 "pooled": POOLED},
                {},
                [
                    [("both", "dra-mig"), ("pooled", "dra-capacity")],
                    [("both", "dra-capacity")],
                ],
                id="of one flavor the first way with a seat is taken",
            ),
            pytest.param(
                {"parted": PARTED, "other": PARTED},
                {"kueue": {"queue": "q"}},
                [[("parted", "dra-mig")], [("other", "dra-mig")]],
                id="Kueue takes no alternatives",
            ),
        ],
    )  # fmt: skip
    def test_what_cannot_be_is_apart(
        self, flavors: dict[str, Raw], profile: Raw, expected: list[list[tuple[str, str]]]
    ) -> None:
        assert had(ways_of(flavors, **profile)) == expected

    def test_no_more_than_eight(self) -> None:
        flavors = {f"f{number}": (PARTED, POOLED)[number % 2] for number in range(10)}
        assert [len(group) for group in had(ways_of(flavors))] == [8, 2]

    def test_no_more_configs_than_a_claim_takes(self) -> None:
        """Each flavor may have 32, and so may a claim."""
        configs = [
            {"parameters": {"apiVersion": "x/v1", "kind": "Config", "number": number}}
            for number in range(20)
        ]
        dra = {**POOLED["dra"], "config": configs}
        flavors = {"one": {**POOLED, "dra": dra}, "two": {**POOLED, "dra": dra}, "parted": PARTED}
        assert had(ways_of(flavors)) == [
            [("one", "dra-capacity"), ("parted", "dra-mig")],
            [("two", "dra-capacity")],
        ]

    def test_a_whole_claim_of_an_admins_is_an_alternative_to_nothing(self) -> None:
        request = {"name": "g", "exactly": {"deviceClassName": DRIVER}}
        own = {"dra": {"claims": {"mine": {"spec": {"devices": {"requests": [request]}}}}}}
        ways = ways_of({"one": own, "two": own}, {"claim": "mine"})
        assert had(ways) == [[("one", "dra-claim")], [("two", "dra-claim")]]


names = st.sampled_from(["plugged", "parted", "pooled", "both", "labelled"])
FLAVORS = {
    "plugged": PLUGGED,
    "parted": PARTED,
    "pooled": POOLED,
    "both": {**PARTED, "dra": {**PARTED["dra"], "memory_capacity": "memory"}},
    "labelled": {**POOLED, "node_labels": {"pool": "x"}},
}


@given(st.lists(names, min_size=2, unique=True))
def test_a_way_compiles_to_itself_and_every_flavor_is_served_as_it_is_alone(
    some: list[str],
) -> None:
    """What was resolved is compiled once more when the pod is made."""
    catalog = catalog_of({name: FLAVORS[name] for name in some})
    selection = selection_of(catalog)
    ways = compile_ways(catalog, selection)
    for way in ways:
        assert compile_ways(catalog, way.selection) == (way,)
    served = Counter(pair for group in had(list(ways)) for pair in group)
    alone = Counter(
        pair
        for name in some
        for group in had(list(compile_ways(catalog, replace(selection, flavors=(name,)))))
        for pair in group
    )
    assert served == alone
    assert set(served.values()) == {1}


def shared_device(number: int, gib: int) -> Raw:
    return {
        "name": f"l-{number}",
        "attributes": {"productName": {"string": "L"}},
        "capacity": {"memory": {"value": f"{gib}Gi"}},
        "allowMultipleAllocations": True,
    }


def part(number: int, used: int) -> Raw:
    counters = {"units": {"value": str(used)}}
    return {
        "name": f"b-{number}",
        "attributes": {"productName": {"string": "B"}, "profile": {"string": "1g.12gb"}},
        "consumesCounters": [{"counterSet": "card", "counters": counters}],
    }


def node_with(name: str, devices: list[Raw], *, pods: int) -> list[Raw]:
    pool = {"name": name, "generation": 1, "resourceSliceCount": 2}
    spec = {"driver": DRIVER, "nodeName": name, "pool": pool}
    counters = [{"name": "card", "counters": {"units": {"value": "4"}}}]
    return [
        {
            "kind": "Node",
            "metadata": {"name": name},
            "status": {
                "allocatable": {"pods": str(pods), "cpu": "64", "memory": "512Gi"},
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        },
        slice_of(f"{name}-devices", {**spec, "devices": devices}),
        slice_of(f"{name}-counters", {**spec, "sharedCounters": counters}),
    ]


def slice_of(name: str, spec: Raw) -> Raw:
    return {"kind": "ResourceSlice", "metadata": {"name": name}, "spec": spec}


def class_of(name: str, *, is_part: bool) -> Raw:
    has_profile = f'"profile" in device.attributes["{DRIVER}"]'
    expression = has_profile if is_part else f"!({has_profile})"
    return {
        "kind": "DeviceClass",
        "metadata": {"name": name},
        "spec": {"selectors": [{"cel": {"expression": expression}}]},
    }


CLASSES = [class_of(DRIVER, is_part=False), class_of("mig.nvidia.com", is_part=True)]
device_lists = st.tuples(
    st.lists(st.sampled_from([4, 12, 24]), max_size=2),
    st.lists(st.sampled_from([1, 2, 3]), max_size=3),
)


@given(
    some=st.lists(device_lists, min_size=1, max_size=2),
    order=st.permutations(["parted", "pooled"]),
    pods=st.sampled_from([2, 110]),
)
def test_the_seats_of_a_joined_claim_are_what_the_scheduler_binds(
    some: list[tuple[list[int], list[int]]], order: list[str], pods: int
) -> None:
    """As many as counted, and no device, byte or counter twice."""
    items = list(CLASSES)
    for number, (sizes, parts) in enumerate(some):
        found = [shared_device(place, size) for place, size in enumerate(sizes)]
        found += [part(place, used) for place, used in enumerate(parts)]
        items += node_with(f"n{number}", found, pods=pods)
    catalog = catalog_of({name: FLAVORS[name] for name in order})
    selection = selection_of(catalog)
    snapshot = Snapshot.from_objects(items, as_of=0.0)
    board = OfferBoard(catalog)
    board.update(snapshot)
    expected = board.offer_of(selection).free

    bound, results = bind(snapshot, catalog, board.resolve(selection))

    assert bound == expected
    if pods == 110:
        each = [board.offer_of(selection_of(catalog, flavor=name)).free or 0 for name in order]
        assert bound == sum(each)
    taken = Counter((one["pool"], one["device"]) for one in results)
    units: Counter[str] = Counter()
    for (pool, device), times in taken.items():
        sizes, parts = some[int(pool[1:])]
        kind, place = device.split("-")
        if kind == "l":
            assert times * 10 <= sizes[int(place)]
        else:
            assert times == 1
            units[pool] += parts[int(place)]
    assert all(used <= 4 for used in units.values())
    assert {(one["request"], one["device"][0]) for one in results} <= {
        ("gpu/pooled", "l"),
        ("gpu/parted", "b"),
    }


def bind(snapshot: Snapshot, catalog: Catalog, resolved: Selection) -> tuple[int, list[Raw]]:
    """Schedule servers of one selection until one is refused, as the embedded cluster does."""
    request = request_of(compile_selection(catalog, resolved), SitePod())
    number, results = 0, []
    while isinstance(decision := schedule(snapshot, request), Placed):
        name = f"server-{number}"
        pod = {
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"nodeName": decision.node, "containers": [{"name": "notebook"}]},
        }
        claim = {
            "metadata": {"name": name, "namespace": "default"},
            "status": {"allocation": decision.claims["gpu"]},
        }
        snapshot = snapshot.with_pod(pod_from_api(pod)).with_claim(claim_from_api(claim))
        results += decision.claims["gpu"]["devices"]["results"]
        number += 1
    return number, results


class TestWhatIsSaid:
    CATALOG = catalog_of({"parted": PARTED, "pooled": POOLED, "both": FLAVORS["both"]})

    def isolation(self, flavor: str) -> str:
        choices = [one for one in self.CATALOG.profiles[0].choices if one.flavor == flavor]
        return isolation_words(self.CATALOG, choices)

    def test_nothing_is_promised_of_all_that_is_true_of_some(self) -> None:
        assert self.isolation("any") == (
            "What keeps neighbours apart depends on the GPU you get; see below."
        )
        assert "Hardware keeps" in self.isolation("parted")
        assert "nothing keeps a neighbour from using more" in self.isolation("pooled")

    def test_a_flavor_that_is_had_in_two_ways_says_both(self) -> None:
        said = self.isolation("both")
        assert said.startswith(
            "What keeps neighbours apart depends on what is free when you start. Either: Hardware"
        )
        assert "Or: This part of its memory is set aside" in said

    def test_a_profile_that_rules_a_way_out_says_nothing_of_it(self) -> None:
        """Kueue admits no claim that consumes a capacity."""
        catalog = catalog_of({"both": FLAVORS["both"]}, kueue={"queue": "q"})
        said = isolation_words(catalog, catalog.profiles[0].choices)
        assert said.startswith("Hardware keeps")
        assert "Or:" not in said

    def test_different_parts_are_called_shares(self) -> None:
        facts = share_facts(self.CATALOG, self.CATALOG.profiles[0].choices[0])
        assert facts is not None
        assert (facts.unit, facts.memory_bytes, facts.isolation) == ("share", None, "")

    def test_of_several_ways_the_largest_counts_for_limits(self) -> None:
        """A slice has 12 GB, a part the 10 GiB that were wished, in whichever order."""
        backwards = {**FLAVORS["both"], "mechanisms": ["dra-capacity", "dra-mig"]}
        for flavor in (FLAVORS["both"], backwards):
            catalog = catalog_of({"both": flavor})
            (choice,) = catalog.profiles[0].choices
            assert holding_of(catalog, choice).memory_bytes == 12 * 10**9

    def test_why_none_is_left_of_slices_and_parts_together(self) -> None:
        """What is left of a shared GPU says nothing of slices, and the other way round."""
        items = [*CLASSES, *node_with("n0", [shared_device(0, 12), part(0, 4)], pods=110)]
        catalog = catalog_of({"parted": PARTED, "pooled": POOLED})
        snapshot = Snapshot.from_objects(items, as_of=0.0)
        board = OfferBoard(catalog)
        board.update(snapshot)
        selection = selection_of(catalog)
        assert board.offer_of(selection).because == "All 2 free"
        held = [
            {"request": "gpu/pooled", "driver": DRIVER, "pool": "n0", "device": "l-0",
             "shareID": "s", "consumedCapacity": {"memory": "10Gi"}},
            {"request": "gpu/parted", "driver": DRIVER, "pool": "n0", "device": "b-0"},
        ]  # fmt: skip
        claim = {
            "kind": "ResourceClaim",
            "metadata": {"name": "c", "namespace": "default"},
            "status": {"allocation": {"devices": {"results": held}}},
        }
        board.update(Snapshot.from_objects([*items, claim], as_of=1.0))
        assert board.offer_of(selection).because == "Both are in use"
