"""What is kept of a cell that gives much, and of a log that is told much."""

from __future__ import annotations

import os
from pathlib import Path

from jobs import stage_log
from jobs.kept import DRAWN, END, KEPT, Kept, cut, left_out


def test_a_long_text_keeps_its_beginning_and_its_end_and_says_what_is_between() -> None:
    assert cut("short") == "short"
    assert cut("a" * KEPT + "b" * KEPT) == "a" * (KEPT - END) + left_out(KEPT) + "b" * END
    assert left_out(29_000_000) == "\n… 29,000,000 characters of what this cell gave are not kept …\n"


def test_what_is_printed_piece_by_piece_keeps_its_beginning_and_its_end() -> None:
    kept = Kept()
    begun = "".join(kept.printed(f"{number:>999}\n") for number in range(30_000))

    assert begun.startswith(" ") and len(begun) == KEPT - END
    assert kept.last() == left_out(30_000_000 - KEPT) + "".join(f"{number:>999}\n" for number in range(29_900, 30_000))


def test_nothing_is_left_out_of_what_just_fits() -> None:
    kept = Kept()
    assert kept.printed("a" * KEPT) + kept.last() == "a" * KEPT


def test_many_displays_are_together_no_more_than_one() -> None:
    kept = Kept()
    shown = [kept.shown({"text/plain": f"{number}" * 400_000, "text/html": "<b>" * 100_000}) for number in range(9)]

    assert [one is not None for one in shown] == [True, True, *[False] * 7]
    assert sum(len(str(text)) for one in shown if one for text in one.values()) < KEPT
    assert kept.last() == left_out(7 * 700_000 - END) + "8" * END


def test_a_display_makes_room_for_what_takes_its_place() -> None:
    kept = Kept()
    assert all(kept.shown({"text/html": "<progress>" * 10_000}, "bar") for _ in range(100))
    assert not kept.last()


def test_what_is_drawn_is_kept_whole_or_not_at_all() -> None:
    kept, picture = Kept(), "A" * (DRAWN // 2)
    two = [kept.shown({"image/png": picture, "text/plain": "<Figure>"}) for _ in range(2)]

    assert two == [{"image/png": picture, "text/plain": "<Figure>"}] * 2
    assert kept.shown({"image/png": "A", "text/plain": "<Figure>"}) == {"text/plain": "<Figure>"}
    assert kept.last() == left_out(1)


def test_a_log_that_is_told_much_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    log, (said, say) = tmp_path / "stage.log", os.pipe()
    log.write_bytes(b"from an earlier try\n")
    reader = stage_log.follow(said, log)
    with os.fdopen(say, "wb") as lines:
        for number in range(10_000):
            lines.write(b"%999d\n" % number)
    reader.join()

    kept = log.read_bytes()
    gone = stage_log.CUT.search(kept)
    assert gone and int(gone[1]) + len(kept) - len(gone[0]) == 10_000_020
    assert stage_log.BEGINNING + stage_log.END <= len(kept) <= stage_log.BEGINNING + 2 * stage_log.END
    assert kept.startswith(b"from an earlier try\n") and kept.endswith(b" 9999\n")
