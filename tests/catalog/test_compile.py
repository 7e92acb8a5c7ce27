"""Compiling: what a selection asks for, and how it meets what the site has set."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from catalog_builders import catalog_of, documents, make_node, select, snapshot_of

from gpu_spawner.core.catalog.compile import compile_selection, compile_ways
from gpu_spawner.core.catalog.model import Catalog
from gpu_spawner.core.catalog.site_pod import SitePod, request_of, settings_of
from gpu_spawner.core.placement.seats import count_seats

CATALOG = catalog_of()


def settings(options: dict[str, Any], catalog: Catalog = CATALOG, **site: Any) -> dict[str, Any]:
    fragment = compile_selection(catalog, select(catalog, **options))
    return settings_of(fragment, SitePod(settings=site))


def changed(slug: str, **entries: Any) -> Catalog:
    """Return the small catalog with keys of one profile changed."""
    mapping = documents()
    mapping[slug].update(entries)
    return catalog_of(mapping)


def gpus(**options: Any) -> dict[str, Any]:
    return {"profile": "gpus", "flavor": "h100", **options}


class TestDevices:
    def test_are_requested_and_limited_alike(self) -> None:
        found = settings(gpus(count=2))
        assert found["extra_resource_limits"] == {"nvidia.com/gpu": "2"}
        assert found["extra_resource_guarantees"] == {"nvidia.com/gpu": "2"}

    def test_a_mig_slice_is_a_resource_of_its_own(self) -> None:
        found = settings({"profile": "slices", "share": "mig-3g.40gb"})
        assert found["extra_resource_limits"] == {"nvidia.com/mig-3g.40gb": "1"}
        (term,) = found["node_affinity_required"]
        assert term["matchExpressions"][0] == {
            "key": "nvidia.com/gpu.product",
            "operator": "In",
            "values": ["NVIDIA-A100"],
        }

    def test_a_mig_slice_of_nodes_cut_alike_is_the_plain_resource(self) -> None:
        mapping = documents()
        mapping["flavors"]["a100"]["mig"] = {"strategy": "single"}
        found = settings({"profile": "slices", "share": "mig-3g.40gb"}, catalog_of(mapping))
        assert found["extra_resource_limits"] == {"nvidia.com/gpu": "1"}
        (term,) = found["node_affinity_required"]
        assert term["matchExpressions"][0]["values"] == ["NVIDIA-A100-MIG-3g.40gb"]

    def test_a_mig_profile_with_media_engines(self) -> None:
        """The device plugin and our labels write its plus as a dot."""
        mapping = documents()
        mapping["flavors"]["a100"]["mig"] = {}
        mapping["30-slices"]["gpu"] = {"flavors": ["a100"], "share": {"mig": "1g.10gb+me"}}
        found = settings({"profile": "slices", "share": "mig-1g.10gb.me"}, catalog_of(mapping))
        assert found["extra_resource_limits"] == {"nvidia.com/mig-1g.10gb.me": "1"}
        assert found["extra_labels"]["gpu-spawner.jupyter.org/share"] == "mig-1g.10gb.me"

    @pytest.mark.parametrize(
        ("is_renamed", "resource", "product"),
        [(False, "nvidia.com/gpu", "Tesla-T4-SHARED"), (True, "nvidia.com/gpu.shared", "Tesla-T4")],
    )
    def test_a_replica_is_where_the_plugin_puts_it(
        self, *, is_renamed: bool, resource: str, product: str
    ) -> None:
        mapping = documents()
        mapping["flavors"]["t4"]["sharing"]["renamed"] = is_renamed
        found = settings({"profile": "slices", "flavor": "t4"}, catalog_of(mapping))
        assert found["extra_resource_limits"] == {resource: "1"}
        (term,) = found["node_affinity_required"]
        assert term["matchExpressions"][0]["values"] == [product]

    def test_none_are_visible_to_a_server_without(self) -> None:
        """An image for GPUs would otherwise show all of its node's."""
        found = settings({"profile": "cpu"})
        assert found["environment"]["NVIDIA_VISIBLE_DEVICES"] == "void"
        assert "extra_resource_limits" not in found
        assert "tolerations" not in found

    def test_are_not_hidden_from_a_server_with(self) -> None:
        assert "NVIDIA_VISIBLE_DEVICES" not in settings(gpus())["environment"]

    @pytest.mark.parametrize(
        ("flavor", "key"), [("h100", "nvidia.com/gpu"), ("mi300", "amd.com/gpu")]
    )
    def test_the_vendors_taint_is_tolerated_whatever_its_value(self, flavor: str, key: str) -> None:
        gpu = {"flavors": [flavor], "share": "whole"}
        found = settings({"profile": "gpus"}, changed("20-gpus", gpu=gpu))
        assert found["tolerations"] == [{"key": key, "operator": "Exists"}]


