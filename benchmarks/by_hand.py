"""Silver and gold as somebody would write them for one shop with polars and delta-rs: no guards, no history to keep, nothing settled later.

    python benchmarks/by_hand.py BRONZE FOLDER

Reads the Delta table BRONZE (bronze.sales), writes Delta tables into FOLDER, and prints what it took and some sums as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import polars as pl
from deltalake import write_deltalake

SALE, RETURN = pl.col("kind") == "sale", pl.col("kind") == "return"
GROUP = ["customer_key", "product_code", "unit_price"]


def main(bronze: str, folder: Path) -> None:
    began = time.perf_counter()
    lines = pl.read_delta(bronze)
    marked = lines.with_columns(broken=broken())
    write(marked.filter(pl.col("broken").list.len() > 0), folder / "quarantine")
    silver = settled(typed(marked.filter(pl.col("broken").list.len() == 0)))
    write(silver, folder / "sales", ["month"])
    links = linked(silver)
    write(links, folder / "cancellations")
    trade = silver.filter(SALE | RETURN)
    days = daily(trade)
    write(days, folder / "daily_sales", ["month"])
    by_customer = customer_days(trade)
    write(by_customer, folder / "customer_days")
    write(baskets(silver), folder / "baskets")
    write(products(days, silver), folder / "products")
    write(customers(by_customer, trade), folder / "customers")
    write(stores(days), folder / "stores")
    told = {
        "seconds": round(time.perf_counter() - began, 1),
        "silver_rows": silver.height,
        "links": links.height,
        "units": str(days["units"].sum()),
        "revenue": str(days["revenue"].sum()),
    }
    print(json.dumps(told))


def broken() -> pl.Expr:
    """Names of the row rules that a line breaks, the door's reasons included."""
    quantity, amount, price = pl.col("quantity").cast(pl.Float64), pl.col("amount").cast(pl.Float64), pl.col("unit_price").cast(pl.Float64)
    cancelled = pl.col("is_cancellation")
    rules = {
        "product_code_present": pl.col("product_code").str.len_chars() > 0,
        "sold_at_present": pl.col("sold_at").is_not_null(),
        "quantity_not_zero": quantity != 0,
        "quantity_plausible": quantity.abs() <= 1e6,
        "negative_quantity_needs_cancellation": cancelled | (quantity >= 0),
        "cancellation_is_negative": ~cancelled | (quantity < 0),
        "price_positive": price > 0,
        "amount_has_the_sign_of_the_quantity": amount * quantity >= 0,
        "amount_plausible": amount.abs() <= 1e8,
    }
    names = [pl.when(rule.fill_null(False)).then(None).otherwise(pl.lit(name)) for name, rule in rules.items()]
    return pl.when(pl.col("reasons").list.len() > 0).then(pl.col("reasons")).otherwise(pl.concat_list(names).list.drop_nulls())


def typed(lines: pl.DataFrame) -> pl.DataFrame:
    kind = (
        pl.when(~pl.col("is_product"))
        .then(pl.lit("charge"))
        .when(pl.col("is_cancellation"))
        .then(pl.lit("return"))
        .otherwise(pl.lit("sale"))
    )
    return lines.with_columns(
        kind=kind,
        product_code=pl.col("product_code").str.to_uppercase(),
        description=pl.col("description").str.replace_all(r"\s+", " "),
        day=pl.col("sold_at").dt.date(),
        month=pl.col("sold_at").dt.strftime("%Y-%m"),
    ).drop("broken", "reasons", "is_product", "is_cancellation", "_dated")


def settled(lines: pl.DataFrame) -> pl.DataFrame:
    """One row per line: of copies the one that was known first."""
    copies = lines.filter(pl.col("line_id").is_duplicated())
    first = copies.sort("_known_at", "line_number").unique("line_id", keep="first", maintain_order=True)
    return pl.concat([lines.filter(~pl.col("line_id").is_duplicated()), first])


