"""The embedded offline store: Feast over pinned versions of the feature tables, in this process, without an engine.

Feast's own DuckDB store installs an extension when it first reads Delta, and keeps every earlier row per entity before it takes the newest.
Here the rows come from the Delta log's own list of files at a given version, and DuckDB's ASOF JOIN finds the newest row at once.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from feast.data_source import DataSource
from feast.feature_view import FeatureView
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import RepoConfig
from pydantic import Field

from lakehouse.errors import InputError, StateError

if TYPE_CHECKING:
    from feast.on_demand_feature_view import OnDemandFeatureView

ORDER = "_order"


class PinnedDeltaOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """`pins`: the version of each source, by its name. Paths of sources are taken from the home, Feast's `repo_path`."""

    type: str = "lakehouse.features.offline.PinnedDeltaOfflineStore"
    pins: dict[str, int] = Field(default_factory=dict)


class PinnedDeltaOfflineStore(DuckDBOfflineStore):
    """Reads each source at its pinned version; a source without one is refused, since its newest version may be half a run."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        **_: object,
    ) -> RetrievalJob:
        """Each row of `entity_df` with the features that held at its event timestamp; null where the entity had no row by then."""
        if not isinstance(entity_df, pd.DataFrame):
            raise InputError("features are asked for with a frame of entities and event timestamps, not with SQL or a range of time")
        when = infer_event_timestamp_from_entity_df(dict(zip(entity_df.columns, entity_df.dtypes, strict=True)))
        wanted = [_Wanted.of(view, feature_refs, full_feature_names) for view in feature_views]
        metadata = RetrievalMetadata(
            features=list(feature_refs),
            keys=[name for name in entity_df.columns if name != when],
            min_event_timestamp=_utc(entity_df[when].min()),
            max_event_timestamp=_utc(entity_df[when].max()),
        )

        def run() -> pa.Table:
            return _as_of_join(
                pa.Table.from_pandas(entity_df, preserve_index=False), when, [(one, _opened(config, one.source)) for one in wanted]
            )

        return PinnedRetrievalJob(run, full_feature_names, metadata)

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """Each entity's newest row with a moment from `start_date` to `end_date`, both included."""

        def run() -> pa.Table:
            rows = _between(_opened(config, data_source), timestamp_field, start_date, end_date, [*join_key_columns, *feature_name_columns])
            keys = ", ".join(map(_quoted, join_key_columns))
            with duckdb.connect() as connection:
                connection.register("rows", rows)
                newest = f"QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {_quoted(timestamp_field)} DESC) = 1"
                return connection.sql(f"SELECT * FROM rows {newest} ORDER BY {keys}").to_arrow_table()

        return PinnedRetrievalJob(run)

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Every row with a moment from `start_date` to `end_date`, both included."""
        columns = [*join_key_columns, *feature_name_columns]
        return PinnedRetrievalJob(lambda: _between(_opened(config, data_source), timestamp_field, start_date, end_date, columns))


class PinnedRetrievalJob(RetrievalJob):
    """A query that runs when its result is asked for."""

    def __init__(self, run: Callable[[], pa.Table], full_feature_names: bool = False, metadata: RetrievalMetadata | None = None) -> None:
        super().__init__()
        self._run, self._full_names, self._metadata = run, full_feature_names, metadata

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._run()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        found: pd.DataFrame = self._run().to_pandas()
        return found

    @property
    def full_feature_names(self) -> bool:
        return self._full_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return []

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return self._metadata


@dataclass(frozen=True)
class _Wanted:
    """What is asked of one view: its source, by which columns it is joined (its own: the frame's), and its features (column: name given)."""

    source: DataSource
    moment: str
    keys: Mapping[str, str]
    features: Mapping[str, str]
    ttl: timedelta | None

    @classmethod
    def of(cls, view: FeatureView, refs: Sequence[str], full_names: bool) -> _Wanted:
        if view.batch_source is None or view.batch_source.timestamp_field is None:
            raise InputError(f"feature view {view.name} has no source with a time to read from")
        shown = view.projection.name_to_use()  # type: ignore[no-untyped-call]
        names = [ref.split(":", 1)[1] for ref in refs if ref.startswith(f"{shown}:")]
        return cls(
            source=view.batch_source,
            moment=view.batch_source.timestamp_field,
            keys={column.name: view.projection.join_key_map.get(column.name, column.name) for column in view.entity_columns},
            features={name: f"{shown}__{name}" if full_names else name for name in names},
            ttl=view.ttl or None,
        )


def _opened(config: RepoConfig, source: DataSource) -> ds.Dataset:
    """The files of the source's pinned version. Raises `StateError` for a source without a pin."""
    from deltalake import DeltaTable

    assert isinstance(source, FileSource) and config.repo_path is not None
    pins = config.offline_store.pins
    if source.name not in pins:
        raise StateError(
            f"{source.name} is not pinned to a version, pins: {pins or 'none'}. Open the store with the versions of a snapshot"
        )
    return DeltaTable(str(Path(config.repo_path) / source.path), version=pins[source.name]).to_pyarrow_dataset()


def _between(rows: ds.Dataset, moment: str, start: datetime | None, end: datetime | None, columns: Sequence[str]) -> pa.Table:
    """Rows within a range of moments, both ends included, in Feast's types, their moment in UTC."""
    wanted = _range(rows.schema, moment, start, end)
    with duckdb.connect() as connection:
        connection.register("read", rows.scanner(columns=[*columns, moment], filter=wanted).to_reader())
        values = ", ".join(f"{_converted(rows.schema.field(name))} AS {_quoted(name)}" for name in [*columns, moment])
        found: pa.Table = connection.sql(f"SELECT {values} FROM read").to_arrow_table()
    place = found.schema.get_field_index(moment)
    return found.set_column(place, moment, found[moment].cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC")))


def _as_of_join(entities: pa.Table, when: str, wanted: Sequence[tuple[_Wanted, ds.Dataset]]) -> pa.Table:
    """The entities in their order, with each view's row at or before `when`. Feast's types: decimals as doubles, days counted."""
    asked = pa.table({**{name: entities[name] for name in entities.column_names}, ORDER: pa.array(range(entities.num_rows), pa.int64())})
    time = _naive(entities[when])
    latest = pc.max(time).as_py()
    asked = asked.set_column(asked.schema.get_field_index(when), when, time)
    joins, columns = [], [f"asked.{_quoted(name)}" for name in entities.column_names if name != when]
    with duckdb.connect() as connection:
        connection.register("asked", asked)
        for number, (one, rows) in enumerate(wanted):
            schema = rows.schema
            names = [*one.keys, one.moment, *one.features]
            reader = rows.scanner(columns=names, filter=_range(schema, one.moment, None, latest)).to_reader()
            connection.register(f"read_{number}", reader)
            view = f"view_{number}"
            values = ", ".join(f"{_converted(schema.field(name))} AS {_quoted(name)}" for name in names)
            on = [f"asked.{_quoted(there)} = {view}.{_quoted(here)}" for here, there in one.keys.items()]
            on.append(f"asked.{_quoted(when)} >= {view}.{_quoted(one.moment)}")
            joins.append(f"ASOF LEFT JOIN (SELECT {values} FROM read_{number}) {view} ON {' AND '.join(on)}")
            columns += [f"{_kept(view, name, one, when)} AS {_quoted(shown)}" for name, shown in one.features.items()]
        query = f"SELECT {', '.join(columns)} FROM asked {' '.join(joins)} ORDER BY asked.{ORDER}"
        found: pa.Table = connection.sql(query).to_arrow_table()
    # The moments asked come back as they were given, with their zone or without.
    return found.add_column(entities.schema.get_field_index(when), entities.schema.field(when), entities[when])


def _kept(view: str, name: str, wanted: _Wanted, when: str) -> str:
    """A feature's value, unless the view lets values expire and this one has."""
    value = f"{view}.{_quoted(name)}"
    if wanted.ttl is None:
        return value
    limit = f"{view}.{_quoted(wanted.moment)} + to_microseconds({wanted.ttl // timedelta(microseconds=1)})"
    return f"CASE WHEN {limit} >= asked.{_quoted(when)} THEN {value} END"


def _converted(field: pa.Field) -> str:
    """SQL that gives a column of a feature table the type that Feast declares for it."""
    name = _quoted(field.name)
    if pa.types.is_decimal(field.type):
        return f"CAST({name} AS DOUBLE)"
    if pa.types.is_date(field.type):
        return f"CAST({name} - DATE '1970-01-01' AS BIGINT)"
    if pa.types.is_timestamp(field.type):
        # By number, since a conversion between times with and without a zone would load an extension.
        return f"make_timestamp(epoch_us({name}))"
    return name


def _range(schema: pa.Schema, moment: str, start: datetime | None, end: datetime | None) -> pc.Expression | None:
    bounds = []
    kind = schema.field(moment).type
    if start is not None:
        bounds.append(pc.field(moment) >= _scalar(start, kind))
    if end is not None:
        bounds.append(pc.field(moment) <= _scalar(end, kind))
    return reduce(operator.and_, bounds) if bounds else None


def _scalar(time: datetime, kind: pa.DataType) -> pa.Scalar:
    return pa.scalar(_utc(time), pa.timestamp("us", "UTC")).cast(kind)


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _naive(times: pa.ChunkedArray) -> pa.ChunkedArray:
    """Microseconds in UTC without a zone; a time without a zone is UTC."""
    if pa.types.is_timestamp(times.type) and times.type.tz is not None:
        times = times.cast(pa.timestamp(times.type.unit, "UTC")).cast(pa.timestamp(times.type.unit))
    return times.cast(pa.timestamp("us"), safe=False)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
