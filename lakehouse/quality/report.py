"""What the gate found: one result per rule that was asked for, shown to people and to programs."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from lakehouse.quality.suites import Severity
from lakehouse.tables.listing import Listing, page

Example = Mapping[str, str]


@dataclass(frozen=True)
class RuleResult:
    """One rule of one table. `rows` is how many rows fail it, where that can be said; `examples` some of them, without personal data."""

    table: str
    rule: str
    ok: bool
    observed: str
    expected: str
    rows: int | None = None
    examples: tuple[Example, ...] = ()
    severity: Severity = "stop"
    about: str = ""

    @property
    def stops(self) -> bool:
        return not self.ok and self.severity == "stop"


@dataclass(frozen=True)
class _Line:
    """One rule as a page shows it."""

    result: str
    rule: str
    found: str
    expected: str
    rows: int | None
    examples: str
    meaning: str


@dataclass(frozen=True, repr=False)
class QualityReport:
    """All results of one run. `docs` is the page that shows them, below the home."""

    run: str
    results: tuple[RuleResult, ...]
    docs: str = ""

    @property
    def failed(self) -> tuple[RuleResult, ...]:
        """Rules that stop the run."""
        return tuple(result for result in self.results if result.stops)

    @property
    def warnings(self) -> tuple[RuleResult, ...]:
        """Rules that failed and stop nothing."""
        return tuple(result for result in self.results if not result.ok and not result.stops)

    @property
    def ok(self) -> bool:
        return not self.failed

    def summary(self) -> dict[str, object]:
        """What a notebook declares as its result."""
        return {
            "ok": self.ok,
            "rules": len(self.results),
            "failed": [f"{result.table}: {result.rule}" for result in self.failed],
            "warnings": [f"{result.table}: {result.rule}" for result in self.warnings],
            "docs": self.docs,
        }

    def to_json(self) -> dict[str, object]:
        """Everything, in JSON's own types."""
        results = [asdict(result) | {"examples": [dict(example) for example in result.examples]} for result in self.results]
        return {"run": self.run, "ok": self.ok, "docs": self.docs, "results": results}

    def _counts(self) -> list[tuple[str, int, list[RuleResult]]]:
        """Per table: its name, how many rules were asked, and those that failed."""
        tables = dict.fromkeys(result.table for result in self.results)
        mine = {table: [result for result in self.results if result.table == table] for table in tables}
        return [(table, len(found), [result for result in found if not result.ok]) for table, found in mine.items()]

    def __str__(self) -> str:
        lines = [self._title()]
        for table, asked, broken in self._counts():
            lines.append(f"{table:<22} {asked - len(broken):>3} of {asked} rules hold")
            lines += [f"  {_mark(result)} {_sentence(result)}" for result in broken]
        return "\n".join(lines)

    __repr__ = __str__

    def page(self, pages: bool) -> str:
        """Everything as a page of HTML that needs nothing else: what does not hold first, then each table with all its rules. With a link to Great
        Expectations' own pages where there are any."""
        broken = [result for result in self.results if not result.ok]
        verdict = f'<p class="{"open" if self.ok else "stop"}"><b>{html.escape(self._title())}</b></p>'
        parts = [f"<h2>What does not hold</h2>{_lines(broken, 'every rule holds', with_table=True)._repr_html_()}"]
        for table, asked, failed in self._counts():
            rows = _lines([result for result in self.results if result.table == table], "no rule")._repr_html_()
            held = f"{table}: {asked - len(failed)} of {asked} rules hold"
            parts.append(f"<details><summary><h2>{html.escape(held)}</h2></summary>{rows}</details>")
        more = 'The same as numbers: <a href="quality.json">quality.json</a>.'
        if pages:
            more += ' Great Expectations\' own pages: <a href="index.html">index.html</a> (their style is loaded from the internet).'
        return page(f"Quality of run {self.run}", f"{verdict}{''.join(parts)}<footer>{more}</footer>")

    def _repr_html_(self) -> str:
        rows = []
        for table, asked, broken in self._counts():
            said = "<br>".join(f"{_mark(result)} {html.escape(_sentence(result))}" for result in broken)
            rows.append(f"<tr><td>{html.escape(table)}</td><td>{asked - len(broken)} of {asked}</td><td>{said or 'all hold'}</td></tr>")
        head = "<tr><th>table</th><th>rules that hold</th><th>what does not</th></tr>"
        return f"<p>{html.escape(self._title())}</p><table>{head}{''.join(rows)}</table>"

    def _title(self) -> str:
        verdict = "the gate is open" if self.ok else "the gate is shut"
        return f"run {self.run}: {len(self.results)} rules, {len(self.failed)} stop, {len(self.warnings)} warn; {verdict}"


def explained(result: RuleResult) -> str:
    """A failed rule in full: what was found, what was expected, how many rows, some of them."""
    shown = _examples(result)
    return _sentence(result) + (f". For example: {shown}" if shown else "")


def _lines(results: Sequence[RuleResult], empty: str, with_table: bool = False) -> Listing[_Line]:
    return Listing(
        [
            _Line(
                "holds" if result.ok else _mark(result),
                f"{result.table}: {result.rule}" if with_table else result.rule,
                result.observed,
                result.expected,
                result.rows,
                _examples(result),
                result.about,
            )
            for result in results
        ],
        empty,
    )


def _examples(result: RuleResult) -> str:
    return "; ".join(", ".join(f"{key}={value}" for key, value in example.items()) for example in result.examples)


def _sentence(result: RuleResult) -> str:
    rows = "" if result.rows is None else f" ({result.rows:,} rows)"
    return f"{result.rule}: found {result.observed}, expected {result.expected}{rows}"


def _mark(result: RuleResult) -> str:
    return "STOP" if result.stops else "warn"
