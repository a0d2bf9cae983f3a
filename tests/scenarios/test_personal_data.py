"""A planted customer number of 14 digits goes through the door, and is found nowhere behind it."""

from __future__ import annotations

import json
import logging
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.cli import main
from jobs.runner import run as run_stages
from lakehouse.errors import InputError
from lakehouse.ingest import load
from lakehouse.privacy.vault import open_vault
from lakehouse.tables import Lake
from tests.canonical import HEADER
from tests.scan import places, places_in_tables

PLANTED = "98765432109876"
Files = Callable[[str, bytes], Path]


def sale(day: date, product: str, customer: str, quantity: str = "2") -> str:
    return f"{day:%m%d}{product},{product},thing {product},{quantity},{day}T10:00:00,2.50,{customer},France"


def sales() -> list[str]:
    """Six weeks in which three people buy, the planted one in every form of the number, and lines of that person that are refused."""
    first = date(2011, 1, 3)
    forms = (PLANTED, f"{PLANTED}.0", f" {PLANTED} ", "17850", "13047")
    lines = [sale(first + timedelta(days=3 * place), f"P{place % 4}", forms[place % 5]) for place in range(14)]
    refused = [
        sale(first, "P1", PLANTED, quantity=f"about {PLANTED}"),
        sale(first, "P1", PLANTED, quantity="?"),
        sale(date(2099, 1, 5), "P1", PLANTED).replace("thing P1", f"for customer {PLANTED}"),
        sale(date(1900, 1, 5), "P1", PLANTED),
        f"{sale(first, 'P2', PLANTED)},{PLANTED}",
        f'never closed,"{PLANTED}',
        PLANTED,
        sale(first, "P\0", PLANTED),
        sale(first, "P1", f"{PLANTED}\0"),
        sale(first, "P1", f"{PLANTED}000.0"),
    ]
    return [*lines, *refused]


def refused_files(folder: Path) -> list[Path]:
    """Files that can't be taken as a whole, each with the number where a parser could quote it."""
    header = HEADER.replace("customer", "custommer")
    good = sale(date(2011, 1, 3), "P1", PLANTED)
    whole = folder / "whole.parquet"
    pq.write_table(pa.table({"customer": [PLANTED] * 50, "quantity": [1] * 50}), whole, compression="none")
    contents = {
        "misspelt.csv": f"{header}\n{good}\n".encode(),
        "headless.csv": f"{good}\n{good}\n".encode(),
        "number-as-column.csv": f"{HEADER},{PLANTED}\n{good},1\n".encode(),
        "latin.csv": f"{HEADER}\n".encode() + f"{good}é\n".encode("latin-1") * 12,
        "half.parquet": whole.read_bytes()[: whole.stat().st_size // 2],
        "damaged.parquet": whole.read_bytes().replace(PLANTED.encode(), PLANTED.encode()[::-1], 1)[:-1] + b"X",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [*(folder / name for name in contents), whole]


@pytest.mark.soak_on_jvm
def test_the_planted_number_is_nowhere_behind_the_door(
    lake: Lake, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    named_after_a_customer = incoming / f"orders-of-{PLANTED}.csv"
    named_after_a_customer.write_text("\n".join((HEADER, *sales())) + "\n")
    with_numbers = incoming / "b.parquet"
    columns = {name: [value] * 2 for name, value in zip(HEADER.split(","), sale(date(2011, 2, 14), "P9", "").split(","), strict=True)}
    pq.write_table(pa.table({**columns, "customer": [int(PLANTED), 17850]}), with_numbers)

    (landed,) = load(lake, named_after_a_customer, "canonical")
    load(lake, with_numbers, "canonical")
    assert landed.accepted == 14
    assert sum(landed.refused.values()) >= 10
    for path in refused_files(tmp_path):
        with pytest.raises(InputError):
            load(lake, path, "canonical")
        assert main(["--home", str(lake.home), "load", str(path), "--source", "canonical"]) == 1
    # Reports with examples are made from rows that are read back: the same code on both engines, so on the faster one alone.
    report = run_stages(lake.settings, ["silver", "gold", *(["quality"] if lake.settings.engine == "sail" else []), "features"])
    assert report.snapshot is not None

    with open_vault(lake.settings) as vault:
        key = vault.look_up("canonical", PLANTED)
        assert key is not None and vault.number(key) == PLANTED
    bought = lake.read("features.customer_history").where(f"customer_key = '{key}'").count()
    assert bought > 0, "the planted customer must have come all the way, or the scan proves nothing"
    told = capfd.readouterr()
    assert PLANTED not in told.out + told.err + caplog.text
    assert places(lake.home, PLANTED) == []
    assert places_in_tables(lake, PLANTED) == []
    engine = [path for path in tmp_path.parent.glob("endpoint-*") if path.is_dir()]
    assert engine, "the engine's own folder, where it spills and logs, is looked at too"
    assert [place for path in engine for place in places(path, PLANTED)] == []
    # The key is there, in the same places: the scan does see into them.
    assert {place.split("/")[0] for place in places(lake.home, key) if not place.startswith(("vault.db", "runs"))} >= {"tables", "feast"}


@pytest.mark.parametrize("stop", ["reading", "written"])
@pytest.mark.soak_on_jvm
def test_a_load_that_stops_half_way_leaves_no_number_either(lake: Lake, tmp_path: Path, stop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join((HEADER, *sales())) + "\n")
    seen: list[list[str]] = []

    def stops(*_: object, **__: object) -> None:
        seen.append([*places(lake.home, PLANTED)])
        raise KeyboardInterrupt

    if stop == "written":
        monkeypatch.setattr(lake.writer, "_commit", stops)
    with suppress(KeyboardInterrupt):
        load(lake, path, "canonical", stops if stop == "reading" else None)

    # What lies in the staging folders and in the open transaction's files, and what is left of it.
    assert seen == [[]]
    assert places(lake.home, PLANTED) == []


@pytest.mark.parametrize("kind", ["text", "integer", "parquet", "sqlite", "notebook", "name"])
@pytest.mark.soak_on_jvm
def test_the_scan_finds_what_is_there(tmp_path: Path, kind: str, engine_name: str) -> None:
    if kind == "text":
        (tmp_path / "run.log").write_text(f"customer {PLANTED} came")
    elif kind == "integer":
        (tmp_path / "spill.bin").write_bytes(b"\1\2\3" + struct.pack("<q", int(PLANTED)))
    elif kind == "parquet":
        pq.write_table(pa.table({"who": [["x"], [PLANTED]] * 500}), tmp_path / "part.parquet", compression="zstd")
    elif kind == "sqlite":
        with closing(sqlite3.connect(tmp_path / "online.db")) as connection:
            connection.execute("CREATE TABLE t (a, b)")
            connection.execute("INSERT INTO t VALUES (?, ?)", (1, int(PLANTED)))
            connection.commit()
    elif kind == "notebook":
        (tmp_path / "a.ipynb").write_text(json.dumps({"cells": [f"\u00e9 {PLANTED}"]}))
    else:
        (tmp_path / f"{PLANTED}.json").write_text("{}")
    assert places(tmp_path, PLANTED)
    assert not places(tmp_path, PLANTED[::-1])
