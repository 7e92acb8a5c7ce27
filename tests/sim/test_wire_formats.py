"""The small languages of the wire: Go's JSON, quantities, protobuf, CEL's grammar."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.core.quantity import parse_nano
from gpu_spawner.sim.apiserver.wire.go_json import DuplicateKeys, GoJsonError, parse_json
from gpu_spawner.sim.apiserver.wire.protobuf import ProtobufError, decode_protobuf
from gpu_spawner.sim.apiserver.wire.quantities import canonical_quantity, format_nano

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_json_is_read(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@given(st.text(alphabet='{}[]",:0123456789.eE+-truefalsn\\u \n', max_size=20))
def test_other_text_is_refused_as_python_refuses_it(text: str) -> None:
    try:
        json.loads(text)
    except ValueError:
        with pytest.raises(GoJsonError):
            parse_json(text.encode())
    else:
        parse_json(text.encode())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "unexpected end of JSON input"),
        ("{", "unexpected end of JSON input"),
        ("{]", "invalid character ']' looking for beginning of object key string"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("nul", "unexpected end of JSON input"),
        ("nope", "invalid character 'o' in literal null (expecting 'u')"),
        ("NaN", "invalid character 'N' looking for beginning of value"),
        ("01", "invalid character '1' after top-level value"),
        ("-x", "invalid character 'x' in numeric literal"),
        ('"\n"', "invalid character '\\n' in string literal"),
        ('"\\x"', "invalid character 'x' in string escape code"),
    ],
)
def test_the_words_are_gos(text: str, words: str) -> None:
    with pytest.raises(GoJsonError) as caught:
        parse_json(text.encode())
    assert str(caught.value) == words


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(GoJsonError):
        parse_json(b"[" * 100_000)


def test_repeated_keys_are_remembered() -> None:
    parsed = parse_json(b'{"a":1,"b":2,"a":3}')
    assert isinstance(parsed, DuplicateKeys)
    assert (dict(parsed), parsed.repeated) == ({"a": 3, "b": 2}, ("a",))


@pytest.mark.parametrize(
    ("sent", "spelled"),
    [
        ("0", "0"),
        ("0Gi", "0"),
        (2, "2"),
        ("0.5", "500m"),
        ("1500m", "1500m"),
        ("2000m", "2"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1000Mi", "1000Mi"),
        ("1000M", "1G"),
        ("1e3", "1e3"),
        ("12e6", "12e6"),
        ("100000", "100k"),
        ("1.0", "1"),
        ("-5", "-5"),
        ("+5", "+5"),
        ("1n", "1n"),
    ],
)
def test_quantities_are_written_the_canonical_way(sent: str | float, spelled: str) -> None:
    assert canonical_quantity(sent) == spelled


@pytest.mark.parametrize("sent", ["", "x", "1 Gi", "1gi", "Gi", "1.2.3", "--1", "1e", "٣"])
def test_other_words_are_no_quantities(sent: str) -> None:
    with pytest.raises(ValueError, match="quantit"):
        canonical_quantity(sent)


@given(
    st.integers(-(10**6), 10**6),
    st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "Gi", "u"]),
)
def test_the_canonical_way_is_the_same_amount_and_stays(number: int, suffix: str) -> None:
    spelled = canonical_quantity(f"{number}{suffix}")
    assert parse_nano(spelled) == parse_nano(f"{number}{suffix}")
    assert canonical_quantity(spelled) == spelled


@given(nano=st.integers(0, 10**21), is_binary=st.booleans())
def test_amounts_survive_their_spelling(*, nano: int, is_binary: bool) -> None:
    assert parse_nano(format_nano(nano, is_binary=is_binary)) == nano


def _field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return bytes([number << 3]) + _varint(value)
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _envelope(api_version: bytes, kind: bytes, body: bytes) -> bytes:
    head = _field(1, api_version) + _field(2, kind)
    return b"k8s\x00" + _field(1, head) + _field(2, body)


def test_protobuf_is_read_as_the_json_it_stands_for() -> None:
    metadata = _field(1, b"m") + _field(11, _field(1, b"app") + _field(2, b"x"))
    body = _field(1, metadata) + _field(2, _field(1, b"k") + _field(2, b"v"))
    assert decode_protobuf(_envelope(b"v1", b"ConfigMap", body)) == {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": "m", "labels": {"app": "x"}},
        "data": {"k": "v"},
    }


def test_other_kinds_are_refused_with_a_sentence() -> None:
    with pytest.raises(ProtobufError, match="reads Pod as JSON only"):
        decode_protobuf(_envelope(b"v1", b"Pod", b""))


@given(st.binary(max_size=40), st.sampled_from(["ConfigMap", "Secret", "Service", "Event"]))
def test_any_bytes_are_read_or_refused(raw: bytes, kind: str) -> None:
    for body in (raw, b"k8s\x00" + raw, _envelope(b"v1", kind.encode(), raw)):
        try:
            decoded = decode_protobuf(body)
        except ProtobufError:
            continue
        json.dumps(decoded)
