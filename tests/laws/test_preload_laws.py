"""Laws of preloading, on a model cluster.

*Fixpoint*: carrying out a plan leaves nothing to do, and everything settles. *Purpose*: nothing is
pulled to a node that no profile of the image can use. *Bounds*: pulls at once stay below them on
every node and in the cluster, whatever happens in between. *No GPU*: no pod of ours asks for a
device. *Monotone*: a node more never takes an image from another, a profile less never adds one.
*Isolation*: an image that fails, or that the cluster refuses, keeps no other from arriving, and a
node on which all fails keeps none from another node.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from preload_model import ModelCluster, catalog_of, make_node

from gpu_spawner.core.preload.policy import Policy, Strategy
from gpu_spawner.core.preload.puller_set import build_set
from gpu_spawner.core.preload.wishes import Wish, wishes_of

Raw = dict[str, Any]

PRODUCTS = ("NVIDIA-H100", "Tesla-T4", "AMD-MI300X", "")


@st.composite
def fleets(draw: st.DrawFn) -> list[Raw]:
    nodes = []
    for number in range(draw(st.integers(1, 6))):
        node = make_node(
            f"node-{number}",
            draw(st.sampled_from(PRODUCTS)),
            gpus=draw(st.sampled_from((0, 1, 4))),
            disk=draw(st.sampled_from(("20Gi", "100Gi", "1Ti"))),
            **{"kubernetes.io/arch": draw(st.sampled_from(("amd64", "arm64")))},
        )
        node["spec"]["unschedulable"] = draw(st.booleans()) and draw(st.booleans())
        nodes.append(node)
    return nodes


@st.composite
def wishes(draw: st.DrawFn) -> tuple[Wish, ...]:
    catalog = catalog_of(
        {
            "20-cpu": {
                "display_name": "CPU",
                "images": ["base"],
                "preload": draw(st.sampled_from(("always", "on-demand", "never"))),
            },
            "30-one": {
                "display_name": "One",
                "images": draw(st.sampled_from((["torch"], ["base", "torch"]))),
                "gpu": {"flavors": ["h100"], "share": "whole"},
                "node_selector": draw(st.sampled_from(({}, {"zone": "a"}))),
                "preload": draw(st.sampled_from(("always", "on-demand"))),
            },
        }
    )
    used = draw(st.sets(st.sampled_from((("cpu", "base"), ("one", "torch")))))
    return wishes_of(catalog, used=used)


policies = st.builds(
    Policy,
    pulls_per_node=st.integers(1, 2),
    pulls_in_cluster=st.integers(1, 4),
    strategy=st.sampled_from(list(Strategy)),
    disk_share=st.sampled_from((0.0, 0.5)),
    first_retry_seconds=st.just(5),
    longest_retry_seconds=st.just(20),
)
IMAGES = ("quay.io/site/base:1", "quay.io/site/torch:1")


def lose(cluster: ModelCluster) -> None:
    name = next(iter(cluster.nodes))
    if len(cluster.nodes) > 1:
        del cluster.nodes[name]
        cluster.pods = {key: pod for key, pod in cluster.pods.items() if key[1] != name}


def cordon(cluster: ModelCluster) -> None:
    cluster.nodes[min(cluster.nodes)]["spec"]["unschedulable"] = True


def wait(cluster: ModelCluster) -> None:
    cluster.now += 130


def accept(cluster: ModelCluster) -> None:
    cluster.refused = {}


HAPPENS: dict[str, Callable[[ModelCluster], None]] = {
    "daemons": lambda cluster: cluster.run_daemons(),
    "daemons without torch": lambda cluster: cluster.run_daemons(refusing=IMAGES[1]),
    "finish": lambda cluster: cluster.finish(),
    "fail torch": lambda cluster: cluster.finish(failing=[IMAGES[1]]),
    "fail node-0": lambda cluster: cluster.finish(failing=["node-0"]),
    "evict node-0": lambda cluster: cluster.finish(failing=["node-0"], why="Evicted"),
    "full node-0": lambda cluster: cluster.finish(
        failing=["node-0"], message="no space left on device"
    ),
    "lose": lose,
    "cordon": cordon,
    "wait": wait,
    "accept torch": accept,
}
deeds = st.lists(st.sampled_from(("plan", "refuse torch", *HAPPENS)), max_size=14)


def do(cluster: ModelCluster, deed: str, wished: tuple[Wish, ...]) -> None:
    if deed == "plan":
        cluster.carry_out(cluster.plan(wished))
    elif deed == "refuse torch":
        torch = [wish for wish in wished if wish.image == IMAGES[1]]
        cluster.refused = {wish.set_name: "a policy" for wish in torch}
    else:
        HAPPENS[deed](cluster)
    cluster.now += 7


def can_use(node: Raw, image: str, wished: tuple[Wish, ...]) -> bool:
    """Say by hand, from the catalog above, whether any profile of an image can run on a node."""
    labels = node["metadata"]["labels"]
    if image == IMAGES[1] and labels["kubernetes.io/arch"] != "amd64":
        return False
    product = labels.get("nvidia.com/gpu.product", "")
    has_gpu = int(node["status"]["allocatable"].get("nvidia.com/gpu", 0)) > 0
    slugs = {slug for wish in wished if wish.image == image for slug in wish.profiles}
    return (
        ("gpus" in slugs and product in ("NVIDIA-H100", "Tesla-T4") and has_gpu)
        or ("one" in slugs and product == "NVIDIA-H100" and has_gpu)
        or ("cpu" in slugs and not product)
    )


@given(fleet=fleets(), wished=wishes(), policy=policies, before=deeds)
def test_carrying_out_a_plan_leaves_nothing_to_do(
    fleet: list[Raw], wished: tuple[Wish, ...], policy: Policy, before: list[str]
) -> None:
    cluster = ModelCluster(fleet, policy)
    for deed in before:
        do(cluster, deed, wished)
    cluster.carry_out(cluster.plan(wished))

    assert cluster.plan(wished).is_empty


@given(fleet=fleets(), wished=wishes(), policy=policies, before=deeds)
def test_everything_settles_and_is_where_it_should_be(
    fleet: list[Raw], wished: tuple[Wish, ...], policy: Policy, before: list[str]
) -> None:
    cluster = ModelCluster(fleet, policy)
    for deed in before:
        do(cluster, deed, wished)
    cluster.refused = {}
    cluster.now += policy.longest_retry_seconds + 1
    cluster.settle(wished)
    for outlook in cluster.plan(wished).outlooks:
        assert not outlook.pulling
        assert not outlook.waiting


@given(fleet=fleets(), wished=wishes(), policy=policies, before=deeds)
def test_nothing_is_pulled_to_a_node_that_cannot_use_it(
    fleet: list[Raw], wished: tuple[Wish, ...], policy: Policy, before: list[str]
) -> None:
    by_name = {node["metadata"]["name"]: node for node in fleet}
    cluster = ModelCluster(fleet, policy)
    for deed in (*before, "plan", "daemons"):
        do(cluster, deed, wished)
    for name, image in cluster.pulls:
        assert can_use(by_name[name], image, wished), (name, image)


@given(fleet=fleets(), wished=wishes(), policy=policies, between=deeds)
def test_no_bound_is_ever_exceeded(
    fleet: list[Raw], wished: tuple[Wish, ...], policy: Policy, between: list[str]
) -> None:
    cluster = ModelCluster(fleet, policy)
    for deed in ("plan", "daemons", *between, "plan", "daemons"):
        do(cluster, deed, wished)
        counts = cluster.under_way()
        assert max(counts.values(), default=0) <= policy.pulls_per_node
        assert sum(counts.values()) <= policy.pulls_in_cluster


@given(fleet=fleets(), wished=wishes(), policy=policies)
def test_no_pod_of_ours_asks_for_a_device(
    fleet: list[Raw], wished: tuple[Wish, ...], policy: Policy
) -> None:
    cluster = ModelCluster(fleet, policy)
    for change in cluster.plan(wished).changes:
        pod = build_set(change.spec, policy)["spec"]["template"]["spec"]
        assert "resourceClaims" not in pod
        assert "runtimeClassName" not in pod
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            resources = container["resources"]
            named = {*resources["requests"], *resources["limits"], *resources.get("claims", ())}
            assert named <= {"cpu", "memory"}
            assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"} in container["env"]


@given(fleet=fleets(), wished=wishes())
def test_a_node_more_takes_nothing_from_the_others(
    fleet: list[Raw], wished: tuple[Wish, ...]
) -> None:
    small, large = ModelCluster(fleet[1:]), ModelCluster(fleet)
    small.settle(wished)
    large.settle(wished)
    for name, images in small.images.items():
        assert images <= large.images.get(name, set())


@given(fleet=fleets(), wished=wishes(), data=st.data())
def test_a_wish_less_adds_nothing(
    fleet: list[Raw], wished: tuple[Wish, ...], data: st.DataObject
) -> None:
    policy = Policy(disk_share=0.0)
    fewer = tuple(wish for wish in wished if data.draw(st.booleans()))
    few, many = ModelCluster(fleet, policy), ModelCluster(fleet, policy)
    few.settle(fewer)
    many.settle(wished)
    for name, images in few.images.items():
        assert images <= many.images.get(name, set())


@given(fleet=fleets(), wished=wishes(), policy=policies)
def test_an_image_that_fails_keeps_no_other_from_arriving(
    fleet: list[Raw], wished: tuple[Wish, ...], policy: Policy
) -> None:
    healthy, ill = ModelCluster(fleet, policy), ModelCluster(fleet, policy)
    healthy.settle(wished)
    for _ in range(80):
        do(ill, "plan", wished)
        do(ill, "daemons", wished)
        do(ill, "fail torch", wished)
    for name, images in healthy.images.items():
        assert images - {IMAGES[1]} <= ill.images.get(name, set())


@given(
    fleet=fleets(),
    wished=wishes(),
    policy=policies,
    how=st.sampled_from(("its pods", "its DaemonSets")),
)
def test_an_image_that_a_policy_refuses_keeps_no_other_from_arriving(
    fleet: list[Raw], wished: tuple[Wish, ...], policy: Policy, how: str
) -> None:
    healthy, strict = ModelCluster(fleet, policy), ModelCluster(fleet, policy)
    healthy.settle(wished)
    if how == "its DaemonSets":
        do(strict, "refuse torch", wished)
    for _ in range(30):
        for deed in ("plan", "daemons without torch", "finish", "wait"):
            do(strict, deed, wished)
    for name, images in healthy.images.items():
        assert images - {IMAGES[1]} <= strict.images.get(name, set())


@given(
    fleet=fleets(),
    wished=wishes(),
    policy=policies,
    how=st.sampled_from(("fail node-0", "evict node-0", "full node-0")),
)
def test_a_node_on_which_all_fails_keeps_no_image_from_another(
    fleet: list[Raw], wished: tuple[Wish, ...], policy: Policy, how: str
) -> None:
    healthy, ill = ModelCluster(fleet, policy), ModelCluster(fleet, policy)
    healthy.settle(wished)
    for _ in range(40):
        for deed in ("plan", "daemons", how):
            do(ill, deed, wished)
    for name, images in healthy.images.items():
        if name != "node-0":
            assert images <= ill.images.get(name, set())


@given(fleet=fleets(), wished=wishes(), policy=policies)
def test_an_image_that_fails_is_not_tried_again_at_once(
    fleet: list[Raw], wished: tuple[Wish, ...], policy: Policy
) -> None:
    cluster = ModelCluster(fleet, policy)
    for _ in range(40):
        cluster.carry_out(cluster.plan(wished))
        cluster.run_daemons()
        cluster.finish(failing=IMAGES)
    for key in set(cluster.pulls):
        # The time stood still: every node tried every image once.
        assert cluster.pulls.count(key) == 1


@given(fleet=fleets(), wished=wishes())
def test_switched_off_everything_goes(fleet: list[Raw], wished: tuple[Wish, ...]) -> None:
    cluster = ModelCluster(fleet)
    cluster.settle(wished)
    cluster.policy = Policy(is_on=False)
    cluster.carry_out(cluster.plan(wished))

    assert cluster.manifests == {}
