"""Row rules: what a line must be to go on from bronze to silver. Said in conf/base/quality.yml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lakehouse.errors import SettingsError, UnknownName
from lakehouse.tables import catalog
from lakehouse.tables.catalog import BRONZE


@dataclass(frozen=True)
class RowRule:
    """A line keeps the rule when `expression` (SQL over the columns of bronze.sales) is true; false and NULL break it."""

    name: str
    expression: str
    about: str

    @property
    def columns(self) -> frozenset[str]:
        """The columns that the expression reads."""
        return columns_of(self.name, self.expression)


def row_rules(listed: Mapping[str, tuple[str, str]]) -> tuple[RowRule, ...]:
    """The rules {name: (expression, about)} in order of name, each checked to be SQL over columns that bronze.sales has.

    Raises `SettingsError` for SQL that can't be parsed or looks at more than one line, `UnknownName` for a column that is not there.
    """
    known = catalog.table(BRONZE).column_names
    rules = tuple(RowRule(name, expression, about) for name, (expression, about) in sorted(listed.items()))
    for rule in rules:
        for column in sorted(rule.columns):
            if column not in known:
                raise UnknownName("column", column, known, where=f'rule "{rule.name}" of quality.yml')
        if found := _parsed(rule.name, rule.expression).find(exp.Window, exp.AggFunc, exp.Query):
            raise SettingsError(
                f'rule "{rule.name}" of quality.yml looks at other lines: {found.sql("spark")}. A row rule says what each line must be by itself'
            )
    return rules


def columns_of(rule: str, expression: str) -> frozenset[str]:
    """The columns that an SQL expression reads. Raises `SettingsError` naming `rule` where it can't be parsed."""
    return frozenset(column.name for column in _parsed(rule, expression).find_all(exp.Column))


def _parsed(rule: str, expression: str) -> exp.Expr:
    try:
        return sqlglot.parse_one(expression, read="spark")
    except SqlglotError as error:
        reason = str(error).splitlines()[0]
        raise SettingsError(f'rule "{rule}" of quality.yml is not SQL: {reason}. Expected an expression such as "quantity <> 0"') from None
