"""Labels, selectors, taints and tolerations, as kube-scheduler reads them."""

import pytest

from gpu_spawner.core.cluster.selectors import (
    LabelSelector,
    NodeSelectorTerm,
    Requirement,
    Taint,
    Toleration,
    matches_any_term,
    tolerates,
    untolerated_taints,
)

LABELS = {"model": "A100", "memory": "81920", "empty": "", "text": "x9"}


def needs(key: str, operator: str, *values: str) -> NodeSelectorTerm:
    requirement = Requirement(key=key, operator=operator, values=values)
    return NodeSelectorTerm(match_expressions=(requirement,))


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        (needs("model", "In", "T4", "A100"), True),
        (needs("model", "In", "T4"), False),
        (needs("absent", "In", "T4"), False),
        (needs("empty", "In", ""), True),
        (needs("model", "NotIn", "T4"), True),
        (needs("model", "NotIn", "A100"), False),
        (needs("absent", "NotIn", "T4"), True),
        (needs("model", "Exists"), True),
        (needs("empty", "Exists"), True),
        (needs("absent", "Exists"), False),
        (needs("absent", "DoesNotExist"), True),
        (needs("model", "DoesNotExist"), False),
        (needs("memory", "Gt", "81919"), True),
        (needs("memory", "Gt", "81920"), False),
        (needs("memory", "Lt", "81921"), True),
        (needs("memory", "Lt", "81920"), False),
        (needs("absent", "Lt", "5"), False),
        (needs("text", "Gt", "5"), False),
    ],
)
def test_operators(*, term: NodeSelectorTerm, expected: bool) -> None:
    assert term.matches("node-0", LABELS) is expected


@pytest.mark.parametrize(
    "term",
    [
        pytest.param(needs("model", "In"), id="In needs values"),
        pytest.param(needs("model", "NotIn"), id="NotIn needs values"),
        pytest.param(needs("model", "Exists", "A100"), id="Exists takes none"),
        pytest.param(needs("absent", "DoesNotExist", "x"), id="DoesNotExist takes none"),
        pytest.param(needs("memory", "Gt"), id="Gt needs one"),
        pytest.param(needs("memory", "Gt", "1", "2"), id="Gt needs only one"),
        pytest.param(needs("memory", "Gt", "lots"), id="Gt needs an integer"),
        pytest.param(needs("memory", "Gt", "1" * 25), id="Gt needs a 64-bit integer"),
        pytest.param(needs("memory", "Lt", "9999999999999999999"), id="just beyond 64 bits"),
        pytest.param(needs("memory", "Gt", "-5"), id="a label value does not start with -"),
        pytest.param(needs("model", "Like", "A"), id="an operator that does not exist"),
        pytest.param(needs("not a key", "DoesNotExist"), id="an invalid key"),
        pytest.param(needs("a//b", "DoesNotExist"), id="two slashes"),
        pytest.param(needs("model", "NotIn", "no spaces"), id="an invalid value"),
        pytest.param(needs("model", "NotIn", "x" * 64), id="a value too long"),
        pytest.param(NodeSelectorTerm(), id="an empty term"),
    ],
)
def test_what_the_api_would_not_accept_matches_nothing(term: NodeSelectorTerm) -> None:
    assert not term.matches("node-0", LABELS)


@pytest.mark.parametrize(
    ("key", "operator", "values", "expected"),
    [
        ("metadata.name", "In", ("node-0",), True),
        ("metadata.name", "In", ("node-1",), False),
        ("metadata.name", "In", ("node-0", "node-1"), False),
        ("metadata.name", "In", (), False),
        ("metadata.name", "NotIn", ("node-1",), True),
        ("metadata.name", "NotIn", ("node-0",), False),
        ("metadata.name", "Exists", (), False),
        ("metadata.name", "Exists", ("node-0",), False),
        ("metadata.uid", "In", ("node-0",), False),
        ("metadata.uid", "NotIn", ("node-0",), True),
    ],
)
def test_fields(*, key: str, operator: str, values: tuple[str, ...], expected: bool) -> None:
    """Only the name is known, with one value; another field is empty on every node."""
    requirement = Requirement(key=key, operator=operator, values=values)

    assert NodeSelectorTerm(match_fields=(requirement,)).matches("node-0", {}) is expected


def test_requirements_are_anded_and_terms_are_ored() -> None:
    both = NodeSelectorTerm(
        match_expressions=(
            Requirement(key="model", operator="Exists"),
            Requirement(key="absent", operator="Exists"),
        )
    )
    named = NodeSelectorTerm(
        match_expressions=(Requirement(key="model", operator="Exists"),),
        match_fields=(Requirement(key="metadata.name", operator="In", values=("node-1",)),),
    )

    assert not both.matches("node-0", LABELS)
    assert not named.matches("node-0", LABELS)
    assert named.matches("node-1", LABELS)
    assert matches_any_term((both, needs("model", "Exists")), "node-0", LABELS)
    assert not matches_any_term((), "node-0", LABELS)


def test_label_selectors() -> None:
    selector = LabelSelector(
        match_labels=(("app", "web"),),
        match_expressions=(Requirement(key="tier", operator="NotIn", values=("dev",)),),
    )

    assert selector.matches({"app": "web"})
    assert not selector.matches({"app": "web", "tier": "dev"})
    assert not selector.matches({"tier": "prod"})
    assert selector.keys == {"app", "tier"}
    assert LabelSelector().matches({"anything": "goes"})


TAINT = Taint(key="gpu", value="present", effect="NoSchedule")


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        (Toleration(key="gpu", value="present", effect="NoSchedule"), True),
        (Toleration(key="gpu", operator="Equal", value="present"), True),
        (Toleration(key="gpu", operator="Equal", value="absent"), False),
        (Toleration(key="gpu"), False),
        (Toleration(key="gpu", operator="Exists"), True),
        (Toleration(key="gpu", operator="Exists", effect="NoExecute"), False),
        (Toleration(operator="Exists"), True),
        (Toleration(operator="Exists", effect="NoSchedule"), True),
        (Toleration(key="cpu", operator="Exists"), False),
        (Toleration(key="gpu", operator="Gt", value="1"), False),
        (Toleration(key="gpu", operator="Resembles", value="present"), False),
    ],
)
def test_tolerations(*, toleration: Toleration, expected: bool) -> None:
    assert toleration.tolerates(TAINT) is expected
    assert tolerates((Toleration(key="else"), toleration), TAINT) is expected


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [("Gt", "4", True), ("Gt", "5", False), ("Lt", "6", True), ("Lt", "5", False)],
)
def test_tolerations_compare_numbers(*, operator: str, value: str, expected: bool) -> None:
    """The comparison operators of KEP-5471 look at the taint's value."""
    taint = Taint(key="tier", value="5")

    assert Toleration(key="tier", operator=operator, value=value).tolerates(taint) is expected


def test_only_taints_that_repel_count() -> None:
    soft = Taint(key="soft", effect="PreferNoSchedule")
    hard = Taint(key="hard", effect="NoExecute")

    assert untolerated_taints((soft, hard, TAINT), [Toleration(key="hard", operator="Exists")]) == (
        TAINT,
    )


def test_taints_read_as_kubectl_writes_them() -> None:
    assert str(TAINT) == "gpu=present:NoSchedule"
    assert str(Taint(key="gpu", effect="NoExecute")) == "gpu:NoExecute"
