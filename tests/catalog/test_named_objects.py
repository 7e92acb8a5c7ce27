"""What servers' pods name, and what is said of what is not there."""

import pytest

from gpu_spawner.core.catalog.examination import Verdict
from gpu_spawner.core.catalog.named_objects import (
    NamedObject,
    Presence,
    examine_named,
    is_cluster_wide,
    named_in,
)

POD = {
    "metadata": {
        "labels": {
            "kueue.x-k8s.io/queue-name": "notebooks",
            "kueue.x-k8s.io/priority-class": "low",
        }
    },
    "spec": {
        "serviceAccountName": "jobs",
        "priorityClassName": "urgent",
        "runtimeClassName": "nvidia",
        "schedulerName": "own-scheduler",
        "imagePullSecrets": [{"name": "regcred"}],
        "initContainers": [{"envFrom": [{"configMapRef": {"name": "proxies"}}]}],
        "containers": [
            {
                "env": [
                    {"name": "PLAIN", "value": "1"},
                    {"name": "A", "valueFrom": {"secretKeyRef": {"name": "ngc", "key": "k"}}},
                    {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                    {
                        "name": "C",
                        "valueFrom": {
                            "secretKeyRef": {"name": "maybe", "key": "k", "optional": True}
                        },
                    },
                ],
                "envFrom": [{"secretRef": {"name": "tokens"}}],
            }
        ],
        "volumes": [
            {"name": "home", "persistentVolumeClaim": {"claimName": "home-ada"}},
            {"name": "keys", "secret": {"secretName": "keys"}},
            {"name": "rules", "configMap": {"name": "rules"}},
            {"name": "both", "projected": {"sources": [{"secret": {"name": "certificate"}}]}},
        ],
    },
}


def test_everything_a_pod_names_is_found() -> None:
    assert {f"{one.kind} {one.name}" for one in named_in(POD)} == {
        "ConfigMap proxies",
        "ConfigMap rules",
        "LocalQueue notebooks",
        "PriorityClass urgent",
        "RuntimeClass nvidia",
        "Secret certificate",
        "Secret keys",
        "Secret ngc",
        "Secret regcred",
        "Secret tokens",
        "ServiceAccount jobs",
        "WorkloadPriorityClass low",
        "scheduler own-scheduler",
    }


def test_a_pod_that_names_nothing() -> None:
    assert named_in({"spec": {"schedulerName": "default-scheduler", "containers": [{}]}}) == set()


def test_a_mechanisms_own_scheduler_is_looked_for_elsewhere() -> None:
    scheduler = NamedObject("scheduler", "own-scheduler")
    assert scheduler in named_in(POD, mechanism="whole")
    assert scheduler not in named_in(POD, mechanism="kai")


@pytest.mark.parametrize(
    ("presence", "verdict"),
    [
        (Presence.THERE, Verdict.GOOD),
        (Presence.ABSENT, Verdict.TROUBLE),
        (Presence.UNREADABLE, Verdict.ADVICE),
        (Presence.UNSEEN, Verdict.ADVICE),
    ],
)
def test_each_is_told_with_what_to_change(presence: Presence, verdict: Verdict) -> None:
    named_by = {one: {"profile b", "profile a"} for one in named_in(POD)}
    found = examine_named(dict.fromkeys(named_by, presence), named_by, namespace="jhub")
    assert {one.verdict for one in found} == {verdict}
    assert len(found) == len(named_by)
    for one, named in zip(found, sorted(named_by), strict=True):
        assert one.what.startswith(f"The {named.kind} {named.name} {presence.value}")
        assert ("in the namespace jhub" in one.what) != is_cluster_wide(named)
        assert bool(one.cure) == (verdict is not Verdict.GOOD)
        assert ("named by profile a and profile b." in one.what) == bool(one.cure)


def test_not_all_who_name_it_are_listed() -> None:
    one = NamedObject("Secret", "regcred")
    users = [f"profile p{number}" for number in range(9)]
    (finding,) = examine_named({one: Presence.ABSENT}, {one: users}, namespace="jhub")
    assert "profile p4 and 4 more" in finding.what
