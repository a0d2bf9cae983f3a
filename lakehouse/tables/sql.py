"""SQL with time travel: a bare table name becomes that table at the version that the lake reads by default."""

from __future__ import annotations

from collections.abc import Callable

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError

from lakehouse.errors import InputError
from lakehouse.tables import catalog


def with_versions(text: str, path: Callable[[str], str], version: Callable[[str], int]) -> str:
    """`text` with every table of the catalog replaced by its folder and a version number.

    `… FROM silver.sales VERSION AS OF 3` keeps its number; without one it gets `version(name)`. Names of CTEs are left alone. Raises
    `InputError` for what is not one SELECT, `UnknownName` for a table that the catalog lacks.
    """
    try:
        parsed = sqlglot.parse(text, dialect="databricks")
    except ParseError as error:
        raise InputError(f"this SQL can't be read: {error}") from None
    if len(parsed) != 1 or not isinstance(parsed[0], exp.Query):
        raise InputError("lake.sql takes one SELECT. Tables are written by the stages alone")
    query = parsed[0]
    inner = {cte.alias for cte in query.find_all(exp.CTE)}
    for found in list(query.find_all(exp.Table)):
        if not found.db and found.name in inner:
            continue
        if found.db == "delta" or not found.name:
            continue
        name = catalog.table(f"{found.db}.{found.name}" if found.db else found.name).name
        asked = found.args.get("version")
        number = version(name) if asked is None else _number(asked)
        found.replace(
            exp.Table(
                this=exp.to_identifier(path(name), quoted=True),
                db=exp.to_identifier("delta"),
                alias=found.args.get("alias") or exp.TableAlias(this=exp.to_identifier(found.name)),
                version=exp.Version(this="VERSION", kind="AS OF", expression=exp.Literal.number(number)),
                joins=found.args.get("joins"),
            )
        )
    return query.sql(dialect="databricks")


def _number(asked: exp.Version) -> int:
    if str(asked.this).upper() != "VERSION":
        raise InputError("write VERSION AS OF a number, or use lake.at(day) for the lake as it was then")
    return int(asked.expression.name)
