"""Commands that look and change nothing: status, tables, show, history, digest, models, sql."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli_session import AsJson, TableName, answer, day, in_any_case, records, say, session, size, table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from lakehouse.registry.loading import Registered
    from lakehouse.tables import Lake

MOST_COLUMNS = 10  # more are shown below one another: side by side they would be torn into letters
Version = Annotated[int | None, typer.Option("--version", help="A version of the table; left out, the published one.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="How many rows are shown at the most.")]


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """What is published, by whom, and how much there is."""
    with session(context).lake() as lake:
        if as_json:
            answer(_status(lake))
        else:
            _show_status(lake)


def tables(context: typer.Context, as_json: AsJson = False) -> None:
    """Every table with its published version, rows and size."""
    with session(context).lake() as lake:
        if as_json:
            answer([asdict(state) for state in lake.tables()])
        else:
            _tables(lake)


def show(
    context: typer.Context,
    name: TableName,
    version: Version = None,
    at: Annotated[str | None, typer.Option("--at", metavar="DAY", help="As it was published as of this day (YYYY-MM-DD).")] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Rows of a table, as published now, as of a day, or at a version."""
    if version is not None and at is not None:
        raise typer.BadParameter("give --version or --at, not both")
    with session(context).lake() as lake:
        _rows(name, lake.read(name, version=version, at=at), limit, as_json)


def sql(
    context: typer.Context,
    query: Annotated[str, typer.Argument(metavar="SELECT", help='For example "SELECT * FROM gold.products VERSION AS OF 3".')],
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """One SELECT over the tables, with time travel.

    With --json, decimals are numbers, or text where a number would lose digits; NaN and infinity are null; times are ISO, to the microsecond.
    """
    from pyspark.errors import AnalysisException, ParseException

    from lakehouse.engine.session import explain
    from lakehouse.errors import InputError

    with session(context).lake() as lake:
        try:
            _rows("", lake.sql(query), limit, as_json)
        except (AnalysisException, ParseException) as error:
            found = str(error).strip().splitlines()[0]
            unknown = InputError(f"the engine does not understand this query: {found}. Columns: zeromargin show TABLE --limit 1")
            raise explain(error) or unknown from None


def history(context: typer.Context, name: TableName, as_json: AsJson = False) -> None:
    """Every version of a table: when it was written, by which run and stage, whether it was published, is pinned, and is kept by maintenance."""
    from lakehouse.tables.maintenance import kept_versions

    with session(context).lake() as lake:
        found, kept = lake.history(name), kept_versions(lake)[name]
    if as_json:
        answer([asdict(version) | {"kept": version.version in kept} for version in found])
        return
    columns = ("version", "written", "operation", "run", "stage", "published", "pinned", "kept")
    rows = [(v.version, v.written_at, v.operation, v.run, v.stage, v.published, v.pinned, v.version in kept) for v in found]
    table(name, columns, rows, right=("version",))


def digest(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="TABLE…", help="Names of tables, such as gold.daily_sales.", callback=in_any_case)],
    version: Version = None,
    full: Annotated[bool, typer.Option("--full", help="With the bookkeeping columns (those that begin with _).")] = False,
    as_json: AsJson = False,
) -> None:
    """A fingerprint of a table's content: the same on both engines, in any order of rows, before and after compaction."""
    if version is not None and len(names) > 1:
        raise typer.BadParameter("--version is of one table; give one name with it")
    with session(context).lake() as lake:
        found = [lake.digest(name, version, full) for name in names]
    if as_json:
        told = [asdict(one) for one in found]
        answer(told if len(names) > 1 else told[0])
    else:
        for one in found:
            print(f"{one.table} version {one.version}: {one.digest} ({one.rows:,} rows)")


def models(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="MODEL", help="One model; left out, all of them.")] = None,
    as_json: AsJson = False,
) -> None:
    """Every registered model version, who answers, and how good it is."""
    from lakehouse.errors import UnknownName
    from lakehouse.registry.loading import versions
    from lakehouse.registry.recipes import NAMES

    found = versions(session(context).settings())
    if name is not None:
        known = {*NAMES, *(model.name for model in found)}
        if name not in known:
            raise UnknownName("model", name, known)
        found = [model for model in found if model.name == name]
    if as_json:
        answer([_model(model) for model in found])
    else:
        _models(found)


def _status(lake: Lake) -> dict[str, object]:
    from jobs.cli_schedule import inbox, told
    from jobs.parts import parts
    from lakehouse.registry.loading import versions
    from lakehouse.tables import pins, rebuilding, snapshots

    snapshot, (off, unused) = lake.snapshot(), parts(lake)
    return {
        "home": str(lake.home),
        "profile": lake.settings.profile,
        "engine": lake.settings.engine,
        "vault_keys": lake.settings.vault.keys,
        "snapshot": None if snapshot is None else snapshot.id,
        "as_of": None if snapshot is None else snapshot.as_of,
        "moment": None if snapshot is None else snapshot.moment,
        "unfinished_restore": snapshots.unfinished_restore(lake.ops),
        "waits_to_be_made_anew": [] if snapshot is None else list(rebuilding.lacking(snapshot)),
        "tables": [
            {"name": t.name, "version": t.version, "rows": t.rows, "bytes": t.bytes, "wrong": t.wrong or None} for t in lake.tables()
        ],
        "models": [_model(model) for model in versions(lake.settings)],
        "pins": [asdict(pin) for pin in pins.every(lake.ops)],
        "switched_off": [asdict(one) for one in off],
        "unused": [asdict(one) for one in unused],
        "timetable": told(lake),
        "inbox": inbox(lake),
        "last_run": _last_run(lake),
    }


