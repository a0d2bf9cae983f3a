"""What an auditor sees at a glance: how a table grew, which files it is of, and which months are told otherwise now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lakehouse.tables.listing import shown

if TYPE_CHECKING:
    from lakehouse.registry.table_audit import TableAudit
    from lakehouse.tables.audit import Restated


def rows_by_version(found: TableAudit) -> None:
    """Steps of a table's rows, version by version, those published marked."""
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator

    versions = sorted(found.versions, key=lambda one: one.version)
    published = [one for one in versions if one.published]
    _, axes = pyplot.subplots(figsize=(9, 3))
    axes.step([one.version for one in versions], [one.rows for one in versions], where="post", color="tab:blue")
    axes.plot([one.version for one in published], [one.rows for one in published], "o", color="tab:orange", label="published")
    axes.set(title=f"Rows of {found.table} by version", xlabel="version", ylabel="rows", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()


def lines_by_file(found: TableAudit) -> None:
    """A bar per file in the order in which they landed: its accepted lines, known by the moment and not."""
    from matplotlib import pyplot

    places = range(len(found.files))
    known = [one.known for one in found.files]
    _, axes = pyplot.subplots(figsize=(12, 3))
    axes.bar(places, known, width=0.9, color="tab:blue", label=f"known before {shown(found.known_by)}")
    axes.bar(
        places, [one.accepted - one.known for one in found.files], bottom=known, width=0.9, color="tab:orange", label="not known by then"
    )
    axes.set(title=f"Accepted lines of the files behind {found.table}", ylabel="lines")
    axes.set_xticks(places, [one.file for one in found.files], rotation=90, fontsize=6)
    axes.legend()


def restated(months: Sequence[Restated]) -> None:
    """A bar per month whose revenue is another now than it was published; nothing where none is."""
    from matplotlib import pyplot

    if not months:
        return
    _, axes = pyplot.subplots(figsize=(9, 3))
    axes.bar([one.month for one in months], [float(one.difference) for one in months], color="tab:blue")
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(title="How the past is told otherwise", ylabel="revenue now − then")
    axes.tick_params(axis="x", rotation=45)
