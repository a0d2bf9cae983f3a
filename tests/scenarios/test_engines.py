"""Both engines make the same of the same lines; and what one began, the other reads and goes on writing: after a restore, a compaction and a killed
run, with what the first alone would have made."""

from __future__ import annotations

import signal
import subprocess
import sys
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import processes
from lakehouse.ingest import load
from lakehouse.quality.check import judge
from lakehouse.tables import Lake, catalog, delta, runs
from tests.conftest import REAL_DATA, skip_or_fail
from tests.featured import FeaturedShop, derived, opened, refined
from tests.shop import Line
from tests.soak import ENGINES

pytestmark = pytest.mark.slow

SHARE = 400  # of the real receipts, one in so many is in the slice
WEEKS = ("2011-01-10", "2011-01-17", "2011-01-24")


def lines(day: int) -> list[Line]:
    sold = [Line(code, f"2011-01-{day:02d}T10:00:00", quantity="2", invoice=f"{day}{code}", customer=f"c{code}") for code in "ABC"]
    back = Line("A", f"2011-01-{day:02d}T12:00:00", quantity="-1", invoice=f"C{day}", customer="cA")
    late = Line("B", f"2011-01-{max(1, day - 8):02d}T15:00:00", invoice=f"{day}late", customer="cA")
    return [*sold, back, late]


def week(shop: FeaturedShop, number: int, as_of: str) -> None:
    shop.land_now(*lines(3 + 7 * number))
    refined(shop.lake, as_of)


def killed_in_gold(as_of: str) -> None:
    """A run on the environment's home and endpoint, in a process of its own, that is killed when gold is half written."""
    done = subprocess.run([sys.executable, "-m", "tests.breaking", as_of], cwd=processes.ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]


@pytest.mark.parametrize("engine_name", ENGINES, ids={"sail": "sail-spark", "spark": "spark-sail"}.get)
def test_each_engine_goes_on_with_what_the_other_began_and_with_its_killed_run(
    lake: Lake, other: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, mine, theirs = opened(lake, "undisturbed"), FeaturedShop(lake), FeaturedShop(other, landed=2)
    for number, as_of in enumerate(WEEKS):
        week(undisturbed, number, as_of)
    expected = derived(undisturbed.lake)
    undisturbed.lake.close()

    week(mine, 0, WEEKS[0])
    for name in ("silver.sales", "gold.daily_sales", "features.product_sales"):
        path = lake.path(name)
        delta.restore(path, 0, catalog.table(name))
        delta.restore(path, lake.version(name), catalog.table(name))
        delta.compact(path)
    mine.land_now(*lines(10))
    killed_in_gold(WEEKS[1])
    broken = runs.newest(lake.ops)[0]
    assert [(stage.name, stage.state) for stage in runs.stage_runs(lake.ops, broken.id)] == [("silver", "done"), ("gold", "started")]

    monkeypatch.setenv("SPARK_REMOTE", other.endpoint.url)
    monkeypatch.setenv("ZEROMARGIN_ENGINE", other.settings.engine)
    refined(other, WEEKS[1])
    assert runs.newest(lake.ops)[0].id == broken.id
    week(theirs, 2, WEEKS[2])

    assert derived(other) == expected
    assert derived(lake) == expected


@pytest.fixture
def real_lines(tmp_path: Path) -> Path:
    """Every four-hundredth receipt of two years, chosen by its number, with the sale that a cancellation undoes or without."""
    if not REAL_DATA.is_file():
        skip_or_fail(f"the real sales are not at {REAL_DATA}")
    lines, place = pq.read_table(REAL_DATA), tmp_path / "slice.parquet"
    pq.write_table(lines.filter(pa.array([zlib.crc32(invoice.encode()) % SHARE == 0 for invoice in lines["Invoice"].to_pylist()])), place)
    return place


@pytest.mark.parametrize("engine_name", ["sail"], ids={"sail": "sail-spark"}.get)
def test_both_engines_make_equal_tables_of_the_same_real_lines_and_judge_them_alike(
    lake: Lake, other: Lake, real_lines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, made, judged = opened(other, "theirs").lake, [], []
    for one in (lake, theirs):
        monkeypatch.setenv("SPARK_REMOTE", one.endpoint.url)
        monkeypatch.setenv("ZEROMARGIN_ENGINE", one.settings.engine)
        load(one, real_lines, "online-retail-ii")
        refined(one)
        made.append(derived(one))
        judged.append({(found.table, found.rule): (found.ok, found.observed, found.rows) for found in judge(one).results})
    theirs.close()

    assert made[0] == made[1]
    assert judged[0] == judged[1]
    assert len(made[0]) > 10 and len(judged[0]) > 100
