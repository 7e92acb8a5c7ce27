"""Files and mappings: every mistake at once, each with its place, what is allowed, the cure."""

import os
from pathlib import Path
from typing import Any

import pytest
from catalog_builders import SHIPPED, documents

from gpu_spawner.catalog_files import fingerprint, read_catalog, read_directory, read_mapping
from gpu_spawner.core.errors import ConfigError

IMAGES = "base:\n  image: quay.io/site/base:1\n  display_name: Base\n"
PROFILE = "display_name: Small\nimages: [base]\n"


def write(directory: Path, **files: str | bytes) -> Path:
    """Write files, named by keyword: ``p10_small`` is 10-small.yaml."""
    for name, content in {"images": IMAGES, "p10_small": PROFILE, **files}.items():
        stem = name.removeprefix("p").replace("_", "-") if name[1:3].isdigit() else name
        path = directory / (stem if "." in stem else f"{stem}.yaml")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return directory


def problems_of(directory: Path) -> list[str]:
    """Read a directory that has mistakes; return them without the directory's own name."""
    with pytest.raises(ConfigError) as caught:
        read_directory(directory)
    return [str(problem).replace(f"{directory}/", "") for problem in caught.value.problems]


def test_reads_a_directory(tmp_path: Path) -> None:
    catalog = read_directory(write(tmp_path, p05_first=PROFILE))
    assert [profile.slug for profile in catalog.profiles] == ["first", "small"]
    assert [profile.order for profile in catalog.profiles] == [5, 10]


def test_numbers_order_the_page_as_numbers(tmp_path: Path) -> None:
    catalog = read_directory(write(tmp_path, p100_late=PROFILE, p20_early=PROFILE))
    assert [profile.slug for profile in catalog.profiles] == ["small", "early", "late"]


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """A mounted ConfigMap has hidden entries, and people keep notes beside their files."""
    write(tmp_path)
    (tmp_path / "README.md").write_text("notes")
    (tmp_path / "..2026_11_01").mkdir()
    (tmp_path / ".20-hidden.yaml").write_text("{")
    (tmp_path / "old.yaml").mkdir()
    assert len(read_directory(tmp_path).profiles) == 1


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    write(tmp_path, p10_small=b"\xef\xbb\xbf" + PROFILE.encode())
    assert read_directory(tmp_path).profiles[0].display_name == "Small"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param("", "10-small.yaml: is empty. Fill it in or remove it.", id="empty"),
        pytest.param("# nothing\n", "10-small.yaml: is empty. Fill it in or remove it.", id="note"),
        pytest.param(
            "- a\n",
            "10-small.yaml:1: got a list; a mapping is expected. Begin with key: value.",
            id="list",
        ),
        pytest.param(
            "hello",
            "10-small.yaml:1: got 'hello'; a mapping is expected. Begin with key: value.",
            id="text",
        ),
        pytest.param(
            f"{PROFILE}resources:\n\tcpu: 1\n",
            "10-small.yaml:4: is not YAML: while scanning for the next token, found character "
            "'\\t' that cannot start any token. Indent with spaces, not with tabs.",
            id="tab",
        ),
        pytest.param(
            f"{PROFILE}---\n{PROFILE}",
            "10-small.yaml:3: is not YAML: expected a single document in the stream, but found "
            "another document. Remove the line ---: a file holds one part.",
            id="two documents",
        ),
        pytest.param(
            f"{PROFILE}display_name: Again\n",
            "10-small.yaml:3: display_name: is given twice, first in line 1. Remove one.",
            id="repeated key",
        ),
        pytest.param(
            f"{PROFILE}1: x\n",
            "10-small.yaml:3: the key '1' is not a text. Put it in quotes.",
            id="number as key",
        ),
        pytest.param(
            f"{PROFILE}on: x\n",
            "10-small.yaml:3: the key 'on' is not a text. Put it in quotes.",
            id="YAML 1.1 truth as key",
        ),
        pytest.param(
            f"{PROFILE}description: 2026-01-02\n",
            "10-small.yaml:3: description: '2026-01-02' is not a plain value. Put it in quotes.",
            id="date",
        ),
        pytest.param(
            f"{PROFILE}description: !!python/name:os.system\n",
            "10-small.yaml:3: description: '' is not a plain value. Put it in quotes.",
            id="python object",
        ),
        pytest.param(
            f"{PROFILE}resources: !!set {{a}}\n",
            "10-small.yaml:3: resources: the tag 'tag:yaml.org,2002:set' is not allowed. "
            "Remove it.",
            id="tag",
        ),
        pytest.param(
            f"{PROFILE}<<: {{description: x}}\n",
            "10-small.yaml:3: merge keys (<<) are not allowed. Write it out.",
            id="merge key",
        ),
        pytest.param(
            f"{PROFILE}description: {'9' * 5000}\n",
            f"10-small.yaml:3: description: '{'9' * 59}…' is not a plain value. Put it in quotes.",
            id="number without end",
        ),
        pytest.param(
            f"{PROFILE}description: 'a\x00b'\n",
            "10-small.yaml:3: is not YAML: the character U+0000 is not allowed. Remove it.",
            id="control character",
        ),
        pytest.param(
            f"{PROFILE}description: ".encode() + b"\xff\n",
            "10-small.yaml:3: is not UTF-8 text. Save it as UTF-8.",
            id="not UTF-8",
        ),
        pytest.param(
            f"{PROFILE}description: '{'x' * 300_000}'\n",
            "10-small.yaml: is larger than 262 kB. Make it smaller.",
            id="too large",
        ),
        pytest.param(
            "[" * 100_000,
            "10-small.yaml: is nested more than 30 levels deep. Flatten it.",
            id="deep nesting",
        ),
        pytest.param(
            f"{PROFILE}kubespawner_override: {'{a: ' * 40}1{'}' * 40}\n",
            "10-small.yaml:3: "
            f"kubespawner_override{'.a' * 30}: "
            "is larger than 20,000 values or 30 levels. Use fewer aliases.",
            id="nesting",
        ),
        pytest.param(
            f"{PROFILE}kubespawner_override: &loop {{a: *loop}}\n",
            "10-small.yaml:3: "
            f"kubespawner_override{'.a' * 30}: "
            "is larger than 20,000 values or 30 levels. Use fewer aliases.",
            id="endless alias",
        ),
    ],
)
def test_what_is_not_plain_yaml_is_told(tmp_path: Path, content: str | bytes, problem: str) -> None:
    assert problems_of(write(tmp_path, p10_small=content)) == [problem]


