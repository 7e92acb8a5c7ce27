"""Whatever is sent: one clear answer below 500, and nothing spawned."""

import html
import json
from typing import Any

import jupyterhub
import pytest
from cluster_thread import ClusterThread
from hostile import bodies, fields
from hypothesis import given, settings
from hypothesis import strategies as st
from running_hub import Browser, RunningHub, message_on

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(300)]

LONGEST_MESSAGE = 600
FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}

not_on_5 = pytest.mark.skipif(
    jupyterhub.version_info < (6,),
    reason="JupyterHub 5 reads this body itself, before any spawner, and answers 500",
)

sent_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
forbidden = st.sampled_from(
    ["secret/h100/whole/1", "gpus/h100/whole/8", "gpus/a100/whole/1", "gpus", "cpu/", "secret/cpu"]
)
forbidden_forms = st.builds(
    lambda tile, others: {**others, **tile},
    st.fixed_dictionaries({"offer": forbidden | sent_texts | st.lists(sent_texts, max_size=2)}),
    st.dictionaries(
        st.sampled_from(
            ["wait", "profile-option-gpus--image", "profile-option-secret--own_image", "count"]
        )
        | sent_texts,
        sent_texts | st.lists(sent_texts, max_size=2),
        max_size=4,
    ).filter(lambda fields: "profile" not in fields),
)
"""Fields of which the tile alone is enough to refuse them."""


def assert_clear(message: str) -> None:
    assert message.strip()
    assert len(message) < LONGEST_MESSAGE, message[:1000]
    assert "Traceback" not in message
    assert "Unhandled" not in message
    assert message.isprintable(), message


class TestRest:
    def test_two_hundred_bodies(self, hub: RunningHub, cluster: ClusterThread, user: str) -> None:
        sent = bodies()
        assert len(sent) >= 200
        for options in sent:
            answer = hub.start(user, options)
            assert answer.status_code == 400, f"{options!r:.200}: {answer.text:.500}"
            assert_clear(answer.json()["message"])
        assert cluster.pods(user) == []
        assert hub.user(user)["servers"][""]["user_options"] == {}

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b'"gpus"', marks=not_on_5),
            pytest.param(b"1", marks=not_on_5),
            b"{",
            b'{"user_options": []}',
            b'{"user_options": "gpus"}',
            b'{"user_options": {"profile": "gpus", "profile": "secret"}}',
            b'{"profile": "secret"}',
            b'{"user_options": {"profile": ' + b"[" * 5000 + b"]" * 5000 + b"}}",
            pytest.param(b"\xff\xfe", marks=not_on_5),
        ],
    )
    def test_bodies_that_are_no_options(
        self, hub: RunningHub, cluster: ClusterThread, user: str, body: bytes
    ) -> None:
        answer = hub.rest("POST", f"users/{user}/server", body)
        assert 400 <= answer.status_code < 500, answer.text
        assert_clear(answer.json()["message"])
        assert cluster.pods(user) == []

    @settings(max_examples=200)
    @given(
        options=st.dictionaries(
            st.sampled_from(["profile", "flavor", "share", "count", "image", "wait", "other"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                max_leaves=8,
            ),
            min_size=1,
        ).filter(lambda options: any(options[key] is not None for key in options if key != "wait"))
    )
    def test_anything_else(self, hub: RunningHub, options: dict[str, object]) -> None:
        answer = hub.start("mallory", options)
        assert answer.status_code == 400, answer.text
        assert_clear(answer.json()["message"])


class TestForm:
    def test_every_field(self, hub: RunningHub, cluster: ClusterThread, user: str) -> None:
        browser = Browser(hub, user)
        browser.get("spawn")
        for sent in fields():
            answer = browser.session.post(
                hub.url("spawn"),
                params={"_xsrf": browser.xsrf},
                data=sent,
                allow_redirects=False,
                timeout=60,
            )
            answer.encoding = "utf-8"
            assert answer.status_code == 400, f"{sent!r:.200}: {answer.status_code}"
            shown = message_on(answer.text)
            assert "<" not in shown
            assert_clear(html.unescape(shown))
            assert 'name="offer"' in answer.text
        assert cluster.pods(user) == []

    def test_any_fields(self, hub: RunningHub, cluster: ClusterThread, user: str) -> None:
        browser = Browser(hub, user)
        browser.get("spawn")

        @settings(max_examples=200)
        @given(forbidden_forms)
        def is_refused(sent: dict[str, Any]) -> None:
            answer = browser.session.post(
                hub.url("spawn"),
                params={"_xsrf": browser.xsrf},
                data=sent,
                allow_redirects=False,
                timeout=60,
            )
            answer.encoding = "utf-8"
            assert answer.status_code == 400, answer.text
            assert_clear(html.unescape(message_on(answer.text)))

        is_refused()
        assert cluster.pods(user) == []

    def test_files_in_place_of_texts(self, hub: RunningHub, user: str) -> None:
        answer = Browser(hub, user).post_form(files={"offer": ("a.txt", b"gpus/h100/whole/2")})
        assert answer.status_code == 400
        assert_clear(html.unescape(message_on(answer.text)))

    def test_a_link(self, hub: RunningHub, cluster: ClusterThread, user: str) -> None:
        browser = Browser(hub, user)
        for query in (
            "opt-profile=secret",
            "opt-profile=gpus&opt-count=3",
            "opt-profile=gpus&opt-profile=cpu",
            "opt-profile=%3Cscript%3Ealert(1)%3C/script%3E",
            "opt-evil=1",
            "profile=secret",
            "anything=else",
        ):
            answer = browser.get(f"spawn?{query}")
            assert answer.status_code == 400, query
            shown = message_on(answer.text)
            assert "<" not in shown
            assert_clear(html.unescape(shown))
        assert cluster.pods(user) == []


class TestNoText:
    """JupyterHub decodes what comes before any spawner sees it."""

    @pytest.mark.parametrize(
        "query", ["opt-profile=%ff", "anything=%c3%28", "opt-profile=cpu&next=%ff"]
    )
    def test_a_link(self, hub: RunningHub, cluster: ClusterThread, user: str, query: str) -> None:
        answer = Browser(hub, user).get(f"spawn?{query}")
        assert answer.status_code == 400, answer.text
        assert cluster.pods(user) == []

    @pytest.mark.parametrize("path", ["spawn", "spawn/{user}", "spawn/{user}/second"])
    def test_a_form(self, hub: RunningHub, cluster: ClusterThread, user: str, path: str) -> None:
        answer = Browser(hub, user).post_form(
            b"offer=%ff", path.format(user=user), headers=FORM_TYPE
        )
        assert answer.status_code == 400, answer.text
        assert cluster.pods(user) == []


class TestSavedByOtherMeans:
    def test_options_saved_without_a_start_are_validated_too(
        self, hub: RunningHub, cluster: ClusterThread, user: str
    ) -> None:
        body = json.dumps({"user_options": {"profile": "secret"}}).encode()
        saved = hub.rest("PUT", f"users/{user}/servers/later", body)
        if saved.status_code == 405:
            pytest.skip("this JupyterHub cannot create a server without starting it")
        answer = hub.rest("POST", f"users/{user}/servers/later")
        assert answer.status_code == 400
        assert cluster.pods(user) == []
