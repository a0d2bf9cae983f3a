"""The online store: what an answer is given equals what training was given, whatever happened while it was published."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime

import pandas as pd
import pyarrow as pa
import pytest
from sqlalchemy import update

from lakehouse.errors import NothingPublished
from lakehouse.features import marker, publish, repository, store, wholeness
from lakehouse.features.online import OnlineFeatures
from lakehouse.features.values import FeatureValues
from lakehouse.privacy.vault import open_vault
from lakehouse.tables import Lake
from lakehouse.tables.ops import snapshots
from lakehouse.tables.snapshots import Snapshot
from tests.featured import FeaturedShop, prepared
from tests.shop import Line

pytestmark = pytest.mark.soak_on_jvm  # files of either engine are read without one; test_features_example reads Spark's

PRODUCTS = ("A", "B", "C")
STRANGER = "nobody-in-the-vault"


def keys(lake: Lake) -> list[str]:
    with open_vault(lake.settings) as vault:
        found: list[str] = vault.exchange("test", pa.array(["17850", "17851"])).to_pylist()
    return found


def two_publications(shop: FeaturedShop) -> None:
    """A is sold before both, B before the first, C before the second; one customer before each, and a stranger."""
    first, second = keys(shop.lake)
    shop.land_now(
        Line("A", "2011-01-05T10:00:00", customer=first),
        Line("B", "2011-01-06T10:00:00", quantity="3", customer=first),
        Line("B", "2011-01-06T11:00:00", customer=STRANGER),
    )
    shop.publish("2011-01-12")
    publish.publish_online(shop.lake)
    shop.land_now(
        Line("A", "2011-01-12T10:00:00", customer=second, invoice="2"),
        Line("C", "2011-01-13T10:00:00", customer=second, invoice="2"),
        Line("C", "2011-01-13T10:00:00", quantity="-1", customer=None, invoice="C3"),
    )
    shop.publish("2011-01-18")


@pytest.fixture
def shop(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> FeaturedShop:
    """Published twice, online once: the second publication is what the tests are about."""
    return prepared(lake, tmp_path_factory, two_publications)


def offline(lake: Lake, moment: datetime) -> dict[str, dict[str, object]]:
    """What training is given at a moment, by product and customer; without those who had no row by then."""
    known = {}
    products = pd.DataFrame({"store": "all", "product_code": PRODUCTS, "event_timestamp": moment})
    customers = pd.DataFrame({"customer_key": [*keys(lake), STRANGER], "event_timestamp": moment})
    for entities, service in ((products, "demand_v1"), (customers, "recommendations_v1")):
        found = store.historical(lake, service, entities)
        for row in found.to_dict("records"):
            entity = str(row.get("product_code") or row.get("customer_key"))
            values = {str(name): _plain(value) for name, value in row.items() if name not in entities.columns}
            if any(value is not None for value in values.values()):
                known[entity] = values
    return known


def online(lake: Lake) -> dict[str, dict[str, object]]:
    """What answers are given, by product and customer; without those whom the store does not hold."""
    features = OnlineFeatures(lake.settings)
    found: dict[str, FeatureValues | None] = {code: features.product("all", code) for code in PRODUCTS}
    found |= {key: features.customer(key) for key in (*keys(lake), STRANGER)}
    return {entity: dict(values.values) for entity, values in found.items() if values is not None}


def _plain(value: object) -> object:
    if isinstance(value, pd.Timestamp):
        return value.date().isoformat()
    if hasattr(value, "tolist") and getattr(value, "shape", ()):
        return value.tolist()
    return None if value is pd.NaT or value != value else value


def somebody(found: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    return {entity: values for entity, values in found.items() if entity != STRANGER}


def undo(lake: Lake, snapshot: Snapshot, undone: bool = True) -> None:
    with lake.ops.begin() as connection:
        connection.execute(update(snapshots).where(snapshots.c.id == snapshot.id).values(undone=undone))


def publish_killed_before_the_marker(shop: FeaturedShop, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(marker, "write", _killed)
        with pytest.raises(KeyboardInterrupt):
            publish.publish_online(shop.lake)


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_after_two_publications_every_entity_has_online_what_training_is_given_at_that_moment(shop: FeaturedShop) -> None:
    publish.publish_online(shop.lake)
    expected = offline(shop.lake, datetime(2011, 1, 17))
    assert set(expected) == {*PRODUCTS, *keys(shop.lake), STRANGER}
    assert online(shop.lake) == somebody(expected)


def test_a_publication_writes_the_entities_with_rows_since_the_marker_and_no_other(shop: FeaturedShop) -> None:
    assert online(shop.lake) == somebody(offline(shop.lake, datetime(2011, 1, 10)))
    report = publish.publish_online(shop.lake)
    # A and C were sold, B left its week; the second customer is new, and nothing changed for the first.
    assert (report.after, report.moment) == ("2011-01-10T00:00:00", "2011-01-17T00:00:00")
    assert report.written == {"product_sales": 3, "customer_history": 1}
    again = publish.publish_online(shop.lake)
    assert (again.written, again.left_out) == ({"product_sales": 0, "customer_history": 0}, 0)


def test_whoever_is_not_in_the_vault_does_not_come_online(shop: FeaturedShop) -> None:
    publish.empty_online(shop.lake)
    report = publish.publish_online(shop.lake)
    assert report.left_out == 1
    assert OnlineFeatures(shop.lake.settings).customer(STRANGER) is None


def test_killed_between_the_rows_and_the_marker_a_publication_is_done_once_more(
    shop: FeaturedShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_killed_before_the_marker(shop, monkeypatch)
    assert OnlineFeatures(shop.lake.settings).marker == datetime(2011, 1, 10)
    report = publish.publish_online(shop.lake)
    assert report.written == {"product_sales": 3, "customer_history": 1}
    assert online(shop.lake) == somebody(offline(shop.lake, datetime(2011, 1, 17)))


def test_what_a_killed_publication_wrote_of_a_snapshot_that_was_undone_since_does_not_stay(
    shop: FeaturedShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = online(shop.lake)
    publish_killed_before_the_marker(shop, monkeypatch)
    newest = shop.lake.snapshot()
    assert newest is not None and "C" in online(shop.lake)
    with closing(sqlite3.connect(repository.folder(shop.lake.home) / repository.ONLINE)) as connection, connection:
        # As if it had come as far as the entities that were there already: nothing is more, and nothing less.
        for view, come in (("product_sales", b"C"), ("customer_history", keys(shop.lake)[1].encode())):
            connection.execute(f"DELETE FROM zeromargin_{view} WHERE instr(entity_key, ?) > 0", (come,))
    assert online(shop.lake).keys() == known.keys() and online(shop.lake) != known
    undo(shop.lake, newest)
    publish.publish_online(shop.lake)
    assert online(shop.lake) == known == somebody(offline(shop.lake, datetime(2011, 1, 10)))


def test_an_online_store_that_is_gone_is_filled_anew(shop: FeaturedShop) -> None:
    shutil.rmtree(repository.folder(shop.lake.home))
    with pytest.raises(NothingPublished):
        OnlineFeatures(shop.lake.settings)
    report = publish.publish_online(shop.lake)
    assert (report.after, report.written) == (None, {"product_sales": 3, "customer_history": 2})
    assert online(shop.lake) == somebody(offline(shop.lake, datetime(2011, 1, 17)))


def test_a_store_that_is_gone_while_its_marker_stayed_is_filled_anew(shop: FeaturedShop) -> None:
    (repository.folder(shop.lake.home) / repository.ONLINE).unlink()
    publish.publish_online(shop.lake)
    assert online(shop.lake) == somebody(offline(shop.lake, datetime(2011, 1, 17)))


def test_rows_of_a_snapshot_that_was_undone_leave_the_online_store(shop: FeaturedShop) -> None:
    publish.publish_online(shop.lake)
    assert "C" in online(shop.lake)
    newest = shop.lake.snapshot()
    assert newest is not None
    undo(shop.lake, newest)
    report = publish.publish_online(shop.lake)
    assert (report.after, report.moment) == (None, "2011-01-10T00:00:00")
    found = online(shop.lake)
    assert "C" not in found
    assert found == somebody(offline(shop.lake, datetime(2011, 1, 10)))


def test_a_store_whose_marker_was_lost_keeps_no_row_that_is_not_published(shop: FeaturedShop) -> None:
    publish.publish_online(shop.lake)
    newest = shop.lake.snapshot()
    assert newest is not None
    undo(shop.lake, newest)
    marker.remove(shop.lake.home)
    publish.publish_online(shop.lake)
    assert online(shop.lake) == somebody(offline(shop.lake, datetime(2011, 1, 10)))


def test_the_declarations_are_applied_once_and_by_no_later_process_again(shop: FeaturedShop) -> None:
    applied = (repository.folder(shop.lake.home) / repository.DECLARED).read_text(encoding="utf-8")
    digest = "from lakehouse.features.repository import declarations_digest; print(declarations_digest())"
    other = subprocess.run([sys.executable, "-c", digest], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == applied.split()[0] == repository.declarations_digest()


@pytest.mark.parametrize(
    ("damaged", "again"),
    [
        *(("registry.db", False), ("declared", False), ("online.json", True), ("online.db", True)),
        *(("online.db cut", False), ("online.db cut", True), ("online.db within", True), ("online.db rows", True)),
    ],
)
def test_a_file_that_is_damaged_is_made_anew_by_the_next_publication(shop: FeaturedShop, damaged: str, again: bool) -> None:
    place = repository.folder(shop.lake.home)
    if again:
        publish.publish_online(shop.lake)
    name, _, how = damaged.partition(" ")
    file = place / name
    if how:
        with closing(sqlite3.connect(file)) as connection, connection:
            if how == "rows":
                connection.execute(
                    "DELETE FROM zeromargin_customer_history WHERE rowid = (SELECT min(rowid) FROM zeromargin_customer_history)"
                )
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if how == "cut":
        os.truncate(file, 5_000)
    elif how == "within":
        with file.open("r+b") as content:
            content.seek(4_096)
            content.write(b"x" * (file.stat().st_size - 4_096))
    elif not how:
        file.write_bytes(b"\xffgarbage" if file.suffix != ".db" else b"")
    publish.publish_online(shop.lake)
    assert online(shop.lake) == somebody(offline(shop.lake, datetime(2011, 1, 17)))
    assert not any(wholeness.damages(shop.lake.settings).values())


def test_ages_count_from_the_marker_where_a_row_is_older_and_stale_is_more_than_a_moment_behind(shop: FeaturedShop) -> None:
    publish.publish_online(shop.lake)
    found = OnlineFeatures(shop.lake.settings).customer(keys(shop.lake)[0])
    assert found is not None
    assert (found.moment, found.marker, found.as_of) == (datetime(2011, 1, 10), datetime(2011, 1, 17), datetime(2011, 1, 17))
    week = datetime(2011, 1, 17) - datetime(2011, 1, 10)
    assert not found.is_stale(datetime(2011, 1, 24), week)
    assert found.is_stale(datetime(2011, 1, 31), week)
