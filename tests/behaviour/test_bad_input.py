"""Bad input, one table: what is given, the exit code, which tables get a version by it, and the words that help."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.cli import main
from lakehouse.tables import Lake
from tests.canonical import HEADER

GOOD = "1,A,thing,2,2011-01-03T10:00:00,2.50,17850,France"
SAME: Mapping[str, int] = {}
LANDED = {"bronze.sales": 1}


def csv(*lines: str, header: str = HEADER) -> bytes:
    return "\n".join((header, *lines, "")).encode()


def parquet() -> bytes:
    sink = io.BytesIO()
    columns = {name: [value] * 100 for name, value in zip(HEADER.split(","), GOOD.split(","), strict=True)}
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def loading(name: str) -> list[str]:
    return ["load", name, "--source", "canonical"]


@dataclass(frozen=True)
class Case:
    """`files` lie in the current folder; `before` are commands that must succeed first; `adds`: table to how many versions it gets."""

    name: str
    arguments: Sequence[str]
    code: int
    hints: Sequence[str]
    files: Mapping[str, bytes] = field(default_factory=dict)
    adds: Mapping[str, int] = field(default_factory=dict)
    before: Sequence[Sequence[str]] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def whole_file(name: str, content: bytes, *hints: str, file: str = "a.csv") -> Case:
    """A file that can't be taken as a whole: exit code 1, no table changes."""
    return Case(name, loading(file), 1, hints, {file: content}, SAME)


def some_lines(name: str, content: bytes, *hints: str, file: str = "a.csv") -> Case:
    """A file of which lines are refused: it lands, and the answer says how many lines for which reason."""
    return Case(name, loading(file), 0, hints, {file: content}, LANDED)


def words(name: str, arguments: str, code: int, *hints: str, **environment: str) -> Case:
    return Case(name, arguments.split(), code, hints, environment=environment)


