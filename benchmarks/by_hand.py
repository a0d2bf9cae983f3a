"""Silver and gold as somebody would write them for one shop with polars and delta-rs: no guards, no history to keep, nothing settled later.

    python benchmarks/by_hand.py BRONZE FOLDER

Reads the Delta table BRONZE (bronze.sales), writes the Delta tables of silver and gold into FOLDER, and prints as JSON what it took.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
from deltalake import write_deltalake

SALE, RETURN = pl.col("kind") == "sale", pl.col("kind") == "return"
GROUP = ["customer_key", "product_code", "unit_price"]
UNITS, MONEY, RATIO = pl.Decimal(18, 3), pl.Decimal(18, 4), pl.Decimal(18, 6)
QUARANTINED = ["file_digest", "line_number", "stage", "reasons", "source", "line_id", "store", "invoice", "product_code", "description"]
QUARANTINED += ["quantity", "unit_price", "amount", "sold_at", "customer_key", "country"]


def main(bronze: str, folder: Path) -> None:
    began = time.perf_counter()
    # The writer leaves the interpreter to others, so a table is written while the next is computed.
    with ThreadPoolExecutor(max_workers=1) as writing:
        written = [writing.submit(write, rows, folder.joinpath(*name.split(".")), by) for name, rows, by in tables(pl.read_delta(bronze))]
    for one in written:
        one.result()
    print(json.dumps({"seconds": round(time.perf_counter() - began, 2)}))


def tables(lines: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame, list[str]]]:
    """Name, rows and partitions of each table, as soon as it is known."""
    marked = lines.with_columns(is_good=good())
    yield "quarantine.sales", quarantined(marked.filter(~pl.col("is_good"))), []
    silver = settled(typed(marked.filter("is_good")))
    yield "silver.sales", silver, ["month"]
    yield "silver.cancellations", linked(silver), []
    trade = traded(silver)
    days = daily(trade)
    yield "gold.daily_sales", days, ["month"]
    by_customer = customer_days(trade)
    yield "gold.customer_days", by_customer, ["month"]
    yield "gold.baskets", baskets(silver), ["month"]
    yield "gold.products", products(days, silver), []
    yield "gold.customers", customers(by_customer, trade), []
    yield "gold.stores", stores(days), []


def rules() -> dict[str, pl.Expr]:
    """What a line must be, by name, in order of name; null breaks a rule."""
    quantity, amount, price, cancelled = (pl.col(name) for name in ("quantity", "amount", "unit_price", "is_cancellation"))
    one_sign = ((amount >= 0) & (quantity >= 0)) | ((amount <= 0) & (quantity <= 0))
    return {
        "amount_has_the_sign_of_the_quantity": one_sign,
        "amount_plausible": amount.abs() <= 100_000_000,
        "amount_present": amount.is_not_null(),
        "cancellation_is_negative": ~cancelled | (quantity < 0),
        "covers_known": pl.col("covers").is_in(["day", "week"]),
        "kind_known": pl.col("is_product").is_not_null() & cancelled.is_not_null(),
        "known_after_sold": pl.col("_known_at") >= pl.col("sold_at"),
        "line_id_present": pl.col("line_id").is_not_null(),
        "negative_quantity_needs_cancellation": cancelled | (quantity >= 0),
        "price_positive": pl.when(price.is_null()).then(one_sign & (amount != 0) & (quantity != 0)).otherwise(price > 0),
        "product_code_present": pl.col("product_code").str.strip_chars(" ").str.len_bytes() > 0,
        "quantity_not_zero": quantity != 0,
        "quantity_plausible": quantity.abs() <= 1_000_000,
        "sold_at_present": pl.col("sold_at").is_not_null(),
        "store_present": pl.col("store").str.strip_chars(" ").str.len_bytes() > 0,
    }


def good() -> pl.Expr:
    """Whether a line keeps all rules and the door refused it for nothing."""
    return pl.all_horizontal(*(rule.fill_null(False) for rule in rules().values()), pl.col("reasons").list.len() == 0)


def quarantined(refused: pl.DataFrame) -> pl.DataFrame:
    """The broken lines with the names of the rules that each breaks; what the door refused keeps its reasons."""
    at_door = pl.col("reasons").list.len() > 0
    names = [pl.when(rule.fill_null(False)).then(None).otherwise(pl.lit(name)) for name, rule in rules().items()]
    return refused.with_columns(
        stage=pl.when(at_door).then(pl.lit("door")).otherwise(pl.lit("silver")),
        reasons=pl.when(at_door).then(pl.col("reasons").list.sort()).otherwise(pl.concat_list(names).list.drop_nulls()),
    ).select(QUARANTINED)


def typed(lines: pl.DataFrame) -> pl.DataFrame:
    """Lines of silver. Descriptions and months are few: each is made once and joined."""
    kind = (
        pl.when(~pl.col("is_product"))
        .then(pl.lit("charge"))
        .when(pl.col("is_cancellation"))
        .then(pl.lit("return"))
        .otherwise(pl.lit("sale"))
    )
    dated = lines.with_columns(kind=kind, product_code=pl.col("product_code").str.to_uppercase(), day=pl.col("sold_at").dt.date())
    months = dated.select("day").unique().with_columns(month=pl.col("day").dt.strftime("%Y-%m"))
    texts = dated.select("description").unique().with_columns(text=pl.col("description").str.replace_all(r"\s+", " "))
    with_month = dated.join(months, on="day", how="left", maintain_order="left")
    with_text = with_month.join(texts, on="description", how="left", nulls_equal=True, maintain_order="left")
    return with_text.drop("description", "is_good", "reasons", "is_product", "is_cancellation", "_dated").rename({"text": "description"})


def settled(lines: pl.DataFrame) -> pl.DataFrame:
    """One row per line: of copies the one that was known first."""
    counted = lines.with_columns(copies=pl.len().over("line_id"))
    copies = counted.filter(pl.col("copies") > 1)
    first = copies.sort("_known_at", "line_number").unique("line_id", keep="first", maintain_order=True)
    return pl.concat([counted.filter(pl.col("copies") == 1), first]).drop("copies")


def linked(silver: pl.DataFrame) -> pl.DataFrame:
    known = silver.filter(pl.col("customer_key").is_not_null())
    returns = known.filter(RETURN).select(
        pl.col("line_id").alias("cancellation_line_id"), *GROUP, cancelled_quantity=-pl.col("quantity"), at=pl.col("sold_at")
    )
    sales = known.filter(SALE).select(
        pl.col("line_id").alias("sale_line_id"), *GROUP, sold_quantity=pl.col("quantity"), bought=pl.col("sold_at")
    )
    sold, cancelled = pl.col("sold_quantity"), pl.col("cancelled_quantity")
    rule = pl.when(sold == cancelled).then(1).when(sold > cancelled).then(2).otherwise(3)
    match = pl.when(pl.col("rule") == 1).then(pl.lit("same quantity")).when(pl.col("rule") == 2).then(pl.lit("larger quantity"))
    pairs = returns.join(sales, on=GROUP).filter(pl.col("bought") <= pl.col("at")).with_columns(rule=rule)
    ordered = pairs.sort(["cancellation_line_id", "rule", "bought", "sale_line_id"], descending=[False, False, True, False])
    first = ordered.unique("cancellation_line_id", keep="first", maintain_order=True)
    return first.with_columns(match=match.otherwise(pl.lit("earlier sale"))).drop("rule", "bought", "at")


def traded(silver: pl.DataFrame) -> pl.DataFrame:
    """Sales and returns, with the columns that gold needs. What only returns have is a column, which groups add up faster than they filter."""
    names = ["store", "invoice", "product_code", "day", "month", "customer_key", "country", "quantity", "amount"]
    kept = silver.lazy().filter(SALE | RETURN).select(*names, is_return=RETURN, returned=pl.when(RETURN).then(pl.col("quantity")))
    return kept.collect()


def daily(trade: pl.DataFrame) -> pl.DataFrame:
    return (
        trade.group_by("store", "product_code", "day")
        .agg(
            month=pl.col("month").first(),
            units=total("quantity", UNITS),
            units_returned=-total("returned", UNITS),
            revenue=total("amount", MONEY),
            return_lines=count(pl.col("is_return")),
            all=pl.len().cast(pl.Int64),
        )
        .with_columns(units_sold=(pl.col("units") + pl.col("units_returned")).cast(UNITS), lines=pl.col("all") - pl.col("return_lines"))
        .drop("all")
    )


def customer_days(trade: pl.DataFrame) -> pl.DataFrame:
    return (
        trade.filter(pl.col("customer_key").is_not_null())
        .group_by("customer_key", "day")
        .agg(
            month=pl.col("month").first(),
            baskets=pl.col("invoice").filter(~pl.col("is_return")).drop_nulls().n_unique().cast(pl.Int64),
            lines=count(~pl.col("is_return")),
            products=pl.col("product_code").filter(~pl.col("is_return")).n_unique().cast(pl.Int64),
            units=total("quantity", UNITS),
            units_returned=-total("returned", UNITS),
            revenue=total("amount", MONEY),
        )
    )


def baskets(silver: pl.DataFrame) -> pl.DataFrame:
    receipts = silver.filter(SALE & pl.col("invoice").is_not_null()).group_by("store", "invoice", "day")
    return receipts.agg(
        month=pl.col("month").first(),
        customer_key=pl.col("customer_key").max(),
        products=pl.col("product_code").unique().sort(),
        units=total("quantity", UNITS),
        revenue=total("amount", MONEY),
    )


def products(days: pl.DataFrame, silver: pl.DataFrame) -> pl.DataFrame:
    totals = days.group_by("product_code").agg(
        *sold("first_sold", "last_sold"),
        units=total("units", UNITS),
        revenue=total("revenue", MONEY),
        lines=pl.col("lines").sum(),
        sold=total("units_sold", UNITS),
        returned=total("units_returned", UNITS),
    )
    counted = silver.filter(SALE & pl.col("description").is_not_null()).group_by("product_code", "description").len()
    named = most(counted, "product_code", "description").rename({"description": "name"})
    names = counted.group_by("product_code").agg(names=pl.len().cast(pl.Int64))
    whole = totals.join(named, on="product_code", how="left").join(names, on="product_code", how="left")
    return whole.with_columns(pl.col("names").fill_null(0), price=ratio("revenue", "units"), return_share=ratio("returned", "sold")).drop(
        "sold", "returned"
    )


def customers(days: pl.DataFrame, trade: pl.DataFrame) -> pl.DataFrame:
    totals = days.group_by("customer_key").agg(
        *sold("first_bought", "last_bought"),
        days=count(pl.col("lines") > 0),
        baskets=pl.col("baskets").sum(),
        units=total("units", UNITS),
        revenue=total("revenue", MONEY),
    )
    counted = trade.filter(pl.col("customer_key").is_not_null() & pl.col("country").is_not_null()).group_by("customer_key", "country").len()
    return totals.join(most(counted, "customer_key", "country"), on="customer_key", how="left")


def stores(days: pl.DataFrame) -> pl.DataFrame:
    return days.group_by("store").agg(
        *sold("first_sold", "last_sold"),
        products=pl.col("product_code").n_unique().cast(pl.Int64),
        units=total("units", UNITS),
        revenue=total("revenue", MONEY),
    )


def total(name: str, kind: pl.Decimal) -> pl.Expr:
    return pl.col(name).sum().cast(kind)


def count(where: pl.Expr) -> pl.Expr:
    return where.sum().cast(pl.Int64)


def sold(first: str, last: str) -> tuple[pl.Expr, pl.Expr]:
    days = pl.col("day").filter(pl.col("lines") > 0)
    return days.min().alias(first), days.max().alias(last)


def ratio(above: str, below: str) -> pl.Expr:
    """To six places, halves away from zero; null where the divisor is not positive."""
    exact = pl.Decimal(38, 12)  # dividing rounds halves to even
    divided = (pl.col(above).cast(exact) / pl.col(below).cast(exact)).round(6, mode="half_away_from_zero")
    return pl.when(pl.col(below) > 0).then(divided).cast(RATIO)


def most(counted: pl.DataFrame, of: str, name: str) -> pl.DataFrame:
    return counted.sort([of, "len", name], descending=[False, True, False]).unique(of, keep="first", maintain_order=True).drop("len")


def write(rows: pl.DataFrame, place: Path, partition_by: list[str]) -> None:
    write_deltalake(str(place), rows.to_arrow(), mode="overwrite", partition_by=partition_by or None)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
