"""The list of stages: what runs, in this order, from landed lines to published answers.

Before it comes `zeromargin load` (raw file → `bronze.sales`); after it the server answers from what was published.
Each stage is one notebook, reads and writes named tables only, and knows no other stage.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lakehouse.errors import UnknownName

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline. `when` says in words which runs do work in it; every run executes its notebook.

    `looks_back`: whether it takes part in a back-test, a run as of a day before the newest snapshot's moment.
    """

    name: str
    about: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    when: str = "every run"
    looks_back: bool = False

    @property
    def notebook(self) -> Path:
        return NOTEBOOKS / f"{self.name}.ipynb"


SILVER = ("silver.sales", "silver.cancellations", "quarantine.sales")
GOLD = ("gold.daily_sales", "gold.customer_days", "gold.baskets", "gold.products", "gold.customers", "gold.stores")
FEATURES = ("features.product_sales", "features.customer_history")
PREDICTIONS = ("predictions.forecasts", "predictions.segments", "predictions.recommendations")
WHEN_DUE = "every run; trains when there is no champion or the last training is older than models.retrain_every moments"

STAGES: tuple[Stage, ...] = (
    Stage(
        "silver",
        "types the lines, takes repeats out, links cancellations, sets bad lines apart; lands what the service answered",
        ("bronze.sales",),
        (*SILVER, "bronze.answers"),
    ),
    Stage("gold", "daily sales, customer days, baskets and dimensions, of the days and customers touched", SILVER, GOLD),
    Stage("quality", "judges silver and gold; a rule that fails stops the run", (*SILVER, *GOLD), ()),
    Stage("features", "computes the features of each new moment, publishes them offline and online", ("silver.sales",), FEATURES),
    Stage("demand", "trains the demand forecast", ("silver.sales", "features.product_sales"), (), WHEN_DUE, True),
    Stage("segments", "trains the customer segments", ("silver.sales", "features.customer_history"), (), WHEN_DUE, True),
    Stage("recommendations", "trains the recommendations", ("silver.sales", "gold.products", *FEATURES), (), WHEN_DUE, True),
    Stage(
        "predictions",
        "asks each champion (or its baseline) for everyone, and publishes",
        ("gold.products", *FEATURES),
        PREDICTIONS,
        looks_back=True,
    ),
)


def stage_names() -> tuple[str, ...]:
    return tuple(stage.name for stage in STAGES)


def chosen(names: Iterable[str] | None = None) -> tuple[Stage, ...]:
    """The named stages in the pipeline's order, whatever the order of the names; all of them where none is named.

    Raises `UnknownName` for a name that no stage has.
    """
    wanted = list(names or ())
    for name in wanted:
        if name not in stage_names():
            raise UnknownName("stage", name, stage_names())
    return tuple(stage for stage in STAGES if not wanted or stage.name in wanted)
