"""What benchmarks say of what they measured: which bounds are met, when they fail, and whether two answers are the same."""

from __future__ import annotations

import itertools
import json
from argparse import Namespace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pytest

from benchmarks.answers import differing, digests
from benchmarks.by_hand import rules
from benchmarks.report import TIMES, Figure, Spread, table, tell
from lakehouse.medallion.trial_rules import translated
from lakehouse.quality import config

KINDS = {"code": "string", "day": "date", "units": "decimal(18,3)", "lines": "bigint", "names": "array<string>"}
ROWS = pl.DataFrame({"code": ["A", "B"], "day": [18_000, None], "units": [1.5, 2.25], "lines": [3, 4], "names": [["a", "b"], []]})


def test_a_missed_ratio_and_answers_that_differ_end_with_1_and_a_missed_time_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    options = Namespace(json=None)
    assert tell("x", options, [Figure("slow", 9, "s", 8, 3)], {}) == 0
    assert tell("x", options, [Figure("a goal", 1.2, TIMES, 1.3, 1.1)], {}) == 0
    assert tell("x", options, [Figure("a ratio", 1.4, TIMES, 1.3)], {}) == 1
    assert tell("x", options, [Figure("slower than ours", 2.9, TIMES, 3, at_least=True)], {}) == 1
    assert tell("x", options, [Figure("not here", None, TIMES, 1.3)], {}, differing=["gold"]) == 1
    assert "DIFFERENT: gold" in capsys.readouterr().out


def test_the_last_line_and_the_file_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "made" / "x.json"
    tell("x", Namespace(json=place, plot=False), [Figure("slow", 9, "s", 8, 3)], {"seconds": Spread.of([1, 9, 2]).as_json()})
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last == json.loads(place.read_text(encoding="utf-8"))
    assert (last["figures"][0]["must_met"], last["figures"][0]["goal_met"], last["measured"]["seconds"]["median"]) == (False, False, 2)


def test_the_table_says_of_each_bound_whether_it_is_met() -> None:
    header, one, other = table([Figure("a week", 1.2, TIMES, 1.3, 1.1), Figure("Redis", None, TIMES, 0.1)])
    assert header.split() == ["seen", "must", "goal"]
    assert one.split("  ") == ["a week", "1.2 times", "<= 1.3", "met", "<= 1.1", "MISSED"]
    assert "not here" in other and "met" not in other and "MISSED" not in other


def test_an_answer_is_the_same_in_any_order_and_in_types_of_its_own() -> None:
    typed = ROWS.reverse().select(
        "lines",
        "code",
        "names",
        pl.col("day").cast(pl.Int32).cast(pl.Date).cast(pl.Datetime("ns")),
        pl.col("units").cast(pl.Decimal(18, 3)),
    )
    assert not differing(digests(ROWS, ["code"], KINDS), digests(typed, ["code"], KINDS))


@pytest.mark.parametrize(
    ("column", "value"),
    [("units", 2.251), ("units", None), ("lines", 5), ("day", 0), ("code", "C"), ("names", ["c"])],
    ids=lambda value: str(value),
)
def test_one_other_value_is_seen_in_its_column(column: str, value: object) -> None:
    other = ROWS.with_columns(pl.Series(column, [ROWS[column][0], value], dtype=ROWS.schema[column]))
    assert differing(digests(ROWS, ["code"], KINDS), digests(other, ["code"], KINDS)) == [column]


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("string", None, "missing"),
        ("string", None, ""),
        ("array<string>", [], [""]),
        ("array<string>", [], None),
        ("array<string>", [None], ["missing"]),
        ("array<string>", [None], []),
        ("array<string>", ["a", "b"], ["a\x1fb"]),
    ],
    ids=repr,
)
def test_what_is_missing_is_like_no_other(kind: str, one: object, other: object) -> None:
    dtype = pl.List(pl.String) if kind.startswith("array") else pl.String
    rows, turned = (pl.DataFrame({"key": [1, 2], "names": pl.Series([value, None], dtype=dtype)}) for value in (one, other))
    kinds = {"key": "bigint", "names": kind}
    assert differing(digests(rows, ["key"], kinds), digests(turned, ["key"], kinds)) == ["names"]
    assert not differing(digests(rows, ["key"], kinds), digests(rows.clone(), ["key"], kinds))


