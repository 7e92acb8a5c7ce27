"""Parts of GPUs by HAMi, Volcano, KAI and Run:ai: what goes into the pod is what is counted."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gpu_spawner.core.catalog.flavors import (
    Flavor,
    HamiLayout,
    LabelIn,
    QueueLayout,
    VolcanoLayout,
)
from gpu_spawner.core.catalog.mechanisms import (
    MECHANISMS,
    Mechanism,
    PodSide,
    describe_share,
    find_mistake,
)
from gpu_spawner.core.catalog.model import Share
from gpu_spawner.core.placement.pod_request import request_from_pod

GIB = 2**30
PLAIN = Flavor(
    name="a100",
    display_name="A100",
    memory_bytes=40 * GIB,
    node_labels=(LabelIn(key="nvidia.com/gpu.product", values=("NVIDIA-A100-PCIE-40GB",)),),
)
FLAVORS = {
    "hami": replace(PLAIN, hami=HamiLayout(gpu_types=("A100", "H100"), cores_percent=30)),
    "volcano": replace(PLAIN, volcano=VolcanoLayout(mode="hami-core", cores_percent=25)),
    "kai": replace(PLAIN, kai=QueueLayout(queue="research", scheduler_name="kai-scheduler")),
    "runai": replace(
        PLAIN,
        runai=QueueLayout(
            queue="team-a", scheduler_name="runai-scheduler", is_memory_enforced=True
        ),
    ),
}
MEMORY = Share(kind="memory", value="10Gi")
HALF = Share(kind="fraction", value="0.5")
WHOLE = Share(kind="whole")


def side_of(name: str, share: Share, count: int = 1) -> PodSide:
    side = MECHANISMS[name].pod_side(FLAVORS[name], share, count)
    assert side is not None
    return side


def manifest_of(side: PodSide) -> dict[str, Any]:
    limits = {name: str(amount) for name, amount in side.resources.items()}
    return {
        "metadata": {"annotations": dict(side.annotations), "labels": dict(side.pod_labels)},
        "spec": {
            "schedulerName": side.scheduler_name,
            "containers": [{"name": "notebook", "resources": {"limits": limits}}],
        },
    }


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("share", [MEMORY, HALF, WHOLE], ids=lambda share: share.kind)
@pytest.mark.parametrize("name", FLAVORS)
def test_the_pod_asks_for_what_is_counted(name: str, share: Share, count: int) -> None:
    side = side_of(name, share, count)
    counted = request_from_pod(manifest_of(side))
    assert not counted.unknown
    if side.fraction is None:
        assert counted.fraction is None
        return
    assert counted.fraction is not None
    assert counted.fraction.asks == side.fraction.asks
    same = {"uncounted": (), "policy": ""}
    assert msgspec.structs.replace(counted.fraction, **same) == msgspec.structs.replace(
        side.fraction, **same
    )
    assert set(side.fraction.uncounted) <= set(counted.fraction.uncounted) or name != "hami"


def test_hami_is_asked_in_mib_or_percent_and_left_its_own_scheduler() -> None:
    side = side_of("hami", MEMORY)
    assert side.resources == {
        "nvidia.com/gpu": 1,
        "nvidia.com/gpumem": 10240,
        "nvidia.com/gpucores": 30,
    }
    assert side.annotations == {"nvidia.com/use-gputype": "A100,H100"}
    assert side.scheduler_name == ""  # z2jh's user-scheduler would make HAMi's webhook skip it
    half = side_of("hami", HALF, 2)
    assert half.resources["nvidia.com/gpumem-percentage"] == 50
    assert half.resources["nvidia.com/gpu"] == 2


def test_names_a_site_changed_are_used() -> None:
    layout = HamiLayout(
        resource="nvidia.com/vgpu", memory_resource="nvidia.com/vmem", mode="mig", gpu_types=()
    )
    side = MECHANISMS["hami"].pod_side(replace(PLAIN, hami=layout), MEMORY, 1)
    assert side is not None
    assert side.resources == {"nvidia.com/vgpu": 1, "nvidia.com/vmem": 10240}
    assert side.annotations == {"nvidia.com/vgpu-mode": "mig"}
    assert side.fraction is not None
    assert "nvidia.com/vmem" in side.fraction.uncounted
    assert side.fraction.resource == "nvidia.com/vgpu"


def test_volcano_is_asked_in_its_own_resources() -> None:
    side = side_of("volcano", HALF)
    assert side.resources == {
        "volcano.sh/vgpu-number": 1,
        "volcano.sh/vgpu-memory": 20480,
        "volcano.sh/vgpu-cores": 25,
    }
    assert side.annotations == {"volcano.sh/vgpu-mode": "hami-core"}
    assert side.scheduler_name == "volcano"


@pytest.mark.parametrize(
    ("name", "label", "queue"),
    [("kai", "kai.scheduler/queue", "research"), ("runai", "runai/queue", "team-a")],
)
def test_a_queue_is_asked_by_annotations_and_never_by_a_resource(
    name: str, label: str, queue: str
) -> None:
    side = side_of(name, HALF, 2)
    assert side.resources == {}
    assert side.annotations == {
        "gpu-fraction": "0.5",
        "gpu-fraction-num-devices": "2",
        "gpu-fraction-container-name": "notebook",
    }
    assert side.pod_labels == {label: queue}
    assert side.scheduler_name == f"{name}-scheduler"
    assert side_of(name, MEMORY).annotations["gpu-memory"] == "10240"
    whole = side_of(name, WHOLE)
    assert whole.resources == {"nvidia.com/gpu": 1}
    assert not whole.annotations


@pytest.mark.parametrize("name", FLAVORS)
def test_the_vendors_taint_and_the_model_go_with_every_share(name: str) -> None:
    side = side_of(name, MEMORY)
    assert ("nvidia.com/gpu", "Exists", "") in {
        (one.key, one.operator, one.effect) for one in side.tolerations
    }
    assert side.node_labels == PLAIN.node_labels


@pytest.mark.parametrize("name", FLAVORS)
@pytest.mark.parametrize(
    ("share", "count", "words"),
    [
        (Share(kind="memory", value="50Gi"), 1, "has 40 GiB"),
        (Share(kind="mig", value="1g.5gb"), 1, "does not give"),
        (MEMORY, 65, "no node has so many"),
    ],
)
def test_what_cannot_be_given_is_refused(name: str, share: Share, count: int, words: str) -> None:
    mechanism: Mechanism = MECHANISMS[name]
    mistake = mechanism.mistake(FLAVORS[name], share, count)
    assert mistake is not None
    assert words in mistake.message
    assert mechanism.pod_side(FLAVORS[name], share, count) is None


@pytest.mark.parametrize("name", FLAVORS)
def test_flavors_that_say_nothing_of_it_are_left_alone(name: str) -> None:
    mistake = MECHANISMS[name].mistake(PLAIN, MEMORY, 1)
    assert mistake is not None
    assert not mistake.is_declared
    amd = replace(FLAVORS[name], resource="amd.com/gpu")
    mistake = MECHANISMS[name].mistake(amd, MEMORY, 1)
    assert mistake is not None
    assert "amd.com/gpu" in mistake.message


def test_volcano_needs_to_know_what_a_half_is() -> None:
    flavor = replace(FLAVORS["volcano"], memory_bytes=None)
    mistake = MECHANISMS["volcano"].mistake(flavor, HALF, 1)
    assert mistake is not None
    assert "does not say its memory" in mistake.message
    assert MECHANISMS["volcano"].mistake(flavor, MEMORY, 1) is None


@pytest.mark.parametrize("name", FLAVORS)
def test_words_tell_memory_and_what_keeps_neighbours_apart(name: str) -> None:
    flavor = FLAVORS[name]
    assert find_mistake(flavor, MEMORY, 1) is None
    facts = describe_share(flavor, MEMORY, name)
    assert facts.memory_bytes == 10 * GIB
    assert "crash can end your work" in facts.isolation
    nothing_enforces_it = "nothing keeps a neighbour from using more" in facts.isolation
    assert nothing_enforces_it == (name == "kai")
    assert ("queue" in facts.advice) == (name in ("kai", "runai"))
    assert "yours alone" in MECHANISMS[name].describe(flavor, WHOLE).isolation


@pytest.mark.parametrize("name", ["hami", "volcano"])
def test_mig_underneath_is_kept_apart_by_the_hardware(name: str) -> None:
    flavor = (
        replace(PLAIN, hami=HamiLayout(mode="mig"))
        if name == "hami"
        else replace(PLAIN, volcano=VolcanoLayout(mode="mig"))
    )
    assert "Hardware keeps" in MECHANISMS[name].describe(flavor, MEMORY).isolation


def test_an_isolator_is_told_where_the_site_has_one() -> None:
    layout = QueueLayout(queue="q", scheduler_name="kai-scheduler", is_memory_enforced=True)
    facts = MECHANISMS["kai"].describe(replace(PLAIN, kai=layout), MEMORY)
    assert "A library keeps every program" in facts.isolation
    careless = replace(layout, is_memory_enforced=False)
    facts = MECHANISMS["runai"].describe(replace(PLAIN, runai=careless), MEMORY)
    assert "nothing keeps a neighbour" in facts.isolation
