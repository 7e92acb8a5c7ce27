"""Claims in a cluster: what is counted, why not, what is written, what stays unknown."""

from typing import Any

import pytest
from raw_objects import node, pod

from gpu_spawner.core.cluster.claim_objects import claim_from_api
from gpu_spawner.core.cluster.objects import pod_from_api
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.errors import ConfigError
from gpu_spawner.core.placement.pod_request import PodRequest, request_from_pod
from gpu_spawner.core.placement.reservations import ReservationBook
from gpu_spawner.core.placement.scheduling import Placed, schedule, scheduler_message
from gpu_spawner.core.placement.seats import SeatIndex, count_seats

Raw = dict[str, Any]
DRIVER = "gpu.nvidia.com"
OWN = "deviceclass.resource.kubernetes.io/"


def dra(kind: str, name: str, spec: Raw, **fields: Any) -> Raw:
    """Build an object of ``resource.k8s.io/v1``."""
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
        **fields,
    }


def gpu(name: str, memory: str = "80Gi", **fields: Any) -> Raw:
    return {
        "name": name,
        "attributes": {"type": {"string": "gpu"}, "uuid": {"string": f"GPU-{name}"}},
        "capacity": {"memory": {"value": memory}},
        **fields,
    }


def slice_on(name: str, *devices: Raw, **spec: Any) -> Raw:
    """Build the one slice of a node's pool; ``nodeName`` may be replaced by another reach."""
    pool = {"name": name, "generation": 1, "resourceSliceCount": 1}
    where = {} if spec.keys() & {"allNodes", "nodeSelector"} else {"nodeName": name}
    return dra(
        "ResourceSlice", name, {"driver": DRIVER, "pool": pool, "devices": devices, **where, **spec}
    )


CLASS = dra(
    "DeviceClass",
    "gpu",
    {
        "selectors": [
            {"cel": {"expression": f'device.attributes["{DRIVER}"].type == "gpu"'}},
        ],
        "config": [{"opaque": {"driver": DRIVER, "parameters": {"kind": "GpuConfig"}}}],
    },
)


def one(**fields: Any) -> Raw:
    """Build a spec that wants one GPU."""
    return {
        "devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu", **fields}}]}
    }


def asks(spec: Raw | None = None, **fields: Any) -> PodRequest:
    claims = [{"name": "gpu", "resourceClaimTemplateName": "t"}]
    manifest = pod(resourceClaims=claims, **fields)
    return request_from_pod(manifest, claim_specs={"t": spec or one()})


def names_claim(claim: str) -> PodRequest:
    return request_from_pod(pod(resourceClaims=[{"name": "gpu", "resourceClaimName": claim}]))


def held(name: str, where: str, device: str, **status: Any) -> Raw:
    result = {"request": "r", "driver": DRIVER, "pool": where, "device": device}
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [where]}]}
    allocation = {
        "devices": {"results": [result]},
        "nodeSelector": {"nodeSelectorTerms": [term]},
    }
    return dra("ResourceClaim", name, one(), status={"allocation": allocation, **status})


def cluster(*more: Raw) -> Snapshot:
    return Snapshot.from_objects([node("a"), node("b"), CLASS, *more])


def seats(snapshot: Snapshot, request: PodRequest) -> dict[str, int]:
    found = count_seats(snapshot, request)
    assert found.unknown is None
    assert found.free == sum(judged.free for judged in found.nodes.values())
    return {name: judged.free for name, judged in found.nodes.items() if judged.free}


def why(snapshot: Snapshot, request: PodRequest, name: str = "a") -> str:
    return count_seats(snapshot, request).nodes[name].rejections[-1].detail


def test_what_is_held_is_not_free() -> None:
    snapshot = cluster(slice_on("a", gpu("0"), gpu("1")), held("c", "a", "0"))

    found = count_seats(snapshot, asks())

    assert (found.free, found.total, found.nodes["a"].free) == (1, 2, 1)


