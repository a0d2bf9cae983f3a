"""What silver would make of lines, told without an engine and without writing anything: for a look at a file before it is loaded.

The row rules are those of quality.yml and copies are settled as in `lines.settle`, in DuckDB's SQL instead of an engine's. Both must say the same
of the same lines (tests/scenarios/test_trial.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakehouse.ingest import door
from lakehouse.ingest.checking import Settled
from lakehouse.ingest.sources import Source
from lakehouse.ingest.times import Mask
from lakehouse.medallion.lines import SPACES, VALUES
from lakehouse.medallion.trial_rules import translated
from lakehouse.quality.quarantine import CONFLICT
from lakehouse.quality.rules import RowRule

_EXAMPLES = 3
_KIND = "CASE WHEN NOT is_product THEN 'charge' WHEN is_cancellation THEN 'return' ELSE 'sale' END"
_TYPED = {
    "kind": _KIND,
    "product_code": "upper(product_code)",
    "description": f"regexp_replace(description, '{SPACES}', ' ', 'g')",
}


def settled(lines: pa.Table, source: Source, rules: Sequence[RowRule]) -> Settled:
    """What silver would make of accepted lines of bronze (`rows.SCHEMA`), were they the only ones of a lake; the customers' keys may be anything
    that tells them apart; of copies that name different customers it is up to the keys which one stays. A rule that DuckDB tells otherwise than an
    engine, or not at all, is named, and breaks no line."""
    lines = lines.set_column(lines.schema.get_field_index("sold_at"), "sold_at", lines["sold_at"].cast(pa.timestamp("us")))
    lines = lines.set_column(lines.schema.get_field_index("_known_at"), "_known_at", lines["_known_at"].cast(pa.timestamp("us")))
    with duckdb.connect() as connection:
        connection.register("lines", lines)
        told = {rule.name: _broken(connection, rule) for rule in rules}
        broken = {name: hit for name, hit in told.items() if hit is not None and hit.any()}
        good = lines.filter(pa.array(~door.any_of(broken, lines.num_rows)))
        connection.register("good", good)
        fates = connection.sql(_copies(source)).to_arrow_table()
    numbers = {name: lines["line_number"].filter(pa.array(hit)).to_pylist() for name, hit in broken.items()}
    conflicts = fates["line_number"].filter(fates["is_conflict"]).to_pylist()
    if conflicts:
        numbers[CONFLICT] = sorted(conflicts)
    kept = good.filter(pc.is_in(good["line_number"], fates["line_number"].filter(pc.equal(fates["place"], 1)).combine_chunks()))
    return Settled(
        kept,
        repeats=good.num_rows - kept.num_rows - len(conflicts),
        quarantined=lines.num_rows - good.num_rows + len(conflicts),
        broken={name: len(found) for name, found in numbers.items()},
        examples={name: found[:_EXAMPLES] for name, found in numbers.items()},
        unjudged=tuple(sorted(name for name, hit in told.items() if hit is None)),
    )


def _broken(connection: duckdb.DuckDBPyConnection, rule: RowRule) -> Mask | None:
    """Which lines break the rule; None where only an engine can tell."""
    expression = translated(rule)
    if expression is None:
        return None
    try:
        found = connection.sql(f"SELECT NOT coalesce(({expression}), false) AS broken FROM lines").to_arrow_table()
    except duckdb.Error:
        return None
    broken: Mask = np.asarray(found["broken"].to_numpy(), dtype=bool)
    return broken


def _copies(source: Source) -> str:
    """For each of the good lines its place among the copies of it, the first being kept, and whether it conflicts with that one."""
    not_compared = set(source.beside.columns.values()) if source.beside is not None else set()
    compared = [f"{_TYPED.get(name, name)} AS {name}" for name in VALUES if name not in not_compared]
    values = [name for name in VALUES if name not in not_compared]
    order = ", ".join(f"{part} NULLS FIRST" for part in ("_known_at", *values, "customer_key IS NULL", "customer_key", "line_number"))
    return f"""
        WITH typed AS (SELECT line_id, line_number, _known_at, customer_key, {", ".join(compared)} FROM good),
        ranked AS (
            SELECT line_number, customer_key, row_number() OVER copies AS place, row({", ".join(values)}) AS told,
                first_value(row({", ".join(values)})) OVER copies AS kept_told, first_value(customer_key) OVER copies AS kept_customer
            FROM typed WINDOW copies AS (PARTITION BY line_id ORDER BY {order})
        )
        SELECT line_number, place, place > 1 AND (told IS DISTINCT FROM kept_told OR coalesce(customer_key <> kept_customer, false)) AS is_conflict
        FROM ranked
    """
