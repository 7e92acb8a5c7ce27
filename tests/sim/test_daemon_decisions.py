"""What a DaemonSet does next, for any cluster it may find: laws of the pure decisions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.core.cluster.objects import node_from_api
from gpu_spawner.sim.daemonsets.daemon_pods import HASH_LABEL, pod_for_node, tolerating_spec
from gpu_spawner.sim.daemonsets.rollout import roll_out
from gpu_spawner.sim.daemonsets.state import DaemonState, Verdict, daemon_request, judge_node
from gpu_spawner.sim.daemonsets.status import daemon_status
from gpu_spawner.sim.daemonsets.upkeep import FailureBackoff, keep_up

Obj = dict[str, Any]

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NEW, OLD = "new", "old"
RUNS = Verdict(should_run=True, should_stay=True)
STAYS = Verdict(should_run=False, should_stay=True)
NOWHERE = Verdict(should_run=False, should_stay=False)


def daemon_set(**rolling: int | str) -> Obj:
    return {
        "metadata": {"name": "ds", "namespace": "n", "uid": "u", "generation": 2},
        "spec": {
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{}]}},
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
        },
        "status": {},
    }


def pod(node: str, revision: str, *, ready: bool, number: int = 0, phase: str = "Running") -> Obj:
    conditions = [{"type": "Ready", "status": str(ready), "lastTransitionTime": None}]
    return {
        "metadata": {
            "name": f"{node}-{revision}-{number}",
            "namespace": "n",
            "creationTimestamp": f"2026-01-01T00:00:{number:02d}Z",
            "labels": {HASH_LABEL: revision},
        },
        "spec": {"nodeName": node},
        "status": {"phase": phase, "conditions": conditions},
    }


def state(daemon: Obj, pods: list[Obj], verdicts: dict[str, Verdict]) -> DaemonState:
    return DaemonState(daemon_set=daemon, pods=pods, revision_hash=NEW, verdicts=verdicts, now=NOW)


# Per node: what is thought of it, and which pods it has (revision, ready).
NODES = st.lists(
    st.tuples(
        st.sampled_from([RUNS, RUNS, RUNS, STAYS, NOWHERE]),
        st.lists(st.tuples(st.sampled_from([NEW, OLD]), st.booleans()), max_size=2),
    ),
    min_size=1,
    max_size=8,
)


def scene(
    found: list[tuple[Verdict, list[tuple[str, bool]]]],
) -> tuple[dict[str, Verdict], list[Obj]]:
    verdicts = {f"n{number}": verdict for number, (verdict, _) in enumerate(found)}
    pods = [
        pod(f"n{number}", revision, ready=ready, number=position)
        for number, (_, present) in enumerate(found)
        for position, (revision, ready) in enumerate(present)
    ]
    return verdicts, pods


@given(found=NODES, amount=st.one_of(st.integers(1, 4), st.sampled_from(["1%", "50%", "100%"])))
def test_a_rollout_takes_no_more_serving_pods_than_it_may(
    found: list[tuple[Verdict, list[tuple[str, bool]]]], amount: int | str
) -> None:
    verdicts, pods = scene(found)
    now = state(daemon_set(maxUnavailable=amount), pods, verdicts)
    steps = roll_out(now)
    by_name = {each["metadata"]["name"]: each for each in pods}
    serving = [
        name
        for name in steps.delete
        if by_name[name]["status"]["conditions"][0]["status"] == "True"
    ]
    most = amount if isinstance(amount, int) else -(-int(amount[:-1]) * now.desired // 100)
    assert len(serving) <= max(most, 1)
    assert all(by_name[name]["metadata"]["labels"][HASH_LABEL] == OLD for name in steps.delete)
    assert not steps.create_on


@given(found=NODES, amount=st.integers(1, 3))
def test_a_surge_never_takes_an_old_pod_whose_place_nobody_takes(
    found: list[tuple[Verdict, list[tuple[str, bool]]]], amount: int
) -> None:
    verdicts, pods = scene(found)
    now = state(daemon_set(maxSurge=amount, maxUnavailable=0), pods, verdicts)
    steps = roll_out(now)
    left = [each for each in pods if each["metadata"]["name"] not in steps.delete]
    served = {each["spec"]["nodeName"] for each in pods if _is_ready(each)}
    still = {each["spec"]["nodeName"] for each in left if _is_ready(each)}
    assert all(not verdicts[node].should_run for node in served - still)
    assert all(verdicts[node].should_run for node in steps.create_on)


@given(found=NODES, surge=st.booleans())
def test_doing_as_told_comes_to_rest_with_one_new_pod_on_every_node(
    found: list[tuple[Verdict, list[tuple[str, bool]]]], *, surge: bool
) -> None:
    rolling = {"maxSurge": 1, "maxUnavailable": 0} if surge else {"maxUnavailable": 1}
    daemon = daemon_set(**rolling)
    verdicts, pods = scene(found)
    # An old pod that stays where none should run any more goes when there are others enough.
    verdicts = {node: RUNS if each is STAYS else each for node, each in verdicts.items()}
    for number in range(2, 60):
        now = state(daemon, pods, verdicts)
        steps = [keep_up(now, FailureBackoff())]
        if not steps[0].create_on and not steps[0].delete:
            steps.append(roll_out(now))
        gone = {name for each in steps for name in each.delete}
        made = [node for each in steps for node in each.create_on]
        if not gone and not made and all(_is_ready(each) for each in pods):
            break
        pods = [_served(each) for each in pods if each["metadata"]["name"] not in gone]
        pods += [pod(node, NEW, ready=False, number=number) for node in made]
    wanted = sorted(node for node, verdict in verdicts.items() if verdict.should_run)
    assert sorted(each["spec"]["nodeName"] for each in pods) == wanted
    assert {each["metadata"]["labels"][HASH_LABEL] for each in pods} <= {NEW}
    status = daemon_status(state(daemon, pods, verdicts), is_settled=True)
    assert status["numberAvailable"] == status["desiredNumberScheduled"] == len(wanted)
    assert (status["numberUnavailable"], status["numberMisscheduled"]) == (0, 0)


def _is_ready(found: Obj) -> bool:
    return bool(found["status"]["conditions"][0]["status"] == "True")


def _served(found: Obj) -> Obj:
    """Return the pod as it is a while later, if it is a new one."""
    if found["metadata"]["labels"][HASH_LABEL] == OLD:
        return found
    condition = {**found["status"]["conditions"][0], "status": "True"}
    return {**found, "status": {**found["status"], "conditions": [condition]}}


def test_a_failed_pod_is_left_twice_as_long_each_time() -> None:
    backoff = FailureBackoff(first_seconds=1, longest_seconds=3)
    daemon = daemon_set(maxUnavailable=1)
    failed = pod("n0", NEW, ready=False, phase="Failed")
    waits = []
    moment = NOW
    for _ in range(4):
        now = DaemonState(
            daemon_set=daemon,
            pods=[failed],
            revision_hash=NEW,
            verdicts={"n0": RUNS},
            now=moment,
        )
        steps = keep_up(now, backoff)
        assert steps.delete == ["n0-new-0"]
        assert steps.notes[0].reason == "FailedDaemonPod"
        at_once = keep_up(now, backoff)
        assert not at_once.delete
        waits.append(at_once.look_again_seconds)
        moment += timedelta(seconds=at_once.look_again_seconds or 0)
    assert waits == [1, 2, 3, 3]


def test_pods_that_wait_for_a_node_that_is_gone_are_deleted() -> None:
    daemon = daemon_set(maxUnavailable=1)
    waiting = pod_for_node(daemon, "gone", NEW)
    waiting["metadata"]["name"] = "waiting"
    assert keep_up(state(daemon, [waiting], {}), FailureBackoff()).delete == ["waiting"]


@pytest.mark.parametrize(
    ("spec", "verdict"),
    [
        pytest.param({}, RUNS, id="anywhere"),
        pytest.param({"nodeName": "other"}, NOWHERE, id="another node"),
        pytest.param({"nodeSelector": {"l": "other"}}, NOWHERE, id="another label"),
        pytest.param({"tolerations": []}, STAYS, id="kept away"),
    ],
)
def test_where_pods_belong(spec: Obj, verdict: Verdict) -> None:
    daemon = daemon_set()
    tolerant = {"tolerations": [{"operator": "Exists"}]}
    containers = {"containers": [{"name": "c", "image": "i"}]}
    daemon["spec"]["template"]["spec"] = {**containers, **tolerant, **spec}
    node = node_from_api(
        {
            "metadata": {"name": "n0", "labels": {"l": "v"}},
            "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]},
        }
    )
    assert judge_node(daemon_request(daemon), node) == verdict


def test_a_toleration_that_is_there_is_completed_where_it_stands() -> None:
    key = "node.kubernetes.io/not-ready"
    own = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
    found = tolerating_spec({"tolerations": [own, {"key": "k"}], "hostNetwork": True})
    tolerations = found["tolerations"]
    assert tolerations[0] == {"key": key, "operator": "Exists", "effect": "NoExecute"}
    assert tolerations[1] == {"key": "k"}
    assert tolerations[-1]["key"] == "node.kubernetes.io/network-unavailable"
    assert len(tolerations) == 8
