"""SQL with time travel: names become versions."""

from __future__ import annotations

import pytest

from lakehouse.errors import InputError, UnknownName
from lakehouse.tables.sql import Places, with_versions


def rewritten(text: str) -> str:
    places = Places(
        lambda name: f"/lake/{name}", lambda _: 7, lambda _, asked: asked, lambda _, time: int(time[:4]), lambda name: name == "mine"
    )
    return with_versions(text, places)


def test_a_bare_name_reads_the_default_version_and_keeps_its_name_as_alias() -> None:
    assert rewritten("SELECT sales.day FROM silver.sales") == "SELECT sales.day FROM delta.`/lake/silver.sales` VERSION AS OF 7 AS sales"


def test_a_version_that_is_asked_for_is_kept() -> None:
    assert rewritten("SELECT 1 FROM silver.sales VERSION AS OF 3 s") == "SELECT 1 FROM delta.`/lake/silver.sales` VERSION AS OF 3 AS s"


def test_a_time_that_is_asked_for_becomes_the_version_that_was_the_newest_then() -> None:
    text = rewritten("SELECT 1 FROM silver.sales TIMESTAMP AS OF '2026-01-01 08:00:00' s")
    assert text == "SELECT 1 FROM delta.`/lake/silver.sales` VERSION AS OF 2026 AS s"


@pytest.mark.parametrize("asked", ["'x'", "2+1", "-1", "1.0", "abs(2)", "two"])
def test_a_version_that_is_no_whole_number_is_refused(asked: str) -> None:
    with pytest.raises(InputError, match="a version is a whole number"):
        rewritten(f"SELECT 1 FROM silver.sales VERSION AS OF {asked}")


@pytest.mark.parametrize("asked", ["'2026-01-05' - INTERVAL 3 DAYS", "date_sub('2026-01-05', 3)", "current_timestamp()", "now()"])
def test_a_time_that_would_have_to_be_computed_is_refused(asked: str) -> None:
    with pytest.raises(InputError, match="takes a time as text, and nothing is computed there"):
        rewritten(f"SELECT 1 FROM silver.sales TIMESTAMP AS OF {asked}")


@pytest.mark.parametrize("asked", ["('2026-01-05')", "CAST('2026-01-05' AS TIMESTAMP)", "TIMESTAMP '2026-01-05'"])
def test_a_time_may_be_written_as_sql_writes_times(asked: str) -> None:
    assert "VERSION AS OF 2026 AS sales" in rewritten(f"SELECT 1 FROM silver.sales TIMESTAMP AS OF {asked}")


def test_columns_may_be_named_with_their_table_in_full() -> None:
    text = rewritten(
        "SELECT Silver.Sales.day FROM silver.sales WHERE silver.sales.quantity > (SELECT avg(silver.sales.quantity) FROM gold.stores)"
    )
    assert text.startswith(
        "SELECT sales.day FROM delta.`/lake/silver.sales` VERSION AS OF 7 AS sales WHERE sales.quantity > (SELECT AVG(sales.quantity)"
    )


def test_tables_of_one_name_are_told_apart_by_their_layer() -> None:
    text = rewritten("SELECT silver.sales.day FROM silver.sales JOIN quarantine.sales ON silver.sales.line_id = quarantine.sales.line_id")
    assert "SELECT silver_sales.day FROM" in text and "ON silver_sales.line_id = quarantine_sales.line_id" in text


def test_temporary_views_and_what_hints_name_are_left_alone() -> None:
    text = rewritten("SELECT /*+ BROADCAST(p) */ 1 FROM mine JOIN gold.products AS p USING (product_code)")
    assert "BROADCAST(p)" in text and "FROM mine JOIN" in text


@pytest.mark.parametrize(
    "part", ["TABLESAMPLE (10 PERCENT)", "PIVOT(SUM(units) FOR store IN ('all'))", "LATERAL VIEW EXPLODE(reasons) AS reason"]
)
def test_what_stands_behind_a_table_stays_there(part: str) -> None:
    assert part in rewritten(f"SELECT * FROM gold.daily_sales {part}")


def test_joins_subqueries_and_ctes_are_rewritten_too() -> None:
    text = rewritten("WITH x AS (SELECT * FROM gold.stores) SELECT * FROM x JOIN gold.baskets b ON x.store = b.store")
    assert text.count("VERSION AS OF 7") == 2
    assert "FROM x JOIN" in text


def test_names_are_found_in_any_case_as_anywhere_in_sql() -> None:
    text = rewritten("WITH X AS (SELECT * FROM GOLD.Stores) SELECT * FROM x")
    assert text == "WITH X AS (SELECT * FROM delta.`/lake/gold.stores` VERSION AS OF 7 AS Stores) SELECT * FROM x"


def test_a_misspelt_table_gets_a_hint() -> None:
    with pytest.raises(UnknownName, match='Did you mean "silver.sales"'):
        rewritten("SELECT * FROM silver.sale")


@pytest.mark.parametrize(
    "text", ["DELETE FROM silver.sales", "DROP TABLE silver.sales", "SELECT 1; SELECT 2", "INSERT INTO gold.stores SELECT 1"]
)
def test_only_one_select_is_taken(text: str) -> None:
    with pytest.raises(InputError, match="one SELECT"):
        rewritten(text)


def test_what_is_not_sql_is_refused() -> None:
    with pytest.raises(InputError, match="can't be read"):
        rewritten("SELECT FROM WHERE ((")
