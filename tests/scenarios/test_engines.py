"""What one engine began, the other reads and goes on writing, after a restore and a compaction too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from lakehouse.engine import Endpoint, start
from lakehouse.engine.commands import missing_for_spark
from lakehouse.tables import Lake, catalog, delta
from tests.conftest import skip_or_fail
from tests.shop import Line, Shop


@pytest.fixture
def other(lake: Lake, endpoints: dict[str, Endpoint], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """The same home on the other engine."""
    name = "spark" if lake.settings.engine == "sail" else "sail"
    if missing := missing_for_spark():
        skip_or_fail(missing)
    settings = lake.settings.model_copy(update={"engine": name})
    if name not in endpoints:
        endpoints[name] = start(settings, tmp_path_factory.mktemp(f"endpoint-{name}"))
    with Lake(settings, endpoint=replace(endpoints[name], process=None)) as found:
        yield found


def lines(day: int) -> list[Line]:
    sold = [Line(code, f"2011-01-{day:02d}T10:00:00", quantity="2", invoice=f"{day}{code}", customer=f"c{code}") for code in "ABC"]
    return [*sold, Line("A", f"2011-01-{day:02d}T12:00:00", quantity="-1", invoice=f"C{day}", customer="cA")]


def derived(lake: Lake) -> dict[str, str]:
    names = [name for name, table in lake.catalog.items() if table.kind == "derived" and table.stage in ("silver", "gold")]
    return {name: lake.digest(name).digest for name in names}


def test_each_engine_goes_on_with_what_the_other_wrote(lake: Lake, other: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, theirs = Shop(lake), Shop(other, landed=100)
    mine.land(*lines(3))
    mine.refine("2011-01-10")
    for name in ("silver.sales", "gold.daily_sales"):
        path = lake.path(name)
        delta.restore(path, 0, catalog.table(name))
        delta.restore(path, lake.version(name), catalog.table(name))
        delta.compact(path)
    theirs.land(*lines(12))
    monkeypatch.setenv("SPARK_REMOTE", other.endpoint.url)
    theirs.refine("2011-01-17")

    assert derived(lake) == derived(other)
    assert lake.read("gold.daily_sales").count() == 6
