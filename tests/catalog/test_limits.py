"""Limits: what each user may hold, whose rule counts, and the sentence that says why not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.core.catalog.flavors import Flavor, LabelIn, MigLayout, Sharing
from gpu_spawner.core.catalog.holdings import Holding, holding_of
from gpu_spawner.core.catalog.limits import (
    NO_LIMITS,
    Held,
    find_excess,
    read_limits,
    say_held,
)
from gpu_spawner.core.catalog.model import (
    Catalog,
    GpuBlock,
    Image,
    Profile,
    Share,
    Sidecar,
    SidecarGpu,
)
from gpu_spawner.core.errors import ConfigError

GB = 10**9


def flavor(name: str, memory: int | None, **more: Any) -> Flavor:
    return Flavor(
        name=name,
        display_name=name.upper(),
        memory_bytes=memory,
        node_labels=(LabelIn(key="nvidia.com/gpu.product", values=(name,)),),
        **more,
    )


def profile(slug: str, flavors: tuple[str, ...], share: Share, **more: Any) -> Profile:
    block = GpuBlock(flavors=flavors, shares=(share,), counts=(1, 2))
    return Profile(slug=slug, display_name=slug, images=("torch",), gpu=(block,), **more)


CATALOG = Catalog(
    flavors={
        "h100": flavor("h100", 80 * GB),
        "h200": flavor("h200", 141 * GB),
        "a100": flavor("a100", 80 * GB, mig=MigLayout()),
        "t4": flavor("t4", 16 * GB, sharing=Sharing(strategy="time-slicing", replicas=4)),
        "old": flavor("old", None, mig=MigLayout()),
    },
    images={"torch": Image(name="torch", reference="r/t:1", display_name="PyTorch")},
    profiles=(
        Profile(slug="cpu", display_name="cpu", images=("torch",)),
        profile("whole", ("h100", "h200"), Share(kind="whole")),
        profile("slice", ("a100",), Share(kind="mig", value="1g.10gb")),
        profile("shared", ("t4",), Share(kind="replica")),
        profile("unknown", ("old",), Share(kind="mig", value="1g.10gb")),
        profile(
            "nim",
            ("h100",),
            Share(kind="whole"),
            sidecars=(Sidecar(name="model", image="torch", gpu=SidecarGpu(count=2)),),
        ),
    ),
)


def holding(key: str) -> Holding:
    (choice,) = [one for p in CATALOG.profiles for one in p.choices if one.key == key]
    return holding_of(CATALOG, choice)


class TestHolding:
    @pytest.mark.parametrize(
        ("key", "gpu_milli", "memory_bytes"),
        [
            ("cpu/cpu", 0, 0),
            ("whole/h100/whole/2", 2000, 160 * GB),
            ("whole/any/whole/1", 1000, 141 * GB),  # the largest it may turn out to be
            ("slice/a100/mig-1g.10gb/1", 125, 10 * GB),
            ("slice/a100/mig-1g.10gb/2", 250, 20 * GB),
            ("shared/t4/replica/1", 250, 16 * GB),  # nothing keeps it from using all of the memory
            ("unknown/old/mig-1g.10gb/1", 1000, 10 * GB),
            ("nim/h100/whole/1", 3000, 240 * GB),  # the sidecar's two count
        ],
    )
    def test_what_a_choice_holds(self, key: str, gpu_milli: int, memory_bytes: int) -> None:
        found = holding(key)
        assert found == Holding(gpu_milli=gpu_milli, memory_bytes=memory_bytes, servers=1)


def rules(**raw: Any) -> Any:
    return read_limits(raw, source="c.GPUSpawner.limits")


class TestReading:
    def test_nothing_limits_nothing(self) -> None:
        assert rules() == NO_LIMITS
        assert NO_LIMITS.for_user("ada", {"research"}).is_unlimited

    def test_the_most_generous_group_counts(self) -> None:
        found = rules(
            default={"gpus": 1, "servers": 2},
            groups={"students": {"gpus": 1}, "research": {"gpus": 8}},
        )
        limit = found.for_user("ada", {"students", "research"})
        assert (limit.gpu_milli, limit.servers, limit.memory_bytes) == (8000, 2, None)
        assert found.for_user("bob", ()).gpu_milli == 1000

    def test_a_group_may_be_tighter_than_the_default(self) -> None:
        found = rules(default={"gpus": 4}, groups={"students": {"gpus": 0.5}})
        assert found.for_user("bob", {"students"}).gpu_milli == 500

    def test_a_user_of_their_own_beats_groups_and_default(self) -> None:
        found = rules(
            default={"gpus": 1},
            groups={"research": {"gpus": 8}},
            users={"ada": {"gpus": None}, "bob": {"servers": 1}},
        )
        assert found.for_user("ada", {"research"}).gpu_milli is None
        assert found.for_user("bob", {"research"}).gpu_milli == 8000

    def test_every_mistake_is_told_with_its_key(self) -> None:
        with pytest.raises(ConfigError) as caught:
            rules(
                default={"gpu": 1, "servers": -1},
                groups={"research": {"gpus": "many", "gpu_memory": 80}},
                everybody={},
            )
        told = {problem.key: str(problem) for problem in caught.value.problems}
        assert set(told) == {
            "default.gpu",
            "default.servers",
            "groups.research.gpus",
            "groups.research.gpu_memory",
            "everybody",
        }
        assert "Did you mean 'gpus'?" in told["default.gpu"]
        assert "'many'" in told["groups.research.gpus"]


def held(username: str, key: str, *groups: str) -> Held:
    return Held(
        username=username,
        groups=frozenset(groups),
        profile=key.partition("/")[0],
        holding=holding(key),
    )


class TestExcess:
    def test_the_last_gpu_within_the_limit(self) -> None:
        limited = rules(default={"gpus": 2})
        mine = [held("ada", "whole/h100/whole/1")]
        assert find_excess(limited, held("ada", "whole/h100/whole/1"), mine) == ""
        assert find_excess(limited, held("ada", "whole/h100/whole/2"), mine) == (
            "You hold 1 of the 2 GPUs you may hold at once, and this would take 2 more."
        )

    def test_what_others_hold_does_not_count(self) -> None:
        limited = rules(default={"gpus": 2})
        others = [held("bob", "whole/h100/whole/2")]
        assert find_excess(limited, held("ada", "whole/h100/whole/2"), others) == ""

    def test_a_choice_that_alone_is_too_much(self) -> None:
        sentence = find_excess(rules(default={"gpus": 1}), held("ada", "whole/h100/whole/2"), [])
        assert sentence == "You hold 0 of the 1 GPU you may hold; this choice alone takes 2."

    def test_parts_add_up(self) -> None:
        limited = rules(default={"gpus": 0.5})
        four = [held("ada", "slice/a100/mig-1g.10gb/1")] * 4
        assert find_excess(limited, held("ada", "slice/a100/mig-1g.10gb/1"), four[:3]) == ""
        assert "0.5 of the 0.5 GPUs" in find_excess(
            limited, held("ada", "slice/a100/mig-1g.10gb/1"), four
        )

    def test_memory_and_servers(self) -> None:
        by_memory = rules(default={"gpu_memory": "100GB"})
        assert "80 GB of the 100 GB of GPU memory" in find_excess(
            by_memory, held("ada", "whole/h100/whole/1"), [held("ada", "whole/h100/whole/1")]
        )
        by_number = rules(default={"servers": 1})
        assert "1 of the 1 server" in find_excess(
            by_number, held("ada", "cpu/cpu"), [held("ada", "cpu/cpu")]
        )

    def test_a_cap_on_one_profile(self) -> None:
        limited = rules(profiles={"whole": {"servers": 1}})
        mine = [held("ada", "whole/h100/whole/1")]
        assert "Of this profile you hold 1" in find_excess(
            limited, held("ada", "whole/h100/whole/1"), mine
        )
        assert find_excess(limited, held("ada", "slice/a100/mig-1g.10gb/1"), mine) == ""

    def test_a_group_together(self) -> None:
        limited = rules(together={"course": {"gpus": 2}})
        class_mates = [held(name, "whole/h100/whole/1", "course") for name in ("bob", "eve")]
        asked = held("ada", "whole/h100/whole/1", "course")
        assert find_excess(limited, asked, class_mates) == (
            "The members of course together hold 2 of their 2 GPUs at once, "
            "and this would take 1 more."
        )
        outsider = held("zoe", "whole/h100/whole/1")
        assert find_excess(limited, outsider, class_mates) == ""

    def test_a_server_without_gpus_is_not_refused_for_gpus(self) -> None:
        """Also where a lowered limit is exceeded by what runs already."""
        mine = [held("ada", "whole/h100/whole/2")]
        assert find_excess(rules(default={"gpus": 1}), held("ada", "cpu/cpu"), mine) == ""


KEYS = ["cpu/cpu", "whole/h100/whole/1", "whole/h100/whole/2", "slice/a100/mig-1g.10gb/1"]


class TestLaws:
    @given(
        asked=st.lists(st.sampled_from(KEYS), max_size=12),
        gpus=st.sampled_from([0, 0.5, 1, 3]),
        servers=st.integers(0, 4),
    )
    def test_whoever_is_let_in_one_by_one_never_holds_more(
        self, asked: list[str], gpus: float, servers: int
    ) -> None:
        limited = rules(default={"gpus": gpus, "servers": servers})
        mine: list[Held] = []
        for key in asked:
            if not find_excess(limited, held("ada", key), mine):
                mine.append(held("ada", key))
        total = Holding.sum(one.holding for one in mine)
        assert total.gpu_milli <= gpus * 1000
        assert total.servers <= servers

    @given(st.lists(st.sampled_from(KEYS), max_size=8), st.sampled_from(KEYS))
    def test_what_was_refused_stays_refused_when_more_is_held(
        self, mine: list[str], asked: str
    ) -> None:
        limited = rules(default={"gpus": 2, "gpu_memory": "100GB", "servers": 3})
        one = held("ada", asked)
        fewer = [held("ada", key) for key in mine[:-1]]
        more = [held("ada", key) for key in mine]
        if find_excess(limited, one, fewer):
            assert find_excess(limited, one, more)


class TestSummary:
    def test_it_says_what_is_used(self) -> None:
        limit = rules(default={"gpus": 4, "gpu_memory": "320GB", "servers": 3}).for_user("ada", ())
        mine = [held("ada", "whole/h100/whole/2")]
        assert say_held(limit, mine) == (
            "You hold 2 of 4 GPUs, 160 GB of 320 GB of GPU memory, 1 of 3 servers."
        )

    def test_without_limits_it_says_nothing(self) -> None:
        assert say_held(NO_LIMITS.for_user("ada", ()), [held("ada", "cpu/cpu")]) == ""
