"""Claims on the pod that KubeSpawner builds, beside everything else that is on it."""

from collections.abc import Iterator
from typing import Any

import pytest
from claim_profiles import CATALOG
from kubernetes_asyncio.client import Configuration
from kubespawner.clients import load_config as forget_cluster
from traitlets.config import Config

from gpu_spawner import GPUSpawner
from gpu_spawner.catalog_files import read_catalog
from gpu_spawner.core.catalog.compile import compile_ways
from gpu_spawner.core.catalog.options import parse_form_key, parse_options
from gpu_spawner.hub.rendering import idle_spawner
from gpu_spawner.kube.pod_claims import holds_devices, lacks_claims

pytestmark = pytest.mark.hosts

EVERYTHING = read_catalog(mapping=CATALOG)


@pytest.fixture(autouse=True)
def no_shared_state() -> Iterator[None]:
    """KubeSpawner remembers the cluster it found for the whole process."""
    before = getattr(Configuration, "_default", None)
    forget_cluster.cache_clear()
    yield
    forget_cluster.cache_clear()
    Configuration._default = before


def apply(spawner: GPUSpawner, key: str, mechanism: str = "") -> None:
    selection = parse_options(EVERYTHING, parse_form_key(key), groups=())
    ways = compile_ways(EVERYTHING, selection)
    spawner.apply_fragment(next(way for way in ways if mechanism in ("", way.selection.mechanism)))


async def spec_of(spawner: GPUSpawner) -> dict[str, Any]:
    pod = await spawner.get_pod_manifest()
    found: dict[str, Any] = spawner.api.api_client.sanitize_for_serialization(pod)["spec"]
    return found


async def spec_for(key: str, mechanism: str = "", **settings: Any) -> dict[str, Any]:
    with idle_spawner(Config({"KubeSpawner": settings}), "ada") as spawner:
        apply(spawner, key, mechanism)
        return await spec_of(spawner)


def claims_by_container(spec: dict[str, Any]) -> dict[str, list[str]]:
    return {
        container["name"]: [
            claim["name"] for claim in (container.get("resources") or {}).get("claims") or ()
        ]
        for container in spec["containers"]
    }


class TestClaimsOnPods:
    async def test_cpu_and_memory_stay(self) -> None:
        spec = await spec_for(
            "whole/h200/whole/1", "dra-whole", extra_resource_limits={"a.b/c": "1"}
        )
        (notebook,) = spec["containers"]
        assert notebook["resources"]["claims"] == [{"name": "gpu"}]
        assert notebook["resources"]["limits"]["cpu"] == 4
        assert notebook["resources"]["limits"]["a.b/c"] == "1"
        assert notebook["resources"]["requests"]["memory"] == 4 * 2**30
        (claim,) = spec["resourceClaims"]
        assert claim["resourceClaimTemplateName"].startswith("gpu-spawner-")

    async def test_containers_share_a_claim_or_have_their_own(self) -> None:
        spec = await spec_for("beside/h200/whole/1", "dra-whole")
        assert claims_by_container(spec) == {
            "notebook": ["gpu"],
            "server": ["gpu"],
            "second": ["gpu-second"],
        }
        assert [claim["name"] for claim in spec["resourceClaims"]] == ["gpu", "gpu-second"]

    async def test_the_sites_containers_and_claims_stay(self) -> None:
        spec = await spec_for(
            "beside/h200/whole/1",
            "dra-whole",
            extra_containers=[{"name": "beside", "image": "i"}],
            extra_pod_config={"resourceClaims": [{"name": "nic", "resourceClaimName": "nic"}]},
        )
        assert set(claims_by_container(spec)) == {"notebook", "beside", "server", "second"}
        assert [claim["name"] for claim in spec["resourceClaims"]] == ["nic", "gpu", "gpu-second"]

    async def test_texts_of_sidecars_are_not_filled_in(self) -> None:
        spec = await spec_for("beside/h200/whole/1")
        server = next(one for one in spec["containers"] if one["name"] == "server")
        assert {"name": "MODE", "value": "{fast}"} in server["env"]
        token = next(one for one in server["env"] if one["name"] == "HF_TOKEN")
        assert token["valueFrom"]["secretKeyRef"] == {"name": "hugging-face", "key": "token"}

    async def test_the_old_scheduler_of_the_site_is_not_asked(self) -> None:
        claimed = await spec_for("whole/h200/whole/1", "dra-whole", scheduler_name="user-scheduler")
        plugged = await spec_for("whole/h200/whole/1", "whole", scheduler_name="user-scheduler")
        assert "schedulerName" not in claimed
        assert plugged["schedulerName"] == "user-scheduler"

    async def test_service_account_and_timeout(self) -> None:
        with idle_spawner(Config({"KubeSpawner": {"start_timeout": 60}}), "ada") as spawner:
            apply(spawner, "beside/h200/whole/1")
            assert (await spec_of(spawner))["serviceAccountName"] == "notebooks"
            assert spawner.start_timeout == 900
            spawner.clear_state()
            assert spawner.start_timeout == 60

    async def test_nothing_of_it_is_in_the_next_pod(self) -> None:
        with idle_spawner(Config(), "ada") as spawner:
            before = await spec_of(spawner)
            apply(spawner, "beside/h200/whole/1", "dra-whole")
            await spec_of(spawner)
            spawner.clear_state()
            assert await spec_of(spawner) == before


class TestPodsThatRun:
    @pytest.mark.parametrize(
        ("pod", "holds"),
        [
            (None, True),
            ({}, False),
            ({"spec": {"resourceClaims": [{"name": "gpu"}]}}, True),
            ({"status": {"extendedResourceClaimStatus": {"resourceClaimName": "c"}}}, True),
            ({"spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "1"}}}]}}, True),
            ({"spec": {"initContainers": [{"resources": {"limits": {"a.b/c": "1"}}}]}}, True),
            ({"spec": {"containers": [{"resources": {"limits": {"cpu": "1"}}}, {}]}}, False),
        ],
    )
    def test_holding_devices(self, pod: Any, holds: bool) -> None:  # noqa: FBT001 - a table
        assert holds_devices(pod) is holds

    def test_lacking_claims(self) -> None:
        spec = {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "t"}]}
        made = [{"name": "gpu", "resourceClaimName": "pod-gpu-x"}]
        assert lacks_claims({"spec": spec})
        assert not lacks_claims({"spec": spec, "status": {"resourceClaimStatuses": made}})
        assert not lacks_claims({"spec": {"resourceClaims": [{"resourceClaimName": "c"}]}})
        assert not lacks_claims({})
