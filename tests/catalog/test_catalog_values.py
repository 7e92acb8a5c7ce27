"""Small values: words, amounts as people write them, tolerations, the lifting of access rules."""

from typing import Any

import pytest
from catalog_builders import catalog_of, documents, select

from gpu_spawner.catalog_files import read_mapping, schemas
from gpu_spawner.core.catalog.access import visible_to, without_access_rules
from gpu_spawner.core.catalog.compile import compile_selection
from gpu_spawner.core.catalog.flavors import Toleration
from gpu_spawner.core.catalog.mechanisms import describe_share
from gpu_spawner.core.catalog.products import Product, parse_product
from gpu_spawner.core.wording import (
    as_sentence,
    counted,
    listed,
    nearest,
    quoted,
    say_bytes,
    spelled,
)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("64Gi", 64 * 2**30),
        ("64GiB", 64 * 2**30),
        ("9.8GB", 9_800_000_000),
        ("9.8 GB", 9_800_000_000),
        ("9.8G", 9_800_000_000),
        ("5000KB", 5_000_000),
        ("5000k", 5_000_000),
        ("2048Ki", 2 * 2**20),
        (2 * 2**30, 2 * 2**30),
        (4e9, 4_000_000_000),
    ],
)
def test_amounts_as_people_write_them(written: Any, meant: int) -> None:
    mapping = documents()
    mapping["flavors"]["h100"]["memory"] = written
    assert read_mapping(mapping).flavors["h100"].memory_bytes == meant


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        (10**400, "a huge number"),
        ({}, "a mapping"),
        ((), "a list"),
        (b"", "a value of type bytes"),
        ("x" * 100, f"'{'x' * 59}…'"),
        ("\ud800", "'\ufffd'"),
    ],
)
def test_quotations(value: object, shown: str) -> None:
    assert quoted(value) == shown


def test_long_lists_are_cut() -> None:
    assert listed(range(20)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 8 more"
    assert listed([]) == ""


def test_far_names_are_no_suggestions() -> None:
    assert nearest("zzz", ["a100"]) is None
    assert nearest("a" * 300, ["a100"]) is None
    assert nearest("A100", ["a100"]) == "a100"


@pytest.mark.parametrize(
    ("amount", "shown"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (141 * 10**9, "141 GB"), (2**40, "1 TiB")],
)
def test_sizes(amount: int, shown: str) -> None:
    assert say_bytes(amount) == shown


def test_sentences_end_once() -> None:
    assert [as_sentence(text) for text in ("a", "a.", "a?")] == ["a.", "a.", "a?"]


def test_numbers_have_their_noun() -> None:
    assert counted(1234, "slice") == "1,234 slices"
    assert [counted(1, "node"), spelled(2), spelled(9)] == ["1 node", "two", "9"]


def test_tolerations_say_only_what_was_said() -> None:
    full = Toleration(
        key="a", operator="Equal", value="b", effect="NoExecute", toleration_seconds=5
    )
    assert full.as_manifest() == {
        "key": "a",
        "operator": "Equal",
        "value": "b",
        "effect": "NoExecute",
        "tolerationSeconds": 5,
    }
    assert Toleration(operator="Exists").as_manifest() == {"operator": "Exists"}


@pytest.mark.parametrize(
    "label",
    ["Tesla-T4", "Tesla-T4-SHARED", "A100-MIG-1g.5gb", "A100-MIG-INVALID-SHARED", "-MIG-", ""],
)
def test_product_labels_round_trip(label: str) -> None:
    assert parse_product(label).label == label


def test_a_label_that_only_looks_sliced() -> None:
    assert parse_product("X-MIG-") == Product(model="X-MIG-")


def test_an_operator_may_lift_the_rules() -> None:
    mapping = documents()
    mapping["20-gpus"] |= {"allowed_groups": ["a"]}
    mapping["20-gpus"]["gpu"]["allowed_groups"] = ["b"]
    catalog = catalog_of(mapping)
    assert visible_to(catalog, ["a"]).profile("gpus") is None
    assert visible_to(catalog, ["a", "b"]).profile("gpus") is not None
    assert visible_to(without_access_rules(catalog), []).profile("gpus") is not None


def test_a_selection_of_another_catalog_is_not_compiled() -> None:
    mapping = documents()
    selection = select(catalog_of(mapping), profile="gpus")
    del mapping["20-gpus"]
    with pytest.raises(KeyError):
        compile_selection(read_mapping(mapping), selection)


@pytest.mark.parametrize(
    ("flavor", "title", "memory_bytes", "isolation"),
    [
        ("time-slicing", "Shared GPU, with up to 3 others", 16 * 10**9, "a neighbour can use"),
        ("mps", "Shared GPU, with up to 3 others", 4 * 10**9, "capped at 1/4"),
    ],
)
def test_what_a_replica_means(flavor: str, title: str, memory_bytes: int, isolation: str) -> None:
    mapping = documents()
    mapping["flavors"]["t4"]["sharing"]["strategy"] = flavor
    catalog = catalog_of(mapping)
    share = select(catalog, profile="slices", flavor="t4").share
    assert share is not None
    facts = describe_share(catalog.flavors["t4"], share)
    assert (facts.title, facts.memory_bytes) == (title, memory_bytes)
    assert isolation in facts.isolation


def test_what_a_slice_means() -> None:
    catalog = catalog_of()
    share = select(catalog, profile="slices", share="mig-3g.40gb").share
    assert share is not None
    facts = describe_share(catalog.flavors["a100"], share)
    assert (facts.title, facts.memory_bytes) == ("MIG slice 3g.40gb", 40 * 10**9)
    assert "do not join" in facts.advice


def test_schemas_can_be_written(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "schema_directory", lambda: tmp_path)
    schemas.write_schemas()
    assert {path.name for path in tmp_path.iterdir()} == set(schemas.render_schema())
