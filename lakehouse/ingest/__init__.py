"""The door: raw files read as `sources.yml` describes them, customer numbers exchanged, lines landed in bronze."""

from lakehouse.ingest.loading import Landed, load

__all__ = ["Landed", "load"]
