"""The clock that lines are held to. One that is behind what the lake has recorded already makes no good line one of the future."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.errors import ClockBehind
from lakehouse.ingest.door import FUTURE, GRACE, WALL, Judged
from lakehouse.ingest.sources import Source
from lakehouse.tables import Lake, delta, runs
from lakehouse.tables.catalog import BRONZE


def wall(source: Source) -> datetime:
    """What the shop's clock shows now, in the source's zone."""
    return _in_zone(datetime.now(UTC), source)


def refuse_clock_behind(lake: Lake, source: Source, judged: Judged) -> None:
    """Raises `ClockBehind` where lines were judged to be of the future that are not, by a time that the lake has recorded, unless the settings say
    that the clock is right."""
    ahead = judged.broken.get(FUTURE)
    if ahead is None or lake.settings.door.trust_clock:
        return
    recorded = _last_recorded(lake)
    sold = judged.columns["sold_at"].filter(pa.array(ahead))
    past = sold.filter(pc.less_equal(sold, pa.scalar(_in_zone(recorded, source) + GRACE, WALL)))
    if len(past):
        first = pc.min(past).as_py()
        raise ClockBehind(
            f"this computer's clock shows {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, and this lake recorded something at "
            f"{recorded:%Y-%m-%d %H:%M:%S} UTC: by this clock lines would be refused as {FUTURE} that may be good, such as one sold at "
            f"{first:%Y-%m-%d %H:%M:%S}. Nothing of this file was loaded. Set the clock right and load again. If it is right, and was ahead before, "
            "say so with door.trust_clock: true (conf/, or ZEROMARGIN_DOOR__TRUST_CLOCK=true; start a kept timetable anew then), and such lines are "
            f"refused as {FUTURE}; or correct their time in the file"
        )


def _last_recorded(lake: Lake) -> datetime:
    """The last time (UTC) at which a run was begun, anything was published, or bronze was written to."""
    recorded = runs.last_recorded(lake.ops)
    written = delta.last_written(lake.path(BRONZE))
    return written if recorded is None else max(written, recorded.replace(tzinfo=UTC))


def _in_zone(moment: datetime, source: Source) -> datetime:
    return moment.astimezone(ZoneInfo(source.times.zone) if source.times.zone else UTC).replace(tzinfo=None)
