"""Quality rules that somebody changes between two runs: what was judged stays as it was judged, until all is made anew from bronze."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from lakehouse import settings
from lakehouse.errors import InputError, StateError
from lakehouse.features import publish
from lakehouse.features.online import OnlineFeatures
from lakehouse.ingest import load, loading, sources
from lakehouse.quality import config, corrections
from lakehouse.tables import Lake, ops
from tests.featured import derived, refined
from tests.shop import Line, Shop

pytestmark = pytest.mark.soak_on_jvm

CUPS = Line("CUP", "2011-01-03T10:00", quantity="40", invoice="1")
POTS = Line("POT", "2011-01-04T10:00", quantity="40", invoice="2")
PLAUSIBLE = "abs(quantity) <= 1000000"


@pytest.fixture
def rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Writes another rule about quantities into the project's settings, as whoever changes it does."""
    place = tmp_path / "conf"
    shutil.copytree(settings.CONF, place)
    monkeypatch.setattr(settings, "CONF", place)
    file = place / "base" / "quality.yml"
    text = file.read_text(encoding="utf-8")
    assert PLAUSIBLE in text

    def write(new: str) -> None:
        file.write_text(text.replace(PLAUSIBLE, new), encoding="utf-8")
        settings._text.cache_clear()
        config.load.cache_clear()

    yield write
    monkeypatch.undo()
    settings._text.cache_clear()
    config.load.cache_clear()


def held(lake: Lake) -> tuple[list[str], list[str]]:
    """The products of silver's lines, and the reasons of those in quarantine."""
    accepted = [row["product_code"] for row in lake.read("silver.sales").toArrow().to_pylist()]
    refused = [reason for row in lake.read("quarantine.sales").toArrow().to_pylist() for reason in row["reasons"]]
    return sorted(accepted), sorted(refused)


def gold(lake: Lake) -> dict[str, str]:
    return {name: digest for name, digest in derived(lake).items() if name.startswith("gold.")}


def test_a_stricter_rule_judges_what_lands_from_then_on_and_everything_when_it_is_made_anew(
    lake: Lake, rule: Callable[[str], None]
) -> None:
    lake.create_tables()
    shop = Shop(lake)
    shop.land(CUPS)
    shop.refine("2011-01-10")
    rule("abs(quantity) <= 30")
    shop.land(POTS, moment="2011-01-10T00:00")
    shop.land(CUPS, moment="2011-01-10T00:00")  # once more: it would be refused by now, and was accepted then

    shop.refine("2011-01-17")

    assert held(lake) == (["CUP"], ["quantity_plausible", "quantity_plausible"])
    refined(lake, "2011-01-24", from_bronze=True)
    assert held(lake) == ([], ["quantity_plausible"] * 3)


@pytest.mark.slow
def test_a_looser_rule_lets_in_what_was_refused_when_it_lands_again_or_all_is_made_anew(lake: Lake, rule: Callable[[str], None]) -> None:
    lake.create_tables()
    shop = Shop(lake)
    rule("abs(quantity) <= 30")
    shop.land(CUPS, Line("POT", "2011-01-04T10:00", quantity="3", invoice="2"))
    shop.refine("2011-01-10")
    rule(PLAUSIBLE)
    shop.land(CUPS, moment="2011-01-10T00:00")  # lands again, and is judged by the rule of now
    shop.land(Line("JUG", "2011-01-05T10:00", quantity="4", invoice="3"), moment="2011-01-10T00:00")

    shop.refine("2011-01-17")

    assert held(lake) == (["CUP", "JUG", "POT"], ["quantity_plausible"])
    assert corrections.counts(lake) == {"quantity_plausible": 1}
    grown = gold(lake)
    refined(lake, "2011-01-24", from_bronze=True)
    assert held(lake) == (["CUP", "JUG", "POT"], [])
    assert gold(lake) == grown


def test_what_a_looser_rule_lets_in_is_told_online_once_all_is_made_anew(lake: Lake, rule: Callable[[str], None]) -> None:
    lake.create_tables()
    rule("abs(quantity) <= 30")
    Shop(lake).land(CUPS, Line("POT", "2011-01-04T10:00", quantity="3", invoice="2"))
    refined(lake, "2011-01-10")
    publish.publish_online(lake)
    told = OnlineFeatures(lake.settings)
    assert [told.product("all", code) is None for code in ("CUP", "POT")] == [True, False]
    rule(PLAUSIBLE)

    refined(lake, "2011-01-10", from_bronze=True)

    assert publish.publish_online(lake).after is None
    assert [told.product("all", code) is None for code in ("CUP", "POT")] == [False, False]
    assert publish.publish_online(lake).written == {"product_sales": 0, "customer_history": 0}


