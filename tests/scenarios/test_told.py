"""What each source's lines tell, from bronze's log alone, and one currency in a lake."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs import parts as shop_parts
from jobs.parts import parts
from lakehouse.errors import InputError, OtherCurrency
from lakehouse.ingest import load, sources
from lakehouse.ingest.told import told
from lakehouse.settings import conf_file
from lakehouse.tables import Lake

LINES = "invoice,product_code,quantity,sold_at,unit_price,store,promotion\n1,A,2,2011-01-03T10:00:00,2.50,5,yes\n2,B,1,2011-01-04T00:00:00,1,6,\n"
PURCHASES = " 00001 19970105  1   12.50\n 00002 19970106  2   25.00\n"


@pytest.mark.soak_on_jvm
def test_each_source_is_told_of_by_itself_and_a_second_currency_is_refused(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(LINES, encoding="utf-8")
    (tmp_path / "cd.txt").write_text(PURCHASES, encoding="ascii")
    assert told(lake) == []
    load(lake, tmp_path / "a.csv", "canonical")
    (one,) = told(lake)
    assert (one.source, one.lines, one.is_weekly, one.has_hours) == ("canonical", 2, False, True)
    assert one.fields == {"store", "invoice", "product_code", "promotion"} and one.single == frozenset()
    off, unused = parts(lake)
    assert [one.reason for one in off] == ["no line names its customer", "no line names its product in words"]
    assert [str(one) for one in unused] == ["Source canonical tells promotion: kept in silver, not used by forecasts yet"]

    with pytest.raises(OtherCurrency, match="source cdnow is in USD, and this lake holds 2 lines of source canonical in GBP"):
        load(lake, tmp_path / "cd.txt", "cdnow")
    assert lake.read("bronze.sales").count() == 2


@pytest.mark.soak_on_jvm
@pytest.mark.parametrize("changed", ["another currency", "another name"])
def test_the_currency_of_what_has_landed_is_noted_and_no_entry_changes_it(
    lake: Lake, tmp_path: Path, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_text(LINES, encoding="utf-8")
    (tmp_path / "b.csv").write_text(LINES.replace("2011", "2012"), encoding="utf-8")
    load(lake, tmp_path / "a.csv", "canonical")
    entry, name = (
        conf_file("sources.yml", "test")["canonical"] | {"currency": "EUR"},
        "canonical" if changed == "another currency" else "ours",
    )
    for module in (sources, shop_parts):
        monkeypatch.setattr(module, "conf_file", lambda *_: {name: entry})

    with pytest.raises(OtherCurrency, match=f"source {name} is in EUR, and this lake holds 2 lines of source canonical in GBP"):
        load(lake, tmp_path / "b.csv", name)
    if name == "ours":
        off, _ = parts(lake)
        assert off[-1].reason == "sources.yml does not describe it any more"


@pytest.mark.soak_on_jvm
def test_a_load_that_lands_nothing_leaves_the_currency_open(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "broken.csv").write_text("nothing,of,ours\n1,2,3\n", encoding="utf-8")
    (tmp_path / "cd.txt").write_text(PURCHASES, encoding="ascii")
    with pytest.raises(InputError):
        load(lake, tmp_path / "broken.csv", "canonical")
    (landed,) = load(lake, tmp_path / "cd.txt", "cdnow")
    assert landed.lines == 2
