"""SQL with time travel: a bare table name becomes that table at the version that the lake reads by default."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lakehouse.errors import InputError
from lakehouse.tables import catalog

_TOKEN = re.compile(r"<Token .*>", re.DOTALL)


@dataclass(frozen=True)
class Places:
    """Where tables are found: a table's folder, the version that it is read at by default, a version that must be there, and the version
    that was the newest at a time."""

    path: Callable[[str], str]
    default: Callable[[str], int]
    checked: Callable[[str, int], int]
    at_time: Callable[[str, str], int]


def with_versions(text: str, places: Places) -> str:
    """`text` with every table of the catalog replaced by its folder and a version number.

    `… FROM silver.sales VERSION AS OF 3` keeps its number, `TIMESTAMP AS OF '2026-11-25 08:00'` (UTC) gets that of the version that was the
    newest then, and a bare name the default one. Names of CTEs are left alone. Raises `InputError` for what is not one SELECT, `UnknownName`
    for a table that the catalog lacks, `StateError` for a version that is not there.
    """
    # What it does not know it warns of on standard error; whoever asked is told in our own words.
    logging.getLogger("sqlglot").disabled = True
    try:
        parsed = sqlglot.parse(text, dialect="databricks")
    except SqlglotError as error:
        raise InputError(f"this SQL can't be read: {_plain(error)}") from None
    if len(parsed) != 1 or not isinstance(parsed[0], exp.Query):
        raise InputError("lake.sql takes one SELECT. Tables are written by the stages alone")
    query = parsed[0]
    inner = {cte.alias.lower() for cte in query.find_all(exp.CTE)}
    for found in list(query.find_all(exp.Table)):
        if not found.db and found.name.lower() in inner:
            continue
        if found.db.lower() == "delta" or not found.name:
            continue
        name = catalog.table((f"{found.db}.{found.name}" if found.db else found.name).lower()).name
        number = _number(name, found.args.get("version"), places)
        there = exp.Table(
            this=exp.to_identifier(places.path(name), quoted=True),
            db=exp.to_identifier("delta"),
            version=exp.Version(this="VERSION", kind="AS OF", expression=exp.Literal.number(number)),
        )
        alias = found.args.get("alias") or exp.TableAlias(this=exp.to_identifier(found.name))
        more = {part: found.args[part] for part in ("joins", "laterals", "sample", "pivots") if found.args.get(part)}
        if "sample" in more or "pivots" in more:  # these and a version are not taken together
            found.replace(exp.Subquery(this=exp.select("*").from_(there), alias=alias, **more))
        else:
            there.set("alias", alias)
            for part, value in more.items():
                there.set(part, value)
            found.replace(there)
    return query.sql(dialect="databricks")


def _plain(error: SqlglotError) -> str:
    """What the parser says, without the marks that it colours a terminal with and the names of its own parts."""
    found = next(iter(getattr(error, "errors", ())), None)
    if found is None:
        return str(error)
    said = _TOKEN.sub(f'"{found["highlight"]}"', found["description"])
    return (
        f'{said}, at line {found["line"]}, column {found["col"]}, near "{found["start_context"]}{found["highlight"]}{found["end_context"]}"'
    )


def _number(name: str, asked: exp.Version | None, places: Places) -> int:
    if asked is None:
        return places.default(name)
    said = asked.expression.name
    if str(asked.this).upper() == "TIMESTAMP":
        return places.at_time(name, said)
    if not said.isdigit():
        raise InputError(f"{name} VERSION AS OF {asked.expression.sql()}: a version is a number. Versions: zeromargin history {name}")
    return places.checked(name, int(said))
