"""However a stream was chopped up, the same lines come out."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_spawner.kube.lines import LineSplitter, LineTooLongError


@given(
    lines=st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), max_size=10),
    cuts=st.lists(st.integers(0, 250), max_size=10),
    unfinished=st.binary(max_size=5).map(lambda line: line.replace(b"\n", b"")),
)
def test_lines_do_not_depend_on_the_chunks(lines, cuts, unfinished):
    stream = b"".join(line + b"\n" for line in lines) + unfinished
    marks = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    splitter = LineSplitter(100)
    found = []
    for start, end in pairwise(marks):
        found += splitter.feed(stream[start:end])
    assert found == [line for line in lines if line]


def test_a_line_without_end_is_refused():
    splitter = LineSplitter(10)
    assert splitter.feed(b"12345") == []
    with pytest.raises(LineTooLongError, match="more than 10 bytes"):
        splitter.feed(b"678901")


def test_many_small_pieces_cost_no_more_than_their_bytes():
    """A quadratic splitter would need minutes for this."""
    splitter = LineSplitter(10_000_000)
    for _ in range(1_000_000):
        splitter.feed(b"xxxxx")
    (line,) = splitter.feed(b"\n")
    assert len(line) == 5_000_000