class TestWhicheverIsFreeFirst:
    def test_is_one_pod_that_prefers_the_first(self) -> None:
        found = settings({"profile": "gpus", "count": 2})
        required = [
            term["matchExpressions"][0]["values"] for term in found["node_affinity_required"]
        ]
        assert required == [["NVIDIA-H100"], ["NVIDIA-A100"]]
        (preferred,) = found["node_affinity_preferred"]
        assert preferred["weight"] == 100
        assert preferred["preference"]["matchExpressions"][0]["values"] == ["NVIDIA-H100"]

    def test_weights_fall_with_the_order(self) -> None:
        gpu = {"flavors": ["a100", "t4", "h100"], "share": "whole"}
        found = settings({"profile": "gpus"}, changed("20-gpus", gpu=gpu))
        assert [term["weight"] for term in found["node_affinity_preferred"]] == [100, 50]

    def test_is_split_where_the_resources_differ(self) -> None:
        gpu = {"flavors": ["mi300", "h100", "a100"], "share": "whole"}
        catalog = changed("20-gpus", gpu=gpu)
        selection = select(catalog, profile="gpus")
        assert [way.selection.flavors for way in compile_ways(catalog, selection)] == [
            ("mi300",),
            ("h100", "a100"),
        ]
        assert compile_selection(catalog, selection).extended_resources == {"amd.com/gpu": 1}


class TestImage:
    def test_says_which_nodes_can_run_it(self) -> None:
        (term,) = settings(gpus())["node_affinity_required"]
        assert term["matchExpressions"][1:] == [
            {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]},
            {
                "key": "nvidia.com/cuda.runtime-version.major",
                "operator": "NotIn",
                "values": ["9", "10", "11"],
            },
            {
                "key": "nvidia.com/cuda.runtime.major",
                "operator": "NotIn",
                "values": ["9", "10", "11"],
            },
        ]

    @pytest.mark.parametrize(
        ("labels", "seats"),
        [
            ({}, 1),
            ({"major": "12", "minor": "4"}, 1),
            ({"major": "12", "minor": "6"}, 1),
            ({"major": "13", "minor": "0"}, 1),
            ({"major": "12", "minor": "3"}, 0),
            ({"major": "11", "minor": "8"}, 0),
        ],
        ids=str,
    )
    @pytest.mark.parametrize(
        "prefix", ["nvidia.com/cuda.runtime-version.", "nvidia.com/cuda.runtime."]
    )
    def test_needs_a_driver_that_is_new_enough(
        self, labels: dict[str, str], seats: int, prefix: str
    ) -> None:
        """The scheduler decides by affinity exactly as we do by version."""
        mapping = documents()
        mapping["images"]["torch"]["min_cuda"] = "12.4"
        catalog = catalog_of(mapping)
        request = request_of(compile_selection(catalog, select(catalog, **gpus())), SitePod())
        node = make_node(
            "n",
            product="NVIDIA-H100",
            resources={"nvidia.com/gpu": 1},
            labels={f"{prefix}{key}": value for key, value in labels.items()},
        )
        by_affinity_alone = msgspec.structs.replace(request, min_cuda=None)
        for asked in (request, by_affinity_alone):
            assert count_seats(snapshot_of(node), asked).free == seats

    def test_brings_its_url_and_command(self) -> None:
        mapping = documents()
        mapping["images"]["base"] |= {"default_url": "/lab", "cmd": ["start", "--x"]}
        found = settings({"profile": "cpu"}, catalog_of(mapping))
        assert (found["image"], found["default_url"], found["cmd"]) == (
            "quay.io/site/base:1",
            "/lab",
            ["start", "--x"],
        )