def test_an_alias_bomb_is_told_once_and_quickly(tmp_path: Path) -> None:
    """Nine levels of nine aliases would be 400 million values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    bomb = f"{PROFILE}kubespawner_override:\n" + "".join(f"  {line}\n" for line in lines)
    (problem,) = problems_of(write(tmp_path, p10_small=bomb))
    assert problem.endswith("is larger than 20,000 values or 30 levels. Use fewer aliases.")


def test_a_shared_alias_is_no_mistake(tmp_path: Path) -> None:
    write(
        tmp_path,
        p10_small=f"{PROFILE}node_selector: &pool {{pool: gpu}}\n"
        "kubespawner_override: {storage_extra_labels: *pool}\n",
    )
    (profile,) = read_directory(tmp_path).profiles
    assert profile.override["storage_extra_labels"] == profile.node_selector == {"pool": "gpu"}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        pytest.param(
            "small.yaml",
            "small.yaml: 'small.yaml' names no part of a catalog. Name a profile with a number and "
            "at most 40 small letters, digits and dashes, such as 20-pytorch-gpus.",
            id="no number",
        ),
        pytest.param(
            "10-Big.yaml",
            "10-Big.yaml: '10-Big.yaml' names no part of a catalog. Name a profile with a number "
            "and at most 40 small letters, digits and dashes, such as 20-pytorch-gpus.",
            id="capital",
        ),
        pytest.param(
            "flavor.yaml",
            "flavor.yaml: 'flavor.yaml' names no part of a catalog. Did you mean flavors.yaml?",
            id="misspelt",
        ),
        pytest.param(
            "20-other.yml",
            "20-other.yml: files end in .yaml here. Rename it to 20-other.yaml.",
            id="yml",
        ),
    ],
)
def test_files_with_wrong_names_are_told(tmp_path: Path, name: str, problem: str) -> None:
    write(tmp_path)
    (tmp_path / name).write_text(PROFILE)
    assert problems_of(tmp_path) == [problem]


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "20-gone.yaml").symlink_to(tmp_path / "nowhere")
    assert problems_of(tmp_path) == [
        "20-gone.yaml: cannot be read (No such file or directory). Check its permissions."
    ]


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_directory(tmp_path / "nowhere")
    assert str(caught.value) == (
        f"{tmp_path}/nowhere: the directory cannot be read (No such file or directory). "
        "Check the path and its permissions."
    )


def test_an_empty_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_directory(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: there is no profile. Add one, for example 10-data-science.yaml."
    )


def test_every_file_is_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, flavors="[]", images="base: 5\n", p10_small="images: base\n", p20_other="\t")
    assert [problem.split(": ")[0] for problem in problems_of(tmp_path)] == [
        "10-small.yaml",
        "10-small.yaml:1",
        "20-other.yaml:1",
        "flavors.yaml:1",
        "images.yaml:1",
    ]


def test_names_in_an_unreadable_file_are_not_called_unknown(tmp_path: Path) -> None:
    (problem,) = problems_of(write(tmp_path, images="{"))
    assert problem == (
        "images.yaml:1: is not YAML: while parsing a flow node, expected the node content, "
        "but found '<stream end>'."
    )


def test_one_slug_in_two_files_is_told(tmp_path: Path) -> None:
    (problem,) = problems_of(write(tmp_path, p20_small=PROFILE))
    assert problem == (
        "20-small.yaml: the profile 'small' is already defined in 10-small.yaml. "
        "Rename one of them."
    )


class TestFingerprint:
    def test_is_stable(self, tmp_path: Path) -> None:
        write(tmp_path)
        before = fingerprint(tmp_path)
        os.utime(tmp_path / "images.yaml", (1, 1))
        (tmp_path / "notes.txt").write_text("x")
        assert fingerprint(tmp_path) == before

    @pytest.mark.parametrize("name", ["10-small.yaml", "20-new.yaml"])
    def test_sees_content(self, tmp_path: Path, name: str) -> None:
        before = fingerprint(write(tmp_path))
        (tmp_path / name).write_text(f"{PROFILE}description: x\n")
        assert fingerprint(tmp_path) != before

    def test_sees_a_swapped_link(self, tmp_path: Path) -> None:
        """A mounted ConfigMap changes by pointing a link elsewhere."""
        for version in ("one", "two"):
            (tmp_path / version).mkdir()
            write(tmp_path / version, p10_small=f"{PROFILE}description: {version}\n")
        link = tmp_path / "link"
        link.symlink_to("one")
        before = fingerprint(link)
        link.unlink()
        link.symlink_to("two")
        assert fingerprint(link) != before

    def test_of_what_cannot_be_read(self, tmp_path: Path) -> None:
        directory = tmp_path / "later"
        before = fingerprint(directory)
        directory.mkdir()
        (directory / "10-x.yaml").symlink_to("nowhere")
        broken = fingerprint(directory)
        (directory / "nowhere").write_text(PROFILE)
        assert len({before, broken, fingerprint(directory)}) == 3


class TestMapping:
    def problems(self, changes: dict[str, Any]) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read_mapping({**documents(), **changes})
        return [str(problem) for problem in caught.value.problems]

    def test_has_the_parts_of_a_directory(self) -> None:
        catalog = read_mapping(documents())
        assert [profile.slug for profile in catalog.profiles] == ["cpu", "gpus", "slices"]

    def test_a_profile_without_number_comes_last(self) -> None:
        entry = {"display_name": "X", "images": ("base",)}
        catalog = read_mapping({**documents(), "another": entry})
        assert catalog.profiles[-1].slug == "another"

    def test_problems_name_the_trait_and_the_key(self) -> None:
        (problem,) = self.problems({"20-gpus": {"display_name": 5, "images": ["torch"]}})
        assert problem == (
            "c.GPUSpawner.profiles: 20-gpus.display_name: got 5; a text is expected. "
            "Put it in quotes."
        )

    def test_names_that_are_no_part_of_a_catalog(self) -> None:
        assert self.problems({"Small Profile": {}, 5: {}})[1] == (
            "c.GPUSpawner.profiles: Small Profile: names no part of a catalog. Name a profile with "
            "a number and at most 40 small letters, digits and dashes, such as 20-pytorch-gpus."
        )

    @pytest.mark.parametrize("entry", [None, [], "x", 5])
    def test_entries_that_are_no_mapping(self, entry: Any) -> None:
        (problem,) = self.problems({"20-gpus": entry})
        assert problem.endswith("a mapping of plain values is expected.")

    def test_an_endless_mapping_is_told(self) -> None:
        endless: dict[str, Any] = {}
        endless["a"] = endless
        (problem,) = self.problems(
            {"20-gpus": {"display_name": "x", "images": ["torch"], "kubespawner_override": endless}}
        )
        assert problem == (
            "c.GPUSpawner.profiles: 20-gpus: is larger than 20,000 values or 30 levels. Shorten it."
        )

    def test_files_and_mapping_make_one_catalog(self, tmp_path: Path) -> None:
        """Flavors and images of one are known to profiles of the other."""
        write(tmp_path)
        catalog = read_catalog(
            directory=tmp_path, mapping={"20-inline": {"display_name": "I", "images": ["base"]}}
        )
        assert [profile.slug for profile in catalog.profiles] == ["small", "inline"]

    def test_one_name_in_both_is_told(self, tmp_path: Path) -> None:
        write(tmp_path)
        with pytest.raises(ConfigError) as caught:
            read_catalog(directory=tmp_path, mapping={"images": documents()["images"]})
        assert str(caught.value) == (
            "c.GPUSpawner.profiles: images.base: the image 'base' is already defined. Remove one."
        )


def test_the_shipped_catalog_is_read() -> None:
    catalog = read_directory(SHIPPED)
    assert [profile.slug for profile in catalog.profiles] == [
        "data-science-cpu",
        "pytorch-gpus",
        "pytorch-research",
        "gpu-slice",
        "gpu-memory",
        "slice-on-demand",
        "llm-fine-tuning",
        "llm-inference",
        "big-gpu",
        "experiments",
    ]
    assert catalog.default_profile is catalog.profiles[0]


def test_one_mistake_does_not_hide_another(tmp_path: Path) -> None:
    """Wrong amounts, keys and counts leave what must agree with other files to be checked."""
    flavors = "h100:\n  display_name: H100\n  node_labels: {gpu: h100}\n"
    profile = (
        "images: [bas]\n"
        "colour: red\n"
        "gpu:\n"
        "  - {flavors: [h10], share: whole, count: [0]}\n"
        "  - {flavors: [h100], share: whole, count: 1}\n"
        "resources: {cpu: {request: 8, limit: 4}, memory: {request: lots, limit: 1Gi}}\n"
        "kubespawner_override: {image: x}\n"
    )

    found = problems_of(write(tmp_path, flavors=flavors, p10_small=profile))

    assert [text.split(": ")[:2] for text in found] == [
        ["10-small.yaml", "display_name"],
        ["10-small.yaml:1", "images[0]"],
        ["10-small.yaml:2", "colour"],
        ["10-small.yaml:4", "gpu[0].count[0]"],
        ["10-small.yaml:4", "gpu[0].flavors[0]"],
        ["10-small.yaml:6", "resources.cpu"],
        ["10-small.yaml:6", "resources.memory.request"],
        ["10-small.yaml:7", "kubespawner_override.image"],
    ]


@pytest.mark.parametrize(
    "wrong", ["gpu: 7\n", "gpu: [[]]\n", "images: 3\n", "gpu: {share: {mig: []}}\n", "7: x\n"]
)
def test_nothing_is_told_of_what_stands_in_for_a_mistake(tmp_path: Path, wrong: str) -> None:
    found = problems_of(write(tmp_path, p10_small=f"display_name: A\n{wrong}"))

    assert found
    assert not any("'-'" in text for text in found)


def test_a_directory_that_is_named_as_a_profile_is_told(tmp_path: Path) -> None:
    """It is what mounting a file that is not there leaves behind."""
    write(tmp_path, p05_first=PROFILE)
    (tmp_path / "27-more.yaml").mkdir()
    before = fingerprint(tmp_path)
    assert problems_of(tmp_path) == [
        "27-more.yaml: is a directory; a file is expected. Check what is mounted."
    ]
    (tmp_path / "27-more.yaml").rmdir()
    assert fingerprint(tmp_path) != before
