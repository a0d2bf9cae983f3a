"""Splits lines in one pass: good ones go on, refused ones go to quarantine with the names of the rules that they broke."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lakehouse.errors import UnknownName
from lakehouse.tables import catalog

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from lakehouse.quality.rules import RowRule

TABLE = "quarantine.sales"
CONFLICT = "conflicting_copy"  # of a line that is there already, with other values
CORRECTED = "corrected"  # by somebody, whose correction is in bronze


def split_rows(frame: DataFrame, rules: Sequence[RowRule]) -> tuple[DataFrame, DataFrame]:
    """(good, refused): every line of `frame` (columns of bronze.sales, more are allowed) is in exactly one of the two.

    good: the columns of `frame` without `reasons`. refused: the columns of quarantine.sales without `_run`; `reasons` has the sorted
    names of the broken rules. A line that the door refused keeps the door's reasons and the stage "door"; silver's rules don't judge it.
    Raises `UnknownName` when a rule reads a column that `frame` does not have.
    """
    from pyspark.sql import functions as F

    columns = frame.columns
    for rule in rules:
        for column in sorted(rule.columns - set(columns)):
            raise UnknownName("column", column, columns, where=f'the lines that rule "{rule.name}" judges')
    at_door = F.coalesce(F.size("reasons") > 0, F.lit(False))
    # Few lines are refused, so the rules that a line breaks are named for those alone. By words, one choice within the other, since Sail makes
    # an AND of any other way to say it, and evaluates both its sides. As SQL, since Spark's client nests columns no deeper than a hundred.
    keeps_all = F.expr(" AND ".join(map(_keeps, rules)) or "true")
    standing = F.when(at_door, "door").otherwise(F.when(keeps_all, "good").otherwise("silver"))
    refused = frame.where(standing != "good").withColumns(
        {
            "stage": F.when(at_door, F.lit("door")).otherwise(F.lit("silver")),
            "reasons": F.when(at_door, F.array_sort("reasons")).otherwise(_broken(rules)),
        }
    )
    return frame.where(standing == "good").drop("reasons"), refused.select(*_quarantined_names())


def _keeps(rule: RowRule) -> str:
    return f"coalesce({rule.expression}, false)"


def _broken(rules: Sequence[RowRule]) -> Column:
    from pyspark.sql import functions as F

    def name_if_broken(rule: RowRule) -> Column:
        return F.when(F.expr(_keeps(rule)), F.lit(None)).otherwise(F.lit(rule.name))

    # Written in order of name, so that the array need not be sorted line by line.
    names = [name_if_broken(rule) for rule in sorted(rules, key=lambda rule: rule.name)]
    if not names:
        return F.array().cast("array<string>")
    return F.array_compact(F.array(*names))


def _quarantined_names() -> list[str]:
    return [name for name in catalog.table(TABLE).column_names if name != "_run"]
