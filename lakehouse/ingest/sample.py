"""A seeded sample of a believable shop, as weekly files in the canonical layout, with the truth behind them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path

from lakehouse.errors import InputError
from lakehouse.ingest.sample_customers import ALL_KINDS, NOBODY
from lakehouse.ingest.sample_fates import DIRT, FIRST_DIRT, REPEATED, Arrivals, Journey
from lakehouse.ingest.sample_products import NEVER
from lakehouse.ingest.sample_shop import Shop
from lakehouse.ingest.sample_text import Writer
from lakehouse.ingest.sample_truth import (
    TRUTH_FILE,
    CustomerTruth,
    FileTruth,
    ProductTruth,
    PromotionTruth,
    Recipe,
    SampleTruth,
)
from lakehouse.ingest.sample_words import FAMILIES, STYLES

START = date(2023, 1, 2)
LIMITS = {"weeks": (1, 1_000), "products": (30, 50_000), "customers": (10, 5_000_000), "stores": (1, 500), "seed": (0, 2**63 - 1)}

Progress = Callable[[int, int], None]


def write_sample(
    folder: Path,
    *,
    seed: int = 7,
    weeks: int = 80,
    products: int = 300,
    customers: int = 800,
    stores: int = 1,
    start: date = START,
    dirt: bool = True,
    progress: Progress | None = None,
) -> SampleTruth:
    """Write one file per week (`sales-2023-01-02.csv`, named by its Monday) into `folder`, and the truth into its folder `truth`.

    The same arguments give the same bytes on any machine. `products` are sold at first, `customers` are all who ever come;
    lines grow with customers and weeks (the defaults give some 80,000). Without `dirt` no line is spoiled; cancellations, repeats and
    late lines are there all the same. `progress` is called after each week with the weeks done and the weeks in all.

    Files appear when all are made, and none is ever changed: raises `InputError`, and leaves the folder as it was, if it holds
    other sales files than these, and for arguments out of range.
    """
    recipe = Recipe(seed=seed, weeks=weeks, products=products, customers=customers, stores=stores, start=start, dirt=dirt)
    _check(recipe)
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"sales-{start + timedelta(weeks=week)}.csv" for week in range(weeks)]
    _refuse_others(folder, set(names))
    shop = Shop(seed, products, customers, stores, weeks, start)
    journey = Journey(seed, shop, weeks, dirt)
    writer = Writer(seed, shop.products, shop.customers, stores, weeks, start)
    files = []
    with tempfile.TemporaryDirectory(prefix=".making-", dir=folder) as place:
        making = Path(place)
        for week, name in enumerate(names):
            arrivals = journey.week(week)
            content = writer.file(arrivals.lines, week)
            _refuse_other_bytes(folder / name, content, recipe)
            (making / name).write_bytes(content)
            files.append(_file_truth(name, content, arrivals, len(shop.products)))
            if progress is not None:
                progress(week + 1, weeks)
        truth = _truth(recipe, shop, tuple(files))
        (making / TRUTH_FILE.name).write_text(truth.to_json(), encoding="utf-8")
        for name in names:
            (making / name).replace(folder / name)
        (folder / TRUTH_FILE).parent.mkdir(exist_ok=True)
        (making / TRUTH_FILE.name).replace(folder / TRUTH_FILE)
    return truth


def _check(recipe: Recipe) -> None:
    for name, (low, high) in LIMITS.items():
        found = getattr(recipe, name)
        if not low <= found <= high:
            raise InputError(f"{name} is {found}, expected {low} to {high}")
    if recipe.start.weekday():
        monday = recipe.start - timedelta(days=recipe.start.weekday())
        raise InputError(f"the sample starts on {recipe.start}, which is not a Monday. Try {monday}")


def _refuse_others(folder: Path, names: set[str]) -> None:
    others = sorted(path.name for path in folder.glob("sales-*.csv") if path.name not in names)
    if others:
        raise InputError(f"{folder} holds {others[0]}, which is not of this sample ({len(others)} such files). Choose an empty folder")


def _refuse_other_bytes(path: Path, content: bytes, recipe: Recipe) -> None:
    if path.exists() and path.read_bytes() != content:
        raise InputError(
            f"{path} is there with other content than seed {recipe.seed}, {recipe.products} products, {recipe.customers} customers"
            f" and {recipe.weeks} weeks give. Choose an empty folder, or the arguments that it was made with"
        )


def _file_truth(name: str, content: bytes, arrivals: Arrivals, products: int) -> FileTruth:
    lines = arrivals.lines
    return FileTruth(
        name=name,
        sha256=sha256(content).hexdigest(),
        lines=len(lines),
        cancellations=int(lines.cancels.sum()),
        charges=int((lines.product >= products).sum()),
        without_customer=int((lines.customer == NOBODY).sum()),
        repeats=int((lines.fate == REPEATED).sum()) // 2,
        late=arrivals.late,
        dirt={kind: int((lines.fate == FIRST_DIRT + number).sum()) for number, kind in enumerate(DIRT)},
    )


def _truth(recipe: Recipe, shop: Shop, files: tuple[FileTruth, ...]) -> SampleTruth:
    goods, people, promotions = shop.products, shop.customers, shop.promotions

    def monday(week: int) -> date:
        return recipe.start + timedelta(weeks=week)

    return SampleTruth(
        recipe=recipe,
        files=files,
        promotions=tuple(
            PromotionTruth(goods.codes[product], monday(week), weeks, discount, lift / 100)
            for product, week, weeks, discount, lift in zip(
                promotions.product.tolist(),
                promotions.week.tolist(),
                promotions.weeks.tolist(),
                promotions.discount.tolist(),
                promotions.lift.tolist(),
                strict=True,
            )
        ),
        products={
            code: ProductTruth(
                family=FAMILIES[goods.family[place]].name,
                style=STYLES[goods.style[place]][0].lower(),
                born=monday(int(goods.born[place])) if goods.born[place] > 0 else None,
                gone=monday(int(goods.gone[place])) if goods.gone[place] < NEVER else None,
                partners=tuple(goods.codes[partner] for partner in goods.partners[place].tolist()),
            )
            for place, code in enumerate(goods.codes)
        },
        customers={
            str(number): CustomerTruth(
                kind=ALL_KINDS[people.kind[place]].name,
                taste=int(people.taste[place]),
                joined=monday(int(people.joined[place])),
                left=monday(int(people.left[place])) if people.left[place] < NEVER else None,
            )
            for place, number in enumerate(people.numbers.tolist())
        },
    )
