"""The catalog of tables: what each holds, its columns, key, partitions and constraints. Read from catalog/*.yml."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from lakehouse.errors import UnknownName
from lakehouse.settings import parse_yaml

STRANGE = "this zeromargin does not know this table: a newer one made it. Look at it with that one"
Kind = Literal["source", "derived", "output", "log"]
BRONZE = "bronze.sales"
FOLDER = Path(__file__).with_name("catalog")
# Which stage writes a layer's tables. Bronze is written by loading, not by a run.
STAGE_OF_LAYER = {"silver": "silver", "quarantine": "silver", "gold": "gold", "features": "features", "predictions": "predictions"}


@dataclass(frozen=True)
class Column:
    """One column. `type` is Spark's simple string; names that begin with an underscore are bookkeeping."""

    name: str
    type: str
    comment: str


@dataclass(frozen=True)
class Table:
    """One table of the catalog."""

    name: str
    about: str
    kind: Kind
    key: tuple[str, ...]
    partition_by: tuple[str, ...]
    not_null: tuple[str, ...]
    checks: tuple[tuple[str, str], ...]
    columns: tuple[Column, ...]

    @property
    def layer(self) -> str:
        return self.name.split(".")[0]

    @property
    def stage(self) -> str | None:
        """The stage that writes it; None for bronze."""
        return STAGE_OF_LAYER.get(self.layer)

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def content_names(self) -> tuple[str, ...]:
        """Columns that are not bookkeeping."""
        return tuple(name for name in self.column_names if not name.startswith("_"))

    def type_of(self, column: str) -> str:
        return next(found.type for found in self.columns if found.name == column)

    @property
    def constraints(self) -> dict[str, str]:
        """CHECK constraints by name. NOT NULL is one of them, since Sail drops columns silently from tables with NOT NULL columns."""
        return {f"{name}_is_there": f"{name} IS NOT NULL" for name in self.required} | dict(self.checks)

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that are never null: the key's, then the others."""
        return tuple(dict.fromkeys((*self.key, *self.not_null)))


@cache
def load() -> MappingProxyType[str, Table]:
    """All tables by name."""
    found: dict[str, Table] = {}
    for path in sorted(FOLDER.glob("*.yml")):
        for name, entry in parse_yaml(path.read_text(encoding="utf-8")).items():
            found[name] = Table(
                name=name,
                about=entry["about"],
                kind=entry["kind"],
                key=tuple(entry["key"]),
                partition_by=tuple(entry.get("partition_by", ())),
                not_null=tuple(entry.get("not_null", ())),
                checks=tuple(entry.get("check", {}).items()),
                columns=tuple(Column(column, *spec) for column, spec in entry["columns"].items()),
            )
    return MappingProxyType(found)


def table(name: str) -> Table:
    """The table of that name. Raises `UnknownName` with the nearest one."""
    tables = load()
    if name not in tables:
        raise UnknownName("table", name, tables)
    return tables[name]
