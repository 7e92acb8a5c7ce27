"""Offers: free, busy, impossible or unknown, and the sentence that says why."""

from typing import Any

import pytest
from catalog_builders import catalog_of, documents, make_node, make_pod, select, snapshot_of

from gpu_spawner.core.catalog.access import visible_to
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.catalog.site_pod import SitePod
from gpu_spawner.core.cluster.objects import node_from_api, pod_from_api
from gpu_spawner.core.cluster.snapshot import Snapshot
from gpu_spawner.core.cluster.state import ClusterState
from gpu_spawner.core.offers import pools
from gpu_spawner.core.offers.alternatives import nearest_alternative
from gpu_spawner.core.offers.availability import Availability, ChoiceOffer, ImageReadiness
from gpu_spawner.core.offers.board import OfferBoard

CATALOG = catalog_of()
GPU = "nvidia.com/gpu"
TORCH = "quay.io/site/torch:1"


def h100(name: str, gpus: int, **fields: Any) -> dict[str, Any]:
    return make_node(name, product="NVIDIA-H100", resources={GPU: gpus}, **fields)


def taken(node: str, gpus: int = 0, **resources: Any) -> dict[str, Any]:
    if gpus:
        resources[GPU] = gpus
    return make_pod(f"on-{node}-{gpus}-{len(resources)}", node, **resources)


def offer(key: str, *items: dict[str, Any], catalog: Catalog = CATALOG) -> ChoiceOffer:
    offers = OfferBoard(catalog).update(snapshot_of(*items))
    return next(found for each in offers if (found := each.choice(key)) is not None)


def sentence(key: str, *items: dict[str, Any], catalog: Catalog = CATALOG) -> str:
    return offer(key, *items, catalog=catalog).because


TWO = "gpus/h100/whole/2"
ONE = "gpus/h100/whole/1"