def test_a_claim_with_admin_access_holds_nothing() -> None:
    looking = held("c", "a", "0")
    looking["status"]["allocation"]["devices"]["results"][0]["adminAccess"] = True

    assert seats(cluster(slice_on("a", gpu("0")), looking), asks()) == {"a": 1}


@pytest.mark.parametrize(
    ("device", "spec", "expected"),
    [
        (gpu("0"), one(count=2), "request r: 1 device of class gpu match, 2 are wanted"),
        (
            gpu("0", taints=[{"key": "xid", "effect": "NoExecute"}]),
            one(),
            "request r: of 1 device that match, 1 is tainted",
        ),
        (
            gpu("0", attributes={"type": {"string": "mig"}}),
            one(),
            "request r: no device matches class gpu and its selectors",
        ),
        (
            gpu("0"),
            one(capacity={"requests": {"memory": "90Gi"}}),
            "request r: of 1 device that match, 1 is short of the capacity asked for",
        ),
    ],
)
def test_every_refusal_has_its_reason(device: Raw, spec: Raw, expected: str) -> None:
    assert why(cluster(slice_on("a", device)), asks(spec)) == expected


def test_an_incomplete_pool_is_named() -> None:
    half = slice_on("a", gpu("0"))
    half["spec"]["pool"]["resourceSliceCount"] = 2

    assert why(cluster(half), asks()).endswith(
        "the pool gpu.nvidia.com/a is left out: slices are missing"
    )


def test_counters_that_are_used_up_are_named() -> None:
    units = [{"counterSet": "card", "counters": {"units": {"value": "3"}}}]
    devices = slice_on("a", gpu("0", consumesCounters=units), gpu("1", consumesCounters=units))
    counters = slice_on(
        "a", sharedCounters=[{"name": "card", "counters": {"units": {"value": "4"}}}]
    )
    counters["metadata"]["name"] = "a-counters"
    for found in (devices, counters):
        found["spec"]["pool"]["resourceSliceCount"] = 2
    del counters["spec"]["devices"]
    snapshot = cluster(devices, counters)

    assert seats(snapshot, asks()) == {"a": 1}
    assert "short of the counters they share" in why(snapshot, asks())


