from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from lakehouse import journal
from lakehouse.errors import LeaseHeld
from lakehouse.ingest import answers
from lakehouse.tables import Lake
from serving.answer_log import Answered

NOON = datetime(2011, 11, 7, 12)


def answered(request: str, fallback: str | None = None) -> Answered:
    return Answered(
        request_id=request,
        answered_at=NOON,
        model="demand",
        version="3",
        digest="ab" * 32,
        variant="champion",
        parameters={"product": "85123A", "store": "all", "weeks": 1},
        features={"units_4w": 17.25, "last_sold": "2011-11-05", "naïve": None},
        features_as_of="2011-11-07T00:00:00",
        features_moment="2011-10-31T00:00:00",
        fallback=fallback,
        answer={"forecast": [{"week": "2011-11-07", "mean": 4.3125}]},
    )


def closed_segment(lake: Lake, *requests: str) -> Path:
    writer = journal.Writer(lake.home / "answers")
    writer.write([journal.encode(answered(request).record()) for request in requests])
    return writer.close(NOON)


def landed(lake: Lake) -> list[str]:
    return sorted(row["request_id"] for row in lake.read("bronze.answers").select("request_id").collect())


@pytest.mark.timeout(120)
def test_what_was_answered_lands_in_bronze_value_by_value_and_the_segment_is_gone(lake: Lake) -> None:
    path = closed_segment(lake, "r1", "r2")
    digest = journal.read(path).digest
    with lake.lease("answers"):
        assert answers.land_answers(lake) == 2
    row = lake.read("bronze.answers").where("request_id = 'r1'").collect()[0].asDict()
    assert json.loads(row.pop("features")) == {"units_4w": 17.25, "last_sold": "2011-11-05", "naïve": None}
    assert json.loads(row.pop("parameters")) == {"product": "85123A", "store": "all", "weeks": 1}
    assert json.loads(row.pop("answer")) == {"forecast": [{"week": "2011-11-07", "mean": 4.3125}]}
    assert row == {
        "request_id": "r1",
        "segment": digest,
        "answered_at": NOON,
        "answered_on": NOON.date(),
        "model": "demand",
        "version": "3",
        "digest": "ab" * 32,
        "variant": "champion",
        "features_as_of": datetime(2011, 11, 7),
        "features_moment": datetime(2011, 10, 31),
        "fallback": None,
    }
    assert list((lake.home / "answers").iterdir()) == []


@pytest.mark.timeout(120)
def test_a_segment_that_lands_twice_is_there_once(lake: Lake) -> None:
    path = closed_segment(lake, "r1", "r2")
    content = path.read_bytes()
    with lake.lease("answers"):
        answers.land_answers(lake)
        path.write_bytes(content)  # as if the process was killed after the commit, before the file was removed
        closed_segment(lake, "r3")
        before = lake.head("bronze.answers")
        assert answers.land_answers(lake) == 3
    assert landed(lake) == ["r1", "r2", "r3"]
    assert lake.head("bronze.answers") == before + 1, "what waits lands in one commit"


@pytest.mark.timeout(120)
def test_damaged_lines_are_left_out_and_their_file_is_kept_for_a_person(lake: Lake, caplog: pytest.LogCaptureFixture) -> None:
    path = closed_segment(lake, "r1", "r2", "r3")
    path.write_bytes(path.read_bytes().replace(b'"r2"', b'"r9"'))
    with lake.lease("answers"):
        assert answers.land_answers(lake) == 2
    assert landed(lake) == ["r1", "r3"]
    assert (path.parent / "damaged" / path.name).exists()
    assert "1 of its lines are left out, 2 landed" in caplog.text


@pytest.mark.timeout(120)
def test_a_segment_that_is_still_written_waits_and_nothing_lands_without_the_lease(lake: Lake) -> None:
    writer = journal.Writer(lake.home / "answers")
    writer.write([journal.encode(answered("r1").record())])
    with lake.lease("answers"):
        assert answers.land_answers(lake) == 0
    path = writer.close(NOON)
    with pytest.raises(LeaseHeld):
        answers.land_answers(lake)
    assert path.exists()
