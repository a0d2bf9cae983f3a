"""Some of the rows that fail a rule, for people to look at. No column that could point at a person is among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.quality import landed
from lakehouse.quality.config import Quality
from lakehouse.quality.report import Example
from lakehouse.quality.scope import Scope
from lakehouse.quality.suites import QUARANTINE, Ask
from lakehouse.tables import catalog

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from lakehouse.tables import Lake


def of(ask: Ask, lake: Lake, scope: Scope, quality: Quality) -> tuple[Example, ...]:
    """Rows that fail what was asked, in a fixed order; none where single rows don't."""
    found = _failing(ask, lake, scope)
    if found is None:
        return ()
    shown = [name for name in found.columns if name not in quality.personal and name != "_run"]
    rows = found.select(*shown).orderBy(*shown).limit(quality.examples).toArrow().to_pylist()
    return tuple({name: str(value) for name, value in row.items() if value is not None} for row in rows)


def _failing(ask: Ask, lake: Lake, scope: Scope) -> DataFrame | None:
    table = catalog.table(ask.table)
    rows = lake.read(ask.table).where(scope.of_table(ask.table))
    if ask.breaks is not None:
        return rows.where(ask.breaks)
    if ask.rule == "key_unique":
        repeated = rows.groupBy(*table.key).count().where("count > 1").drop("count")
        return rows.join(repeated, list(table.key), "left_semi")
    if ask.rule == "no_line_lost":
        return landed.whereabouts(lake, scope).where(landed.LOST)
    if ask.rule == "no_line_in_both":
        return landed.whereabouts(lake, scope).where(landed.IN_BOTH)
    if ask.table == QUARANTINE and ask.rule.startswith("refused_share"):
        reason = ask.rule.removeprefix("refused_share").removeprefix("_")
        mine = rows.where(scope.of_files("file_digest"))
        return mine.where(f"array_contains(reasons, '{reason}')") if reason else mine
    return None