def test_a_row_too_many_is_seen() -> None:
    assert "rows" in differing(digests(ROWS, ["code"], KINDS), digests(pl.concat([ROWS, ROWS[:1]]), ["code"], KINDS))


def test_a_ratio_is_compared_to_its_last_place() -> None:
    one, other = (pl.DataFrame({"code": ["A"], "share": [share]}) for share in (0.039062, 0.039063))
    kinds = {"code": "string", "share": "decimal(18,6)"}
    assert differing(digests(one, ["code"], kinds), digests(other, ["code"], kinds)) == ["share"]


NOON = datetime(2011, 1, 3, 12)
LINE = {  # a sale that keeps every rule
    "line_id": "1",
    "store": "all",
    "product_code": "A",
    "covers": "day",
    "sold_at": NOON,
    "_known_at": NOON,
    "is_product": True,
    "is_cancellation": False,
    "quantity": Decimal(2),
    "unit_price": Decimal("2.5"),
    "amount": Decimal(5),
}
TYPES = {
    **dict.fromkeys(("line_id", "store", "product_code", "covers"), pl.String),
    **dict.fromkeys(("sold_at", "_known_at"), pl.Datetime("us")),
    **dict.fromkeys(("is_product", "is_cancellation"), pl.Boolean),
    "quantity": pl.Decimal(18, 3),
    "unit_price": pl.Decimal(18, 4),
    "amount": pl.Decimal(18, 4),
}
TEXTS = (None, "", " ", "\u00a0", "\t", "week", "month", "Day")
EDGES: dict[str, tuple[object, ...]] = {
    **dict.fromkeys(("line_id", "store", "product_code", "covers"), TEXTS),
    **dict.fromkeys(("sold_at", "_known_at"), (None, NOON - timedelta(microseconds=1), NOON + timedelta(microseconds=1))),
    **dict.fromkeys(("is_product", "is_cancellation"), (None, True, False)),
}


def around(most: int, step: str) -> tuple[Decimal | None, ...]:
    """Values at zero and at the furthest that are plausible, and those beside them."""
    beside = (Decimal(0), Decimal(step), Decimal(most), Decimal(most) + Decimal(step))
    return (None, *beside, *(-one for one in beside[1:]))


def edges() -> pl.DataFrame:
    """The line with each column at its edges, and numbers, which rules read together, in every combination of theirs."""
    alone = [LINE | {name: value} for name, values in EDGES.items() for value in values]
    prices = (None, Decimal("-0.0001"), Decimal(0), Decimal("0.0001"))
    numbers = itertools.product(around(1_000_000, "0.001"), prices, around(100_000_000, "0.0001"), (None, True, False))
    together = [LINE | dict(zip(("quantity", "unit_price", "amount", "is_cancellation"), one, strict=True)) for one in numbers]
    return pl.DataFrame([LINE, *alone, *together], schema=TYPES)


def test_silver_by_hand_judges_lines_by_the_rules_that_ours_does() -> None:
    ours = {rule.name: translated(rule) for rule in config.load("test").row_rules}
    lines, theirs = edges(), rules()
    assert list(theirs) == list(ours)
    by_hand = lines.select(rule.fill_null(False).alias(name) for name, rule in theirs.items())
    with duckdb.connect() as connection:
        connection.register("lines", lines.to_arrow())
        told = connection.sql(f"SELECT {', '.join(f'coalesce({sql}, false) AS {name}' for name, sql in ours.items())} FROM lines").pl()
    assert [name for name in ours if not (told[name] == by_hand[name]).all()] == []
    assert [name for name in ours if told[name].n_unique() < 2] == []  # each has lines on both sides
