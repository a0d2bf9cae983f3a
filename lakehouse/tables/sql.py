"""SQL with time travel: a bare table name becomes that table at the version that the lake reads by default."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
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
    that was the newest at a time; and whether a name is a temporary view's."""

    path: Callable[[str], str]
    default: Callable[[str], int]
    checked: Callable[[str, int], int]
    at_time: Callable[[str, str], int]
    is_view: Callable[[str], bool]


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
    tables = [(found, name) for found in query.find_all(exp.Table) if (name := _of_the_catalog(found, inner, places)) is not None]
    aliases = {id(found): _alias(found, tables) for found, _ in tables}
    _name_columns(query, tables, aliases)
    for found, name in tables:
        number = _number(name, found.args.get("version"), places)
        there = exp.Table(
            this=exp.to_identifier(places.path(name), quoted=True),
            db=exp.to_identifier("delta"),
            version=exp.Version(this="VERSION", kind="AS OF", expression=exp.Literal.number(number)),
        )
        alias = found.args.get("alias") or exp.TableAlias(this=exp.to_identifier(aliases[id(found)]))
        more = {part: found.args[part] for part in ("joins", "laterals", "sample", "pivots") if found.args.get(part)}
        if "sample" in more or "pivots" in more:  # these and a version are not taken together
            found.replace(exp.Subquery(this=exp.select("*").from_(there), alias=alias, **more))
        else:
            there.set("alias", alias)
            for part, value in more.items():
                there.set(part, value)
            found.replace(there)
    return query.sql(dialect="databricks")


def _of_the_catalog(found: exp.Table, inner: Collection[str], places: Places) -> str | None:
    """Which table of the catalog is meant; None for a CTE, a temporary view, a path, and what a hint names. Raises `UnknownName`."""
    named = found.name.lower()
    if not named or found.db.lower() == "delta" or found.find_ancestor(exp.Hint) is not None:
        return None
    if not found.db and (named in inner or places.is_view(found.name)):
        return None
    return catalog.table(f"{found.db.lower()}.{named}" if found.db else named).name


def _alias(found: exp.Table, tables: Sequence[tuple[exp.Table, str]]) -> str:
    """What its columns are called by: its alias, or its name without the layer; with it, where another table of the same SELECT has that name too."""
    beside = [other for other, _ in tables if other.parent_select is found.parent_select and other is not found]
    if any(not other.alias and other.name.lower() == found.name.lower() for other in beside):
        return f"{found.db}_{found.name}".lower()
    return str(found.alias_or_name)


def _name_columns(query: exp.Query, tables: Sequence[tuple[exp.Table, str]], aliases: Mapping[int, str]) -> None:
    """Columns that name the table with its layer (`silver.sales.quantity`) get its alias: the engine knows it by no other name."""
    for column in list(query.find_all(exp.Column)):
        if not column.db:
            continue
        name, select = f"{column.db}.{column.table}".lower(), column.parent_select
        while select is not None:
            found = next((one for one, its in tables if its == name and not one.alias and one.parent_select is select), None)
            if found is not None:
                column.set("table", exp.to_identifier(aliases[id(found)]))
                column.set("db", None)
                break
            select = select.parent_select


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
    is_time, said = str(asked.this).upper() == "TIMESTAMP", asked.expression
    while isinstance(said, exp.Paren) or (is_time and isinstance(said, exp.Cast)):
        said = said.this
    if not isinstance(said, exp.Literal) or not (is_time or said.name.isdigit()):
        what = "TIMESTAMP AS OF takes a time as text" if is_time else "a version is a whole number"
        raise InputError(
            f"{name} {'TIMESTAMP' if is_time else 'VERSION'} AS OF {asked.expression.sql('databricks')}: {what}, and nothing is computed there."
            f" Versions: zeromargin history {name}"
        )
    return places.at_time(name, said.name) if is_time else places.checked(name, int(said.name))
