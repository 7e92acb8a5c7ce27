"""Whatever an API server says, does or fails to do, a reflector ends up with what it holds."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from scripted_api import (
    ScriptedApi,
    bookmark,
    frame,
    listing,
    raw,
    refusal,
    status_body,
    watching,
)

from gpu_spawner.kube.conditions import Condition
from gpu_spawner.kube.shared_state import SharedState


def node(name: str, version: str = "11", **more: Any) -> dict[str, Any]:
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {"name": name, "resourceVersion": version},
        **more,
    }


async def test_lists_in_pages_then_watches_from_the_lists_version(follow):
    async with ScriptedApi(
        listing([node("a")], "10", "page-2"),
        listing([node("b")], "10", "page-3"),
        listing([node("c")], "10"),
        watching(),
    ) as api:
        following = follow(api.url, page_size=1, watch_timeout_seconds=17)
        await following.until(lambda: following.node_names == {"a", "b", "c"})
        await api.asked(4)
    watch = {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "10",
        "timeoutSeconds": "17",
    }
    assert api.requests[:4] == [
        ("/api/v1/nodes", {"limit": "1"}),
        ("/api/v1/nodes", {"limit": "1", "continue": "page-2"}),
        ("/api/v1/nodes", {"limit": "1", "continue": "page-3"}),
        ("/api/v1/nodes", watch),
    ]


async def test_nothing_is_known_before_the_last_page(follow):
    async with ScriptedApi(listing([node("a")], "10", "page-2")) as api:
        following = follow(api.url)
        await api.asked(2)
        assert following.state.snapshot(None).nodes is None


async def test_takes_every_kind_of_event(follow):
    async with ScriptedApi(
        listing([node("a"), node("b")]),
        watching(
            frame("ADDED", node("c", "11")),
            frame("MODIFIED", node("a", "12", spec={"unschedulable": True})),
            frame("DELETED", node("b", "13")),
            frame("SOMETHING_NEW", node("d", "14")),
        ),
    ) as api:
        following = follow(api.url)
        await following.until(lambda: following.node_names == {"a", "c"})
        nodes = following.state.snapshot(None).nodes
        assert nodes["a"].node.is_cordoned


@pytest.mark.parametrize(
    ("frames", "version"),
    [
        pytest.param([frame("ADDED", node("b", "12"))], "12", id="event"),
        pytest.param([frame("ADDED", node("b", "12")), bookmark("40")], "40", id="bookmark"),
        pytest.param([], "10", id="nothing"),
    ],
)
async def test_resumes_where_it_was_without_listing_again(follow, frames, version):
    async with ScriptedApi(
        listing([node("a")]), watching(*frames, break_off=True), watching()
    ) as api:
        follow(api.url)
        await api.asked(3)
    assert api.requests[2][1]["resourceVersion"] == version
    assert "watch" in api.requests[2][1]


async def test_an_event_cut_in_the_middle_is_asked_for_again(follow):
    whole = frame("ADDED", node("b", "12"))
    async with ScriptedApi(
        listing([node("a")]),
        watching(whole[:30], break_off=True),
        watching(whole[:30], whole[30:]),
    ) as api:
        following = follow(api.url)
        await following.until(lambda: following.node_names == {"a", "b"})
    assert api.requests[2][1]["resourceVersion"] == "10"


async def test_lines_may_arrive_byte_by_byte_or_many_at_once(follow):
    first = b"".join(frame("ADDED", node(f"n{i}", str(20 + i))) for i in range(300))
    second = frame("ADDED", node("last", "999"))
    async with ScriptedApi(
        listing([]), watching(first + second[:9], *(bytes([byte]) for byte in second[9:]))
    ) as api:
        following = follow(api.url)
        await following.until(lambda: "last" in following.node_names)
        assert len(following.node_names) == 301


async def test_a_line_of_megabytes_is_read(follow):
    images = [{"names": [f"registry/{i}" + "x" * 4000], "sizeBytes": 1} for i in range(1000)]
    async with ScriptedApi(
        listing([]), watching(frame("ADDED", node("big", "12", status={"images": images})))
    ) as api:
        following = follow(api.url)
        await following.until(lambda: following.node_names == {"big"})
        assert len(following.state.snapshot(None).nodes["big"].node.images) == 1000


async def test_a_line_without_end_is_cut_off(follow):
    async with ScriptedApi(
        listing([]), watching(*[b"x" * 1024 * 1024] * 20), listing([node("a")])
    ) as api:
        following = follow(api.url)
        await following.until(lambda: following.node_names == {"a"})
        assert following.reflector.status(30).failures == 1


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(refusal(410, "Expired"), id="status"),
        pytest.param(watching(frame("ERROR", status_body(410, "Expired"))), id="frame"),
        pytest.param(watching(frame("ERROR", status_body(500, "InternalError"))), id="500 frame"),
        pytest.param(watching(frame("ERROR", status_body(503, "Busy"))), id="503 frame"),
        pytest.param(watching(frame("ERROR", {})), id="empty error frame"),
        pytest.param(
            refusal(504, "Timeout", "Too large resource version: 9, current: 3"), id="504"
        ),
        pytest.param(refusal(400, "BadRequest"), id="400"),
        pytest.param(watching(b"this is not JSON\n"), id="no JSON"),
        pytest.param(watching(b'{"type":"ADDED"}\n'), id="no object"),
        pytest.param(watching(b'{"type":"ADDED","object":{"metadata":7}}\n'), id="wrong types"),
        pytest.param(watching(b"[]\n"), id="wrong shape"),
        pytest.param(watching(b'{"type":"ADDED","object":{"kind":"Node"}}\n'), id="no name"),
        pytest.param(watching(b"\xff\xfe\x00\n"), id="no text"),
        pytest.param(raw(b"<html>\nsign in</html>", content_type="text/html"), id="a proxy's page"),
    ],
)
async def test_lists_again_where_the_watch_cannot_be_trusted(follow, answer):
    async with ScriptedApi(
        listing([node("a"), node("gone")]), answer, listing([node("a"), node("b")], "50")
    ) as api:
        following = follow(api.url)
        await following.until(lambda: following.node_names == {"a", "b"})
        await api.asked(4)
        assert api.requests[3][1]["resourceVersion"] == "50"
        assert following.haste.pauses == [pytest.approx(0.15)]


async def test_events_before_nonsense_count(follow):
    async with ScriptedApi(
        listing([]), watching(frame("ADDED", node("a", "12")) + b"nonsense\n")
    ) as api:
        following = follow(api.url)
        await following.until(lambda: following.node_names == {"a"})
        await api.asked(3)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"<html></html>", id="html"),
        pytest.param(b'{"metadata":{},"items":[]}', id="no version"),
        pytest.param(b'{"metadata":{"resourceVersion":"1"},"items":7}', id="wrong types"),
        pytest.param(
            json.dumps({"metadata": {"resourceVersion": "1"}, "items": [{}]}).encode(), id="no name"
        ),
    ],
)
async def test_a_list_that_makes_no_sense_is_asked_for_again(follow, body):
    async with ScriptedApi(raw(body), raw(body), listing([node("a")])) as api:
        following = follow(api.url)
        await following.until(lambda: following.node_names == {"a"})
    assert [round(each, 2) for each in following.haste.pauses[:2]] == [0.15, 0.3]


async def test_a_page_that_points_to_itself_does_not_trap(follow):
    again = listing([node("a")], "10", "same")
    async with ScriptedApi(again, again, listing([node("b")])) as api:
        following = follow(api.url)
        await following.until(lambda: following.node_names == {"b"})


async def test_an_expired_page_restarts_the_list_and_then_asks_for_it_whole(follow):
    page, expired = listing([node("old")], "10", "more"), refusal(410, "Expired")
    async with ScriptedApi(
        page, expired, page, expired, listing([node("a"), node("b")], "20")
    ) as api:
        following = follow(api.url)
        await following.until(lambda: following.node_names == {"a", "b"})
        assert following.haste.pauses == []
    assert [query for _, query in api.requests[:5]] == [
        {"limit": "500"},
        {"limit": "500", "continue": "more"},
        {"limit": "500"},
        {"limit": "500", "continue": "more"},
        {},
    ]


@pytest.mark.parametrize(
    ("code", "condition", "words"),
    [
        (403, Condition.FORBIDDEN, "the hub may not read nodes in the whole cluster"),
        (404, Condition.NOT_SERVED, "the cluster does not serve /api/v1/nodes"),
    ],
)
async def test_what_is_withheld_is_unknown_until_it_is_given(follow, code, condition, words):
    no = refusal(code, "No")
    async with ScriptedApi(
        listing([node("a")]), refusal(410), no, no, listing([node("b")]), watching()
    ) as api:
        following = follow(api.url, forbidden_retry_seconds=60)
        seen: list[Any] = []

        def is_back() -> bool:
            status = following.reflector.status(30)
            snapshot = following.state.snapshot(None)
            if status.condition is condition and not seen:
                seen.append((snapshot.nodes, snapshot.unknown["nodes"], status.age_seconds))
            return following.node_names == {"b"} and status.condition is Condition.FOLLOWING

        await following.until(is_back)
        assert following.haste.pauses[1:3] == [45.0, 45.0]
    assert seen[0] == (None, words, None)


async def test_rights_to_list_but_not_to_watch_are_not_enough(follow):
    async with ScriptedApi(listing([node("a")]), refusal(403, "Forbidden")) as api:
        following = follow(api.url)
        await following.until(
            lambda: following.reflector.status(30).condition is Condition.FORBIDDEN
        )
        assert following.state.snapshot(None).nodes is None


async def test_a_refused_token_is_a_failure_not_a_lack_of_rights(follow):
    async with ScriptedApi(
        listing([node("a")]), refusal(401, "Unauthorized"), listing([node("b")])
    ) as api:
        following = follow(api.url)
        await following.until(lambda: following.node_names == {"b"})
        assert following.haste.pauses == [pytest.approx(0.15)]


async def test_obeys_retry_after(follow):
    busy = refusal(429, "TooManyRequests", headers={"Retry-After": "7"})
    late = refusal(
        503, "ServiceUnavailable", headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}
    )
    greedy = refusal(429, "TooManyRequests", headers={"Retry-After": "1e9"})
    async with ScriptedApi(listing([node("a")]), busy, late, greedy, watching()) as api:
        following = follow(api.url)
        await api.asked(5)
        first, second, third = following.haste.pauses
    assert 7 <= first <= 8
    assert second < 1
    assert 300 <= third <= 301
    assert [query.get("resourceVersion") for _, query in api.requests[1:]] == ["10"] * 4


async def test_pauses_grow_to_their_limit_and_the_place_is_kept_only_so_long(follow):
    async with ScriptedApi(
        listing([node("a")]), *[refusal(503)] * 5, *[refusal(500)] * 6, listing([node("b")])
    ) as api:
        following = follow(api.url)
        await following.until(lambda: following.node_names == {"b"})
        expected = [0.15, 0.3, 0.6, 1.2, 2.4, 4.8, 9.6, 19.2, 22.5, 22.5, 22.5]
        assert following.haste.pauses == pytest.approx(expected)
        assert following.reflector.status(30).failures == 11
    kinds = ["watch" if "watch" in query else "list" for _, query in api.requests[:13]]
    assert kinds == ["list"] + ["watch"] * 5 + ["list"] * 7


async def test_a_watch_that_ends_at_once_is_never_asked_for_in_a_hot_loop(follow):
    async with ScriptedApi(listing([node("a")]), *[watching(stay_open=False)] * 4) as api:
        following = follow(api.url)
        await following.until_pauses(4)
    assert following.haste.pauses[:4] == pytest.approx([0.15, 0.3, 0.6, 1.2])


def lasting(following, seconds):
    """Answer a watch that ends in order after this long on the reflector's clock."""

    async def answer(request, _):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(bookmark("77"))
        await following.until(lambda: following.reflector.freshness.is_open)
        following.haste.offset += seconds
        return response

    return answer