class TestSentences:
    """One for each way in which a choice can stand."""

    @pytest.mark.parametrize(
        ("key", "items", "state", "said"),
        [
            pytest.param(ONE, [h100("a", 8)], "ready", "All 8 free", id="all free"),
            pytest.param(ONE, [h100("a", 1)], "ready", "1 of 1 free", id="the only one"),
            pytest.param(
                ONE, [h100("a", 8), taken("a", 5)], "ready", "3 of 8 free", id="some free"
            ),
            pytest.param(
                TWO,
                [h100("a", 8), taken("a", 5)],
                "ready",
                "1 of 4 free, with 2 GPUs each",
                id="seats of several GPUs",
            ),
            pytest.param(
                ONE, [h100("a", 8), taken("a", 8)], "busy", "All 8 are in use", id="all in use"
            ),
            pytest.param(
                ONE, [h100("a", 2), taken("a", 2)], "busy", "Both are in use", id="both in use"
            ),
            pytest.param(
                ONE,
                [h100("a", 1), taken("a", 1)],
                "busy",
                "The only one is in use",
                id="the only one in use",
            ),
            pytest.param(
                TWO,
                [h100("a", 2), h100("b", 2), taken("a", 1), taken("b", 1)],
                "busy",
                "2 GPUs are free, but on two different nodes",
                id="on two nodes",
            ),
            pytest.param(
                "gpus/h100/whole/4",
                [h100("a", 8), h100("b", 8), taken("a", 5), taken("b", 6)],
                "busy",
                "5 GPUs are free, but no more than 3 on one node",
                id="spread",
            ),
            pytest.param(
                TWO,
                [h100("a", 8), taken("a", 7)],
                "busy",
                "Only 1 of 8 is free",
                id="too few",
            ),
            pytest.param(
                ONE,
                [h100("a", 2), taken("a", 1, memory="128Gi")],
                "busy",
                "1 GPU is free, but not enough memory beside it",
                id="no memory",
            ),
            pytest.param(
                ONE,
                [h100("a", 2), taken("a", 0, memory="128Gi", cpu="32")],
                "busy",
                "2 GPUs are free, but not enough CPUs and memory beside them",
                id="no memory and cpu",
            ),
            pytest.param(
                ONE,
                [h100("a", 8), h100("b", 8, is_cordoned=True), taken("a", 8)],
                "busy",
                "All 8 are in use; 1 node is cordoned",
                id="another cordoned",
            ),
            pytest.param(
                "cpu/cpu", [make_node("a")], "ready", "Room for 110 more servers", id="CPU"
            ),
            pytest.param(
                "gpus/h100/whole/4",
                [h100("a", 2)],
                "impossible",
                "No node has 4 of these; the most is 2",
                id="no node so large",
            ),
            pytest.param(
                ONE, [make_node("a")], "impossible", "No node has this GPU", id="no such GPU"
            ),
            pytest.param("cpu/cpu", [], "impossible", "There is no node", id="no node"),
            pytest.param(
                "cpu/cpu",
                [make_node("a", resources={"pods": 1}), taken("a")],
                "busy",
                "No node has enough places for pods free",
                id="CPU, all places taken",
            ),
            pytest.param(
                ONE,
                [make_node("a", product="NVIDIA-H100")],
                "impossible",
                "No node offers such GPUs",
                id="no device plugin",
            ),
            pytest.param(
                "slices/a100/mig-1g.10gb/1",
                [make_node("a", product="NVIDIA-A100", resources={GPU: 8})],
                "impossible",
                "No node offers such slices",
                id="not sliced",
            ),
            pytest.param(
                ONE,
                [h100("a", 8, is_cordoned=True)],
                "impossible",
                "Its only node is cordoned",
                id="cordoned",
            ),
            pytest.param(
                ONE,
                [h100("a", 8, is_ready=False), h100("b", 8, is_ready=False)],
                "impossible",
                "Both of its nodes are not ready",
                id="not ready",
            ),
            pytest.param(
                ONE,
                [h100("a", 8, is_ready=False), h100("b", 8, is_cordoned=True)],
                "impossible",
                "None of its 2 nodes can be used: 1 node is cordoned and 1 node is not ready",
                id="none usable",
            ),
            pytest.param(
                ONE,
                [h100("a", 8, taints=[{"key": "team", "effect": "NoSchedule"}])],
                "impossible",
                "Its only node is reserved for other work",
                id="tainted",
            ),
            pytest.param(
                ONE,
                [h100("a", 8, labels={"kubernetes.io/arch": "arm64"})],
                "impossible",
                "Its only node has a processor this image is not built for",
                id="architecture",
            ),
            pytest.param(
                ONE,
                [h100("a", 8, labels={"nvidia.com/cuda.runtime-version.major": "11"})],
                "impossible",
                "Its only node has too old a driver for this image",
                id="driver",
            ),
            pytest.param(
                ONE,
                [make_node("a", product="NVIDIA-H100", resources={GPU: 8, "memory": "512Mi"})],
                "impossible",
                "No node has enough memory",
                id="too small",
            ),
        ],
    )
    def test_say_how_it_stands(
        self, key: str, items: list[dict[str, Any]], state: str, said: str
    ) -> None:
        found = offer(key, *items)
        assert found.state is not None
        assert (found.state.word, found.because) == (state, said)

    def test_a_node_outside_the_sites_part_of_the_cluster(self) -> None:
        board = OfferBoard(CATALOG, SitePod(settings={"node_selector": {"pool": "users"}}))
        offers = board.update(snapshot_of(h100("a", 8)))
        assert offers[1].because == "Its only node is not for this profile"


class TestUnknown:
    @pytest.mark.parametrize(
        ("snapshot", "said"),
        [
            (Snapshot(), "Unknown: the cluster has not been read yet"),
            (
                Snapshot(unknown={"nodes": "the hub may not read nodes in the whole cluster"}),
                "Unknown: the hub may not read nodes in the whole cluster",
            ),
            (
                Snapshot(unknown={"nodes": "not heard from the API server for 90 s"}),
                "Unknown: nodes: not heard from the API server for 90 s",
            ),
        ],
        ids=["never read", "forbidden", "stale"],
    )
    def test_is_never_zero_and_never_full(self, snapshot: Snapshot, said: str) -> None:
        for profile in OfferBoard(CATALOG).update(snapshot):
            assert (profile.state, profile.because) == (None, said)
            for choice in profile.choices:
                assert (choice.state, choice.free, choice.total) == (None, None, None)
                assert not choice.starts_now
            assert all((count.free, count.total) == (None, None) for count in profile.flavors)

    def test_pods(self) -> None:
        """Without pods, what exists is known, and what is free is not."""
        known = snapshot_of(h100("a", 8))
        hidden = Snapshot(
            nodes=known.nodes,
            unknown={"pods": "the hub may not read pods in the whole cluster"},
            as_of=1.0,
        )
        profile = OfferBoard(CATALOG).update(hidden)[1]
        found = profile.choice(ONE)
        assert found is not None
        assert (found.state, found.free, found.total) == (None, None, 8)
        assert found.because == "Unknown: the hub may not read pods in the whole cluster"
        assert (profile.flavors[0].free, profile.flavors[0].total) == (None, 8)
        none = profile.choice("gpus/a100/whole/1")
        assert none is not None
        assert none.state is Availability.IMPOSSIBLE

    def test_an_affinity_nobody_evaluates(self) -> None:
        term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"a": "b"}}}
        board = OfferBoard(CATALOG, SitePod(settings={"pod_affinity_required": [term]}))
        offers = board.update(snapshot_of(h100("a", 8)))
        assert offers[1].because == "Unknown: required pod affinity is not evaluated"