class TestResources:
    def test_grow_with_the_count(self) -> None:
        catalog = changed(
            "20-gpus",
            resources={
                "cpu": {"request": 1, "limit": 2},
                "memory": {"request": "1Gi"},
                "shm": "1Gi",
                "per_gpu": {"cpu": {"request": 2}, "memory": {"request": "4Gi"}, "shm": "2Gi"},
            },
        )
        found = settings(gpus(count=4), catalog)
        assert (found["cpu_guarantee"], found["cpu_limit"]) == (9, 2)
        assert (found["mem_guarantee"], found["mem_limit"]) == (17 * 2**30, None)
        assert found["volumes"][0]["emptyDir"]["sizeLimit"] == "9Gi"

    def test_unset_ones_are_the_sites(self) -> None:
        found = settings({"profile": "cpu"}, cpu_limit=3.0, mem_limit=5)
        assert not {"cpu_limit", "cpu_guarantee", "mem_limit", "mem_guarantee"} & set(found)

    def test_half_of_a_pair_replaces_the_sites_pair(self) -> None:
        catalog = changed("10-cpu", resources={"cpu": {"limit": 2}})
        found = settings({"profile": "cpu"}, catalog, cpu_guarantee=4.0, cpu_limit=8.0)
        assert (found["cpu_guarantee"], found["cpu_limit"]) == (None, 2.0)


class TestSite:
    def test_tolerations_are_kept(self) -> None:
        dedicated = {"key": "hub.jupyter.org/dedicated", "operator": "Equal", "value": "user"}
        found = settings(gpus(), tolerations=[dedicated])
        assert found["tolerations"] == [
            dedicated,
            {"key": "nvidia.com/gpu", "operator": "Exists"},
        ]

    def test_both_node_affinities_hold(self) -> None:
        """Terms are alternatives, so the site's are combined with ours, not put beside them."""
        site = [
            {"match_expressions": [{"key": "zone", "operator": "In", "values": [zone]}]}
            for zone in ("a", "b")
        ]
        found = settings({"profile": "gpus"}, node_affinity_required=site)
        combined = [
            [(each["key"], each["values"][0]) for each in term["matchExpressions"][:2]]
            for term in found["node_affinity_required"]
        ]
        assert combined == [
            [("zone", zone), ("nvidia.com/gpu.product", product)]
            for zone in ("a", "b")
            for product in ("NVIDIA-H100", "NVIDIA-A100")
        ]

    def test_mappings_are_merged(self) -> None:
        catalog = changed("10-cpu", node_selector={"pool": "cpu"})
        found = settings(
            {"profile": "cpu"},
            catalog,
            node_selector={"zone": "a", "pool": "user"},
            environment={"HOME": "/home/jovyan"},
            extra_resource_limits={"smarter-devices/fuse": "1"},
        )
        assert found["node_selector"] == {"zone": "a", "pool": "cpu"}
        assert found["environment"]["HOME"] == "/home/jovyan"
        assert "extra_resource_limits" not in found

    @pytest.mark.parametrize("is_mapping", [False, True])
    def test_its_shared_memory_gives_way_to_ours(self, *, is_mapping: bool) -> None:
        """Two mounts at one path would be refused by the API server."""
        volumes: Any = {"home": {"name": "home"}, "shm": {"name": "shm"}}
        mounts: Any = {
            "home": {"name": "home", "mountPath": "/home"},
            "shm": {"name": "shm", "mount_path": "/dev/shm"},
        }
        if not is_mapping:
            volumes, mounts = list(volumes.values()), list(mounts.values())
        catalog = changed("10-cpu", resources={"shm": "1Gi"})
        found = settings({"profile": "cpu"}, catalog, volumes=volumes, volume_mounts=mounts)
        assert isinstance(found["volume_mounts"], dict) is is_mapping
        listed = found["volume_mounts"].values() if is_mapping else found["volume_mounts"]
        assert list(listed) == [
            {"name": "home", "mountPath": "/home"},
            {"name": "gpu-spawner-shm", "mountPath": "/dev/shm"},
        ]
        assert len(found["volumes"]) == 3

    def test_is_not_changed_by_merging(self) -> None:
        site = {"tolerations": [], "environment": {}, "node_selector": {}, "volumes": []}
        settings(gpus(), **site)
        assert site == {"tolerations": [], "environment": {}, "node_selector": {}, "volumes": []}

    def test_shares_no_part_with_a_server(self) -> None:
        """What a framework changes in one spawner's settings stays there."""
        site = {"environment": {"A": {"value": "1"}}, "tolerations": [{"key": "a"}]}
        found = settings(gpus(), **site)
        found["environment"]["A"]["name"] = "A"
        found["tolerations"][0]["effect"] = "NoSchedule"
        found["extra_resource_limits"]["x"] = "1"
        assert site == {"environment": {"A": {"value": "1"}}, "tolerations": [{"key": "a"}]}
        assert found["extra_resource_guarantees"] == {"nvidia.com/gpu": "1"}

    def test_the_escape_hatch_adds_and_never_loses(self) -> None:
        block = {"name": "block-cloud-metadata", "image": "x"}
        catalog = changed(
            "20-gpus",
            kubespawner_override={
                "init_containers": [{"name": "mine", "image": "y"}],
                "environment": {"A": "1"},
                "start_timeout": 900,
            },
        )
        found = settings(gpus(), catalog, init_containers=[block], start_timeout=300)
        assert [each["name"] for each in found["init_containers"]] == [block["name"], "mine"]
        assert found["environment"]["A"] == "1"
        assert found["environment"]["GPU_SPAWNER_PROFILE"] == "gpus"
        assert found["start_timeout"] == 900

    def test_the_scheduler_is_the_sites_unless_the_profile_says(self) -> None:
        assert "scheduler_name" not in settings(gpus())
        for name, expected in (("", None), ("volcano", "volcano")):
            assert (
                settings(gpus(), changed("20-gpus", scheduler_name=name))["scheduler_name"]
                == expected
            )