def test_a_class_that_does_not_exist_is_the_scheduler_s_word() -> None:
    request = asks({"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "no"}}]}})
    snapshot = cluster(slice_on("a", gpu("0")))

    assert (count_seats(snapshot, request).free, count_seats(snapshot, request).total) == (0, 0)
    assert scheduler_message(snapshot, request) == (
        "0/2 nodes are available: request r: device class no does not exist. no new claims to"
        " deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for"
        " scheduling."
    )


def test_a_selector_that_fails_ends_the_search_everywhere() -> None:
    """On one node that would do, too: the scheduler gives up on the pod."""
    selectors = [{"cel": {"expression": f'device.attributes["{DRIVER}"].model == "x"'}}]
    fine = gpu("0", attributes={"type": {"string": "gpu"}, "model": {"string": "x"}})
    snapshot = cluster(slice_on("a", fine), slice_on("b", gpu("0")))

    assert count_seats(snapshot, asks(one(selectors=selectors))).free == 0
    assert "CEL runtime error" in scheduler_message(snapshot, asks(one(selectors=selectors)))


def test_a_taint_rule_taints_what_it_names() -> None:
    rule = dra(
        "DeviceTaintRule",
        "bad",
        {
            "deviceSelector": {"pool": "a", "device": "0"},
            "taint": {"key": "bad", "effect": "NoSchedule"},
        },
    )
    items = (slice_on("a", gpu("0"), gpu("1")), slice_on("b", gpu("0")))
    tolerant = one(tolerations=[{"key": "bad", "operator": "Exists"}])

    assert seats(cluster(*items, rule), asks()) == {"a": 1, "b": 1}
    assert seats(cluster(*items, rule), asks(tolerant)) == {"a": 2, "b": 1}


def test_devices_that_all_nodes_reach_are_counted_once() -> None:
    snapshot = cluster(slice_on("fabric", gpu("0"), gpu("1"), gpu("2"), allNodes=True))

    found = count_seats(snapshot, asks())

    assert (found.free, found.total) == (3, 3)
    assert sum(seats(snapshot, asks()).values()) == 3
    assert not any(judged.rejections == () for judged in found.nodes.values())


def test_a_claim_that_exists_ties_its_pods_to_its_node() -> None:
    shared = held("c", "b", "0", reservedFor=[{"resource": "pods", "name": "x", "uid": "u"}])
    snapshot = cluster(slice_on("b", gpu("0")), shared)

    found = count_seats(snapshot, names_claim("c"))

    assert set(seats(snapshot, names_claim("c"))) == {"b"}
    assert found.nodes["a"].rejections[-1].words == "resourceclaim not available on the node"


def test_a_claim_serves_so_many_pods_and_no_more() -> None:
    users = [{"resource": "pods", "name": f"p{i}", "uid": f"u{i}"} for i in range(254)]
    snapshot = Snapshot.from_objects(
        [
            node("a", allocatable={"pods": "500"}),
            CLASS,
            slice_on("a", gpu("0")),
            held("c", "a", "0", reservedFor=users),
        ]
    )

    assert count_seats(snapshot, names_claim("c")).free == 2


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([], 'resourceclaim.resource.k8s.io "c" not found'),
        (
            [
                {
                    **held("c", "a", "0"),
                    "metadata": {"name": "c", "deletionTimestamp": "2026-01-01T00:00:00Z"},
                }
            ],
            'resourceclaim "c" is being deleted',
        ),
    ],
)
def test_a_claim_that_is_not_there_refuses_everywhere(more: list[Raw], expected: str) -> None:
    snapshot = cluster(slice_on("a", gpu("0")), *more)

    assert count_seats(snapshot, names_claim("c")).free == 0
    assert expected in scheduler_message(snapshot, names_claim("c"))


def test_what_is_written_is_what_the_scheduler_writes() -> None:
    spec = one(tolerations=[{"key": "x", "operator": "Exists"}])
    spec["devices"]["config"] = [
        {"requests": ["r"], "opaque": {"driver": DRIVER, "parameters": {"sharing": "none"}}}
    ]
    decision = schedule(cluster(slice_on("a", gpu("0"))), asks(spec))

    assert decision == Placed(
        node="a",
        claims={
            "gpu": {
                "devices": {
                    "results": [
                        {
                            "request": "r",
                            "driver": DRIVER,
                            "pool": "a",
                            "device": "0",
                            "tolerations": [{"key": "x", "operator": "Exists"}],
                        }
                    ],
                    "config": [
                        {
                            "source": "FromClass",
                            "requests": ["r"],
                            "opaque": {"driver": DRIVER, "parameters": {"kind": "GpuConfig"}},
                        },
                        {
                            "source": "FromClaim",
                            "requests": ["r"],
                            "opaque": {"driver": DRIVER, "parameters": {"sharing": "none"}},
                        },
                    ],
                },
                "nodeSelector": {
                    "nodeSelectorTerms": [
                        {
                            "matchFields": [
                                {"key": "metadata.name", "operator": "In", "values": ["a"]}
                            ]
                        }
                    ]
                },
            }
        },
    )


def test_each_share_of_a_device_has_an_id_and_an_amount() -> None:
    snapshot = cluster(slice_on("a", gpu("0", allowMultipleAllocations=True)))
    request = asks(one(capacity={"requests": {"memory": "30Gi"}}))
    ids = []
    while isinstance(decision := schedule(snapshot, request), Placed):
        (result,) = decision.claims["gpu"]["devices"]["results"]
        ids.append(result["shareID"])
        assert result["consumedCapacity"] == {"memory": "30Gi"}
        snapshot = snapshot.with_claim(
            claim_from_api(
                {
                    "metadata": {"name": f"c{len(ids)}"},
                    "status": {"allocation": decision.claims["gpu"]},
                }
            )
        )

    assert len(set(ids)) == len(ids) == 2