class TestImages:
    def readiness(self, *items: dict[str, Any], image: str = "torch") -> ImageReadiness:
        return offer(ONE, *items).images[image]

    def test_on_some_of_the_nodes_with_room(self) -> None:
        found = offer(
            ONE,
            h100("a", 8, images=[TORCH]),
            h100("b", 8, images=["registry.k8s.io/pause:3"]),
            h100("c", 8, images=[TORCH]),
            taken("c", 8),
        )
        assert found.images_ready == (1, 2)
        assert found.state is Availability.READY

    def test_on_none_of_them(self) -> None:
        found = offer(ONE, h100("a", 8, images=["x:1"]))
        assert found.images_ready == (0, 1)
        assert found.state is Availability.COLD
        assert found.starts_now
        assert found.images["torch"].pull_seconds == 100

    def test_each_image_for_itself(self) -> None:
        node = h100("a", 8, images=["quay.io/site/base:1"])
        assert self.readiness(node, image="torch").is_cold
        assert not self.readiness(node, image="base").is_cold

    def test_each_image_has_its_own_seats(self) -> None:
        """One of the nodes has a driver that is too old for one of the images."""
        old = {
            "nvidia.com/cuda.runtime-version.major": "11",
            "nvidia.com/cuda.runtime-version.minor": "8",
        }
        found = offer(ONE, h100("a", 8), taken("a", 8), h100("b", 8, labels=old))
        assert (found.free, found.total, found.state) == (0, 8, Availability.BUSY)
        assert found.images["torch"].because == ""
        base = found.with_image("base")
        assert (base.free, base.total, base.state) == (8, 16, Availability.READY)
        assert base.because == "8 of 16 free"
        assert found.with_image("torch") == found

    def test_no_seat_of_one_image(self) -> None:
        arm = h100("a", 8, labels={"kubernetes.io/arch": "arm64"})
        found = offer(ONE, arm)
        assert found.state is Availability.IMPOSSIBLE
        assert found.with_image("base").free == 8

    def test_unknown_where_no_node_lists_any(self) -> None:
        found = offer(ONE, h100("a", 8))
        assert found.images_ready is None
        assert found.state is Availability.READY

    def test_unknown_where_a_list_is_full(self) -> None:
        """A kubelet reports at most fifty images."""
        full = [f"x:{number}" for number in range(50)]
        node = h100("a", 8, images=full)
        for image in node["status"]["images"]:
            image["sizeBytes"] = 20_000_000_000
        assert not self.readiness(node).is_known
        assert self.readiness(h100("a", 8, images=[*full[1:], TORCH])).ready_nodes == 1

    def test_an_image_larger_than_one_of_a_full_list_is_not_there(self) -> None:
        """A kubelet lists the largest first: of two images one is larger, the other is not."""
        node = h100("a", 8, images=[f"x:{number}" for number in range(50)])
        for image in node["status"]["images"]:
            image["sizeBytes"] = 5_000_000_000
        assert self.readiness(node, image="torch").is_cold
        assert not self.readiness(node, image="base").is_known

    @pytest.mark.parametrize("listed", ["docker.io/site/torch:latest", "site/torch:latest"])
    def test_names_are_completed(self, listed: str) -> None:
        mapping = documents()
        mapping["images"]["torch"]["image"] = "site/torch"
        found = offer(ONE, h100("a", 8, images=[listed]), catalog=catalog_of(mapping))
        assert found.images_ready == (1, 1)


MODEL = "nvcr.io/nim/model:1.8"


