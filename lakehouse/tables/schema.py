"""The run database's tables, made and brought up to what this release knows."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, insert, inspect, select, text, update

from lakehouse import release
from lakehouse.errors import OtherSchema


@dataclass(frozen=True)
class Step:
    """What `create_all` can't do to a table that homes have already, such as a column that came: a statement that SQLite and PostgreSQL both
    understand. Where the table itself is only made now, it is made as it should be, and the step is left out."""

    table: str
    statement: str


STEPS: tuple[Step, ...] = ()  # the first leads from version 1 to 2; they are only ever added, at the end. A table that came needs none


@dataclass(frozen=True)
class Schema:
    """Tables, and one among them of one row, `written`, that says their version and the release that made them so."""

    meta: MetaData
    written: Table

    @property
    def version(self) -> int:
        return 1 + len(STEPS)

    def bring_up(self, engine: Engine) -> None:
        """Makes what is missing and takes the steps that were not taken, all or none. Raises `OtherSchema` for what a newer release wrote."""
        with engine.begin() as connection:
            there = set(inspect(connection).get_table_names())
            found = self._found(connection, there)
            if self.meta.tables.keys() - there:  # else it looks for each of them once more
                self.meta.create_all(connection)
            for step in STEPS[found - 1 :] if found else ():
                if step.table in there:
                    connection.execute(text(step.statement))
            if found != self.version or self.written.name not in there:
                self._write(connection)

    def check(self, engine: Engine) -> None:
        """Raises `OtherSchema` for what is not as this release would make it, where nothing can be written."""
        with engine.connect() as connection:
            there = set(inspect(connection).get_table_names())
            found = self._found(connection, there)
        if found < self.version or {table.name for table in self.meta.sorted_tables if table is not self.written} - there:
            raise OtherSchema(
                f"an older zeromargin wrote the run database {_shown(engine)} (schema {found}, this is {release.here()}, schema {self.version}), and this"
                " user may not write to it to bring it up. Have somebody who may call: zeromargin status"
            )

    def _found(self, connection: Connection, there: set[str]) -> int:
        """The version that is there; 0 where nothing is. Homes from before it was written down have version 1."""
        row = connection.execute(select(self.written)).first() if self.written.name in there else None
        if row is None:
            return int(bool(there & set(self.meta.tables)))
        release.refuse_newer(f"the run database {_shown(connection.engine)}", row.version, self.version, row.release)
        return int(row.version)

    def _write(self, connection: Connection) -> None:
        values = {"version": self.version, "release": release.here()}
        if connection.execute(update(self.written).values(**values)).rowcount == 0:
            connection.execute(insert(self.written).values(id=1, **values))


def table_of_version(meta: MetaData) -> Table:
    """The table of one row; `release` is the one that made the tables what they are."""
    return Table(
        "schema_version",
        meta,
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("version", Integer, nullable=False),
        Column("release", String, nullable=False),
    )


def _shown(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=True)