def extended(name: str = "nvidia.com/gpu", **fields: Any) -> PodRequest:
    limits = {"resources": {"limits": {name: "1"}}}
    return request_from_pod(pod(containers=[{"name": "main", **limits}], **fields))


def test_an_extended_resource_is_a_claim_where_a_node_does_not_have_it() -> None:
    backed = {**CLASS, "spec": {**CLASS["spec"], "extendedResourceName": "nvidia.com/gpu"}}
    plain = node("b", allocatable={"nvidia.com/gpu": "3"})
    snapshot = Snapshot.from_objects(
        [node("a"), plain, backed, slice_on("a", gpu("0"), gpu("1")), slice_on("b", gpu("0"))]
    )

    assert seats(snapshot, extended()) == {"a": 2, "b": 3}
    assert seats(snapshot, extended(f"{OWN}gpu")) == {"a": 2, "b": 1}


def test_the_scheduler_may_not_know_a_class_that_another_one_keeps_from_its_resource() -> None:
    def behind(name: str, second: int) -> Raw:
        made = {"metadata": {"name": name, "creationTimestamp": f"2026-01-01T00:00:0{second}Z"}}
        return {**CLASS, "spec": {**CLASS["spec"], "extendedResourceName": "example.org/g"}, **made}

    def told(*classes: Raw) -> dict[str, int | str | None]:
        snapshot = Snapshot.from_objects([node("a"), slice_on("a", gpu("0")), *classes])
        found = {}
        for name in ("example.org/g", *(f"{OWN}{one['metadata']['name']}" for one in classes)):
            counted = count_seats(snapshot, extended(name))
            found[name.removeprefix(OWN)] = counted.unknown or counted.free
        return found

    why = (
        f"whether the scheduler knows {OWN}b depends on when it was started, as another device "
        "class stands behind the same extended resource"
    )
    assert told(behind("a", 1), behind("b", 1)) == {"example.org/g": 1, "a": 1, "b": why}
    assert told(behind("a", 2), behind("b", 1)) == {"example.org/g": 1, "a": 1, "b": why}
    assert told(behind("a", 1), behind("b", 2)) == {"example.org/g": 1, "a": 1, "b": 1}
    assert told(behind("a", 1), CLASS) == {"example.org/g": 1, "a": 1, "gpu": 1}


@pytest.mark.parametrize("kind", ["slices", "device_classes", "claims"])
def test_what_nobody_may_read_is_unknown(kind: str) -> None:
    known = cluster(slice_on("a", gpu("0")))
    fields = {name: getattr(known, name) for name in ("nodes", "pods", "slices", "claims")}
    fields |= {"device_classes": known.device_classes, "pools": known.pools, kind: None}
    plurals = {
        "slices": "resourceslices",
        "device_classes": "deviceclasses",
        "claims": "resourceclaims",
    }
    snapshot = Snapshot(unknown={plurals[kind]: "forbidden"}, **fields)

    assert count_seats(snapshot, asks()).unknown == f"{plurals[kind]}: forbidden"
    assert count_seats(snapshot, request_from_pod(pod())).unknown is None


def test_an_older_version_of_the_api_is_said_to_be_one() -> None:
    old = {**slice_on("a", gpu("0")), "apiVersion": "resource.k8s.io/v1beta1"}

    with pytest.raises(ConfigError, match=r"v1beta1 is not read, only resource\.k8s\.io/v1 is"):
        cluster(old)


