"""Lines in quarantine corrected by somebody: let in through the door as lines of their own, with who and why, and never twice."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from sqlalchemy import delete, insert, update

from jobs.cli import main
from lakehouse.errors import InputError, StateError, UnknownName
from lakehouse.ingest import load
from lakehouse.privacy.vault import open_vault
from lakehouse.quality import correction_history, corrections
from lakehouse.quality.correction_history import PROPOSED, RELEASED, REPLACED
from lakehouse.quality.corrections import OPEN
from lakehouse.registry.table_audit import audit_table
from lakehouse.tables import Lake, ops, restoring
from tests.featured import FeaturedShop, prepared

pytestmark = pytest.mark.soak_on_jvm

HEADER = "invoice,product_code,description,quantity,sold_at,unit_price,customer"
FILE = [
    "1,A,A CUP,2,2011-01-03T10:00:00,2.50,98765432109876",
    "2,B,A BOWL,1,2011-01-04T10:00:00,0.00,98765432109876",  # a price of nothing: refused by silver
    "3,C,A POT,many,2011-01-04T11:00:00,4.00,98765432109877",  # no number: refused by the door, no text kept
]
WHOLE_C = {"invoice": "3", "product_code": "c", "quantity": "3", "unit_price": "4.00", "sold_at": "2011-01-04T11:00:00"}
BY, WHY = "Ada <script>", "the till's own list"


def landed(shop: FeaturedShop) -> str:
    path = shop.lake.home.parent / "sales.csv"
    path.write_text("\n".join([HEADER, *FILE]) + "\n", encoding="utf-8")
    (one,) = load(shop.lake, path, "canonical")
    shop.publish("2011-01-12")
    return one.digest


@pytest.fixture
def shop(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> FeaturedShop:
    return prepared(lake, tmp_path_factory, landed)


def sold(lake: Lake) -> dict[str, tuple[Decimal, Decimal, str | None]]:
    rows = lake.read("silver.sales").toArrow().to_pylist()
    return {row["product_code"]: (row["quantity"], row["amount"], row["customer_key"]) for row in rows}


def states(lake: Lake) -> dict[int, str]:
    return {one.line: one.state for one in corrections.refused(lake, state=None)}


def let_in(lake: Lake) -> int:
    """Lines in bronze that are none of the file's."""
    return int(lake.read("bronze.sales", version=lake.head("bronze.sales")).count()) - len(FILE)


def test_a_corrected_line_comes_in_as_a_line_of_its_own_and_the_refused_one_stays(shop: FeaturedShop) -> None:
    lake, file = shop.lake, str(shop.made)
    assert states(lake) == {2: OPEN, 3: OPEN}
    assert corrections.counts(lake) == {"bad_quantity": 1, "price_positive": 1}
    corrections.correct(lake, file[:8], 2, {"unit_price": "3.10"}, BY, WHY)
    assert states(lake) == {2: PROPOSED, 3: OPEN}
    # Of a line that the door refused no text is kept: whoever corrects it says all of it.
    corrections.correct(lake, file, 3, WHOLE_C | {"customer": " 98765432109877.0 "}, "Bob", "asked")

    done = corrections.release(lake)

    assert (done.lines, done.left, states(lake)) == (2, 0, {2: RELEASED, 3: RELEASED})
    shop.publish("2011-01-19")
    found = sold(lake)
    with open_vault(lake.settings) as vault:
        keys = [vault.look_up("canonical", number) for number in ("98765432109876", "98765432109877")]
    assert found["B"] == (Decimal("1.000"), Decimal("3.1000"), keys[0])
    assert found["C"] == (Decimal("3.000"), Decimal("12.0000"), keys[1])
    assert {row["line_number"] for row in lake.read("quarantine.sales").toArrow().to_pylist()} == {2, 3}
    known = {row["product_code"]: row["_known_at"] for row in lake.read("silver.sales").toArrow().to_pylist()}
    assert str(known["B"])[:10] == "2011-01-10"  # from the moment published when it landed
    _, _, history = corrections.line(lake, file, 2)
    assert [(one.by, one.why, one.values, one.landed_as) for one in history] == [(BY, WHY, {"unit_price": "3.10"}, done.digest)]
    audited = audit_table(lake, "silver.sales", "2011-01-19")
    assert "Ada &lt;script&gt;" in audited.page() and "<script>" not in audited.page()
    (told,) = [one for one in audited.files if one.corrected_by]
    assert (told.file, told.lines, told.corrected_by) == (done.digest[:12], 2, f"{BY}: {WHY}; Bob: asked")
    assert not [path for path in lake.home.rglob("*") if path.is_file() and b"98765432109877" in path.read_bytes()]


