"""Moving the online store to the newest snapshot's moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from lakehouse.databases import is_damaged
from lakehouse.errors import NothingPublished, StateError
from lakehouse.features import marker as markers
from lakehouse.features import seal as seals
from lakehouse.features.marker import Marker
from lakehouse.features.repository import feature_store, forget_online, open_store
from lakehouse.features.seal import Sealed
from lakehouse.features.store import FEATURES
from lakehouse.privacy.vault import open_vault
from lakehouse.tables import Lake, snapshots
from lakehouse.tables.snapshots import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa
    from feast import FeatureStore
    from feast.feature_view import FeatureView
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]

BATCH = 500  # entities per transaction: whoever answers reads between two
SAMPLE = 25
BEGINNING = datetime(1, 1, 2)


@dataclass(frozen=True)
class PublishReport:
    """What one publication did: from which moment (none: all entities) to which, entities written by view, and customers left out
    because the vault knows nobody by their key."""

    after: str | None
    moment: str
    written: dict[str, int]
    left_out: int


def publish_online(lake: Lake) -> PublishReport:
    """Writes each entity's newest row since the marker into the online store, then moves the marker.

    Killed in the middle, the next call does the same once more. The store is emptied first where it has no marker to begin from, or one
    of a snapshot that was undone since, or has lost what the marker says, and where all tables were made anew since; where its file is damaged
    it is made anew. Raises `NothingPublished` without a snapshot, `StateError` where what was written does not read back, `TryAgain` where
    Redis does not answer.
    """
    published = lake.snapshot()
    if published is None:
        raise NothingPublished("nothing published yet, so there is nothing to put online. Load files, then run: zeromargin run")
    lacking = [name for name in FEATURES if name not in published.versions]
    if lacking:
        raise NothingPublished(f"{published} knows nothing of {', '.join(lacking)}. Have all tables made anew: zeromargin run")
    pins = {name: published.versions[name] for name in FEATURES}
    with seals.answering():
        try:
            return _publish(lake, published, open_store(lake.settings, pins))
        except sqlite3.DatabaseError as error:
            if not is_damaged(error):
                raise
            forget_online(lake.home)
            return _publish(lake, published, open_store(lake.settings, pins))


def _publish(lake: Lake, published: Snapshot, store: FeatureStore) -> PublishReport:
    before, sealed, known = markers.read(lake.home), seals.sealed(lake.settings), snapshots.counted(lake.ops)
    if before is None or not _goes_on(lake, before, published, known) or not _holds(sealed, before, known):
        empty_online(lake, store)
        before = None
    made = Marker(published.moment, published.id)
    seals.begin(sealed, made)
    after = None if before is None else before.moment
    written, left_out = {}, 0
    for view in sorted(store.list_feature_views(), key=lambda one: one.name):
        rows = _newest_rows(store, view, after, published.moment)
        kept = _of_somebody(lake, rows) if "customer_key" in rows.column_names else rows
        written[view.name] = _write(store, view, kept)
        left_out += rows.num_rows - kept.num_rows
    markers.write(lake.home, made)
    seals.end(sealed, made)
    return PublishReport(None if after is None else after.isoformat(), published.moment.isoformat(), written, left_out)


def empty_online(lake: Lake, store: FeatureStore | None = None) -> None:
    """Takes every row out of the online store, the marker first. The next publication fills it anew."""
    opened = store or feature_store(lake.settings)
    markers.remove(lake.home)
    views = opened.list_feature_views()
    online = opened.provider.online_store
    seals.sealed(lake.settings).remove()
    for gone, kept in ((views, []), ([], views)):
        online.update(opened.config, gone, kept, [], [], partial=True)


def _goes_on(lake: Lake, before: Marker, published: Snapshot, known: Collection[int]) -> bool:
    """Whether only what came after the marker's moment is new: its snapshot counts, is not a later one, and its rows were not made anew since."""
    counts = before.snapshot in known and before.moment <= published.moment
    return counts and not snapshots.made_anew(lake.ops, before.snapshot)


def _holds(sealed: Sealed, before: Marker, known: Collection[int]) -> bool:
    """Whether the store still has what the marker says, and nothing of a snapshot that was undone since."""
    seal = seals.whole(sealed)
    return seal is not None and seal.is_of(before) and (seal.reaching is None or seal.reaching in known)


def _newest_rows(store: FeatureStore, view: FeatureView, after: datetime | None, until: datetime) -> pa.Table:
    """Each entity's newest row with a moment after `after`, up to `until`."""
    assert view.batch_source is not None and view.batch_source.timestamp_field is not None
    job = store.provider.offline_store.pull_latest_from_table_or_query(
        config=store.config,
        data_source=view.batch_source,
        join_key_columns=[column.name for column in view.entity_columns],
        feature_name_columns=[field.name for field in view.features],
        timestamp_field=view.batch_source.timestamp_field,
        created_timestamp_column=None,
        start_date=BEGINNING if after is None else after + timedelta(microseconds=1),
        end_date=until,
    )
    # Feast's conversion looks at the first chunk alone.
    found: pa.Table = job.to_arrow().combine_chunks()
    return found


def _of_somebody(lake: Lake, rows: pa.Table) -> pa.Table:
    """The rows of customers whom the vault knows: nobody who was erased comes back online."""
    import pyarrow as pa

    with open_vault(lake.settings) as vault:
        present = vault.present(rows["customer_key"].to_pylist())
    return rows.filter(pa.array([key in present for key in rows["customer_key"].to_pylist()], pa.bool_())).combine_chunks()


def _write(store: FeatureStore, view: FeatureView, rows: pa.Table) -> int:
    """Writes the rows in batches and reads some back. Returns how many the store took."""
    from feast.utils import _convert_arrow_to_proto

    keys = {column.name: column.dtype.to_value_type() for column in view.entity_columns}
    taken = 0

    def count(entities: int) -> None:
        nonlocal taken
        taken += entities

    for start in range(0, rows.num_rows, BATCH):
        batch: list[Row] = _convert_arrow_to_proto(rows.slice(start, BATCH), view, keys)
        store.provider.online_write_batch(store.config, view, batch, progress=count)
        _check(store, view, batch[:: max(1, len(batch) * rows.num_rows // (SAMPLE * BATCH))])
    if taken != rows.num_rows:
        raise StateError(f"the online store took {taken} of {rows.num_rows} rows of {view.name}. Nothing is marked as published; try again")
    return taken


def _check(store: FeatureStore, view: FeatureView, sample: list[Row]) -> None:
    """Raises `StateError` unless the rows read back as they were written."""
    found = store.provider.online_read(store.config, view, [key for key, *_ in sample], [field.name for field in view.features])
    for (_, values, moment, _), (there, read) in zip(sample, found, strict=True):
        if read != values or there is None or there.replace(tzinfo=None) != moment.replace(tzinfo=None):
            raise StateError(
                f"the online store does not give back what was written to {view.name}. Nothing is marked as published; try again"
            )
