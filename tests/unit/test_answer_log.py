from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import journal
from lakehouse.errors import InputError
from serving.answer_log import Answered, AnswerLog

NOON = datetime(2011, 11, 7, 12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def answered(number: int, answer: object = 1) -> Answered:
    return Answered(
        request_id=f"r{number}",
        answered_at=NOON,
        model="demand",
        version="1",
        digest="d",
        variant="champion",
        parameters={"product": "A"},
        features={"units_4w": 0.1},
        features_as_of="2011-11-07T00:00:00",
        features_moment="2011-10-31T00:00:00",
        fallback=None,
        answer={"n": answer},
    )


def wait_until(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not claim():
        assert time.monotonic() < deadline, "it did not happen within 10 s"
        time.sleep(0.005)


def request_ids(folder: Path) -> list[str]:
    return [str(record["request_id"]) for path in journal.closed(folder) for record in journal.read(path).records]


class Drops:
    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def __call__(self, count: int) -> None:
        with self._lock:
            self.count += count


@pytest.fixture
def drops() -> Drops:
    return Drops()


@pytest.fixture
def log(tmp_path: Path, drops: Drops) -> Iterator[AnswerLog]:
    log = AnswerLog(tmp_path / "answers", capacity=100, segment_rows=3, segment_s=3600, dropped=drops)
    log.start()
    yield log
    log.close()


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4))
@settings(max_examples=60, deadline=None)
def test_a_record_is_read_as_it_was_written_and_the_line_is_plain_json(record: dict[str, object]) -> None:
    line = journal.encode(record)
    assert journal.decode(line) == record
    assert json.loads(line)["record"] == record
    assert line.count(b"\n") == 1


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_line_with_any_one_byte_altered_is_seen_as_damaged(data: st.DataObject) -> None:
    line = bytearray(journal.encode({"request_id": "r1", "answer": {"units": 12.5}}))
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] ^= data.draw(st.integers(1, 255))
    assert journal.decode(bytes(line)) is None


def test_a_number_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(ValueError):
        journal.encode({"mean": float("nan")})


def test_a_closed_segment_is_named_by_its_own_sha_256(tmp_path: Path) -> None:
    writer = journal.Writer(tmp_path)
    writer.write([journal.encode({"a": 1}), journal.encode({"a": 2})])
    path = writer.close(NOON)
    segment = journal.read(path)
    assert path.name == f"20111107T120000000000-{segment.digest}.jsonl"
    assert (segment.records, segment.damaged, segment.intact) == (({"a": 1}, {"a": 2}), 0, True)


def test_damage_in_a_closed_segment_is_counted_and_the_sound_lines_are_still_read(tmp_path: Path) -> None:
    writer = journal.Writer(tmp_path)
    writer.write([journal.encode({"a": number}) for number in (1, 2, 3)])
    path = writer.close(NOON)
    path.write_bytes(path.read_bytes().replace(b'"a":2', b'"a":7'))
    segment = journal.read(path)
    assert (segment.records, segment.damaged, segment.intact) == (({"a": 1}, {"a": 3}), 1, False)


def test_a_lost_line_is_noticed_though_each_line_that_is_left_is_sound(tmp_path: Path) -> None:
    writer = journal.Writer(tmp_path)
    writer.write([journal.encode({"a": 1}), journal.encode({"a": 2})])
    path = writer.close(NOON)
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    segment = journal.read(path)
    assert (segment.damaged, segment.intact) == (0, False)


def test_a_file_that_is_no_closed_segment_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"open-1\.jsonl is not the name of a closed segment"):
        journal.read(tmp_path / "open-1.jsonl")


def test_a_segment_that_is_being_written_is_left_alone_by_recovery(tmp_path: Path) -> None:
    writer = journal.Writer(tmp_path)
    writer.write([journal.encode({"a": 1})])
    assert journal.recover(tmp_path, NOON).segments == ()
    assert journal.closed(tmp_path) == []
    writer.write([journal.encode({"a": 2})])
    assert journal.read(writer.close(NOON)).records == ({"a": 1}, {"a": 2})


def test_a_write_that_fails_half_way_leaves_the_segment_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = journal.Writer(tmp_path)
    writer.write([journal.encode({"a": 1})])
    real = os.write

    def full_disk(handle: int, data: memoryview) -> int:
        if len(data) <= 10:
            raise OSError(28, "No space left on device")
        return real(handle, data[:10])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full_disk)
        with pytest.raises(OSError, match="No space left"):
            writer.write([journal.encode({"a": 2})])
    writer.write([journal.encode({"a": 2})])
    segment = journal.read(writer.close(NOON))
    assert (segment.records, segment.intact) == (({"a": 1}, {"a": 2}), True)


