"""What is run, and with which environment, to start each kind of endpoint."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lakehouse.errors import StateError
from lakehouse.settings import Settings

JARS = Path(__file__).resolve().parents[2] / "deploy" / "spark" / "jars"

SPARK_CONF = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.shuffle.partitions": "4",
    # Without these two a small table's log is replayed by dozens of tasks, and a VACUUM of one file runs 10,000.
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "8",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # At INFO, Spark writes a megabyte a minute into endpoint.log.
    "spark.log.level": "WARN",
    "spark.sql.session.timeZone": "UTC",
    "spark.connect.grpc.binding.address": "127.0.0.1",
}


# A server that ran out of memory lives on, half dead, and answers each query with another error.
ENDS = "-XX:+ExitOnOutOfMemoryError"
HEAP = 1.5  # Spark's heap over endpoint.memory_gb: it holds, besides queries, all else that Spark has


@dataclass(frozen=True)
class Command:
    """A child process: its words and what its environment has beside ours."""

    words: list[str]
    environment: dict[str, str]


def sail(settings: Settings, port: int, scratch: Path) -> Command:
    """Sail's own Connect server, its memory bounded, since unbounded one bad query takes the machine."""
    checkpoints = scratch / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    program = Path(sys.executable).with_name("sail")
    found = str(program) if program.exists() else shutil.which("sail")
    if not found:
        raise StateError("the engine sail was asked for, but the package pysail is not installed. Run: make install")
    # The fair pool leaves each sort and grouping its share, so that they go on by way of the disk; in a greedy one the first takes everything,
    # and those after it fail. A group of rows of a Parquet file is held until it is whole, for each file that is being written.
    return Command(
        [found, "spark", "server", "--ip", "127.0.0.1", "--port", str(port)],
        {
            "SAIL_RUNTIME__MEMORY_POOL__TYPE": "fair",
            "SAIL_RUNTIME__MEMORY_POOL__FAIR__MAX_SIZE": str(int(settings.endpoint.memory_gb * 2**30)),
            "SAIL_PARQUET__MAX_ROW_GROUP_SIZE": str(2**18),  # rows
            "SAIL_EXECUTION__CHECKPOINT__PATH": checkpoints.as_uri(),
            "SAIL_SPARK__SESSION_TIMEOUT_SECS": "86400",
            "TZ": "UTC",
        },
    )


def missing_for_spark() -> str:
    """What the engine spark lacks on this machine, and what to do about it; nothing where it can be started."""
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        return "there is no Java here. Install Java 17, or use the engine sail"
    if not any(JARS.glob("*.jar")):
        return "Delta's jars are not in deploy/spark/jars. Run: make jars"
    if _submit() is None:
        return "the package pyspark is not installed. Run: make install"
    return ""


def _submit() -> Path | None:
    spec = find_spec("pyspark")
    return None if spec is None or spec.origin is None else Path(spec.origin).with_name("bin") / "spark-submit"


def spark(settings: Settings, port: int, scratch: Path) -> Command:
    """Spark's Connect server with Delta's jars beside it, started as spark-submit starts it."""
    if missing := missing_for_spark():
        raise StateError(f"the engine spark was asked for, but {missing}")
    scratch.mkdir(parents=True, exist_ok=True)
    settings_of_spark = SPARK_CONF | {
        "spark.connect.grpc.binding.port": str(port),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.local.dir": str(scratch / "local"),
    }
    words = [
        str(_submit()),
        "--class",
        "org.apache.spark.sql.connect.service.SparkConnectServer",
        "--master",
        f"local[{settings.endpoint.cores}]",
        "--driver-memory",
        f"{max(1024, int(settings.endpoint.memory_gb * HEAP * 1024))}m",
        "--jars",
        ",".join(map(str, sorted(JARS.glob("*.jar")))),
    ]
    for key, value in settings_of_spark.items():
        words += ["--conf", f"{key}={value}"]
    words += shlex.split(settings.endpoint.spark_options)
    # Spark makes folders for artifacts in Java's own temporary folder, and a killed one leaves them there.
    options = " ".join((f'"-Djava.io.tmpdir={scratch}"', os.environ.get("SPARK_SUBMIT_OPTS", ""), ENDS))
    environment = {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable, "TZ": "UTC", "SPARK_SUBMIT_OPTS": options}
    return Command(words, environment)
