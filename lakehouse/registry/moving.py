"""What in a home says where the home is, told anew after it was brought elsewhere: MLflow's absolute paths, and where notebooks lie."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lakehouse.databases import damage, is_database

_ENDS = r"""(?=[/"'\\]|$)"""  # a longer name that begins alike is another place; within JSON a quote may be escaped
_BEGINS = r"""(?:^|(?<=["']))"""


def move(draft: Path, old: str, new: Path) -> None:
    """Makes the files in `draft`, which said that they lie in `old`, say that they lie in `new`. The lease under which they were copied is ended.

    What only tells how something came about stays as it was written: Delta's logs, executed notebooks.
    """
    files = [file for file in draft.rglob("*") if file.is_file()]
    # That of runs may have another name, and lie elsewhere in the home. One that is damaged stays as it was backed up.
    databases = [file for file in files if is_database(file) and not damage(file, thorough=True)]
    mlflow = draft / "mlflow.db"
    moved = rewriter({Path(old), *(_homes_before(mlflow) if mlflow in databases else ())}, new)
    for database in databases:
        with closing(sqlite3.connect(database)) as connection, connection:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'leases'").fetchone():
                connection.execute("DELETE FROM leases")
            _rewrite(connection, moved)
    for described in (draft / "mlartifacts").rglob("MLmodel"):
        described.write_text(moved(described.read_text(encoding="utf-8")), encoding="utf-8")


def rewriter(olds: Iterable[Path], new: Path) -> Callable[[str], str]:
    """What gives a text back with the old homes' paths made the new one's, each place looked at once.

    A path begins a value, or follows a quote; as a URI it follows `file://`. The longest is tried first: one home may lie below another.
    """
    ordered = sorted(set(olds), key=lambda one: len(str(one)), reverse=True)
    plain = "|".join(re.escape(str(one)) for one in ordered)
    uris = "|".join(re.escape(one.as_uri()) for one in ordered)
    pattern = re.compile(f"(?P<uri>(?:{uris}){_ENDS})|{_BEGINS}(?:{plain}){_ENDS}")
    return lambda text: pattern.sub(lambda found: new.as_uri() if found["uri"] else str(new), text)


def _rewrite(connection: sqlite3.Connection, moved: Callable[[str], str]) -> None:
    """Every text of every table."""
    connection.create_function("moved", 1, moved, deterministic=True)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        for _, column, *_ in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
            is_elsewhere = f"""typeof("{column}") = 'text' AND "{column}" <> moved("{column}")"""
            connection.execute(f'UPDATE "{table}" SET "{column}" = moved("{column}") WHERE {is_elsewhere}')


def _homes_before(mlflow: Path) -> set[Path]:
    """Where the home was when its models were registered, if it has been moved since."""
    with closing(sqlite3.connect(mlflow)) as connection:
        places = [place for (place,) in connection.execute("SELECT storage_location FROM model_versions") if place]
    paths = [unquote(urlsplit(place).path).rpartition("/mlartifacts/") for place in places]
    return {Path(before) for before, found, _ in paths if found}
