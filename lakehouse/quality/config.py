"""What conf/base/quality.yml may say, checked against the catalog when it is read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Annotated, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lakehouse.errors import SettingsError, UnknownName
from lakehouse.quality.rules import RowRule, columns_of, row_rules
from lakehouse.settings import conf_file, forget_files
from lakehouse.tables import catalog

FILE = "quality.yml"
Share = Annotated[float, Field(ge=0, le=1)]
Bounds = tuple[float | None, float | None]
Said = tuple[str, str]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class QuarantineLimits(Section):
    """How large a share of a newly landed file may be refused; nothing is judged below `at_least` refused lines."""

    at_least: int = Field(ge=0)
    share: Share
    reasons: dict[str, Share]


class Freshness(Section):
    """Days that the newest line may lie behind the run's as_of."""

    warn_days: int = Field(ge=0)
    stop_days: int = Field(ge=0)


class Distribution(Section):
    """Bounds of ratios between the sales lines of a run and those before it; nothing is judged below `at_least` lines."""

    at_least: int = Field(ge=1)
    amount_per_line: tuple[float, float]
    lines_per_day: tuple[float, float]


class Below(Section):
    """The table that one is made from. `equal`: name → (aggregate over this table, aggregate over the one below)."""

    table: str
    where: str = "true"
    equal: dict[str, Said]


class TableTerms(Section):
    """What the rows of one table must be, beside what the catalog says."""

    rows_at_least: int = Field(default=0, ge=0)
    null_share: dict[str, Share] = {}
    between: dict[str, Bounds] = {}
    among: dict[str, tuple[str, ...]] = {}
    expect: dict[str, Said] = {}
    below: Below | None = None


class Quality(Section):
    """All of quality.yml."""

    rows: dict[str, Said]
    quarantine: QuarantineLimits
    freshness: Freshness
    distribution: Distribution
    warn: dict[str, tuple[str, ...]]
    personal: tuple[str, ...]
    examples: int = Field(ge=0)
    tables: dict[str, TableTerms]

    @property
    def row_rules(self) -> tuple[RowRule, ...]:
        return row_rules(self.rows)

    def warns(self, table: str, rule: str) -> bool:
        """Whether a failure of the rule is shown and stops nothing."""
        return rule in self.warn.get(table, ())


@cache
def load(profile: str = "local") -> Quality:
    """conf/base/quality.yml with the profile's differences.

    Raises `UnknownName` for a key, table or column that nothing has, naming the nearest one; `SettingsError` for a value or SQL that
    is wrong.
    """
    return parse(conf_file(FILE, profile))


def read_anew() -> None:
    """Has quality.yml, sources.yml and the other files of conf/ read anew: a process that lives for months is to see what was edited meanwhile."""
    forget_files()
    load.cache_clear()


def load_rules(profile: str = "local") -> tuple[RowRule, ...]:
    """The row rules of the step from bronze to silver, in order of name."""
    return load(profile).row_rules


def parse(tree: Mapping[str, object]) -> Quality:
    """The same from what was read already."""
    try:
        found = Quality.model_validate(tree)
    except ValidationError as error:
        raise _explained(error) from None
    if "customer_key" not in found.personal:
        raise SettingsError(f"personal in {FILE} does not list customer_key. Add it: the examples of a report must not point at people")
    assert found.row_rules is not None
    for name in (*found.tables, *found.warn):
        catalog.table(name)
    for name, terms in found.tables.items():
        _check_table(name, terms)
    return found


def _check_table(name: str, terms: TableTerms) -> None:
    known = catalog.table(name).column_names
    for column in (*terms.null_share, *terms.between, *terms.among):
        _check_known([column], known, f"table {name} of {FILE}")
    for rule, (expression, _) in terms.expect.items():
        _check_known(columns_of(rule, expression), known, f'rule "{rule}" of table {name} in {FILE}')
    if terms.below is None:
        return
    below = catalog.table(terms.below.table).column_names
    _check_known(columns_of("where", terms.below.where), below, f"what lies below {name} in {FILE}")
    for rule, (here, there) in terms.below.equal.items():
        _check_known(columns_of(rule, here), known, f'"{rule}" of table {name} in {FILE}')
        _check_known(columns_of(rule, there), below, f'"{rule}" of what lies below {name} in {FILE}')


def _check_known(columns: Collection[str], known: Collection[str], where: str) -> None:
    for column in sorted(columns):
        if column not in known:
            raise UnknownName("column", column, known, where=where)


def _explained(error: ValidationError) -> SettingsError | UnknownName:
    first = error.errors(include_url=False, include_input=False)[0]
    *parents, leaf = (str(part) for part in first["loc"])
    where = ".".join(parents)
    if first["type"] == "extra_forbidden":
        return UnknownName("key", leaf, _model_at(parents).model_fields, where=f"{FILE} {where}".strip())
    return SettingsError(f"{'.'.join((*parents, leaf))} in {FILE}: {first['msg']}. Expected what conf/base/{FILE} shows")


def _model_at(parents: list[str]) -> type[BaseModel]:
    """The section that a path of keys leads to; the keys of a mapping are steps too."""
    steps: Iterator[str] = iter(parents)
    model: type[BaseModel] = Quality
    for step in steps:
        annotation = model.model_fields[step].annotation
        if get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
            next(steps, None)
        candidates = [found for found in (annotation, *get_args(annotation)) if isinstance(found, type) and issubclass(found, BaseModel)]
        model = candidates[0]
    return model
