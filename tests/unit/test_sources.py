"""sources.yml: what ships is whole, and what is wrong in an entry is said by its name."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.processes import ROOT
from lakehouse.errors import SettingsError, UnknownName
from lakehouse.ingest.sources import Source, every, find, parse

ENTRY: dict[str, Any] = {
    "about": "a shop",
    "formats": {"csv": {}},
    "columns": {"Code": "product_code", "Qty": "quantity", "When": "sold_at", "Price": "unit_price"},
    "currency": "EUR",
}


def entry(**changes: Any) -> dict[str, Any]:
    """The smallest entry, changed; None takes a key out."""
    return {key: value for key, value in (ENTRY | changes).items() if value is not None}


def columns(**more: str) -> dict[str, str]:
    return {**ENTRY["columns"], **more}


def test_the_smallest_entry_is_a_source() -> None:
    found = parse("shop", entry())

    assert (found.identity, found.repeats, found.covers, found.formats["csv"].encoding) == ("shop", "drop", "day", ("utf-8",))


def test_every_source_that_ships_is_whole() -> None:
    found = every("local")
    assert set(found) >= {"canonical", "online-retail-ii"}
    assert all(isinstance(one, Source) for one in found.values())


def test_every_key_is_explained_at_the_top_of_the_file() -> None:
    explained = (ROOT / "conf" / "base" / "sources.yml").read_text().split("\ncanonical:")[0]
    missing = [key for key in Source.model_fields if key != "name" and f"#   {key} " not in explained]
    assert missing in ([], ["thousands"])


def test_an_unknown_source_gets_a_hint() -> None:
    with pytest.raises(UnknownName, match='source "online-retail" is unknown. Did you mean "online-retail-ii"'):
        find("online-retail", "local")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colums": ENTRY["columns"], "columns": None}, 'key "colums" is unknown in source "shop".* Did you mean "columns"'),
        ({"formats": {"csv": {"delimeter": ";"}}}, 'key "delimeter" is unknown .*Did you mean "delimiter"'),
        ({"times": {"format": ["%d.%m.%Y"]}}, 'Did you mean "formats"'),
        ({"columns": columns(Cust="custommer")}, 'field "custommer" is unknown .*Did you mean "customer"'),
        ({"line_identity": ["invoise"]}, 'Did you mean "invoice"'),
    ],
)
def test_a_misspelt_name_gets_a_hint(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UnknownName, match=words):
        parse("shop", entry(**changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"about": None}, "about: Field required"),
        ({"formats": {}}, "formats"),
        ({"formats": {"txt": {}}}, "kind"),
        ({"formats": {"csv": {"encoding": "utf-16"}}}, "keeps ASCII"),
        ({"formats": {"csv": {"encoding": "utf-9"}}}, '"utf-9" is not an encoding'),
        ({"formats": {"csv": {"delimiter": '"'}}}, "delimiter"),
        ({"formats": {"csv": {"delimiter": ";;"}}}, "delimiter"),
        ({"formats": {"csv": {"decimal": ",", "thousands": ","}}}, "the same mark"),
        ({"columns": {"Code": "product_code"}}, "no column is mapped to quantity"),
        ({"columns": {"Code": "product_code", "Qty": "quantity", "When": "sold_at"}}, "unit_price or amount"),
        ({"columns": columns(), "constants": {"quantity": "1"}}, "both a constant and a column"),
        ({"constants": {"customer": "17850"}}, "constants can't give customer"),
        ({"optional": ["quantity"]}, "can't be optional"),
        ({"optional": ["country"]}, "optional names country"),
        ({"times": {"formats": ["%Y-%m-%dT%H:%M:%S%z"]}}, "times.zone must name it"),
        ({"times": {"given_in": "UTC"}}, "times.zone must name it"),
        ({"times": {"zone": "Europe/Londn"}}, '"Europe/Londn" is not a time zone'),
        ({"times": {"counted": {"unit": "week", "day": "2011-01-03", "time_of_day": True}}}, "time_of_day needs unit: day"),
        ({"times": {"counted": {"unit": "week"}}}, "expected day, the one that number is, or of_year: true"),
        ({"times": {"counted": {"unit": "day", "of_year": True}}}, "of_year needs unit: week"),
        ({"times": {"counted": {"unit": "week", "of_year": True}}}, "no column is mapped to year"),
        ({"columns": columns(Y="year")}, "year is read where times.counted says of_year alone"),
        ({"times": {"by_last_day": True}}, "which is covers: week"),
        ({"times": {"by_last_day": True, "formats": ["%G-W%V"]}, "covers": "week"}, "Leave times.by_last_day out"),
        ({"products": {"matching": "[0-9"}}, "is not a regular expression"),
        ({"cancellation": {"column": "status"}}, "expected {column, prefix}"),
        ({"cancellation": {"column": "status", "values": ["void"]}}, "which no column is mapped to"),
        ({"cancellation": {"negative_quantity": True, "prefix": "C"}}, "expected {column, prefix}"),
        ({"cancellation": {"negative_quantity": True, "unsigned": True}}, "unsigned says nothing where the minus is what tells"),
        ({"repeats": "keep", "line_identity": ["product_code"]}, "repeats: keep"),
        (
            {"columns": columns(Stat="status"), "line_identity": ["status"]},
            "line_identity names status: a status",
        ),
        ({"columns": columns(Bon="invoice", Cust="customer"), "line_identity": ["customer"]}, "line_identity names customer: "),
        ({"columns": columns(Bon="invoice", Cust="customer"), "line_identity": ["invoice", "customer"]}, "line_identity names customer: "),
        ({"repeats": "maybe"}, "repeats"),
        ({"currency": "pounds"}, "currency"),
        (
            {"constants": {"store": "12"}, "beside": {"file": "stores.csv", "key": {"id": "store"}, "columns": {"land": "country"}}},
            "must be a column that every file has",
        ),
        ({"currency": "XXX"}, "XXX stands for no currency"),
    ],
)
def test_what_can_not_be_meant_is_refused_and_says_why(changes: dict[str, Any], words: str) -> None:
    with pytest.raises((SettingsError, UnknownName), match=words):
        parse("shop", entry(**changes))


def test_a_name_that_is_longer_than_what_the_log_says_of_it_is_refused() -> None:
    parse("s" * 32, entry())
    with pytest.raises(SettingsError, match="has a name of 33 characters, expected 32 at most"):
        parse("s" * 33, entry())


@pytest.mark.parametrize("written", [None, "shop", ["shop"]])
def test_an_entry_that_is_no_mapping_is_refused(written: object) -> None:
    with pytest.raises(SettingsError, match="expected an entry"):
        parse("shop", written)


def test_the_customer_is_part_of_a_line_s_identity_only_without_receipts() -> None:
    without = parse("shop", entry(columns=columns(Cust="customer")))
    with_receipts = parse("shop", entry(columns=columns(Cust="customer", No="invoice")))

    assert "customer" in without.identity_fields
    assert "customer" not in with_receipts.identity_fields
    assert parse("shop", entry(line_identity=["sold_at", "product_code"])).identity_fields == ("product_code", "sold_at")
