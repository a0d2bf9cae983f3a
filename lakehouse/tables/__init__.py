"""The tables room: the catalog, the one writer, the lease, snapshots, time travel, history, pins and digests."""

from lakehouse.tables.lake import Lake
from lakehouse.tables.stage import StageLake

__all__ = ["Lake", "StageLake"]
