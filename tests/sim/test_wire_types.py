"""The table of types, and reading values as those types."""

from typing import Any

import pytest

from gpu_spawner.sim.apiserver.kinds import RESOURCES
from gpu_spawner.sim.apiserver.wire.wire_types import (
    DecodeError,
    decode,
    fields_of,
    is_struct,
    type_name,
)


def test_the_table_is_what_the_sources_say() -> None:
    pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    from build_wire_types import TARGET, build  # noqa: PLC0415 - needs the package

    assert TARGET.read_text() == build(), "run tests/sim/build_wire_types.py"


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_every_kind_has_a_type_and_every_field_leads_somewhere(resource: Any) -> None:
    todo, seen = [type_name(resource)], set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        todo += [field.kind for field in fields_of(name).values() if is_struct(field.kind)]
    assert "meta.v1.ObjectMeta" in seen or not resource.is_stored


def test_zeros_are_left_out_where_go_leaves_them_out() -> None:
    sent = {
        "spec": {
            "hostNetwork": False,
            "enableServiceLinks": False,
            "priority": 0,
            "nodeName": "",
            "containers": [{"name": "c", "env": [], "tty": False}],
        }
    }
    pod, unknown = decode("core.v1.Pod", sent)
    assert unknown == []
    assert pod["spec"] == {
        "enableServiceLinks": False,
        "priority": 0,
        "containers": [{"name": "c", "resources": {}}],
    }


def test_unknown_fields_are_named_by_their_path() -> None:
    sent = {
        "x": 1,
        "spec": {"containers": [{"name": "c", "imag": "i"}], "nodeSelector": {"z": "1"}},
    }
    pod, unknown = decode("core.v1.Pod", sent)
    assert sorted(unknown) == ["spec.containers[0].imag", "x"]
    assert "x" not in pod


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"spec": []}, "cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec"),
        ({"spec": {"priority": "x"}}, "cannot unmarshal string into Go struct field PodSpec"),
        ({"spec": {"priority": 1.5}}, "cannot unmarshal number 1.5 into Go struct field PodSpec"),
        ({"spec": {"priority": 2**40}}, "cannot unmarshal number"),
        ({"spec": {"hostNetwork": "true"}}, "cannot unmarshal string"),
        ({"spec": {"nodeSelector": {"a": 1}}}, "cannot unmarshal number"),
        ({"metadata": {"creationTimestamp": "yesterday"}}, "parsing time"),
    ],
)
def test_values_of_the_wrong_type(sent: Any, words: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode("core.v1.Pod", sent)
    assert words in str(caught.value)