class TestSidecars:
    """A server's sidecars have images of their own, and a node pulls one after the other."""

    def readiness(self, *listed: str, model: str = MODEL, **facts: Any) -> ImageReadiness:
        """Offer a profile with one sidecar on nodes that list so many images each."""
        mapping = documents()
        mapping["images"]["model"] = {"image": MODEL, "display_name": "A model", **facts}
        mapping["20-gpus"]["sidecars"] = [{"name": "model", "image": model}]
        nodes = [
            h100(f"node-{number}", 8, images=["x:1", *images.split()])
            for number, images in enumerate(listed)
        ]
        return offer(ONE, *nodes, catalog=catalog_of(mapping)).images["torch"]

    def test_a_node_is_ready_that_has_the_images_of_all(self) -> None:
        found = self.readiness(f"{TORCH} {MODEL}", TORCH, MODEL)
        assert (found.ready_nodes, found.fitting_nodes) == (1, 3)
        assert not found.is_cold

    @pytest.mark.parametrize("model", [MODEL, "model"], ids=["a reference", "a key"])
    def test_one_that_is_missing_makes_it_cold(self, model: str) -> None:
        assert self.readiness(TORCH, model=model).is_cold
        assert self.readiness(MODEL, model=model).is_cold

    def test_the_times_of_what_is_missing_add_up(self) -> None:
        found = self.readiness("", model="model", size="5GB")
        assert (found.pull_seconds, found.is_least) == (150.0, False)

    def test_what_all_nodes_have_takes_no_time(self) -> None:
        found = self.readiness(TORCH, TORCH, model="model", size="5GB")
        assert (found.pull_seconds, found.is_least) == (50.0, False)

    def test_an_unknown_size_leaves_a_least_time(self) -> None:
        found = self.readiness("")
        assert (found.pull_seconds, found.is_least) == (100.0, True)

    def test_the_notebooks_own_image_is_pulled_once(self) -> None:
        found = self.readiness("", model=TORCH)
        assert (found.pull_seconds, found.is_least) == (100.0, False)


class TestFlavorCounts:
    def test_count_devices_whatever_else_is_left(self) -> None:
        nodes = [h100("a", 8), h100("b", 8, is_cordoned=True), taken("a", 2, cpu="32")]
        (profile,) = [
            each for each in OfferBoard(CATALOG).update(snapshot_of(*nodes)) if each.slug == "gpus"
        ]
        h100s, a100s = profile.flavors
        assert (h100s.flavor, h100s.unit, h100s.free, h100s.total) == ("h100", "GPU", 6, 8)
        assert (a100s.free, a100s.total) == (0, 0)

    def test_each_kind_of_share_has_its_own(self) -> None:
        nodes = [
            make_node(
                "a",
                product="NVIDIA-A100",
                resources={"nvidia.com/mig-1g.10gb": 7, "nvidia.com/mig-3g.40gb": 2},
            ),
            make_node("b", product="Tesla-T4-SHARED", resources={GPU: 4}),
        ]
        profile = OfferBoard(CATALOG).update(snapshot_of(*nodes))[2]
        assert [(each.flavor, each.share, each.unit, each.total) for each in profile.flavors] == [
            ("a100", "mig-1g.10gb", "slice", 7),
            ("a100", "mig-3g.40gb", "slice", 2),
            ("t4", "replica", "share", 4),
        ]

    def test_an_overcommitted_node_has_nothing_free(self) -> None:
        """A device plugin that restarts with fewer devices leaves less than nothing."""
        profile = OfferBoard(CATALOG).update(snapshot_of(h100("a", 2), taken("a", 4)))[1]
        assert (profile.flavors[0].free, profile.flavors[0].total) == (0, 2)