def test_a_search_that_would_not_end_is_unknown() -> None:
    """Half of many devices that never have what the others want of them."""
    devices = [
        gpu(str(i), attributes={"type": {"string": "gpu"}, "root": {"int": i}}) for i in range(40)
    ]
    spec = one(count=16)
    spec["devices"]["requests"].append(
        {"name": "q", "exactly": {"deviceClassName": "gpu", "count": 16}}
    )
    spec["devices"]["constraints"] = [
        {"requests": ["q"], "matchAttribute": f"{DRIVER}/root"},
    ]

    found = count_seats(cluster(slice_on("a", *devices)), asks(spec))

    assert found.free is None
    assert "too many ways" in (found.unknown or "")


def with_units(name: str, units: int, **fields: Any) -> Raw:
    """Build a GPU that takes counters of its card."""
    used = {"counterSet": "card", "counters": {"units": {"value": str(units)}}}
    return gpu(name, consumesCounters=[used], **fields)


def on_a_card(units: int, *devices: Raw) -> Snapshot:
    pool = {"name": "a", "generation": 1, "resourceSliceCount": 2}
    counters = [{"name": "card", "counters": {"units": {"value": str(units)}}}]
    of_counters = slice_on("a", sharedCounters=counters, pool=pool)
    del of_counters["spec"]["devices"]
    of_counters["metadata"]["name"] = "a-counters"
    return cluster(slice_on("a", *devices, pool=pool), of_counters)


class TestCountersThatAreLeftBehind:
    """What allocateDevice of 1.36 forgets, seen in its source: a free device is not found."""

    def test_where_a_taint_refuses_the_device(self) -> None:
        taints = [{"key": "broken", "effect": "NoSchedule"}]
        good, bad = with_units("0", 4), with_units("1", 4, taints=taints)

        assert seats(on_a_card(4, good, bad), asks()) == {"a": 1}
        assert seats(on_a_card(4, bad, good), asks()) == {}
        assert seats(on_a_card(8, bad, good), asks()) == {"a": 1}

    def test_where_a_condition_refuses_the_device(self) -> None:
        """Only the second and third are of one root; both are tried beside the first."""

        def rooted(root: int) -> Raw:
            return {"type": {"string": "gpu"}, "root": {"int": root}}

        devices = [
            gpu("0", attributes=rooted(1)),
            with_units("1", 2, attributes=rooted(0)),
            gpu("2", attributes=rooted(0)),
        ]
        spec = one(count=2)
        spec["devices"]["constraints"] = [{"matchAttribute": f"{DRIVER}/root"}]

        assert seats(on_a_card(2, *devices), asks(spec)) == {}
        assert seats(on_a_card(4, *devices), asks(spec)) == {"a": 1}

    def test_where_a_shared_device_is_given_back(self) -> None:
        """The shared one has room for one request, and the second will have no other."""
        shared = with_units("0", 4, allowMultipleAllocations=True)
        alone = with_units("1", 4)
        spec = one()
        spec["devices"]["requests"].append(picky("0"))

        assert seats(on_a_card(8, shared, alone), asks(spec)) == {}
        assert seats(on_a_card(8, alone, shared), asks(spec)) == {"a": 1}
        assert seats(on_a_card(12, shared, alone), asks(spec)) == {"a": 1}


def picky(uuid: str) -> Raw:
    """Build a request for one certain GPU."""
    selector = f'device.attributes["{DRIVER}"].uuid == "GPU-{uuid}"'
    wish = {"deviceClassName": "gpu", "selectors": [{"cel": {"expression": selector}}]}
    return {"name": f"certain-{uuid}", "exactly": wish}


