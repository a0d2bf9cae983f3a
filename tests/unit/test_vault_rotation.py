"""Rotation: numbers are encrypted anew, nothing else changes, and whoever is in the middle of something goes on."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import Connection

from jobs.cli import main
from jobs.processes import ROOT
from lakehouse import settings as settings_module
from lakehouse.errors import VaultError
from lakehouse.privacy import rotation, vault
from lakehouse.privacy.vault import Vault, open_vault
from lakehouse.settings import Settings
from tests.waiting import wait_for

NUMBERS = [f"9{number:013d}" for number in range(50)]


def chosen(home: Path) -> Settings:
    return settings_module.load(home=home, profile="local", environ={})


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "ROWS", 7)


@pytest.fixture
def opened(home: Path, few_rows: None) -> Iterator[Vault]:
    with open_vault(chosen(home)) as found:
        yield found


def exchanged(vault: Vault) -> dict[str, str]:
    return dict(zip(NUMBERS, vault.exchange("shop", pa.array(NUMBERS)).to_pylist(), strict=True))


def stored(home: Path) -> dict[str, tuple[int, bytes]]:
    with closing(sqlite3.connect(home / "vault.db")) as connection:
        return {key: (generation, sealed) for key, generation, sealed in connection.execute(_EVERY)}


_EVERY = "SELECT customer_key, generation, number FROM vault_customers"


def test_every_number_is_encrypted_anew_and_keys_and_look_ups_stay(home: Path, opened: Vault) -> None:
    keys, before = exchanged(opened), stored(home)

    done = opened.rotate()

    after = stored(home)
    assert (done.generation, done.customers) == (2, len(NUMBERS))
    assert {generation for generation, _ in after.values()} == {2}
    assert all(before[key][1] != after[key][1] for key in before)
    assert {number: opened.look_up("shop", number) for number in NUMBERS} == keys
    assert {number: opened.number(key) for number, key in keys.items()} == {number: number for number in NUMBERS}


def test_the_former_ciphertexts_are_in_no_file(home: Path, opened: Vault) -> None:
    exchanged(opened)
    former = [sealed for _, sealed in stored(home).values()]
    assert former[0] in b"".join(path.read_bytes() for path in home.glob("vault.db*"))

    opened.rotate()

    left = b"".join(path.read_bytes() for path in home.glob("vault.db*"))
    assert not [sealed for sealed in former if sealed in left]


def test_each_rotation_has_a_key_of_its_own(home: Path, opened: Vault) -> None:
    keys = exchanged(opened)
    generations = [opened.rotate().generation for _ in range(3)]

    assert generations == [2, 3, 4]
    assert {opened.number(key) for key in keys.values()} == set(NUMBERS)


def test_a_vault_that_was_open_before_goes_on_and_writes_under_the_new_generation(home: Path, opened: Vault) -> None:
    keys = exchanged(opened)
    with open_vault(chosen(home)) as other:
        opened.rotate()
        (new,) = other.exchange("shop", pa.array(["13047"])).to_pylist()
        assert other.number(keys[NUMBERS[0]]) == NUMBERS[0]
    assert stored(home)[new][0] == 2
    assert opened.number(new) == "13047"


def test_broken_off_it_is_ended_and_not_begun_again(home: Path, opened: Vault) -> None:
    keys = exchanged(opened)

    def killed(done: int, of: int) -> None:
        assert of == len(NUMBERS)
        if done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened.rotate(killed)
    assert {generation for generation, _ in stored(home).values()} == {1, 2}
    assert {opened.number(key) for key in keys.values()} == set(NUMBERS)

    done = opened.rotate()

    assert (done.generation, done.customers, done.resumed) == (2, len(NUMBERS) - 21, True)
    assert opened.rotate().generation == 3
    assert {opened.number(key) for key in keys.values()} == set(NUMBERS)


@pytest.mark.slow
def test_killed_it_is_ended_the_next_time(home: Path) -> None:
    many = [str(number) for number in range(10_000, 40_000)]
    with open_vault(chosen(home)) as vault:
        keys = vault.exchange("shop", pa.array(many)).to_pylist()
    rotating = subprocess.Popen(
        [sys.executable, "-m", "jobs.cli", "--home", str(home), "vault", "rotate"], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    wait_for(lambda: rotating.poll() is not None or {generation for generation, _ in stored(home).values()} != {1})
    rotating.kill()
    assert rotating.wait() == -signal.SIGKILL
    assert {generation for generation, _ in stored(home).values()} == {1, 2}

    with open_vault(chosen(home)) as vault:
        done = vault.rotate()
        assert (done.generation, done.resumed) == (2, True)
        assert vault.exchange("shop", pa.array(many)).to_pylist() == keys
        assert [vault.number(key) for key in keys[::100]] == many[::100]
    assert {generation for generation, _ in stored(home).values()} == {2}


def test_rows_that_do_not_open_are_named_and_hold_nobody_else_up(home: Path, opened: Vault) -> None:
    keys = exchanged(opened)
    damaged = [keys[NUMBERS[30]], keys[NUMBERS[31]]]
    with closing(sqlite3.connect(home / "vault.db")) as connection:
        connection.executemany("UPDATE vault_customers SET number = zeroblob(40) WHERE customer_key = ?", [(key,) for key in damaged])
        connection.commit()

    for generation in (2, 3):
        with pytest.raises(VaultError, match="not what was written") as named:
            opened.rotate()
        assert all(key in str(named.value) for key in damaged)
        after = stored(home)
        assert [after[key] for key in damaged] == [(1, bytes(40))] * 2
        assert {found for key, (found, _) in after.items() if key not in damaged} == {generation}


def test_a_customer_who_comes_while_a_rotation_begins_is_written_under_its_generation(
    home: Path, opened: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_vault(chosen(home)) as other:
        real, rotated = vault.generation, []

        def slow(connection: Connection) -> int:
            found = real(connection)
            if not rotated:
                rotated.append(other.rotate())
            return found

        monkeypatch.setattr(vault, "generation", slow)
        (new,) = opened.exchange("shop", pa.array(["13047"])).to_pylist()

    assert stored(home)[new][0] == 2
    assert opened.number(new) == "13047"


def test_what_stays_in_the_log_while_somebody_reads_is_said(home: Path, opened: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "LOG_WAIT_MS", 50)
    exchanged(opened)
    with closing(sqlite3.connect(home / "vault.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM vault_customers").fetchone()
        assert opened.rotate().in_log
    assert not opened.rotate().in_log


def test_a_home_without_a_vault_gets_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(tmp_path / "misspelt"), "vault", "rotate"]) == 1
    assert "there is no vault yet" in capsys.readouterr().err
    assert not (tmp_path / "misspelt").exists()


def test_customers_who_come_and_go_meanwhile_are_neither_lost_nor_brought_back(home: Path, opened: Vault) -> None:
    keys = exchanged(opened)
    gone = NUMBERS[-1]

    def meanwhile(done: int, _of: int) -> None:
        if done == 7:
            with open_vault(chosen(home)) as other:
                other.exchange("shop", pa.array(["13047"]))
            with closing(sqlite3.connect(home / "vault.db")) as connection:
                connection.execute("DELETE FROM vault_customers WHERE customer_key = ?", (keys[gone],))
                connection.commit()

    opened.rotate(meanwhile)

    assert opened.look_up("shop", gone) is None
    assert opened.look_up("shop", "13047") is not None
    assert {generation for generation, _ in stored(home).values()} == {2}


def test_two_at_once_leave_every_number_readable(home: Path, opened: Vault) -> None:
    keys = exchanged(opened)
    with open_vault(chosen(home)) as other, ThreadPoolExecutor(2) as both:
        done = [one.result() for one in [both.submit(vault.rotate) for vault in (opened, other)]]

    newest = max(one.generation for one in done)
    assert {generation for generation, _ in stored(home).values()} == {newest}
    assert {opened.number(key) for key in keys.values()} == set(NUMBERS)


def test_from_the_shell_it_says_what_it_did(home: Path, opened: Vault, capsys: pytest.CaptureFixture[str]) -> None:
    exchanged(opened)

    assert main(["--home", str(home), "vault", "rotate", "--json"]) == 0

    told = capsys.readouterr()
    assert json.loads(told.out) == {"generation": 2, "customers": len(NUMBERS), "resumed": False, "in_log": False}
    assert f"{len(NUMBERS)} of {len(NUMBERS)} customers" in told.err
    assert not [number for number in NUMBERS if number in told.out + told.err]