async def test_a_watch_that_lasted_is_resumed_at_once(follow):
    async with ScriptedApi(listing([node("a")]), refusal(500), listing([])) as api:
        following = follow(api.url)
        api.then(lasting(following, 31), watching())
        await api.asked(5)
        # One pause for the 500; none after the watch that lasted half a minute.
        assert len(following.haste.pauses) == 1


async def test_everything_is_listed_anew_now_and_then(follow):
    async with ScriptedApi(listing([node("a")])) as api:
        following = follow(api.url, resync_seconds=60)
        api.then(lasting(following, 61), listing([node("b")]))
        await following.until(lambda: following.node_names == {"b"})


async def test_silence_is_cut_and_vouches_only_for_the_time_before_it(follow):
    async with ScriptedApi(listing([node("a")]), watching(), refusal(503)) as api:
        following = follow(api.url, watch_timeout_seconds=1.0, silence_margin_seconds=0.1)
        await api.asked(3)
        # The watch was open and silent for 1.1 s: that long nobody vouched for anything.
        assert following.reflector.status(30).age_seconds >= 1.1


async def test_an_open_watch_keeps_what_is_held_fresh_and_a_broken_one_does_not(follow):
    async with ScriptedApi(listing([node("a")]), watching(bookmark("12"))) as api:
        following = follow(api.url)
        await following.until(
            lambda: following.reflector.status(30).condition is Condition.FOLLOWING
        )
        following.haste.offset += 25
        assert following.reflector.status(30).age_seconds == 0
    await following.until(lambda: following.reflector.status(30).condition is Condition.FAILING)
    following.haste.offset += 31
    status = following.reflector.status(30)
    assert status.age_seconds >= 31
    assert status.is_stale
    assert not status.is_known


