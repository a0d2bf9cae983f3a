"""A training set as Feast's own offline store for Spark makes it: the same declarations, rows and entities, on Spark with two cores.

    python benchmarks/by_feast.py TABLE VERSION ENTITIES

TABLE is the Delta table features.product_sales, ENTITIES a Parquet file of store, product_code and event_timestamp. Prints the seconds of each of
three times, without starting Spark, and a digest of each column that came out, as JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import pandas as pd
import polars as pl
import training
from answers import digests
from feast import FeatureStore, FeatureView, RepoConfig
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from pyspark.sql import SparkSession

import feature_repo
from lakehouse.engine.commands import JARS, SPARK_CONF


def main(table: str, version: str, entities: str) -> None:
    spark = session()
    asked = pd.read_parquet(entities)
    asked["event_timestamp"] = asked["event_timestamp"].dt.tz_localize("UTC")
    with tempfile.TemporaryDirectory() as folder:
        store, view = declared(Path(folder), f"SELECT * FROM delta.`{table}` VERSION AS OF {version}")
        references = [f"{view.name}:{field.name}" for field in view.features]
        times, answer = training.timed(lambda: store.get_historical_features(asked, features=references).to_df())
    print(json.dumps({"seconds": times, "digests": digests(pl.from_pandas(answer), training.KEY, training.KINDS)}))
    spark.stop()


def session() -> SparkSession:
    """Spark with Delta and two cores in this process' own JVM, with the options of our own Spark engine, and rows handed over as Arrow."""
    own = {
        "spark.jars": ",".join(map(str, sorted(JARS.glob("*.jar")))),
        "spark.driver.memory": "2g",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
    }
    builder = SparkSession.builder.master("local[2]")
    for name, value in (SPARK_CONF | own).items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def declared(folder: Path, query: str) -> tuple[FeatureStore, FeatureView]:
    """The view of products as the project declares it, over Spark."""
    config = RepoConfig(
        project=feature_repo.PROJECT,
        provider="local",
        registry=str(folder / "registry.db"),
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        offline_store={"type": "spark"},
        entity_key_serialization_version=3,
    )
    ours = feature_repo.views.product_sales
    source = SparkSource(name="product_sales", query=query, timestamp_field="moment")
    view = FeatureView(name=ours.name, entities=[feature_repo.store, feature_repo.product], ttl=None, source=source, schema=ours.schema)
    store = FeatureStore(config=config)
    store.apply([feature_repo.store, feature_repo.product, view])
    return store, view


if __name__ == "__main__":
    main(*sys.argv[1:])
