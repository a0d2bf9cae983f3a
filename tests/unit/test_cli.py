"""The command line: exit codes, hints, and answers that are alone on standard output."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.cli import globals_first, main
from jobs.cli_session import plain
from jobs.processes import ROOT
from lakehouse import settings
from lakehouse.ingest.sample import LIMITS
from lakehouse.tables import Lake, catalog, pins

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_a_fresh_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROMARGIN_HOME", str(home))
    monkeypatch.setenv("ZEROMARGIN_PROFILE", "test")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["rnu"], "'run'"),
        (["run", "silvr"], 'Did you mean "silver"'),
        (["run", "--engine", "sparc"], 'Did you mean "spark"'),
        (["show", "gold.daily_sale"], 'Did you mean "gold.daily_sales"'),
        (["digest", "gold.product", "--json"], 'Did you mean "gold.products"'),
        (["history", "silver.sale"], 'Did you mean "silver.sales"'),
        (["--profile", "tset", "status"], 'Did you mean "test"'),
        (["status", "--jsn"], "--json"),
        (["models", "demnad"], 'model "demnad" is unknown'),
        (["load"], "Missing argument"),
        (["show", "gold.products", "--version", "one"], "--version"),
        (["show", "gold.products", "--version", "1", "--at", "2011-01-01"], "not both"),
        (["show", "gold.products", "--at", "1 January"], "Expected YYYY-MM-DD"),
        (["run", "--as-of", "2024-13-01"], "Expected YYYY-MM-DD"),
        (["--home", "/tmp/with a space", "status"], "has a space in its path"),
        (["--home", "/tmp/caf\u00e9", "status"], 'has "é" in its path'),
        (["--home", "/tmp/a#b%20", "status"], 'has "#", "%" in its path'),
        (["run", "silvr"], "Stages: silver, gold, quality, features, demand, segments, recommendations, predictions"),
        (["restore"], "Missing argument"),
        (["diff", "gold.product", "--from", "1", "--to", "2"], 'Did you mean "gold.products"'),
        (["audit", "gold.product", "--at", "2024-01-01"], 'Did you mean "gold.products"'),
    ],
)
def test_wrong_use_ends_with_2_and_a_hint_on_standard_error(arguments: list[str], hint: str, capsys: Output) -> None:
    assert main(arguments) == 2

    shown = capsys.readouterr()
    assert hint in shown.err
    assert shown.out == ""
    assert "Traceback" not in shown.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "gold.products"], "nothing published yet"),
        (["show", "gold.products", "--at", "2011-01-01"], "nothing was published as of 2011-01-01"),
        (["sql", "DROP TABLE gold.products"], "lake.sql takes one SELECT"),
        (["history", "gold.products"], "there is no table at"),
    ],
)
def test_what_can_not_be_done_ends_with_1_and_says_why(arguments: list[str], words: str, capsys: Output) -> None:
    assert main(arguments) == 1

    shown = capsys.readouterr()
    assert words in shown.err
    assert shown.out == ""


@pytest.mark.parametrize("option", LIMITS)
@pytest.mark.parametrize(("end", "beyond"), [(0, -1), (1, 1)])
def test_what_the_sample_can_not_be_is_wrong_use_and_the_limit_is_said(
    option: str, end: int, beyond: int, tmp_path: Path, capsys: Output
) -> None:
    limit = LIMITS[option][end]

    assert main(["sample", str(tmp_path / "shop"), f"--{option}", str(limit + beyond)]) == 2
    assert f"'--{option}': Input should be {'less' if end else 'greater'} than or equal to {limit}\n" in capsys.readouterr().err
    assert not (tmp_path / "shop").exists()


@pytest.mark.parametrize("query", ["SELEC 1", "SHOW TABLES", "SELECT FROM WHERE ((", "SELECT 'never closed"])
def test_a_query_that_is_none_is_answered_in_plain_words_of_our_own(query: str, capsys: Output, caplog: pytest.LogCaptureFixture) -> None:
    assert main(["sql", query]) == 1

    shown = capsys.readouterr().err
    assert shown.startswith("Error: ")
    assert "\x1b" not in shown
    assert not caplog.records


@pytest.mark.parametrize("arguments", [["history"], ["digest"], ["show"], ["diff", "--from", "0", "--to", "0"]])
def test_a_table_is_found_whatever_the_case_of_its_name(arguments: list[str], lake: Lake, capsys: Output) -> None:
    name, *options = arguments
    assert main([name, "BRONZE.Sales", *options, "--json"]) == 0
    found = capsys.readouterr().out
    assert main([name, "bronze.sales", *options, "--json"]) == 0

    assert found == capsys.readouterr().out


def test_a_table_is_pinned_whatever_the_case_of_its_name(lake: Lake, capsys: Output) -> None:
    assert main(["pin", "Bronze.Sales", "0"]) == 0
    assert [pin.table for pin in pins.every(lake.ops)] == ["bronze.sales"]
    assert main(["unpin", "BRONZE.sales", "0"]) == 0
    assert pins.every(lake.ops) == []


def test_no_command_is_wrong_use_and_names_them(capsys: Output) -> None:
    assert main([]) == 2
    assert "Commands: sample, load, unload, run, status" in capsys.readouterr().err


def test_a_misspelt_setting_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setenv("ZEROMARGIN_ENDPOINT__MEMORY_BG", "1")

    assert main(["status"]) == 2
    assert 'Did you mean "memory_gb"' in capsys.readouterr().err


@pytest.mark.parametrize("command", ["status", "tables", "models"])
def test_a_listing_as_json_is_alone_on_standard_output(command: str, capsys: Output) -> None:
    assert main([command, "--json"]) == 0

    json.loads(capsys.readouterr().out)


def test_the_status_of_a_fresh_home_has_its_fixed_shape(capsys: Output) -> None:
    main(["status", "--json"])

    found = json.loads(capsys.readouterr().out)
    assert {name: found[name] for name in ("profile", "engine", "as_of", "models", "pins", "last_run")} == {
        "profile": "test",
        "engine": "sail",
        "as_of": None,
        "models": [],
        "pins": [],
        "last_run": None,
    }
    assert {tuple(table) for table in found["tables"]} == {("name", "version", "rows", "bytes", "wrong")}
    assert {table["name"] for table in found["tables"]} == set(catalog.load())


def test_derived_keys_are_pointed_out(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setenv("ZEROMARGIN_VAULT__KEYS", "derived")

    main(["status"])

    assert "Not for real customers" in capsys.readouterr().out


def test_status_for_people_names_every_table(capsys: Output) -> None:
    assert main(["status"]) == 0

    shown = capsys.readouterr().out
    assert "nothing published yet" in shown
    assert all(name in shown for name in catalog.load())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--home", "there", "status", "--json"],
        ["status", "--json", "--home", "there"],
        ["status", "--home=there", "--json"],
    ],
)
def test_the_home_may_be_named_anywhere(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["home"] == str(tmp_path / "there")


def test_after_two_dashes_nothing_is_an_option() -> None:
    assert globals_first(["sql", "--", "--home"]) == ["sql", "--", "--home"]


def test_values_become_what_json_has() -> None:
    row = {
        "day": date(2011, 12, 10),
        "at": datetime(2011, 12, 10),
        "later": datetime(2011, 12, 10, 8, 26),
        "units": Decimal("3.000"),
        "price": Decimal("2.5500"),
        "products": ["a", None],
        "path": Path("x"),
    }

    assert plain(row) == {
        "day": "2011-12-10",
        "at": "2011-12-10",
        "later": "2011-12-10T08:26:00",
        "units": 3,
        "price": 2.55,
        "products": ["a", None],
        "path": "x",
    }


def asked(query: str, capsys: Output) -> object:
    assert main(["sql", query, "--json"]) == 0
    return json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_what_json_has_no_number_for_is_null(lake: Lake, capsys: Output) -> None:
    query = "SELECT double('NaN') AS a, double('Infinity') AS b, double('-Infinity') AS c, array(float('NaN'), float(1)) AS d"

    assert asked(query, capsys) == [{"a": None, "b": None, "c": None, "d": [None, 1.0]}]


def test_a_decimal_keeps_every_digit_as_text_where_a_number_would_lose_one(lake: Lake, capsys: Output) -> None:
    query = "SELECT cast('12345678901234.5678' AS decimal(18,4)) AS long, cast('2.5500' AS decimal(18,4)) AS short"

    assert asked(query, capsys) == [{"long": "12345678901234.5678", "short": 2.55}]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12))
def test_no_digit_of_a_decimal_is_lost_on_its_way_through_json(value: Decimal) -> None:
    assert Decimal(str(json.loads(json.dumps(plain(value))))) == value


def test_a_time_keeps_its_microseconds(lake: Lake, capsys: Output) -> None:
    query = "SELECT timestamp'2011-12-10 08:26:00.123456' AS exact, timestamp'2011-12-10 08:26:00' AS whole"

    assert asked(query, capsys) == [{"exact": "2011-12-10T08:26:00.123456", "whole": "2011-12-10T08:26:00"}]


LIGHT = """
import resource, sys
from jobs.cli import main
HEAVY = ("pyspark", "papermill", "mlflow", "feast", "pandas", "sklearn", "scipy", "lightgbm", "openpyxl")
code = main(sys.argv[1:])
heavy = sorted(name for name in HEAVY if name in sys.modules)
print(resource.getrusage(resource.RUSAGE_SELF).ru_utime, code, heavy, file=sys.stderr)
"""


def test_help_takes_less_than_a_second_of_work_and_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT, "--help"], capture_output=True, text=True, cwd=ROOT, check=True)

    seconds, code, heavy = done.stderr.split(maxsplit=2)
    assert float(seconds) < 1.0
    assert (code, heavy.strip()) == ("0", "[]")
    assert "serve" in done.stdout


def test_what_there_is_can_be_told_without_importing_anything_heavy(tmp_path: Path) -> None:
    for words in (["status"], ["maintain", "--dry-run"]):
        program = [sys.executable, "-c", LIGHT, "--home", str(tmp_path / "home"), *words]
        done = subprocess.run(program, capture_output=True, text=True, cwd=ROOT, check=True)

        assert done.stderr.rsplit(maxsplit=1)[-1] == "[]", (words, done.stderr)


def test_a_digest_is_one_answer_of_a_fixed_shape_and_of_several_tables_a_list(capsys: Output) -> None:
    with Lake(settings.load()) as lake:
        lake.create_tables()
    assert main(["digest", "bronze.sales", "--json"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert main(["digest", "bronze.sales", "bronze.answers", "--json"]) == 0
    several = json.loads(capsys.readouterr().out)

    assert set(one) >= {"table", "version", "rows", "digest"}
    assert [found["table"] for found in several] == ["bronze.sales", "bronze.answers"]
    assert several[0] == one
    assert main(["digest", "bronze.sales", "bronze.answers", "--version", "0"]) == 2


def test_a_defect_is_told_in_a_sentence_and_its_traceback_is_kept_in_a_file_of_this_user_s(
    monkeypatch: pytest.MonkeyPatch, capsys: Output, tmp_path: Path
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a defect\nof ours")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Lake, "snapshots", broken)
    assert main(["snapshots"]) == 70
    said = capsys.readouterr().err
    (kept,) = tmp_path.glob("zeromargin-error-*.txt")
    assert said.count("\n") == 1 and "KeyError" in said and str(kept) in said and "Traceback" not in said
    assert "in broken" in kept.read_text() and kept.stat().st_mode & 0o777 == 0o600

    with pytest.raises(KeyError):
        main(["snapshots", "--debug"])