async def test_other_tasks_get_their_turn_between_batches(follow):
    events = b"".join(frame("ADDED", node(f"n{i}", str(20 + i))) for i in range(5000))
    async with ScriptedApi(listing([]), watching(events)) as api:
        following = follow(api.url)
        longest = most = taken = 0

        async def tick() -> None:
            nonlocal longest, taken, most
            while taken < 5000:
                before, taken = taken, following.reflector.status(30).events
                most = max(most, taken - before)
                await asyncio.sleep(0)

        async with asyncio.timeout(20):
            await tick()
    assert 0 < most <= 50


async def test_what_changed_is_told_once_a_batch(follow):
    events = b"".join(frame("ADDED", node(f"n{i}", str(20 + i))) for i in range(1000))
    async with ScriptedApi(listing([]), watching(events)) as api:
        following = follow(api.url)
        await following.until(lambda: len(following.node_names) == 1000)
        assert following.changes <= 60


async def test_every_change_of_condition_is_logged_once(follow, caplog):
    caplog.set_level("INFO")
    async with ScriptedApi(
        listing([node("a")]), refusal(500), refusal(500), listing([]), watching()
    ) as api:
        following = follow(api.url)
        await api.asked(5)
        await following.until(
            lambda: following.reflector.status(30).condition is Condition.FOLLOWING
        )
    lines = [each.message for each in caplog.records if each.name == "tests.kube"]
    assert lines[0] == "nodes: failing: watching nodes: 500 Internal Server Error: no"
    assert lines[1] == "nodes: following (was failing)"


class Busy(SharedState):
    """A store that is busy from its first list on, until it is told to go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self.done: list[str] = []

    async def until_idle(self) -> None:
        if self.serial > 0:
            self.asked.set()
            await self.go.wait()

    def apply(self, *event: Any) -> None:
        self.done.append(f"applied {event[-1].name}")

    def forget(self, *_: Any) -> None:
        self.done.append("forgot")


@pytest.mark.parametrize(
    ("answer", "done"),
    [
        pytest.param(watching(frame("ADDED", node("a", "12"))), "applied a", id="event"),
        pytest.param(refusal(403), "forgot", id="refusal"),
    ],
)
async def test_nothing_is_touched_while_the_store_is_busy(follow, answer, done):
    """Another kind's list is being taken in by a thread."""
    store = Busy()
    async with ScriptedApi(listing([]), answer) as api:
        following = follow(api.url, store=store)
        await store.asked.wait()
        assert store.done == []
        store.go.set()
        await following.until(lambda: store.done == [done])