@pytest.mark.parametrize(
    ("before", "after", "expected"), [(7, 0, 1), (8, 0, 0), (3, 4, 1), (4, 4, 0)]
)
def test_requests_that_ask_for_the_same_are_not_tried_in_every_order(
    before: int, after: int, expected: int
) -> None:
    """Eight GPUs; all but one request take any of them, one takes only the first."""
    plain = [
        {"name": f"any-{number}", "exactly": {"deviceClassName": "gpu"}}
        for number in range(before + after)
    ]
    requests = [*plain[:before], picky("0"), *plain[before:]]
    snapshot = cluster(slice_on("a", *[gpu(str(number)) for number in range(8)]))

    found = count_seats(snapshot, asks({"devices": {"requests": requests}}))

    assert (found.free, found.unknown) == (expected, None)


def test_one_claim_each_is_as_good_as_one_for_all() -> None:
    """Nine containers with a claim each, and eight GPUs."""
    claims = [{"name": f"c{number}", "resourceClaimTemplateName": "any"} for number in range(8)]
    claims.append({"name": "picky", "resourceClaimTemplateName": "picky"})
    specs = {"any": one(), "picky": {"devices": {"requests": [picky("0")]}}}
    snapshot = cluster(slice_on("a", *[gpu(str(number)) for number in range(8)]))

    eight = request_from_pod(pod(resourceClaims=claims[1:]), claim_specs=specs)
    nine = request_from_pod(pod(resourceClaims=claims), claim_specs=specs)

    assert seats(snapshot, eight) == {"a": 1}
    assert seats(snapshot, nine) == {}


def test_who_can_wait_gets_an_answer_that_takes_longer() -> None:
    """Seven requests that mean the same in different words, then one for the first GPU."""
    requests = [
        {
            "name": f"any-{number}",
            "exactly": {
                "deviceClassName": "gpu",
                "selectors": [{"cel": {"expression": f"{number} == {number}"}}],
            },
        }
        for number in range(7)
    ]
    request = asks({"devices": {"requests": [*requests, picky("0")]}})
    snapshot = cluster(slice_on("a", *[gpu(str(number)) for number in range(8)]))
    index = SeatIndex(request)

    assert index.update(snapshot).free is None
    assert index.update(snapshot.thoroughly()).free == 1
    assert index.update(snapshot).free is None


def test_the_last_device_is_not_promised_twice() -> None:
    snapshot = cluster(slice_on("a", gpu("0")))
    book = ReservationBook()
    index = SeatIndex(asks())
    assert index.update(book.apply(snapshot, 0.0)).free == 1
    book.reserve(("default", "first"), asks(), snapshot, 0.0)

    assert index.update(book.apply(snapshot, 1.0)).free == 0

    bound = pod_from_api(pod("first", metadata={"uid": "u"}, node_name="a"))
    before_claims = snapshot.with_pod(bound)
    assert index.update(book.apply(before_claims, 2.0)).free == 0
    owner = {"kind": "Pod", "name": "first", "uid": "u", "controller": True}
    claim = held("first-gpu-x", "a", "0")
    claim["metadata"]["ownerReferences"] = [owner]
    seen = before_claims.with_claim(claim_from_api(claim))
    assert index.update(book.apply(seen, 3.0)).free == 0
    assert len(book) == 0
    assert index.update(book.apply(snapshot, 4.0)).free == 1


def test_ways_share_what_there_is() -> None:
    """A node with four cores and two GPUs: ways do not count a core or a GPU twice."""
    snapshot = Snapshot.from_objects(
        [node("a", allocatable={"cpu": "4"}), CLASS, slice_on("a", gpu("0"), gpu("1"))]
    )
    cpu = {"resources": {"requests": {"cpu": "1"}}}
    with_one = asks(containers=[{"name": "main", **cpu}])
    with_two = asks(one(count=2), containers=[{"name": "main", **cpu}])
    without = request_from_pod(pod(containers=[{"name": "main", **cpu}]))

    assert count_seats(snapshot, [with_one, with_two]).free == 2
    assert count_seats(snapshot, [with_two, with_one]).free == 1
    assert count_seats(snapshot, [with_one, without]).free == 4
    assert count_seats(snapshot, [with_one, without]).total == 4
