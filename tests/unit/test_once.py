"""A copy of a home that somebody else has open holds what was committed, and nothing is missed that comes and goes beside a database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.once import copy_home


def test_what_lies_in_a_databases_log_is_in_the_copy_and_the_log_is_not(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "below").mkdir(parents=True)
    (home / "below" / "notes.txt").write_text("kept", encoding="utf-8")
    with closing(sqlite3.connect(home / "ops.db")) as open_writer:
        open_writer.execute("PRAGMA journal_mode = WAL")
        open_writer.execute("CREATE TABLE held (value INTEGER)")
        open_writer.execute("INSERT INTO held VALUES (7)")
        open_writer.commit()
        assert (home / "ops.db-wal").stat().st_size > 0
        copy_home(home, tmp_path / "copy")
    assert sorted(str(file.relative_to(tmp_path / "copy")) for file in (tmp_path / "copy").rglob("*")) == [
        "below",
        "below/notes.txt",
        "ops.db",
    ]
    with closing(sqlite3.connect(tmp_path / "copy" / "ops.db")) as copied:
        assert copied.execute("SELECT value FROM held").fetchall() == [(7,)]