FILES = {"a.csv": csv(GOOD), "b.csv": csv(GOOD)}
CASES = (
    # files
    whole_file("empty file", b"", "a.csv is empty (0 bytes)", "nothing of it was loaded"),
    whole_file("header alone", csv(), "has columns and no lines"),
    whole_file("half a Parquet file", parquet()[: len(parquet()) // 2], "not a whole Parquet file", "cut off", file="a.parquet"),
    whole_file("Parquet without its end", parquet()[:-4], "not a whole Parquet file", file="a.parquet"),
    whole_file("text named Parquet", csv(GOOD), "not a whole Parquet file", file="a.parquet"),
    whole_file("Parquet named text", parquet(), "is a Parquet file, not text"),
    whole_file("spreadsheet named text", b"PK\x03\x04" + bytes(64), "a zip archive or a spreadsheet"),
    whole_file("unknown ending", csv(GOOD), 'ends in ".ods"', "Endings: .csv, .parquet", file="a.ods"),
    whole_file("wrong columns", b"a,b\n1,2\n", 'does not begin with the columns of source "canonical"', "another source's"),
    whole_file("no header", f"{GOOD}\n{GOOD}\n".encode(), "does not begin with the columns", "sources.yml"),
    whole_file("missing column", csv("1", header="invoice"), 'no column "product_code"', "Columns found"),
    whole_file("misspelt column", csv(GOOD, header=HEADER.replace("quantity", "quantty")), 'Did you mean it by "quantty"'),
    whole_file("extra column", csv(f"{GOOD},1", header=f"{HEADER},till"), 'column "till"', "ignore", "sources.yml"),
    whole_file("column twice", csv(GOOD, header=HEADER.replace("country", "customer")), "several columns of the same name"),
    whole_file("wrong encoding", csv(*["café".join(GOOD.split("thing"))] * 12).decode().encode("latin-1"), "not text in utf-8", "encoding"),
    whole_file("UTF-16", csv(GOOD).decode().encode("utf-16"), "its first bytes say utf-16", "Save it as utf-8"),
    Case("no such file", loading("none.csv"), 1, ["there is no file or folder none.csv"]),
    Case("empty folder", loading("."), 1, ["has no files"]),
    # the same file again
    Case("same file twice", loading("a.csv"), 0, ["landed before"], FILES, SAME, [loading("a.csv")]),
    Case("same content, another name", loading("b.csv"), 0, ["landed before"], FILES, SAME, [loading("a.csv")]),
    Case("both in one folder", loading("."), 0, ["1 of 2 files landed", "1 had landed before"], FILES, LANDED),
    # lines
    some_lines("future dates", csv(GOOD, GOOD.replace("2011", "2091")), "1 accepted, 1 refused (in_the_future 1)"),
    some_lines("dates in 1900", csv(GOOD, GOOD.replace("2011", "1900")), "1 refused (too_old 1)"),
    some_lines("no date", csv(GOOD, GOOD.replace("2011-01-03T10:00:00", "yesterday")), "bad_time 1"),
    some_lines("ragged lines", csv(GOOD, "1,2", f"{GOOD},more"), "ragged_line 2"),
    some_lines("a quotation mark never closed", csv(GOOD, f'"{GOOD}', GOOD), "2 accepted, 1 refused (ragged_line 1)"),
    some_lines("huge numbers", csv(GOOD, GOOD.replace(",2,", f",{10**20},"), GOOD.replace("2.50", "1e300")), "bad_price 1, bad_quantity 1"),
    some_lines("zero bytes", csv(GOOD, GOOD.replace("thing", "th\0ing")), "bad_text 1"),
    some_lines("a line in another encoding", csv(GOOD, "é") + b"caf\xe9\n" + "é\n".encode(), "bad_text 1, ragged_line 2"),
    whole_file(
        "nothing but bad lines", csv("x", "y"), "none of its 2 lines can be taken (ragged_line 2)", "zeromargin sources check a.csv"
    ),
    Case(
        "a file in the middle of a folder that can't be taken",
        loading("."),
        1,
        ["b.csv is empty", "1 of 3 files landed before it: a.csv (", "Those after it did not"],
        {"a.csv": csv(GOOD), "b.csv": b"", "c.csv": csv(f"{GOOD}s")},
        LANDED,
    ),
    # names
    Case(
        "unknown source", ["load", "a.csv", "--source", "canonicle"], 2, ['source "canonicle" is unknown. Did you mean "canonical"'], FILES
    ),
    words("unknown stage", "run silvr", 2, 'stage "silvr" is unknown. Did you mean "silver"'),
    words("unknown parameter", "run --as-off 2011-01-03", 2, "No such option", "--as-of"),
    words("unknown engine", "run --engine sparc", 2, 'Did you mean "spark"'),
    words("no day", "run --as-of tomorrow", 2, "tomorrow", "YYYY-MM-DD"),
    words("unknown table", "show gold.daily_sale", 2, 'table "gold.daily_sale" is unknown. Did you mean "gold.daily_sales"'),
    words("unknown table to digest", "digest bronze.sale", 2, 'Did you mean "bronze.sales"'),
    words("unknown version", "show bronze.sales --version 99", 1, "bronze.sales has no version 99", "zeromargin history"),
    words("version before the first", "digest bronze.sales --version -1", 1, "bronze.sales has no version -1", "Versions: 0 to"),
    words("unknown profile", "--profile lokal status", 2, 'profile "lokal" is unknown. Did you mean "local"'),
    words("unknown command", "laod a.csv", 2, "load"),
    # settings and secrets
    words("misspelt setting", "status", 2, 'Did you mean "memory_gb"', ZEROMARGIN_ENDPOINT__MEMORY_BG="1"),
    words("setting of a wrong type", "status", 2, "setting endpoint.cores", "conf/base/settings.yml", ZEROMARGIN_ENDPOINT__CORES="many"),
    words("malformed vault key", "status", 2, "setting vault.secret", ZEROMARGIN_VAULT__SECRET="abc"),
    Case(
        "wrong vault key",
        loading("c.csv"),
        1,
        ["not the one that this vault was made with", "ZEROMARGIN_VAULT__SECRET"],
        FILES | {"c.csv": csv(GOOD, GOOD)},
        SAME,
        [loading("a.csv")],
        {"ZEROMARGIN_VAULT__SECRET": "ff" * 32},
    ),
)


def versions(lake: Lake) -> dict[str, int]:
    return {name: lake.head(name) for name in lake.catalog}


@pytest.fixture
def incoming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, bytes]], Path]:
    """Puts files into a fresh current folder."""
    folder = tmp_path / "incoming"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def put(files: Mapping[str, bytes]) -> Path:
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return folder

    return put


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input(
    case: Case,
    lake: Lake,
    incoming: Callable[[Mapping[str, bytes]], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = incoming(case.files)
    for command in case.before:
        assert main(command) == 0
    before, given = versions(lake), {path.name: path.read_bytes() for path in folder.iterdir()}
    capsys.readouterr()
    for name, value in case.environment.items():
        monkeypatch.setenv(name, value)

    code = main(case.arguments)

    shown = capsys.readouterr()
    assert code == case.code, shown.err
    told = shown.out if code == 0 else shown.err
    for hint in case.hints:
        assert hint in told
    assert "Traceback" not in shown.err
    assert {name: version - before[name] for name, version in versions(lake).items() if version != before[name]} == dict(case.adds)
    # Nothing is lost: what was given is where it was.
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == given
    assert not list((lake.home / "staging").glob("*"))


def test_after_bad_input_the_corrected_file_lands_whole(
    lake: Lake, incoming: Callable[[Mapping[str, bytes]], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    incoming({"a.csv": csv(GOOD, GOOD.replace("A", "B"), header=HEADER.replace("quantity", "quantty"))})
    assert main(loading("a.csv")) == 1
    incoming({"a.csv": csv(GOOD, GOOD.replace("A", "B"))})

    assert main(loading("a.csv")) == 0
    assert "1 of 1 files landed: 2 lines, 2 accepted, 0 refused" in capsys.readouterr().out


def test_a_home_that_can_not_be_written_to_is_named(
    incoming: Callable[[Mapping[str, bytes]], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = incoming(FILES | {"home": b"a file in the way"})

    assert main(["--home", str(folder / "home"), *loading("a.csv")]) == 1
    shown = capsys.readouterr().err
    assert "can't be written to" in shown and "ZEROMARGIN_HOME" in shown
    assert "Traceback" not in shown


def test_no_case_stands_twice() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
