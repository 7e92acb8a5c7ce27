"""A big list goes in through a thread, and nobody sees or touches the state meanwhile."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from gpu_spawner.core.cluster.objects import Node, node_from_api
from gpu_spawner.kube.shared_state import SharedState


def node(name: str) -> Node:
    return node_from_api({"metadata": {"name": name}, "status": {"allocatable": {"cpu": "1"}}})


class Gated(Sequence[Node]):
    """So many nodes, whose iteration waits for the gate to open, or ends in an error."""

    def __init__(self, count: int, *, fails: bool = False) -> None:
        self.count = count
        self.fails = fails
        self.begun = threading.Event()
        self.gate = threading.Event()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError  # lists are only gone through

    def __iter__(self) -> Iterator[Node]:
        self.begun.set()
        assert self.gate.wait(10)
        if self.fails:
            raise ZeroDivisionError
        yield from (node(f"n{number}") for number in range(self.count))


async def begun(nodes: Gated) -> None:
    assert await asyncio.to_thread(nodes.begun.wait, 10)


async def test_small_lists_go_in_at_once():
    state = SharedState()
    await state.replace_all("nodes", [node("a")])
    assert set(state.snapshot(1.0).nodes) == {"a"}


async def test_readers_see_what_was_there_before_and_writers_wait():
    state = SharedState()
    await state.replace_all("nodes", [node("old")])
    serial = state.serial
    nodes = Gated(3000)
    work = asyncio.create_task(state.replace_all("nodes", nodes))
    await begun(nodes)
    assert set(state.snapshot(7.0).nodes) == {"old"}
    assert state.snapshot(7.0).as_of == 7.0
    assert state.serial == serial
    writer = asyncio.create_task(state.until_idle())
    second = asyncio.create_task(state.replace_all("pods", []))
    done, _ = await asyncio.wait([writer, second], timeout=0.01)
    assert not done
    nodes.gate.set()
    await asyncio.gather(work, writer, second)
    assert len(state.snapshot(8.0).nodes) == 3000
    assert state.snapshot(8.0).pods is not None
    assert state.serial > serial


async def test_a_cancelled_list_keeps_others_out_until_the_thread_is_through():
    state = SharedState()
    nodes = Gated(3000)
    work = asyncio.create_task(state.replace_all("nodes", nodes))
    await begun(nodes)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert state.snapshot(1.0).nodes is None
    nodes.gate.set()
    await state.until_idle()
    assert len(state.snapshot(1.0).nodes) == 3000


async def test_an_error_in_the_thread_is_raised_and_frees_the_state():
    state = SharedState()
    nodes = Gated(3000, fails=True)
    nodes.gate.set()
    with pytest.raises(ZeroDivisionError):
        await state.replace_all("nodes", nodes)
    await state.until_idle()
    state.forget("nodes", "a bug")
    assert state.snapshot(1.0).unknown["nodes"] == "a bug"
