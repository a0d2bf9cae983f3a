"""A service for tests that only ask. Those that break something start their own, on a copy of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from lakehouse.privacy.vault import open_vault
from lakehouse.settings import Settings
from tests.served import IDENTITY, key_of, published, serving
from tests.trained import Trained

NEWCOMER = "70000000000001"  # the vault knows them, and no line of theirs counts yet
SHARED = "70000000000002"  # two retailers have a customer of this number, and don't share their numbers


@dataclass(frozen=True)
class Served:
    """A running service, the home that it answers from, and a product and a customer that it knows."""

    client: TestClient
    settings: Settings
    product: str
    customer: str
    customer_key: str


@pytest.fixture(scope="module")
def served(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = trained.copy(tmp_path_factory.mktemp("served") / "home")
    with open_vault(settings) as vault:
        vault.exchange(IDENTITY, pa.array([NEWCOMER, SHARED]))
        vault.exchange("another retailer's", pa.array([SHARED]))
    keys = {row["customer_key"] for row in published(settings, "recommendations")}
    customer = min(number for number in trained.truth.customers if key_of(settings, number) in keys)
    # One whose code has a letter, which may be asked for in either case.
    product = min(str(row["product_code"]) for row in published(settings, "forecasts") if str(row["product_code"])[-1].isalpha())
    with serving(settings) as client:
        yield Served(client, settings, product, customer, key_of(settings, customer))