def linked(silver: pl.DataFrame) -> pl.DataFrame:
    known = silver.filter(pl.col("customer_key").is_not_null())
    returns = known.filter(RETURN).select(
        pl.col("line_id").alias("cancellation"), *GROUP, cancelled=-pl.col("quantity"), at=pl.col("sold_at")
    )
    sales = known.filter(SALE).select(pl.col("line_id").alias("sale"), *GROUP, sold=pl.col("quantity"), bought=pl.col("sold_at"))
    rule = pl.when(pl.col("sold") == pl.col("cancelled")).then(1).when(pl.col("sold") > pl.col("cancelled")).then(2).otherwise(3)
    pairs = returns.join(sales, on=GROUP).filter(pl.col("bought") <= pl.col("at")).with_columns(rule=rule)
    ordered = pairs.sort(["cancellation", "rule", "bought", "sale"], descending=[False, False, True, False])
    return ordered.unique("cancellation", keep="first", maintain_order=True)


def daily(trade: pl.DataFrame) -> pl.DataFrame:
    return trade.group_by("store", "product_code", "day", "month").agg(
        units=pl.col("quantity").sum(),
        units_sold=pl.col("quantity").filter(SALE).sum(),
        units_returned=-pl.col("quantity").filter(RETURN).sum(),
        revenue=pl.col("amount").sum(),
        lines=SALE.sum(),
        return_lines=RETURN.sum(),
    )


def customer_days(trade: pl.DataFrame) -> pl.DataFrame:
    return (
        trade.filter(pl.col("customer_key").is_not_null())
        .group_by("customer_key", "day")
        .agg(
            baskets=pl.col("invoice").filter(SALE).n_unique(),
            lines=SALE.sum(),
            products=pl.col("product_code").filter(SALE).n_unique(),
            units=pl.col("quantity").sum(),
            units_returned=-pl.col("quantity").filter(RETURN).sum(),
            revenue=pl.col("amount").sum(),
        )
    )


def baskets(silver: pl.DataFrame) -> pl.DataFrame:
    receipts = silver.filter(SALE & pl.col("invoice").is_not_null()).group_by("store", "invoice", "day")
    return receipts.agg(
        customer_key=pl.col("customer_key").max(),
        products=pl.col("product_code").unique().sort(),
        units=pl.col("quantity").sum(),
        revenue=pl.col("amount").sum(),
    )


def products(days: pl.DataFrame, silver: pl.DataFrame) -> pl.DataFrame:
    sold = pl.col("day").filter(pl.col("lines") > 0)
    totals = days.group_by("product_code").agg(
        first_sold=sold.min(),
        last_sold=sold.max(),
        units=pl.col("units").sum(),
        revenue=pl.col("revenue").sum(),
        lines=pl.col("lines").sum(),
    )
    counted = silver.filter(SALE & pl.col("description").is_not_null()).group_by("product_code", "description").len()
    return totals.join(most(counted, "product_code", "description"), on="product_code", how="left")


def customers(days: pl.DataFrame, trade: pl.DataFrame) -> pl.DataFrame:
    bought = pl.col("day").filter(pl.col("lines") > 0)
    totals = days.group_by("customer_key").agg(
        first_bought=bought.min(),
        last_bought=bought.max(),
        days=(pl.col("lines") > 0).sum(),
        baskets=pl.col("baskets").sum(),
        units=pl.col("units").sum(),
        revenue=pl.col("revenue").sum(),
    )
    counted = trade.filter(pl.col("customer_key").is_not_null() & pl.col("country").is_not_null()).group_by("customer_key", "country").len()
    return totals.join(most(counted, "customer_key", "country"), on="customer_key", how="left")


def stores(days: pl.DataFrame) -> pl.DataFrame:
    return days.group_by("store").agg(
        products=pl.col("product_code").n_unique(), units=pl.col("units").sum(), revenue=pl.col("revenue").sum()
    )


def most(counted: pl.DataFrame, of: str, name: str) -> pl.DataFrame:
    return counted.sort([of, "len", name], descending=[False, True, False]).unique(of, keep="first", maintain_order=True).drop("len")


def write(rows: pl.DataFrame, place: Path, partition_by: list[str] | None = None) -> None:
    write_deltalake(str(place), rows.to_arrow(), mode="overwrite", partition_by=partition_by)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