def test_what_is_released_is_released_once_and_may_land_again_after_a_restore(shop: FeaturedShop) -> None:
    lake, file = shop.lake, str(shop.made)
    corrections.correct(lake, file, 2, {"unit_price": "3.00"}, BY, WHY)
    corrections.correct(lake, file, 2, {"unit_price": "3.10"}, "Bob", "asked the supplier")  # in place of the first
    first = corrections.release(lake, file, 2)
    with pytest.raises(InputError, match="no correction waits"):
        corrections.release(lake)
    with pytest.raises(StateError, match="corrected by Bob and released already"):
        corrections.correct(lake, file, 2, {"unit_price": "9"}, BY, WHY)
    restoring.restore(lake, 1)
    assert states(lake)[2] == PROPOSED
    again = corrections.release(lake)
    assert again.digest == first.digest
    _, _, history = corrections.line(lake, file, 2)
    assert [(one.by, one.state) for one in history] == [(BY, REPLACED), ("Bob", RELEASED)]
    assert lake.read("bronze.sales").where(f"file_digest = '{first.digest}'").count() == 1


@pytest.mark.slow
def test_what_landed_together_and_then_alone_is_released_wherever_a_restore_goes(shop: FeaturedShop) -> None:
    lake, file = shop.lake, str(shop.made)
    corrections.correct(lake, file, 2, {"unit_price": "3.10"}, BY, WHY)
    corrections.correct(lake, file, 3, WHOLE_C, "Bob", "asked")
    together = corrections.release(lake)
    shop.publish("2011-01-19")
    restoring.restore(lake, 1)
    assert states(lake) == {2: PROPOSED, 3: PROPOSED}
    alone = corrections.release(lake, file, 2)
    assert (alone.lines, alone.digest != together.digest, states(lake)) == (1, True, {2: RELEASED, 3: PROPOSED})

    restoring.restore(lake, 2)

    assert states(lake) == {2: RELEASED, 3: RELEASED}
    with pytest.raises(InputError, match="no correction waits"):
        corrections.release(lake)
    assert let_in(lake) == 2
    _, _, history = corrections.line(lake, file, 2)
    assert [one.landed_as for one in history] == [together.digest]
    assert correction_history.authors(lake) == {together.digest: f"{BY}: {WHY}; Bob: asked", alone.digest: f"{BY}: {WHY}"}
    restoring.restore(lake, 1)
    assert states(lake) == {2: PROPOSED, 3: PROPOSED}
    assert corrections.release(lake).digest == together.digest


def test_what_was_said_later_of_a_line_does_not_land_beside_what_a_restore_brought_back(shop: FeaturedShop) -> None:
    lake, file = shop.lake, str(shop.made)
    corrections.correct(lake, file, 2, {"unit_price": "3.10"}, BY, WHY)
    first = corrections.release(lake)
    shop.publish("2011-01-19")
    restoring.restore(lake, 1)
    corrections.correct(lake, file, 2, {"unit_price": "3.20"}, "Bob", "asked the supplier")

    restoring.restore(lake, 2)

    _, _, history = corrections.line(lake, file, 2)
    assert [(one.by, one.state, one.landed_as) for one in history] == [(BY, RELEASED, first.digest), ("Bob", REPLACED, None)]
    with pytest.raises(InputError, match="no correction waits"):
        corrections.release(lake)
    with pytest.raises(StateError, match=f"corrected by {BY} and released already"):
        corrections.correct(lake, file, 2, {"unit_price": "9"}, BY, WHY)
    assert let_in(lake) == 1
    restoring.restore(lake, 1)
    assert [one.state for one in corrections.line(lake, file, 2)[2]] == [REPLACED, PROPOSED]