class TestWhicheverIsFreeFirst:
    def test_has_the_seats_of_all(self) -> None:
        a100 = make_node("b", product="NVIDIA-A100", resources={GPU: 4})
        found = offer("gpus/any/whole/2", h100("a", 2), a100, taken("a", 2))
        assert (found.free, found.total) == (2, 3)

    def mixed(self) -> Catalog:
        mapping = documents()
        mapping["20-gpus"]["gpu"] = {"flavors": ["mi300", "h100"], "share": "whole"}
        mapping["20-gpus"]["images"] = ["base"]
        return catalog_of(mapping)

    def amd(self, name: str, gpus: int) -> dict[str, Any]:
        labels = {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"}
        return make_node(name, resources={"amd.com/gpu": gpus}, labels=labels)

    def test_of_two_vendors_has_the_seats_of_both(self) -> None:
        found = offer("gpus/any/whole/1", h100("a", 2), self.amd("b", 8), catalog=self.mixed())
        assert (found.free, found.total, found.because) == (10, 10, "All 10 free")

    @pytest.mark.parametrize(
        ("busy", "flavors"),
        [([], ("mi300",)), (["b"], ("h100",)), (["a", "b"], ("mi300",))],
        ids=["both free", "first busy", "both busy"],
    )
    def test_of_two_vendors_is_settled_by_what_is_free(
        self, busy: list[str], flavors: tuple[str, ...]
    ) -> None:
        catalog = self.mixed()
        board = OfferBoard(catalog)
        pods = [make_pod(name, name, **{GPU: 2, "amd.com/gpu": 8}) for name in busy]
        board.update(snapshot_of(h100("a", 2), self.amd("b", 8), *pods))
        assert board.resolve(select(catalog, profile="gpus")).flavors == flavors

    def test_of_two_vendors_is_the_first_while_nothing_is_known(self) -> None:
        catalog = self.mixed()
        assert OfferBoard(catalog).resolve(select(catalog, profile="gpus")).flavors == ("mi300",)

    def test_is_smaller_for_who_may_have_less(self) -> None:
        mapping = documents()
        mapping["20-gpus"]["gpu"] = [
            {"flavors": ["h100"], "share": "whole", "allowed_groups": ["lab"]},
            {"flavors": ["a100", "t4"], "share": "whole"},
        ]
        catalog = catalog_of(mapping)
        board = OfferBoard(catalog)
        board.update(
            snapshot_of(h100("a", 8), make_node("b", product="Tesla-T4", resources={GPU: 2}))
        )
        for groups, free in ((["lab"], 10), ([], 2)):
            profile = board.offers(visible_to(catalog, groups))[1]
            assert profile.choices[0].key == "gpus/any/whole/1"
            assert profile.choices[0].free == free


class TestAlternatives:
    def nearest(self, key: str, *items: dict[str, Any]) -> str | None:
        offered = OfferBoard(CATALOG).update(snapshot_of(*items))
        found = nearest_alternative(key, [one for each in offered for one in each.choices])
        return found.key if found is not None else None

    @pytest.mark.parametrize(
        ("items", "key"),
        [
            pytest.param(
                [make_node("b", product="NVIDIA-A100", resources={GPU: 2})],
                "gpus/a100/whole/2",
                id="as many of another flavor",
            ),
            pytest.param(
                [make_node("b", product="NVIDIA-A100", resources={GPU: 1})],
                "gpus/a100/whole/1",
                id="fewer of another flavor",
            ),
            pytest.param([h100("b", 1)], "gpus/h100/whole/1", id="fewer of the same"),
            pytest.param(
                [
                    make_node("b", product="NVIDIA-A100", resources={"nvidia.com/mig-3g.40gb": 1}),
                    make_node("c"),
                ],
                "slices/a100/mig-3g.40gb/1",
                id="a slice",
            ),
            pytest.param([make_node("b")], "cpu/cpu", id="no GPU"),
            pytest.param([], None, id="nothing"),
        ],
    )
    def test_are_near(self, items: list[dict[str, Any]], key: str | None) -> None:
        assert self.nearest(TWO, h100("a", 2), taken("a", 2), *items) == key

    def test_of_nothing_there_is_none(self) -> None:
        assert self.nearest("gpus/b200/whole/1", h100("a", 2)) is None


class TestFollowing:
    """One event after the other, as a hub sees them."""

    def start(self, *items: dict[str, Any]) -> tuple[ClusterState, OfferBoard]:
        state = ClusterState()
        found = [item["kind"] for item in items]
        assert set(found) <= {"Node", "Pod"}
        state.replace_all("nodes", [node_from_api(i) for i in items if i["kind"] == "Node"])
        state.replace_all("pods", [pod_from_api(i) for i in items if i["kind"] == "Pod"])
        board = OfferBoard(CATALOG)
        board.update(state.snapshot(0.0))
        return state, board

    def said(self, state: ClusterState, board: OfferBoard, key: str = ONE) -> ChoiceOffer:
        found = board.update(state.snapshot(1.0))[1].choice(key)
        assert found is not None
        return found

    def test_a_server_takes_a_seat_and_gives_it_back(self) -> None:
        state, board = self.start(h100("a", 8), h100("b", 8))
        pod = pod_from_api(taken("a", 3))
        for event, free in (("ADDED", 13), ("DELETED", 16), ("ADDED", 13)):
            state.apply("pods", event, pod)
            assert self.said(state, board).free == free

    def test_a_pulled_image_makes_a_choice_ready(self) -> None:
        state, board = self.start(h100("a", 8, images=["x:1"]))
        assert self.said(state, board).state is Availability.COLD
        state.apply("nodes", "MODIFIED", node_from_api(h100("a", 8, images=["x:1", TORCH])))
        assert self.said(state, board).state is Availability.READY

    def test_the_last_report_of_images_goes_with_its_node(self) -> None:
        state, board = self.start(h100("a", 8), make_node("b", images=["x:1"]))
        assert self.said(state, board).state is Availability.COLD
        state.apply("nodes", "DELETED", node_from_api(make_node("b")))
        assert self.said(state, board).state is Availability.READY

    def test_nodes_come_go_and_are_cordoned(self) -> None:
        state, board = self.start()
        for event, node, free in (
            ("ADDED", h100("a", 8), 8),
            ("ADDED", h100("b", 4), 12),
            ("MODIFIED", h100("a", 8, is_cordoned=True), 4),
            ("MODIFIED", make_node("b"), 0),
            ("MODIFIED", h100("a", 8), 8),
            ("DELETED", h100("a", 8), 0),
        ):
            state.apply("nodes", event, node_from_api(node))
            assert self.said(state, board).free == free

    def test_a_pod_that_keeps_others_away_from_a_whole_zone(self) -> None:
        """What happens on one node then matters on others."""
        zone = {"topology.kubernetes.io/zone": "z"}
        state, board = self.start(h100("a", 8, labels=zone), make_node("b", labels=zone))
        term = {
            "topologyKey": "topology.kubernetes.io/zone",
            "labelSelector": {},
            "namespaces": ["default"],
        }
        pod = make_pod("hermit", "b")
        pod["spec"]["affinity"] = {
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
        }
        state.apply("pods", "ADDED", pod_from_api(pod))
        assert self.said(state, board).free == 0
        state.apply("pods", "DELETED", pod_from_api(pod))
        assert self.said(state, board).free == 8

    def test_many_events_are_remembered_up_to_a_limit(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pools, "_MANY", 2)
        state, board = self.start(h100("a", 8))
        for number in range(1, 8):
            state.apply("pods", "ADDED", pod_from_api(make_pod(f"p{number}", "a", **{GPU: 1})))
            assert self.said(state, board).free == 8 - number

    def test_a_site_that_names_nodes(self) -> None:
        """Nodes that look alike are told apart where an affinity names them."""
        field = {"key": "metadata.name", "operator": "In", "values": ["b"]}
        site = SitePod(settings={"node_affinity_required": [{"matchFields": [field]}]})
        board = OfferBoard(CATALOG, site)
        offers = board.update(snapshot_of(h100("a", 8), h100("b", 2)))
        assert offers[1].flavors[0].total == 2


def test_the_age_is_the_snapshots() -> None:
    """An unchanged cluster that was read again has a younger number."""
    board = OfferBoard(CATALOG)
    items = [h100("a", 2)]
    board.update(snapshot_of(*items, as_of=5.0))
    assert board.as_of == 5.0
    board.update(snapshot_of(*items, as_of=7.0))
    assert board.as_of == 7.0


def test_an_offer_that_says_the_same_is_the_same() -> None:
    """Whatever is made from it need not be made anew: not for its age, nor for another's news."""
    board, state = OfferBoard(CATALOG), ClusterState()
    items = [h100("a", 8)]
    state.replace_all("nodes", [node_from_api(one) for one in items])
    state.replace_all("pods", [])
    first = board.update(state.snapshot(5.0))
    state.apply("pods", "ADDED", pod_from_api(taken("a", 2)))
    second = board.update(state.snapshot(7.0))
    same = [old is new for old, new in zip(first, second, strict=True)]
    assert not same[1]
    assert any(same)


def test_the_offer_of_a_selection_is_about_its_image() -> None:
    catalog = CATALOG
    board = OfferBoard(catalog)
    board.update(snapshot_of(h100("a", 8, labels={"nvidia.com/cuda.runtime.major": "11"})))
    selected = {"profile": "gpus", "flavor": "h100"}
    assert board.offer_of(select(catalog, **selected, image="torch")).free == 0
    assert board.offer_of(select(catalog, **selected, image="base")).free == 8


def test_the_state_of_a_profile_is_its_best_choices() -> None:
    found = OfferBoard(CATALOG).update(snapshot_of(h100("a", 2), taken("a", 1)))[1]
    assert found.state is Availability.READY
    assert found.because == "1 of 2 free"
