"""Redis as the online store: one setting away, the same answers as from SQLite, and gone at any moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from redis import Redis as Client

from lakehouse.errors import TryAgain
from lakehouse.features import marker as markers
from lakehouse.features import publish, wholeness
from lakehouse.features.online import OnlineFeatures
from lakehouse.features.repository import redis_connection
from lakehouse.settings import Settings
from lakehouse.tables import Lake
from tests.conftest import SECRET
from tests.featured import FeaturedShop, prepared
from tests.scenarios.test_features_online import (
    PRODUCTS,
    STRANGER,
    keys,
    offline,
    online,
    publish_killed_before_the_marker,
    somebody,
    two_publications,
    undo,
)
from tests.served import SOON, numbers_of, published, serving, until
from tests.servers import Redis, redis
from tests.trained import Trained

FIRST, SECOND = datetime(2011, 1, 10), datetime(2011, 1, 17)


@pytest.fixture
def server() -> Iterator[Redis]:
    with redis() as found:
        yield found


def with_redis(settings: Settings, server: Redis) -> Settings:
    return settings.model_copy(update={"features": settings.features.model_copy(update={"redis": server.words})})


@pytest.fixture
def shop(lake: Lake, tmp_path_factory: pytest.TempPathFactory, server: Redis) -> FeaturedShop:
    """Two moments, of which SQLite has the first: Redis has nothing yet."""
    found = prepared(lake, tmp_path_factory, two_publications)
    found.lake.settings = with_redis(lake.settings, server)
    return found


def test_another_setting_fills_redis_with_what_training_is_given_at_that_moment(shop: FeaturedShop) -> None:
    assert OnlineFeatures(shop.lake.settings).is_whole is False
    report = publish.publish_online(shop.lake)
    assert (report.after, report.written, report.left_out) == (None, {"product_sales": 3, "customer_history": 2}, 1)
    assert online(shop.lake) == somebody(offline(shop.lake, SECOND))
    found = OnlineFeatures(shop.lake.settings)
    assert found.is_whole
    assert found.product("all", "never sold") is None and found.customer(STRANGER) is None
    assert publish.publish_online(shop.lake).written == {"product_sales": 0, "customer_history": 0}
    somewhat = found.product("all", PRODUCTS[0])
    assert somewhat is not None and somewhat.marker == SECOND and somewhat.moment <= SECOND


def test_gone_in_the_middle_of_publishing_nothing_is_marked_and_the_next_one_fills_it(
    shop: FeaturedShop, server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "BATCH", 1)
    check, seen = publish._check, []

    def stop_after_two(*words: object) -> None:
        check(*words)  # type: ignore[arg-type]
        seen.append(1)
        if len(seen) == 2:
            server.stop()

    with monkeypatch.context() as patch:
        patch.setattr(publish, "_check", stop_after_two)
        with pytest.raises(TryAgain, match="online store in Redis does not answer.*features.redis"):
            publish.publish_online(shop.lake)
    assert markers.read(shop.lake.home) is None
    server.start()
    publish.publish_online(shop.lake)
    assert online(shop.lake) == somebody(offline(shop.lake, SECOND))
    # It is restarted without its data while the marker stays: what was lost is noticed, and published again.
    server.stop()
    server.start()
    assert OnlineFeatures(shop.lake.settings).is_whole is False
    assert publish.publish_online(shop.lake).after is None
    assert set(online(shop.lake)) == {*PRODUCTS, *keys(shop.lake)}


def test_an_entity_that_redis_lost_is_named_and_published_again(shop: FeaturedShop, server: Redis) -> None:
    publish.publish_online(shop.lake)
    assert wholeness.damages(shop.lake.settings)[wholeness.REDIS] == ""
    with Client(port=server.port) as client:
        lost = next(key for key in client.scan_iter() if b"A" in key)
        client.delete(lost)
    assert "does not hold what was published" in wholeness.damages(shop.lake.settings)[wholeness.REDIS]
    assert publish.publish_online(shop.lake).after is None
    assert online(shop.lake) == somebody(offline(shop.lake, SECOND))
    server.stop()
    assert "does not answer" in wholeness.damages(shop.lake.settings)[wholeness.REDIS]


def test_what_a_killed_publication_wrote_of_a_snapshot_that_was_undone_since_does_not_stay(
    shop: FeaturedShop, server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = shop.lake.snapshot()
    assert newest is not None
    undo(shop.lake, newest)
    publish.publish_online(shop.lake)
    undo(shop.lake, newest, undone=False)
    with Client(port=server.port) as client:
        before, known = set(client.scan_iter()), online(shop.lake)
        publish_killed_before_the_marker(shop, monkeypatch)
        assert "C" in online(shop.lake) and OnlineFeatures(shop.lake.settings).is_whole
        # As if it had come as far as the entities that were there already: nothing is more, and nothing less.
        client.delete(*(set(client.scan_iter()) - before))
    assert online(shop.lake).keys() == known.keys() and online(shop.lake) != known
    undo(shop.lake, newest)
    publish.publish_online(shop.lake)
    assert online(shop.lake) == somebody(offline(shop.lake, FIRST))


def test_a_server_that_never_answers_is_said_within_seconds(shop: FeaturedShop, server: Redis) -> None:
    server.stop()
    with pytest.raises(TryAgain, match="does not answer"):
        publish.publish_online(shop.lake)
    assert redis_connection("h:1,db=0") == "h:1,db=0,socket_timeout=5,socket_connect_timeout=5"
    assert redis_connection("h:1,socket_timeout=1,socket_connect_timeout=1").count("timeout") == 2


def test_answers_come_from_redis_and_go_on_without_it(trained: Trained, server: Redis, tmp_path: Path) -> None:
    settings = with_redis(trained.copy(tmp_path / "home"), server)
    with Lake(settings) as lake:
        publish.publish_online(lake)
    customer = numbers_of(settings, trained.truth.customers, published(settings, "segments"))[0]
    with serving(settings, refresh_s=SOON) as client:

        def fallback() -> object:
            return client.post("/v1/segment", json={"customer": customer}).json()["fallback"]

        assert fallback() is None
        server.stop()
        assert fallback() == "features unavailable"
        server.start()  # empty
        until(lambda: "lost what was published" in client.get("/readyz").text, "it notices that the store is empty")
        assert fallback() == "features unavailable"
        with Lake(settings) as lake:
            publish.publish_online(lake)
        until(lambda: fallback() is None, "it answers from what is published again")
    assert SECRET not in str(settings)
