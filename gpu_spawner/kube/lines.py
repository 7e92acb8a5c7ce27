"""Cut a byte stream into lines, however it was chopped up on the way.

A watch is one JSON document a line. The network delivers it in pieces of any size: half a line,
ten lines and a half, one line in a thousand pieces. It neither reads nor decodes anything.
"""

__all__ = ["LineSplitter", "LineTooLongError"]


class LineTooLongError(ValueError):
    """A line grew beyond the limit before its end was seen."""


class LineSplitter:
    """Collect chunks, give out whole lines; the cost is linear in the bytes fed.

    Args:
        longest_line_bytes: a line longer than this raises ``LineTooLongError``, so that a peer
            that never ends a line cannot eat the memory of the hub.
    """

    __slots__ = ("_limit", "_pieces", "_size")

    def __init__(self, longest_line_bytes: int) -> None:
        self._limit = longest_line_bytes
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next chunk and return the lines it completes, without their line ends.

        Empty lines are left out: they carry nothing.

        Raises:
            LineTooLongError: the unfinished line is longer than the limit.
        """
        *ended, rest = chunk.split(b"\n")
        if ended and self._pieces:
            self._pieces.append(ended[0])
            ended[0] = b"".join(self._pieces)
            self._pieces.clear()
            self._size = 0
        if rest:
            self._pieces.append(rest)
            self._size += len(rest)
            if self._size > self._limit:
                raise LineTooLongError(
                    f"a line of the watch has more than {self._limit} bytes and no end"
                )
        return [line for line in ended if line]
