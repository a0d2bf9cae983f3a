"""A file that landed and was not published can be taken out again."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse.errors import InputError, StateError
from lakehouse.ingest import load
from lakehouse.ingest.unloading import unload
from lakehouse.tables import Lake, delta, delta_log
from tests.canonical import written
from tests.shop import Line, Shop


@pytest.mark.soak_on_jvm
def test_its_lines_are_gone_the_others_stay_and_it_may_land_again(lake: Lake, tmp_path: Path) -> None:
    wrong = written(tmp_path, "a.csv", *(f"{number},A,thing,2,2011-01-03T10:00:00,2.50,17850,France" for number in range(3)))
    good = written(tmp_path, "b.csv", "9,B,thing,2,2011-01-04T10:00:00,2.50,17850,France")
    (first,) = load(lake, wrong, "canonical")
    load(lake, good, "canonical")

    gone = unload(lake, str(wrong))

    assert (gone.digest, gone.lines) == (first.digest, 3)
    assert [row["product_code"] for row in lake.read("bronze.sales", lake.head("bronze.sales")).toArrow().to_pylist()] == ["B"]
    assert lake.read("bronze.sales", first.version).count() == 3, "the version that had them stays readable"
    (again,) = load(lake, wrong, "canonical")
    assert not again.already
    landed = delta_log.arrivals(lake.path("bronze.sales"), "file_digest")
    assert landed[first.digest].version == again.version, "it came when it landed again"
    with lake.lease("compaction"):
        delta.compact(lake.path("bronze.sales"))
    landed = delta_log.arrivals(lake.path("bronze.sales"), "file_digest")
    assert landed[first.digest].version == again.version, "a compaction is no landing"
    with lake.lease("restore"):
        delta.restore(lake.path("bronze.sales"), first.version, lake.catalog["bronze.sales"])
    landed = delta_log.arrivals(lake.path("bronze.sales"), "file_digest")
    assert landed[first.digest].version == first.version, "what a restore put back is what the first landing wrote"
    assert first.digest not in delta_log.arrivals(lake.path("bronze.sales"), "file_digest", after=again.version)
    assert unload(lake, first.digest[:12].upper()).lines == 3
    with pytest.raises(InputError, match="fits no file that landed"):
        unload(lake, str(wrong))


@pytest.mark.soak_on_jvm
def test_what_was_published_is_not_taken_out(lake: Lake) -> None:
    shop = Shop(lake)
    digest = shop.land(Line("A", "2011-01-03T10:00:00"))
    shop.open_store("one")

    with pytest.raises(StateError, match="is in snapshot 1, which readers rely on"):
        unload(lake, digest)

    with pytest.raises(InputError, match="neither a file nor 6 characters"):
        unload(lake, "abc")
    assert lake.read("bronze.sales").count() == 1
