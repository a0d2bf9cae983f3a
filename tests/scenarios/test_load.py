"""Loading: files through the door into bronze; the same content once; no customer number past the door."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse.errors import InputError, UnknownName, VaultError
from lakehouse.ingest import load, vault_age
from lakehouse.tables import Lake
from tests.canonical import written

PLANTED = "98765432109876"


def test_a_file_lands_once_whatever_its_name(lake: Lake, tmp_path: Path) -> None:
    first = written(tmp_path, "a.csv", "1,A,thing,2,2011-01-03T10:00:00,2.50,17850,France")
    again = first.rename(tmp_path / "b.csv")
    landed = load(lake, again, "canonical")
    assert [(file.lines, file.accepted, file.already) for file in landed] == [(1, 1, False)]
    repeated = load(lake, written(tmp_path, "c.csv", "1,A,thing,2,2011-01-03T10:00:00,2.50,17850,France"), "canonical")
    assert [file.already for file in repeated] == [True]
    assert lake.read("bronze.sales").count() == 1


@pytest.mark.soak_on_jvm
def test_forms_of_one_customer_number_get_one_key(lake: Lake, tmp_path: Path) -> None:
    lines = [f"{number},A,thing,1,2011-01-03T10:00:00,2.50,{form},France" for number, form in enumerate(("17850", "17850.0", " 17850 "))]
    load(lake, written(tmp_path, "a.csv", *lines), "canonical")
    keys = lake.read("bronze.sales").select("customer_key").toArrow().column(0).to_pylist()
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert keys[0] not in (None, "17850")


def test_a_line_that_can_not_be_read_is_kept_as_number_and_reason_and_spoils_no_other(lake: Lake, tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "a.csv",
        "1,A,thing,2,2011-01-03T10:00:00,2.50,17850,France",
        f"1,A,thing,two {PLANTED},2011-01-03T10:00:00,2.50,{PLANTED},France",
        f"ragged {PLANTED}",
        "1,B,thing,2,2091-01-03T10:00:00,2.50,17850,France",
    )
    landed = load(lake, path, "canonical")
    assert landed[0].refused == {"bad_quantity": 1, "in_the_future": 1, "ragged_line": 1}
    refused = lake.read("bronze.sales").where("size(reasons) > 0").toArrow().to_pylist()
    by_line = {row["line_number"]: row for row in refused}
    assert {number: row["reasons"] for number, row in by_line.items()} == {2: ["bad_quantity"], 3: ["ragged_line"], 4: ["in_the_future"]}
    assert (by_line[2]["product_code"], by_line[2]["customer_key"], by_line[3]["line_id"]) == (None, None, None)


def test_no_customer_number_is_left_behind_the_door(lake: Lake, tmp_path: Path) -> None:
    load(lake, written(tmp_path, "a.csv", f"1,A,thing,2,2011-01-03T10:00:00,2.50,{PLANTED},France"), "canonical")
    for path in lake.home.rglob("*"):
        if path.is_file():
            assert PLANTED.encode() not in path.read_bytes(), path
    for row in lake.read("bronze.sales").toArrow().to_pylist():
        assert PLANTED not in repr(row)


@pytest.mark.soak_on_jvm
def test_a_file_that_is_wrong_as_a_whole_changes_nothing(lake: Lake, tmp_path: Path) -> None:
    before = lake.head("bronze.sales")
    empty = tmp_path / "empty.csv"
    empty.touch()
    half = tmp_path / "half.parquet"
    half.write_bytes(b"PAR1 and then nothing")
    other = tmp_path / "other.csv"
    other.write_text("invoice,produkt_code,quantity\n1,A,2\n")
    for path, found in ((empty, "empty"), (half, "not a whole Parquet file"), (other, "product_code"), (tmp_path / "none.csv", "no file")):
        with pytest.raises(InputError, match=found):
            load(lake, path, "canonical")
    assert lake.head("bronze.sales") == before


@pytest.mark.soak_on_jvm
def test_a_lost_vault_is_named_before_anybody_gets_a_second_key(lake: Lake, tmp_path: Path) -> None:
    load(lake, written(tmp_path, "a.csv", "1,A,thing,2,2011-01-03T10:00:00,2.50,17850,France"), "canonical")
    before = lake.head("bronze.sales")
    for part in lake.home.glob("vault.db*"):
        part.unlink()
    with pytest.raises(VaultError, match="knows nobody: it was lost"):
        load(lake, written(tmp_path, "b.csv", "2,A,thing,2,2011-01-04T10:00:00,2.50,17850,France"), "canonical")
    assert lake.head("bronze.sales") == before


@pytest.mark.parametrize("keys", ["random", "derived"])
@pytest.mark.soak_on_jvm
def test_an_older_vault_is_refused_where_it_would_give_a_second_key(keys: str, lake: Lake, tmp_path: Path) -> None:
    vault = lake.settings.vault.model_copy(update={"keys": keys})
    files = [written(tmp_path, f"{day}.csv", f"{day},A,thing,2,2011-01-0{day}T10:00:00,2.50,1785{day},France") for day in range(1, 4)]
    with Lake(lake.settings.model_copy(update={"vault": vault}), endpoint=lake.endpoint) as own:
        load(own, files[0], "canonical")
        backed_up = (own.home / "vault.db").read_bytes()
        load(own, files[1], "canonical")
        for part in own.home.glob("vault.db*"):
            part.unlink()
        (own.home / "vault.db").write_bytes(backed_up)
        (own.home / "vault.db").chmod(0o600)

        if keys == "derived":
            load(own, files[2], "canonical")
        else:
            with pytest.raises(VaultError, match="has made 1 keys, and had made 2 .* it is an older one"):
                load(own, files[2], "canonical")
            derived = lake.settings.model_copy(update={"vault": vault.model_copy(update={"keys": "derived"})})
            with Lake(derived, endpoint=lake.endpoint) as other, pytest.raises(VaultError, match="has made random keys"):
                load(other, files[2], "canonical")


@pytest.mark.soak_on_jvm
def test_another_lakes_vault_is_refused_however_many_it_knows(lake: Lake, tmp_path: Path) -> None:
    files = [written(tmp_path, f"{day}.csv", f"{day},A,thing,2,2011-01-0{day}T10:00:00,2.50,1785{day},France") for day in range(1, 4)]
    random = lake.settings.vault.model_copy(update={"keys": "random"})
    home = lake.home.with_name("other")
    for number, place in enumerate((lake.home, home), 1):
        with Lake(lake.settings.model_copy(update={"vault": random, "home": place}), endpoint=lake.endpoint) as own:
            for file in files[:number]:
                load(own, file, "canonical")
    for part in home.glob("vault.db*"):
        (lake.home / part.name).write_bytes(part.read_bytes())

    with Lake(lake.settings.model_copy(update={"vault": random}), endpoint=lake.endpoint) as own:
        assert not vault_age.judged(own)[0]
        with pytest.raises(VaultError, match="is not the one that this lake's customers are in"):
            load(own, files[2], "canonical")


@pytest.mark.soak_on_jvm
def test_an_unknown_source_gets_a_hint(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match='Did you mean "canonical"'):
        load(lake, tmp_path, "canonicle")
