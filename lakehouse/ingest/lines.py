"""Delimited text, line by line: which lines are whole records, before a CSV parser sees them, so that no line can spoil another.

A parser that meets a quotation mark which is never closed swallows the lines after it. So records are told apart here: a line without
quotation marks by counting its delimiters, any other by matching it against what a record is. A record may go on over several lines if
its quotation marks say so and it closes within `MAX_JOINED` of them; else its first line is refused and the next one is looked at anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

MAX_LINE = 1 << 20  # bytes; a longer line is refused
MAX_JOINED = 50  # lines
RAGGED, UNREADABLE = "ragged_line", "bad_text"
_MAX_BLOCK = 64 << 20  # bytes
_CHUNK = 1 << 20
_LF, _CR, _QUOTE = 10, 13, 34


@dataclass(frozen=True)
class Block:
    """Lines of a file. `text` has the whole records alone, in UTF-8; `numbers` the number of each one's first line, the first line of the
    data being 1; `refused` the other lines, each with the reason. Blank lines count but are nothing."""

    text: bytes
    numbers: Ints
    refused: tuple[tuple[int, str], ...]


@dataclass
class Tally:
    """Of the lines that hold more than ASCII: how many fit the encoding, and how many do not."""

    fitting: int = 0
    unreadable: int = 0


@dataclass(frozen=True)
class _Layout:
    """Where the lines of a text are: line i is text[starts[i]:ends[i]], and the next begins at starts[i + 1]."""

    starts: Ints
    ends: Ints
    delimiters: Ints
    quotes: Ints
    beyond_ascii: Ints

    def __len__(self) -> int:
        return len(self.ends)


@dataclass
class Splitter:
    """Splits the lines of one file, each of which should have `width` fields."""

    width: int
    delimiter: str
    encodings: tuple[str, ...]
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self._mark = self.delimiter.encode()
        mark = re.escape(self._mark)
        one = rb'(?:"(?:[^"]|"")*+"|[^"\r\n%b][^\r\n%b]*+|)' % (mark, mark)
        self._record = re.compile(rb"%b(?:%b%b){%d}" % (one, mark, one, self.width - 1))
        self._open = re.compile(rb'(?:%b%b)*"(?:[^"]|"")*+' % (one, mark))

    def blocks(self, file: BinaryIO, max_lines: int, begun: bytes = b"") -> Iterator[Block]:
        """The rest of `file` after `begun`, in blocks of about `max_lines` lines."""
        whole, partial, lines, number, is_last = bytearray(), begun, 0, 1, False
        while not is_last:
            chunk = file.read(_CHUNK)
            is_last = not chunk
            partial += chunk
            cut = len(partial) if is_last else _last_break(partial)
            whole += partial[:cut]
            lines += partial.count(b"\n", 0, cut) or partial.count(b"\r", 0, cut)
            # What is cut off here belongs to a line that is refused for its length.
            partial = partial[cut : cut + MAX_LINE]
            if whole and (is_last or lines >= max_lines or len(whole) >= _MAX_BLOCK):
                block, used, number = self._split(bytes(whole), number, is_last)
                whole, lines = whole[used:], 0
                yield block

    def _split(self, text: bytes, number: int, is_last: bool) -> tuple[Block, int, int]:
        """One block, how many bytes of `text` it took, and the number of the line after it."""
        found = _layout(text, self._mark, is_last)
        lengths = found.ends - found.starts[:-1]
        plain = (found.quotes == 0) & (found.beyond_ascii == 0) & (found.delimiters == self.width - 1) & (lengths < MAX_LINE)
        whole = plain.copy()
        pieces: list[bytes] = []
        refused: list[tuple[int, str]] = []
        done, stop, after = 0, len(found), 0
        for line in np.flatnonzero(~plain & (lengths > 0)).tolist():
            if line < after:
                continue
            result, after = self._judge(text, found, line, is_last)
            if result is None:
                stop = line
                break
            pieces.append(text[done : found.starts[line]])
            done = int(found.starts[after])
            if isinstance(result, bytes):
                whole[line:after] = False
                whole[line] = True
                pieces.append(result + b"\n")
            elif result:
                refused.append((number + line, result))
        used = int(found.starts[stop])
        pieces.append(text[done:used])
        return Block(b"".join(pieces), np.flatnonzero(whole[:stop]) + number, tuple(refused)), used, number + stop

    def _judge(self, text: bytes, found: _Layout, line: int, is_last: bool) -> tuple[bytes | str | None, int]:
        """The record that begins at a line, in UTF-8, or why it is none ('' for a blank line), and the line after it.

        None where only the next block can tell.
        """
        raw = text[found.starts[line] : found.ends[line]]
        if len(raw) >= MAX_LINE:
            return RAGGED, line + 1
        readable = self._in_utf8(raw)
        if found.beyond_ascii[line]:
            self.tally.fitting += readable is not None
            self.tally.unreadable += readable is None
        if readable is None:
            return UNREADABLE, line + 1
        if self._record.fullmatch(readable):
            return readable, line + 1
        if not readable.strip():
            return "", line + 1
        if not found.quotes[line] or not self._open.fullmatch(readable):
            return RAGGED, line + 1
        last = min(line + MAX_JOINED, len(found))
        for end in range(line + 1, last):
            if not found.quotes[end]:
                continue
            joined = self._in_utf8(text[found.starts[line] : found.ends[end]])
            if joined is None:
                return RAGGED, line + 1
            if self._record.fullmatch(joined):
                return joined, end + 1
            if not self._open.fullmatch(joined):
                return RAGGED, line + 1
        if last == len(found) and not is_last and line + MAX_JOINED > len(found):
            return None, line
        return RAGGED, line + 1

    def _in_utf8(self, raw: bytes) -> bytes | None:
        if raw.isascii():
            return raw
        for encoding in self.encodings:
            try:
                return raw.decode(encoding).encode()
            except UnicodeDecodeError:
                continue
        return None


def _last_break(text: bytes) -> int:
    """Where the last whole line ends. A carriage return at the very end may have its line feed still to come."""
    return max(text.rfind(b"\n"), text.rfind(b"\r", 0, len(text) - 1)) + 1


def _layout(text: bytes, mark: bytes, is_last: bool) -> _Layout:
    octets = np.frombuffer(text, dtype=np.uint8)
    feeds = octets == _LF
    returns = octets == _CR
    breaks = feeds
    if returns.any():
        before_feed = np.append(feeds[1:], False)
        breaks = feeds | (returns & ~before_feed)
    ends = np.flatnonzero(breaks)
    starts = np.concatenate([[0], ends + 1])
    pairs = feeds[ends] & (ends > 0) & returns[np.maximum(ends - 1, 0)]
    ends = ends - pairs
    if is_last and starts[-1] < len(text):
        starts, ends = np.append(starts, len(text)), np.append(ends, len(text))

    def count(wanted: npt.NDArray[np.bool_]) -> Ints:
        found: Ints = np.diff(np.searchsorted(np.flatnonzero(wanted), starts)).astype(np.int64)
        return found

    return _Layout(starts, ends, count(octets == mark[0]), count(octets == _QUOTE), count(octets >= 0x80))
