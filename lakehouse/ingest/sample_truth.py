"""What is true of a sample: its promotions, kinds of customers, births and deaths of products, and what each file holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from lakehouse.errors import InputError

TRUTH_FILE = Path("truth") / "truth.json"


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a sample's bytes."""

    seed: int
    weeks: int
    products: int
    customers: int
    stores: int
    start: date
    dirt: bool


@dataclass(frozen=True)
class PromotionTruth:
    """`lift`: how many times as much it sells; weeks after the end of the sample or of the product are not counted."""

    product: str
    first_day: date
    weeks: int
    discount_percent: int
    lift: float


@dataclass(frozen=True)
class ProductTruth:
    """`born` is None for what was there from the start, `gone` (the first day without it) for what is there at the end."""

    family: str
    style: str
    born: date | None
    gone: date | None
    partners: tuple[str, ...]


@dataclass(frozen=True)
class CustomerTruth:
    """`left`: the first day from which the customer does not come any more; None for those who stay."""

    kind: str
    taste: int
    joined: date
    left: date | None


@dataclass(frozen=True)
class FileTruth:
    """What one file holds. `lines` counts all but the header; the others count among them, `dirt` by its kind."""

    name: str
    sha256: str
    lines: int
    cancellations: int
    charges: int
    without_customer: int
    repeats: int
    late: int
    dirt: Mapping[str, int]


@dataclass(frozen=True)
class SampleTruth:
    """Products by code, customers by number (as text). Some customers may never have come."""

    recipe: Recipe
    files: tuple[FileTruth, ...]
    promotions: tuple[PromotionTruth, ...]
    products: Mapping[str, ProductTruth]
    customers: Mapping[str, CustomerTruth]

    @property
    def lines(self) -> int:
        return sum(file.lines for file in self.files)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True, default=str, ensure_ascii=False) + "\n"


def read_truth(folder: Path) -> SampleTruth:
    """The truth beside the files in `folder`. Raises `InputError` where there is none, or it is not one of ours."""
    path = folder / TRUTH_FILE
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        return SampleTruth(
            recipe=Recipe(**{**tree["recipe"], "start": date.fromisoformat(tree["recipe"]["start"])}),
            files=tuple(FileTruth(**file) for file in tree["files"]),
            promotions=tuple(PromotionTruth(**{**one, "first_day": date.fromisoformat(one["first_day"])}) for one in tree["promotions"]),
            products={code: _product(one) for code, one in tree["products"].items()},
            customers={number: _customer(one) for number, one in tree["customers"].items()},
        )
    except FileNotFoundError:
        raise InputError(f"{path} is not there. Expected the truth of a sample: make one with `zeromargin sample {folder}`") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not the truth of a sample ({error}). Make the sample anew in an empty folder") from None


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _product(one: dict[str, object]) -> ProductTruth:
    partners = one["partners"]
    if not isinstance(partners, list):
        raise TypeError("partners of a product should be a list")
    return ProductTruth(
        str(one["family"]), str(one["style"]), _day(_text(one["born"])), _day(_text(one["gone"])), tuple(map(str, partners))
    )


def _customer(one: dict[str, object]) -> CustomerTruth:
    taste = one["taste"]
    if not isinstance(taste, int):
        raise TypeError("taste of a customer should be a number")
    joined = date.fromisoformat(str(one["joined"]))
    return CustomerTruth(str(one["kind"]), taste, joined, _day(_text(one["left"])))


def _text(value: object) -> str | None:
    return None if value is None else str(value)
