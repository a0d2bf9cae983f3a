"""What one engine began, the other reads and goes on writing: after a restore, a compaction and a killed run, with what the first alone would have made."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from jobs import processes
from lakehouse.tables import Lake, catalog, delta, runs
from tests.featured import FeaturedShop, derived, opened, refined
from tests.shop import Line
from tests.soak import ENGINES

pytestmark = pytest.mark.slow

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