HEADER = "invoice,product_code,description,quantity,sold_at,unit_price,customer"
RIGHT = "1,CUP,A CUP,2,2011-01-03T10:00:00,2.50,98765432109876"
WRONG = "2,POT,A POT,40,2011-01-04T10:00:00,3.00,98765432109876"  # somebody says that it was four


def sent(lake: Lake, name: str, *lines: str) -> str:
    path = lake.home.parent / name
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    (one,) = load(lake, path, "canonical")
    return one.digest


def pots(lake: Lake) -> tuple[list[int], list[str]]:
    """How many pots each line of silver sold, and why lines of pots are in quarantine."""
    sold = lake.read("silver.sales").where("product_code = 'POT'").toArrow().column("quantity").to_pylist()
    refused = [row["reasons"] for row in lake.read("quarantine.sales").toArrow().to_pylist()]
    return sorted(int(quantity) for quantity in sold), sorted(reason for reasons in refused for reason in reasons)


def pots_corrected(lake: Lake, rule: Callable[[str], None]) -> tuple[Shop, str]:
    """A shop whose forty pots were refused by a strict rule, and are corrected to four, not released yet; and the digest of their file."""
    lake.create_tables()
    shop = Shop(lake)
    rule("abs(quantity) <= 30")
    file = sent(lake, "first.csv", RIGHT, WRONG)
    shop.refine("2011-01-10")
    corrections.correct(lake, file, 2, {"quantity": "4"}, "Ada", "the till's list")
    return shop, file


@pytest.mark.slow
def test_a_corrected_line_counts_once_whatever_the_rules_say_later_of_what_it_corrects(lake: Lake, rule: Callable[[str], None]) -> None:
    shop, _ = pots_corrected(lake, rule)
    corrections.release(lake)
    shop.refine("2011-01-17")
    assert pots(lake) == ([4], ["quantity_plausible"])
    counted = gold(lake)

    rule(PLAUSIBLE)
    again = sent(lake, "second.csv", RIGHT, WRONG, WRONG.replace("2,POT", "3,JUG"))
    sent(lake, "nobodys.csv", WRONG.replace("98765432109876", ""))  # as after an erasure
    made, _ = shop.refine("2011-01-24")
    assert (made.refused, made.repeats, pots(lake)) == ({"corrected": 2}, 1, ([4], ["corrected", "corrected", "quantity_plausible"]))
    assert [one.line for one in corrections.refused(lake)] == []
    with pytest.raises(StateError, match="was corrected as it is in another file and released already"):
        corrections.correct(lake, again, 2, {"quantity": "4"}, "Bob", "too")
    assert gold(lake) != counted  # the jug
    with_jug = gold(lake)

    refined(lake, "2011-01-31", from_bronze=True)

    assert pots(lake) == ([4], ["corrected"] * 3)
    assert gold(lake) == with_jug


def test_what_came_in_by_a_copy_since_the_rules_changed_needs_no_correction(lake: Lake, rule: Callable[[str], None]) -> None:
    shop, file = pots_corrected(lake, rule)
    rule(PLAUSIBLE)
    sent(lake, "second.csv", WRONG)
    shop.refine("2011-01-17")
    for what in (
        lambda: corrections.release(lake),
        lambda: corrections.correct(lake, file, 2, {"quantity": "5"}, "Ada", "the till's list"),
    ):
        with pytest.raises(InputError, match="line 2 of .* came in by another file since.*nothing was changed"):
            what()
    assert pots(lake) == ([40], ["quantity_plausible"])


