"""What came of files that lay in an inbox, one by one and over several looks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Picked:
    """One file, by its place in the inbox: lines that landed, how many of them were `refused`, whether it had landed before, what it or the table
    beside `lacks`, why it is `kept` though it landed (`later`: some of its lines are later than the clock), or what is wrong: with the file itself
    (`rejected`), or with something else, so that it waits. `fresh`: why it was only looked at, though nothing is wrong."""

    file: str
    lines: int = 0
    refused: int = 0
    already: bool = False
    lacks: str = ""
    kept: str = ""
    later: bool = False
    rejected: str = ""
    waits: str = ""
    fresh: str = ""


@dataclass
class Tally:
    """What came of an inbox over several looks at it: what landed and what was rejected adds up, what waits is told as of the last look."""

    files: int = 0
    lines: int = 0
    refused: int = 0
    kept: int = 0
    later: int = 0
    rejected: int = 0
    waiting: int = 0
    fresh: int = 0

    def look(self) -> None:
        self.waiting = self.fresh = 0

    def note(self, one: Picked) -> None:
        self.rejected, self.waiting, self.fresh = (
            self.rejected + bool(one.rejected),
            self.waiting + bool(one.waits),
            self.fresh + bool(one.fresh),
        )
        if one.lines or not (one.rejected or one.waits or one.fresh):  # one that grew meanwhile has landed, and waits
            self.files, self.lines, self.refused = self.files + 1, self.lines + one.lines, self.refused + one.refused
            self.kept, self.later = self.kept + bool(one.kept), self.later + one.later

    @property
    def went_well(self) -> bool:
        """Whether nothing waits for somebody. Single lines that were refused are no fault of a turn, as they are none of a load: the gates of the
        run judge how many there may be."""
        return not (self.later or self.rejected or self.waiting)

    @property
    def is_empty(self) -> bool:
        return self == Tally()

    @property
    def told(self) -> str:
        """In a line. No file is named: a name may hold a customer's number, and this is kept."""
        told = f"{self.files:,} files landed ({self.lines:,} lines{f', {self.refused:,} of them refused' if self.refused else ''})"
        told += f", {self.kept:,} of them kept for lines that were refused" if self.kept else ""
        told += f" ({self.later:,} for lines later than the clock)" if self.later else ""
        told += f", {self.rejected:,} rejected" if self.rejected else ""
        told += f", {self.waiting:,} wait for something" if self.waiting else ""
        return told + (f", {self.fresh:,} not settled yet" if self.fresh else "")
