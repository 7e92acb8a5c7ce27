"""The history of a DaemonSet's template: one ``ControllerRevision`` for each it has had."""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from gpu_spawner.sim.daemonsets.daemon_pods import HASH_LABEL, owner_reference
from gpu_spawner.sim.daemonsets.template_hash import template_hash

__all__ = [
    "has_template_of",
    "latest",
    "new_revision",
    "next_number",
    "revision_hash",
    "superfluous",
]

Obj = dict[str, Any]


def new_revision(daemon_set: Mapping[str, Any], number: int) -> Obj:
    """Return the revision that keeps the present template."""
    metadata, template = daemon_set["metadata"], daemon_set["spec"]["template"]
    collisions = (daemon_set.get("status") or {}).get("collisionCount")
    found = template_hash(template, collisions)
    labels = (template.get("metadata") or {}).get("labels") or {}
    revision: Obj = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{metadata['name']}-{found}",
            "namespace": metadata["namespace"],
            "labels": {**labels, HASH_LABEL: found},
            "ownerReferences": [owner_reference(daemon_set)],
        },
        "data": _patch(daemon_set),
        "revision": number,
    }
    if metadata.get("annotations"):
        revision["metadata"]["annotations"] = metadata["annotations"]
    return revision


def has_template_of(revision: Mapping[str, Any], daemon_set: Mapping[str, Any]) -> bool:
    """Say whether a revision keeps the DaemonSet's present template."""
    return bool(revision.get("data") == _patch(daemon_set))


def revision_hash(revision: Mapping[str, Any]) -> str:
    """Return the hash that pods of this revision carry."""
    return str((revision["metadata"].get("labels") or {}).get(HASH_LABEL, ""))


def latest(revisions: Iterable[Obj]) -> Obj:
    """Return the revision with the highest number, the last one where several have it."""
    return max(reversed(list(revisions)), key=lambda each: each["revision"])


def next_number(others: Iterable[Mapping[str, Any]]) -> int:
    """Return the number that makes a revision newer than the others."""
    return max((each["revision"] for each in others), default=0) + 1


def superfluous(old: Collection[Obj], kept: int, live_hashes: Collection[str]) -> list[Obj]:
    """Return the revisions to forget: the oldest beyond ``kept``, unless pods still run them."""
    too_many = max(len(old) - kept, 0)
    unused = [each for each in old if revision_hash(each) not in live_hashes]
    return sorted(unused, key=lambda each: each["revision"])[:too_many]


def _patch(daemon_set: Mapping[str, Any]) -> Obj:
    """Return the strategic merge patch that brings the template back, keys in order."""
    template = {**daemon_set["spec"]["template"], "$patch": "replace"}
    patch: Obj = json.loads(json.dumps({"spec": {"template": template}}, sort_keys=True))
    return patch