@pytest.mark.slow
def test_a_line_that_the_door_refused_and_that_was_corrected_counts_once_when_it_lands_again(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.create_tables()
    shop = Shop(lake)
    ahead = datetime.now(UTC) + timedelta(days=3)
    early = f"2,POT,A POT,4,{ahead:%Y-%m-%dT%H:%M:%S},3.00,98765432109876"
    file = sent(lake, "first.csv", RIGHT, early)
    shop.refine("2011-01-10")
    told = {"sold_at": "2011-01-04T10:00:00", "invoice": "2", "product_code": "POT", "quantity": "4", "unit_price": "3.00"}
    corrections.correct(lake, file, 2, told, "Ada", "the till's clock was wrong")
    corrections.release(lake)
    monkeypatch.setattr(loading, "wall", lambda _: ahead.replace(tzinfo=None) + timedelta(days=1))  # four days later
    sent(lake, "second.csv", early, early.replace("2,POT", "3,JUG"))
    shop.refine("2011-01-17")
    assert pots(lake) == ([4], ["corrected", "in_the_future"])
    refined(lake, "2011-01-24", from_bronze=True)
    assert pots(lake) == ([4], ["corrected", "in_the_future"])


@pytest.mark.slow
def test_the_copy_of_a_refused_line_in_another_file_is_corrected_with_it(lake: Lake, rule: Callable[[str], None]) -> None:
    lake.create_tables()
    shop = Shop(lake)
    rule("abs(quantity) <= 30")
    first, second = (
        sent(lake, "first.csv", RIGHT, WRONG),
        sent(lake, "second.csv", WRONG.replace("98765432109876", ""), WRONG.replace("2,POT", "3,JUG")),
    )
    shop.refine("2011-01-10")
    assert [(one.file, one.line) for one in corrections.refused(lake)] == sorted([(first, 2), (second, 1), (second, 2)])
    corrections.correct(lake, first, 2, {"quantity": "4"}, "Ada", "the till's list")
    with pytest.raises(StateError, match="a copy of line 1 .*waits already"):
        corrections.correct(lake, second, 1, {"quantity": "5"}, "Bob", "too")
    assert [one.state for one in corrections.refused(lake, state=corrections.PROPOSED)] == ["proposed", "proposed"]
    with lake.ops.begin() as connection:  # as an earlier version let it be said
        facts = {"file_digest": second, "line": 1, "values": {"quantity": "5"}, "by": "Bob", "why": "too", "withdrawn": False}
        connection.execute(insert(ops.corrections).values(**facts, proposed_at=ops.now()))
    with pytest.raises(InputError, match="line 1 of .* is a copy of another one that is corrected"):
        corrections.release(lake)
    corrections.withdraw(lake, second, 1)
    corrections.release(lake)
    assert [(one.file, one.line) for one in corrections.refused(lake)] == [(second, 2)]
    with pytest.raises(StateError, match="was corrected as it is in another file"):
        corrections.correct(lake, second, 1, {"quantity": "5"}, "Bob", "too")
    shop.refine("2011-01-17")
    assert pots(lake)[0] == [4]


@pytest.mark.slow
def test_the_right_line_that_lands_after_its_customer_was_corrected_is_a_repeat(lake: Lake, rule: Callable[[str], None]) -> None:
    lake.create_tables()
    shop = Shop(lake)
    rule("abs(quantity) <= 30 AND (product_code <> 'POT' OR customer_key IS NOT NULL)")
    nobodys = WRONG.replace(",40,", ",4,").replace("98765432109876", "")
    file = sent(lake, "first.csv", RIGHT, nobodys)
    shop.refine("2011-01-10")
    corrections.correct(lake, file, 2, {"customer": "98765432109876"}, "Ada", "the till's list")
    corrections.release(lake)
    sent(lake, "second.csv", WRONG.replace(",40,", ",4,"))
    made, _ = shop.refine("2011-01-17")
    assert (made.repeats, pots(lake)) == (1, ([4], ["quantity_plausible"]))
    rule(PLAUSIBLE)
    refined(lake, "2011-01-24", from_bronze=True)
    assert pots(lake) == ([4], ["corrected"])


@pytest.mark.slow
def test_where_the_time_does_not_tell_lines_apart_a_line_that_the_door_refused_counts_once_too(
    lake: Lake, rule: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sources.conf_file
    monkeypatch.setattr(
        sources,
        "conf_file",
        lambda *words: (all_ := real(*words)) | {"canonical": all_["canonical"] | {"line_identity": ["invoice", "product_code"]}},
    )
    lake.create_tables()
    shop = Shop(lake)
    rule("abs(quantity) <= 30")
    early = WRONG.replace("2011-01-04", "1911-01-04").replace(",40,", ",4,")
    file = sent(lake, "first.csv", RIGHT, early)
    other = sent(lake, "other.csv", WRONG)  # the same line, refused for something else
    shop.refine("2011-01-10")
    told = {"sold_at": "2011-01-05T10:00:00", "invoice": "9", "product_code": "POT", "quantity": "4", "unit_price": "3.00"}
    corrections.correct(lake, file, 2, told, "Ada", "the till's clock was wrong")
    with pytest.raises(StateError, match="a correction of a copy of line 1 .*waits already"):
        corrections.correct(lake, other, 1, {"quantity": "4"}, "Bob", "too")
    corrections.release(lake)
    sent(lake, "again.csv", WRONG.replace(",40,", ",4,"))
    shop.refine("2011-01-17")
    assert pots(lake) == ([4], ["corrected", "quantity_plausible", "too_old"])
    refined(lake, "2011-01-24", from_bronze=True)
    assert pots(lake) == ([4], ["corrected", "quantity_plausible", "too_old"])