class TestRequest:
    def request(self, options: dict[str, Any], catalog: Catalog = CATALOG, **site: Any) -> Any:
        fragment = compile_selection(catalog, select(catalog, **options))
        return request_of(fragment, SitePod(settings=site))

    def test_counts_everything_in_the_pod(self) -> None:
        """Sidecars add up; an init container does not add to the server; a native sidecar does."""
        found = self.request(
            gpus(count=2),
            extra_containers=[{"resources": {"requests": {"cpu": "500m"}}}],
            init_containers=[
                SimpleNamespace(
                    name="metadata",
                    restart_policy=None,
                    resources=SimpleNamespace(requests={"cpu": "1"}, limits=None),
                ),
                {"restartPolicy": "Always", "resources": {"limits": {"memory": "1Gi"}}},
            ],
            extra_resource_guarantees={"smarter-devices/fuse": 1},
        )
        assert dict(found.requests) == {
            "cpu": 1500,
            "memory": 2 * 2**30,
            "nvidia.com/gpu": 2,
            "smarter-devices/fuse": 1,
        }

    def test_a_limit_alone_is_a_request(self) -> None:
        catalog = changed("10-cpu", resources={"memory": {"limit": "2Gi"}})
        assert dict(self.request({"profile": "cpu"}, catalog).requests) == {"memory": 2**31}

    def test_equal_requests_are_equal_values(self) -> None:
        catalog = changed("30-slices", gpu=documents()["20-gpus"]["gpu"])
        mapping = documents()
        mapping["40-same"] = mapping["20-gpus"]
        catalog = catalog_of(mapping)
        first = self.request(gpus(count=2), catalog)
        assert first == self.request(gpus(profile="same", count=2), catalog)
        assert hash(first) == hash(self.request(gpus(profile="same", count=2), catalog))

    def test_an_unknown_affinity_makes_the_seats_unknown(self) -> None:
        term = {"topology_key": "zone", "label_selector": {"match_labels": {"a": "b"}}}
        assert self.request(gpus(), pod_affinity_required=[term]).unknown


@pytest.mark.parametrize(
    "choice",
    [choice for profile in CATALOG.profiles for choice in profile.choices],
    ids=lambda choice: choice.key,
)
def test_compiling_is_deterministic_and_labels_are_valid(choice: Any) -> None:
    options = {"profile": choice.profile}
    if choice.share:
        options |= {"flavor": choice.flavor, "share": choice.share.label, "count": choice.count}
    assert settings(options) == settings(options)
    for key, value in settings(options)["extra_labels"].items():
        assert key.startswith("gpu-spawner.jupyter.org/")
        assert value[0].isalnum()
        assert value[-1].isalnum()
        assert len(value) <= 63