def test_a_segment_is_closed_when_it_has_its_rows(log: AnswerLog, tmp_path: Path) -> None:
    for number in range(7):
        assert log.put(answered(number))
    wait_until(lambda: len(journal.closed(tmp_path / "answers")) == 2)
    log.close()
    sizes = [len(journal.read(path).records) for path in journal.closed(tmp_path / "answers")]
    assert sizes == [3, 3, 1]
    assert request_ids(tmp_path / "answers") == [f"r{number}" for number in range(7)]


def test_a_segment_is_closed_when_it_is_old_though_no_more_answers_come(tmp_path: Path, drops: Drops) -> None:
    log = AnswerLog(tmp_path, capacity=10, segment_rows=1000, segment_s=0.05, dropped=drops)
    log.start()
    log.put(answered(1))
    wait_until(lambda: request_ids(tmp_path) == ["r1"])
    log.close()
    assert drops.count == 0


def test_what_a_full_queue_has_no_room_for_is_counted_and_the_answer_does_not_wait(tmp_path: Path, drops: Drops) -> None:
    log = AnswerLog(tmp_path, capacity=5, segment_rows=1000, segment_s=3600, dropped=drops)
    taken = [log.put(answered(number)) for number in range(8)]  # nobody writes yet
    assert taken == [True] * 5 + [False] * 3
    assert drops.count == 3
    log.start()
    log.close()
    assert request_ids(tmp_path) == [f"r{number}" for number in range(5)]


def test_an_answer_that_cannot_be_written_down_is_counted_and_the_others_are_kept(log: AnswerLog, tmp_path: Path, drops: Drops) -> None:
    for number, answer in enumerate((1.0, float("inf"), object(), 2.0)):
        log.put(answered(number, answer))
    log.close()
    assert request_ids(tmp_path / "answers") == ["r0", "r3"]
    assert drops.count == 2


def test_while_the_disk_refuses_answers_wait_and_nothing_is_lost(tmp_path: Path, drops: Drops, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.answer_log.RETRY_S", 0.01)
    (tmp_path / "answers").write_text("a file where the folder should be")
    log = AnswerLog(tmp_path / "answers", capacity=10, segment_rows=100, segment_s=3600, dropped=drops)
    log.start()
    log.put(answered(1))
    log.put(answered(2))
    (tmp_path / "answers").unlink()
    log.put(answered(3))
    wait_until(lambda: bool(list((tmp_path / "answers").glob("open-*.jsonl"))))
    log.close()
    assert request_ids(tmp_path / "answers") == ["r1", "r2", "r3"]
    assert drops.count == 0


def test_answers_that_the_disk_refuses_to_the_end_are_counted(tmp_path: Path, drops: Drops) -> None:
    (tmp_path / "answers").write_text("a file where the folder should be")
    log = AnswerLog(tmp_path / "answers", capacity=10, segment_rows=100, segment_s=3600, dropped=drops)
    log.start()
    for number in range(4):
        log.put(answered(number))
    log.close()
    assert drops.count == 4


def test_answers_from_many_threads_are_all_kept_once(tmp_path: Path, drops: Drops) -> None:
    log = AnswerLog(tmp_path, capacity=1000, segment_rows=7, segment_s=3600, dropped=drops)
    log.start()
    threads = [
        threading.Thread(target=lambda first=first: [log.put(answered(first + n)) for n in range(50)]) for first in range(0, 200, 50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert sorted(request_ids(tmp_path)) == sorted(f"r{number}" for number in range(200))
    assert drops.count == 0


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.unit.test_answer_log import answered
from serving.answer_log import AnswerLog
log = AnswerLog(Path({folder!r}), 100, 1000, 3600, dropped=lambda count: None)
log.start()
for number in range(3):
    log.put(answered(number))
print("written", flush=True)
time.sleep(60)
"""


def test_a_segment_left_open_by_a_killed_process_is_closed_without_its_torn_end_by_the_next(tmp_path: Path, drops: Drops) -> None:
    script = KILLED.format(root=str(Path(__file__).parents[2]), folder=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        wait_until(lambda: sum(path.read_bytes().count(b"\n") for path in tmp_path.glob("open-*.jsonl")) == 3)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    (left,) = tmp_path.glob("open-*.jsonl")
    with left.open("ab") as file:
        file.write(journal.encode(answered(3).record())[:-20])  # it was killed in the middle of a line
    log = AnswerLog(tmp_path, 10, 1000, 3600, dropped=drops)
    log.start()
    log.close()
    (path,) = journal.closed(tmp_path)
    segment = journal.read(path)
    assert [record["request_id"] for record in segment.records] == ["r0", "r1", "r2"]
    assert (segment.damaged, segment.intact) == (0, True)
    assert list(tmp_path.glob("open-*")) == []