def _last_run(lake: Lake) -> dict[str, object] | None:
    from lakehouse.tables import runs

    for run in runs.newest(lake.ops):
        stages = [{"name": s.name, "state": s.state, "error": s.error, "notebook": s.notebook} for s in runs.stage_runs(lake.ops, run.id)]
        return asdict(run) | {"stages": stages}
    return None


def _show_status(lake: Lake) -> None:
    from jobs.parts import parts
    from lakehouse.registry.aliases import CHAMPION
    from lakehouse.registry.loading import versions
    from lakehouse.registry.recipes import NAMES
    from lakehouse.registry.recorded import forgotten
    from lakehouse.tables import rebuilding, runs, snapshots

    settings, snapshot = lake.settings, lake.snapshot()
    published = "nothing published yet" if snapshot is None else f"snapshot {snapshot.id}, as of {day(snapshot.as_of)}"
    print(f"{lake.home}: {published} (profile {settings.profile}, engine {settings.engine})")
    unfinished = snapshots.unfinished_restore(lake.ops)
    if unfinished is not None:
        print(
            f"A restore of snapshot {unfinished} was broken off; nothing is written before it is finished: zeromargin restore {unfinished}"
        )
    if snapshot is not None and (lacking := rebuilding.lacking(snapshot)):
        print(f"Of {', '.join(lacking)} nothing is published. The next run makes all tables anew from bronze: zeromargin run")
    if settings.vault.keys == "derived":
        print("Customer keys are derived from the numbers (vault.keys: derived), to compare lakes with. Not for real customers.")
    print()
    _tables(lake)
    print()
    registered = versions(settings)
    _models(registered)
    if registered and (nobody := sorted({*NAMES} - {one.name for one in registered if CHAMPION in one.aliases})):
        print(f"No champion of {', '.join(nobody)}: baselines answer until a run trains one that the gate lets through")
    for one in forgotten(lake):
        print(f"The registry does not know {one.model} {one.version} any more, which run {one.run} registered. See: zeromargin verify")
    words = [str(one) for found in parts(lake) for one in found]
    if words:
        print("\n" + "\n".join(words))
    for run in runs.newest(lake.ops):
        stages = ", ".join(f"{stage.name} {stage.state}" for stage in runs.stage_runs(lake.ops, run.id))
        print(f"\nLast run: {run.id}, {run.state}, as of {day(run.as_of)}: {stages or 'no stage begun'}")
    _show_timetable(lake)


def _show_timetable(lake: Lake) -> None:
    from jobs.cli_schedule import inbox, told

    jobs = told(lake)
    keeper = jobs[0]["kept_by"] if jobs else None
    print("\nTimetable: " + (f"kept by {keeper}" if keeper else "nobody keeps it now (zeromargin schedule does)"))
    for job in jobs:
        last = f"; last {job['last_due']}: {job['last_state']}" if job["last_due"] else ""
        why = f". {' '.join(str(job['last_message']).split())}" if job["last_message"] else ""
        print(f"  {job['job']}: next {job['next']}{last}{why}")
    found = inbox(lake)
    held = "there is no such folder" if found["is_lost"] else f"{found['waiting']:,} files wait, {found['rejected']:,} in rejected/"
    print(f"  inbox: {held} ({found['folder']})")


def _model(model: Registered) -> dict[str, object]:
    return {
        "name": model.name,
        "version": model.version,
        "alias": _alias(model),
        "aliases": list(model.aliases),
        "digest": model.digest,
        "moment": model.moment,
        "decision": model.decision,
        "reasons": list(model.reasons),
        "metrics": model.metrics,
    }


def _alias(model: Registered) -> str | None:
    """The most telling of a version's aliases."""
    return next((alias for alias in ("champion", "challenger", "previous", *model.aliases) if alias in model.aliases), None)


def _tables(lake: Lake) -> None:
    found = lake.tables()
    held = [("broken", "", "") if one.wrong else (one.version, one.rows, size(one.bytes)) for one in found]
    rows = [(one.name, *what, one.about.removeprefix("one row per ")) for one, what in zip(found, held, strict=True)]
    table("", ("table", "version", "rows", "size", "one row per"), rows, right=("version", "rows", "size"))
    for one in found:
        if one.wrong:
            print(f"{one.name} can't be read: {one.wrong}")


def _models(found: list[Registered]) -> None:
    if not found:
        say("The registry holds no model; baselines answer. Train with: zeromargin run")
        return
    rows = [(m.name, m.version, _alias(m), m.digest[:12], m.moment, _metrics(m)) for m in found]
    table("", ("model", "version", "alias", "digest", "moment", "metrics"), rows)


def _metrics(model: Registered) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in sorted(model.metrics.items())[:6])


def _rows(title: str, frame: DataFrame, limit: int, as_json: bool) -> None:
    rows = frame.limit(limit + 1).toArrow().to_pylist()
    if len(rows) > limit:
        say(f"There are more than {limit:,} rows; the rest is not shown. Ask for more with --limit")
        rows = rows[:limit]
    if as_json:
        answer(rows)
    elif len(frame.columns) > MOST_COLUMNS:
        records(title, rows)
    else:
        table(title, frame.columns, [tuple(row.values()) for row in rows])
