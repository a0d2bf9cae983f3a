"""SQL with time travel: names become versions."""

from __future__ import annotations

import pytest

from lakehouse.errors import InputError, UnknownName
from lakehouse.tables.sql import with_versions


def rewritten(text: str) -> str:
    return with_versions(text, lambda name: f"/lake/{name}", lambda _: 7)


def test_a_bare_name_reads_the_default_version_and_keeps_its_name_as_alias() -> None:
    assert rewritten("SELECT sales.day FROM silver.sales") == "SELECT sales.day FROM delta.`/lake/silver.sales` VERSION AS OF 7 AS sales"


def test_a_version_that_is_asked_for_is_kept() -> None:
    assert rewritten("SELECT 1 FROM silver.sales VERSION AS OF 3 s") == "SELECT 1 FROM delta.`/lake/silver.sales` VERSION AS OF 3 AS s"


def test_joins_subqueries_and_ctes_are_rewritten_too() -> None:
    text = rewritten("WITH x AS (SELECT * FROM gold.stores) SELECT * FROM x JOIN gold.baskets b ON x.store = b.store")
    assert text.count("VERSION AS OF 7") == 2
    assert "FROM x JOIN" in text


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
