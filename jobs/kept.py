"""How much is kept of what a cell gives: its beginning and its end, and how much was between them.

The executed copy is opened by people, and written anew after each cell.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

KEPT = 1_000_000  # characters of a cell's texts
END = 100_000  # of which are its end
DRAWN = 10 * KEPT  # characters of what a cell draws, which is kept whole or not at all


def cut(text: str, kept: int = KEPT) -> str:
    """A text that stands alone: its beginning and its end, and what is between them as a number."""
    if len(text) <= kept:
        return text
    end = min(END, kept // 2)
    return f"{text[: kept - end]}{left_out(len(text) - kept)}{text[len(text) - end :]}"


def left_out(characters: int) -> str:
    """The line that stands where so many are not kept."""
    return f"\n… {characters:,} characters of what this cell gave are not kept …\n"


class Kept:
    """What is kept of one cell, told piece by piece. The pieces that come when there is no room any more are its end, as text."""

    def __init__(self) -> None:
        self._room, self._canvas = KEPT - END, DRAWN
        self._held: dict[str, tuple[int, int]] = {}  # by a display's id
        self._end, self._gone = "", 0

    def printed(self, text: str) -> str:
        """As much of a printed text as is kept in its place."""
        head = text[: self._room]
        self._room -= len(head)
        self._ends_with(text[len(head) :])
        return head

    def shown(self, data: Mapping[str, object], display_id: str = "") -> dict[str, object] | None:
        """A value in its representations, texts cut; None where it is left out. What was shown under the same id before makes room for it."""
        texts, drawn = self._held.pop(display_id, (0, 0))
        self._room, self._canvas = self._room + texts, self._canvas + drawn
        kept = {kind: value for kind, value in data.items() if not _is_text(kind, value)}
        drawn = sum(len(value if isinstance(value, str | bytes) else json.dumps(value, default=str)) for value in kept.values())
        if drawn > self._canvas:
            self._gone += drawn
            kept, drawn = {}, 0
        written = {kind: str(value) for kind, value in data.items() if _is_text(kind, value)}
        whole = sum(map(len, written.values()))
        if whole > self._room <= END:
            plain = written.get("text/plain", "")
            self._gone += whole + drawn - len(plain)
            self._ends_with(plain)
            return None
        if whole > self._room:
            written = {kind: cut(text, self._room // len(written)) for kind, text in written.items()}
        size = min(whole, self._room)
        self._room, self._canvas = self._room - size, self._canvas - drawn
        if display_id:
            self._held[display_id] = (size, drawn)
        return kept | written

    def last(self) -> str:
        """What is to stand at the end of the cell."""
        return f"{left_out(self._gone) if self._gone else ''}{self._end}"

    def _ends_with(self, text: str) -> None:
        whole = self._end + text
        self._gone += max(0, len(whole) - END)
        self._end = whole[-END:]


def _is_text(kind: str, value: object) -> bool:
    return kind.startswith("text/") and isinstance(value, str)
