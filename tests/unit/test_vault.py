"""The vault: one key per customer for all processes, none made by looking, nothing to read without the secret."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.processes import ROOT
from lakehouse import settings as settings_module
from lakehouse.errors import TryAgain, VaultError
from lakehouse.privacy import store, vault
from lakehouse.privacy.vault import Vault, open_vault
from lakehouse.settings import Settings

SECRET, OTHER_SECRET = "00112233445566778899aabbccddeeff" * 2, "ff" * 32
PLANTED = "98765432109876"


def chosen(home: Path, **of_vault: object) -> Settings:
    return settings_module.load(home=home, profile="local", overrides={"vault": of_vault}, environ={})


@pytest.fixture
def opened(home: Path) -> Iterator[Vault]:
    with open_vault(chosen(home)) as found:
        yield found


def keys(found: Vault, *numbers: str | None, identity: str = "shop", sold_at: list[datetime | None] | None = None) -> list[str | None]:
    moments = None if sold_at is None else pa.array(sold_at, pa.timestamp("us"))
    answer: list[str | None] = found.exchange(identity, pa.array(numbers, pa.string()), moments).to_pylist()
    return answer


def rows(home: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(home / "vault.db")) as connection:
        return connection.execute(query).fetchall()


def erased(home: Path, number: str, before: datetime, opened: Vault, times: int = 1) -> None:
    """What an erasure leaves: no row, and a tombstone."""
    lookup = bytes.fromhex(opened.lookups("shop", pa.array([number])).to_pylist()[0])
    with closing(sqlite3.connect(home / "vault.db")) as connection:
        connection.execute("DELETE FROM vault_customers WHERE lookup = ?", (lookup,))
        connection.execute("INSERT INTO vault_tombstones VALUES (?, ?, ?, ?)", ("shop", lookup, f"{before:%Y-%m-%d %H:%M:%S.%f}", times))
        connection.commit()


def test_each_customer_has_one_key_and_nobody_has_none(opened: Vault) -> None:
    first, second, again, nobody = keys(opened, "17850", "13047", "17850", None)

    assert first == again
    assert nobody is None
    assert len({first, second}) == 2
    assert all(key is not None and len(key) == 32 for key in (first, second))


def test_a_customer_keeps_the_key_when_the_vault_is_opened_again(home: Path, opened: Vault) -> None:
    before = keys(opened, "17850", "13047")

    with open_vault(chosen(home)) as again:
        assert keys(again, "13047", "17850") == before[::-1]


def test_the_same_number_of_two_retailers_is_two_people(opened: Vault) -> None:
    assert keys(opened, "17850", identity="one") != keys(opened, "17850", identity="other")
    assert opened.identities() == ["one", "other"]


def test_more_customers_than_fit_into_one_query_each_get_a_key(opened: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault, "_ROWS", 7)
    found = keys(opened, *map(str, range(100)))

    assert len(set(found)) == 100
    assert opened.present([key for key in found if key] + ["nobody's"]) == set(found)


def test_looking_up_finds_in_any_form_and_never_makes_a_key(home: Path, opened: Vault) -> None:
    (known,) = keys(opened, "17850")

    assert {opened.look_up("shop", form) for form in ("17850", "17850.0", " 17850 ")} == {known}
    assert [opened.look_up("shop", form) for form in ("13047", "", "1.2E+13")] == [None, None, None]
    assert opened.look_up("elsewhere", "17850") is None
    assert opened.lookups("shop", pa.array(["13047", None])).to_pylist()[1] is None
    assert rows(home, "SELECT count(*) FROM vault_customers") == [(1,)]


def test_only_the_number_s_ciphertext_and_hash_are_kept(home: Path, opened: Vault) -> None:
    (key,) = keys(opened, PLANTED)

    for path in home.glob("vault.db*"):
        assert PLANTED.encode() not in path.read_bytes(), path
    assert key is not None
    assert opened.number(key) == PLANTED


def test_a_key_that_leads_to_nobody_has_no_number(opened: Vault) -> None:
    assert opened.number("0" * 32) is None


def test_one_number_is_never_encrypted_to_the_same_bytes(home: Path, tmp_path: Path) -> None:
    found = []
    for place in ("a", "b"):
        with open_vault(chosen(tmp_path / place, secret=SECRET)) as one:
            keys(one, PLANTED)
        found += rows(tmp_path / place, "SELECT number FROM vault_customers")
    assert found[0] != found[1]


def test_a_row_that_was_moved_to_another_customer_s_place_is_found_out(home: Path, opened: Vault) -> None:
    one, other = keys(opened, "17850", "13047")
    assert one is not None and other is not None
    with closing(sqlite3.connect(home / "vault.db")) as connection:
        number = connection.execute("SELECT number FROM vault_customers WHERE customer_key = ?", (other,)).fetchone()[0]
        connection.execute("UPDATE vault_customers SET number = ? WHERE customer_key = ?", (number, one))
        connection.commit()

    with pytest.raises(VaultError, match="moved"):
        opened.number(one)


def test_random_keys_of_two_homes_differ_even_under_one_secret(tmp_path: Path) -> None:
    found = []
    for place in ("a", "b"):
        with open_vault(chosen(tmp_path / place, secret=SECRET)) as one:
            assert not one.derived
            found += keys(one, "17850")
    assert found[0] != found[1]


def test_derived_keys_of_two_homes_are_equal_under_one_secret_alone(tmp_path: Path) -> None:
    found = {}
    for place, secret in (("a", SECRET), ("b", SECRET), ("c", OTHER_SECRET)):
        with open_vault(chosen(tmp_path / place, secret=secret, keys="derived")) as one:
            assert one.derived
            # In another order and in other company.
            found[place] = keys(one, *(("17850", "13047") if place == "a" else ("1", "13047", "17850")))
    assert found["a"] == found["b"][:0:-1]
    assert not set(found["a"]) & set(found["c"])


def test_a_wrong_secret_is_named_before_anything_is_done(home: Path) -> None:
    with open_vault(chosen(home, secret=SECRET)) as right:
        keys(right, "17850")

    with pytest.raises(VaultError, match="not the one that this vault was made with"):
        open_vault(chosen(home, secret=OTHER_SECRET))
    assert rows(home, "SELECT count(*) FROM vault_customers") == [(1,)]


def test_a_lost_secret_is_not_replaced_by_a_new_one(home: Path) -> None:
    with open_vault(chosen(home)) as made:
        keys(made, "17850")
    (home / "secrets" / "vault").unlink()

    with pytest.raises(VaultError, match="has no secret"):
        open_vault(chosen(home))
    assert not (home / "secrets" / "vault").exists()


def test_the_vault_s_files_are_their_owner_s_alone(home: Path, opened: Vault) -> None:
    before = os.umask(0)
    try:
        keys(opened, "17850")
        modes = {path.name: path.stat().st_mode & 0o777 for path in home.glob("vault.db*")}
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}, modes
    assert "vault.db" in modes


def test_a_busy_vault_is_a_reason_to_try_again(home: Path, opened: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BUSY_S", 0.05)
    with open_vault(chosen(home)) as impatient, closing(sqlite3.connect(home / "vault.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TryAgain, match="does not answer") as refused:
            keys(impatient, PLANTED)
    assert PLANTED not in str(refused.value)


def test_a_vault_that_somebody_writes_to_is_opened_and_read_at_once(home: Path, opened: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    (key,) = keys(opened, PLANTED)
    monkeypatch.setattr(store, "BUSY_S", 0.05)
    with closing(sqlite3.connect(home / "vault.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with open_vault(chosen(home)) as found:
            assert found.look_up("shop", PLANTED) == key


def test_a_new_vault_that_somebody_writes_to_is_a_reason_to_try_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BUSY_S", 0.05)
    home.mkdir()
    with closing(sqlite3.connect(home / "vault.db")) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TryAgain, match="is locked"):
            open_vault(chosen(home))
        other.rollback()
        open_vault(chosen(home)).close()


@pytest.mark.parametrize("url", ["nonsense", "nodatabase://x/y", "sqlite:////proc/nowhere/vault.db"])
def test_a_vault_that_can_not_be_opened_is_named(home: Path, url: str) -> None:
    with pytest.raises(VaultError, match="Look at vault.url"):
        open_vault(chosen(home, url=url))


def test_a_password_of_the_vault_s_url_is_not_told(home: Path) -> None:
    with pytest.raises(VaultError) as refused:
        open_vault(chosen(home, url="nodatabase://user:topsecret@host/vault"))
    assert "topsecret" not in str(refused.value)


def test_lines_from_before_an_erasure_come_without_a_customer_and_later_ones_with_somebody_new(home: Path, opened: Vault) -> None:
    (before,) = keys(opened, "17850")
    erased(home, "17850", datetime(2011, 6, 1), opened)

    old, at, new, timeless = keys(
        opened, *["17850"] * 4, sold_at=[datetime(2011, 5, 31, 23, 59), datetime(2011, 6, 1), datetime(2011, 7, 1), None]
    )

    assert (old, timeless) == (None, None)
    assert at == new is not None
    assert new != before


def test_a_person_who_has_only_lines_from_before_the_erasure_is_not_made_anew(home: Path, opened: Vault) -> None:
    keys(opened, "17850", "13047")
    erased(home, "17850", datetime(2011, 6, 1), opened)

    found = keys(opened, "17850", "13047", sold_at=[datetime(2011, 1, 1)] * 2)

    assert found[0] is None and found[1] is not None
    assert rows(home, "SELECT count(*) FROM vault_customers") == [(1,)]


def test_who_comes_back_after_an_erasure_is_somebody_new_with_derived_keys_too(home: Path) -> None:
    with open_vault(chosen(home, secret=SECRET, keys="derived")) as opened:
        (before,) = keys(opened, "17850")
        erased(home, "17850", datetime(2011, 6, 1), opened)
        assert keys(opened, "17850", sold_at=[datetime(2011, 7, 1)]) != [before]


MEET = """
import json, sys
from pathlib import Path
import pyarrow as pa
from lakehouse import settings
from lakehouse.privacy.vault import open_vault
chosen = settings.load(home=Path(sys.argv[1]), profile="local", environ={})
numbers = [str(number) for number in range(3000)]
if sys.argv[2] == "backwards":
    numbers.reverse()
sys.stdin.readline()
with open_vault(chosen) as vault:
    found = {}
    for start in range(0, len(numbers), 250):
        part = numbers[start:start + 250]
        found.update(zip(part, vault.exchange("shop", pa.array(part)).to_pylist()))
print(json.dumps(found))
"""


def test_processes_that_meet_the_same_new_customers_at_once_get_one_key_each(home: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", MEET, str(home), order], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for order in ("forwards", "backwards", "forwards")
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate(timeout=120)[0]) for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0]
    assert answers[0] == answers[1] == answers[2]
    assert len(set(answers[0].values())) == 3000
    assert rows(home, "SELECT count(*) FROM vault_customers") == [(3000,)]
