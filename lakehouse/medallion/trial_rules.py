"""Row rules in DuckDB's SQL, as far as they mean there what they mean on an engine.

An engine and DuckDB differ in much that looks the same: on which day a week begins, what the capital of ß is, where a cast or a division fails. So a
rule is translated only where it is made of the few parts below, of which it is known that they do not (tests/scenarios/test_trial.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

import sqlglot
from sqlglot import exp

from lakehouse.quality.rules import RowRule
from lakehouse.tables import catalog
from lakehouse.tables.catalog import BRONZE

Kind = Literal["number", "text", "time", "flag", "key"]

_KINDS: dict[str, Kind] = {"bigint": "number", "decimal": "number", "string": "text", "timestamp": "time", "boolean": "flag"}
# Before a line lands something else stands in their places, so all that is known is whether they are there.
_KEYS = {"customer_key", "line_id", "file_digest"}
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")  # exact in both
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2}:[0-9]{2})?")
_TIMES = (exp.DataType.Type.DATE, exp.DataType.Type.TIMESTAMPTZ, exp.DataType.Type.TIMESTAMPNTZ)
_DIGITS = 28  # of decimals: their products hold, and so do the columns
_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)
_WHOLE = (exp.Column, exp.Boolean, exp.Paren, exp.Case, exp.If, exp.Coalesce)  # what no order of precedence takes apart
_FACTORS = (exp.Column, exp.Literal, exp.Neg, exp.Abs, exp.Paren)  # a product of more is rounded by the one and not by the other


def translated(rule: RowRule) -> str | None:
    """The rule's expression in DuckDB's SQL; None where only an engine can tell."""
    parsed = sqlglot.parse_one(rule.expression, read="spark")
    if "\\" in rule.expression or _kind(parsed) != "flag":  # a backslash means something in the one and nothing in the other
        return None
    return parsed.transform(_as_on_an_engine).sql(dialect="duckdb")


def _as_on_an_engine(node: exp.Expr) -> exp.Expr:
    """DuckDB trims more than spaces unless it is told what, holds times with a zone to its own, and gives the product of two numbers no more digits
    than 18 where they have no more."""
    if isinstance(node, exp.Trim):
        return exp.Trim(this=node.this, expression=exp.Literal.string(" "))
    if isinstance(node, exp.Cast) and node.to.this == exp.DataType.Type.TIMESTAMPTZ:
        return exp.cast(node.this, exp.DataType.Type.TIMESTAMP)
    if isinstance(node, exp.Column) and (places := _places(node)):
        return exp.cast(node.copy(), f"DECIMAL({_DIGITS}, {places})")
    return node


def _kind(node: exp.Expr) -> Kind | None:
    """Of what kind its values are; None where it, or a part of it, is not among those that mean the same."""
    if isinstance(node, exp.Paren):
        return _kind(node.this)
    if isinstance(node, exp.Column):
        return _of_column(node)
    if isinstance(node, exp.Literal | exp.Cast):
        return _of_literal(node)
    if isinstance(node, exp.Case | exp.If | exp.Coalesce):
        return _of_choice(node)
    if isinstance(node, exp.Add | exp.Sub | exp.Mul | exp.Neg | exp.Abs | exp.Length):
        return _of_number(node)
    if isinstance(node, exp.Trim):
        return "text" if _has(node, "this") and _kind(node.this) == "text" else None
    return "flag" if _is_flag(node) else None


def _is_flag(node: exp.Expr) -> bool:
    if isinstance(node, exp.And | exp.Or):
        return _kind(node.left) == _kind(node.right) == "flag"
    if isinstance(node, exp.Not):
        return _kind(node.this) == "flag"
    if isinstance(node, exp.Is):
        return isinstance(node.expression, exp.Null) and _kind(node.this) is not None
    if isinstance(node, _COMPARISONS):
        return _are_alike(node.left, node.right)
    if isinstance(node, exp.Between):
        return _has(node, "this", "low", "high") and _are_alike(node.this, node.args["low"], node.args["high"])
    if isinstance(node, exp.In):
        return _has(node, "this", "expressions") and _are_alike(node.this, *node.expressions)
    if isinstance(node, exp.Like):
        return (_has(node, "this", "expression") or _has(node, "this", "expression", "negate")) and _is_pattern(node)
    return isinstance(node, exp.Boolean)


def _is_pattern(node: exp.Like) -> bool:
    return isinstance(node.expression, exp.Literal) and node.expression.is_string and _kind(node.this) == "text"


def _are_alike(*nodes: exp.Expr) -> bool:
    """Whether they can be compared as they stand: neither casts, nor takes another's parts for its own."""
    kinds = {_kind(node) for node in nodes}
    if kinds == {"time", "text"}:
        return all(_kind(node) == "time" or _is_time(node) for node in nodes)
    return len(kinds) == 1 and not kinds & {None, "key"} and (kinds != {"flag"} or all(isinstance(node, _WHOLE) for node in nodes))


def _of_column(node: exp.Column) -> Kind | None:
    if node.table or node.name not in catalog.table(BRONZE).column_names:
        return None
    return "key" if node.name in _KEYS else _KINDS.get(catalog.table(BRONZE).type_of(node.name).partition("(")[0])


def _places(node: exp.Column) -> str:
    """After the point, of a decimal column."""
    found = re.fullmatch(r"decimal\([0-9]+,([0-9]+)\)", catalog.table(BRONZE).type_of(node.name))
    return found.group(1) if found else ""


def _of_literal(node: exp.Literal | exp.Cast) -> Kind | None:
    if isinstance(node, exp.Literal):
        return "text" if node.is_string else "number" if _NUMBER.fullmatch(node.name) else None
    return "time" if type(node) is exp.Cast and node.to.this in _TIMES and _is_time(node.this) else None


def _is_time(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and node.is_string and _TIME.fullmatch(node.name) is not None


def _of_choice(node: exp.Case | exp.If | exp.Coalesce) -> Kind | None:
    if isinstance(node, exp.Coalesce):
        return _one([node.this, *node.expressions]) if _has(node, "this", "expressions") else None
    if isinstance(node, exp.Case) and node.this is not None:
        return None
    branches = [node] if isinstance(node, exp.If) else node.args["ifs"]
    otherwise = node.args.get("false" if isinstance(node, exp.If) else "default")
    if any(_kind(branch.this) != "flag" for branch in branches):
        return None
    return _one([*(branch.args["true"] for branch in branches), *([] if otherwise is None else [otherwise])])


def _one(nodes: Iterable[exp.Expr]) -> Kind | None:
    """The kind that all of them are."""
    kinds = {_kind(node) for node in nodes}
    return kinds.pop() if len(kinds) == 1 else None


def _of_number(node: exp.Expr) -> Kind | None:
    if isinstance(node, exp.Length):
        return "number" if _has(node, "this") and _kind(node.this) == "text" else None
    parts = [node.left, node.right] if isinstance(node, exp.Binary) else [node.this]
    if any(_kind(part) != "number" for part in parts):
        return None
    if isinstance(node, exp.Mul) and not all(isinstance(part, _FACTORS) and not part.find(exp.Add, exp.Sub, exp.Mul) for part in parts):
        return None
    return "number"


def _has(node: exp.Expr, *names: str) -> bool:
    """Whether these parts are all that it is made of."""
    return {name for name, part in node.args.items() if part not in (None, False, [])} == set(names)