def test_a_home_that_noted_one_landing_in_the_correction_itself_goes_on(shop: FeaturedShop) -> None:
    lake, file = shop.lake, str(shop.made)
    corrections.correct(lake, file, 2, {"unit_price": "3.10"}, BY, WHY)
    first = corrections.release(lake)
    with lake.ops.begin() as connection:
        connection.execute(delete(ops.landings))
        connection.execute(update(ops.corrections).values(landed_as=first.digest))
    assert states(lake) == {2: RELEASED, 3: OPEN}
    assert correction_history.authors(lake) == {first.digest: f"{BY}: {WHY}"}
    restoring.restore(lake, 1)
    assert corrections.release(lake).digest == first.digest


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({"unit_price": "0"}, InputError, "would be refused again: price_positive"),
        ({"unit_price": "x"}, InputError, "would be refused again: bad_price"),
        ({"sold_at": "2011-02-30"}, InputError, "would be refused again: bad_time"),
        ({"price": "3"}, UnknownName, 'value "price" is unknown.*Did you mean "unit_price"'),
        ({"customer": "1.23457E+13", "unit_price": "3"}, InputError, "no customer number"),
        ({"customer": "55555555555555", "unit_price": "0"}, InputError, "would be refused again: price_positive"),
        ({}, InputError, "says what it changes"),
    ],
)
def test_a_correction_that_would_not_help_changes_nothing(
    shop: FeaturedShop, values: dict[str, str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        corrections.correct(shop.lake, str(shop.made), 2, values, BY, WHY)
    assert correction_history.corrections(shop.lake) == []
    with open_vault(shop.lake.settings) as vault:
        assert vault.look_up("canonical", "55555555555555") is None


def test_killed_between_what_is_said_and_the_commit_a_release_is_done_anew_and_nothing_twice(
    shop: FeaturedShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake, file = shop.lake, str(shop.made)
    corrections.correct(lake, file, 2, {"unit_price": "3.00"}, BY, WHY)

    def killed(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(lake.writer, "append", killed)
        with pytest.raises(KeyboardInterrupt):
            corrections.release(lake)
    assert states(lake)[2] == PROPOSED
    corrections.correct(lake, file, 3, WHOLE_C, BY, WHY)
    assert corrections.release(lake).lines == 2
    shop.publish("2011-01-19")
    assert set(sold(lake)) == {"A", "B", "C"}


def test_what_is_there_already_or_twice_among_those_that_wait_is_refused_and_one_can_be_withdrawn(shop: FeaturedShop) -> None:
    lake, file = shop.lake, str(shop.made)
    as_published = {
        "invoice": "1",
        "product_code": "A",
        "description": "A CUP",
        "quantity": "2",
        "sold_at": "2011-01-03T10:00:00",
        "unit_price": "2.50",
    }
    with pytest.raises(InputError, match="would be refused again: conflicting_copy"):
        corrections.correct(lake, file, 3, as_published, BY, WHY)
    same = {"invoice": "9", "product_code": "X", "description": "X", "quantity": "1", "sold_at": "2011-01-04T10:00:00", "unit_price": "1"}
    for number in (2, 3):
        corrections.correct(lake, file, number, same, BY, WHY)
    with pytest.raises(InputError, match="several would be one and the same"):
        corrections.release(lake)
    corrections.withdraw(lake, file, 2)
    with pytest.raises(InputError, match="no correction of line 2"):
        corrections.withdraw(lake, file, 2)
    assert corrections.release(lake).lines == 1
    assert states(lake) == {2: OPEN, 3: RELEASED}


def test_where_a_digest_is_cut_so_short_that_it_means_two_files_nothing_is_taken_back_or_released(shop: FeaturedShop) -> None:
    lake, file = shop.lake, str(shop.made)
    corrections.correct(lake, file, 2, {"unit_price": "3.10"}, BY, WHY)
    facts = {"line": 2, "values": {"unit_price": "1"}, "by": "Bob", "why": "asked", "proposed_at": ops.now(), "withdrawn": False}
    with lake.ops.begin() as connection:
        connection.execute(insert(ops.corrections).values(file_digest=file[0] + "f" * 63, **facts))
    for act in (corrections.withdraw, corrections.release):
        with pytest.raises(InputError, match=f"several files begin with {file[0]}. Give more"):
            act(lake, file[0], 2)
    assert corrections.withdraw(lake, file[:8], 2).by == BY


def test_a_line_that_is_not_in_quarantine_is_said(shop: FeaturedShop) -> None:
    with pytest.raises(InputError, match="line 1 of a file .* is not in quarantine"):
        corrections.correct(shop.lake, str(shop.made), 1, {"unit_price": "3"}, BY, WHY)


def test_from_the_shell(shop: FeaturedShop, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(shop.made)
    assert main(["quarantine", "list"]) == 0
    assert "price_positive" in capsys.readouterr().out
    assert main(["quarantine", "correct", file, "2", "--set", "unit_price=3.10", "--by", BY, "--why", WHY]) == 0
    assert main(["quarantine", "release", "--json"]) == 0
    assert '"lines": 1' in capsys.readouterr().out
    assert main(["quarantine", "show", file[:10], "2"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "refused by silver, released" in told and "price_positive: a unit costs something" in told
    assert f"corrected by {BY}" in told and "unit_price from 0.0000 to 3.10" in told and WHY in told
    assert "98765432109876" not in told
    assert main(["quarantine", "list", "--all", "--json"]) == 0
    assert {one["line"]: one["state"] for one in json.loads(capsys.readouterr().out)["lines"]} == {2: RELEASED, 3: OPEN}
    assert main(["quarantine", "correct", file, "2", "--set", "unit_price", "--by", BY, "--why", WHY]) == 2


def test_who_withdrew_what_another_says_again_is_not_named_for_it(shop: FeaturedShop) -> None:
    lake, file = shop.lake, str(shop.made)
    before = lake.snapshots()[-1].id
    corrections.correct(lake, file, 2, {"unit_price": "3.00"}, "Bob", "a guess")
    first = corrections.release(lake)
    shop.publish("2011-01-19")
    restoring.restore(lake, before)
    corrections.withdraw(lake, file, 2)
    corrections.correct(lake, file, 2, {"unit_price": "3.00"}, "Eve", "the invoice")
    second = corrections.release(lake)
    shop.publish("2011-01-19")

    assert [(one.by, one.state) for one in correction_history.corrections(lake)] == [("Bob", "withdrawn"), ("Eve", "released")]
    assert correction_history.authors(lake) == {first.digest: "Bob: a guess", second.digest: "Eve: the invoice"}
