"""A service for tests that only ask. Those that break something start their own, on a copy of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from jobs.runner import run as run_stages
from lakehouse.ingest import load
from lakehouse.privacy.vault import open_vault
from lakehouse.settings import Settings
from lakehouse.tables import Lake
from tests.conftest import SECRET
from tests.once import copy_home, once
from tests.served import IDENTITY, key_of, numbers_of, published, serving
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
    customer = numbers_of(settings, trained.truth.customers, published(settings, "recommendations"))[0]
    # One whose code has a letter, which may be asked for in either case.
    product = min(str(row["product_code"]) for row in published(settings, "forecasts") if str(row["product_code"])[-1].isalpha())
    with serving(settings) as client:
        yield Served(client, settings, product, customer, key_of(settings, customer))


@pytest.fixture(scope="session")
def later(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A copy of the trained home after one more file: two late sales of the weeks before, one of the week after, one that can't be read.
    Nobody writes to it: who needs to, takes a copy."""
    return once(tmp_path_factory, "later", lambda folder: _later(trained, folder))


def _later(trained: Trained, folder: Path) -> Settings:
    settings = trained.copy(folder / "home")
    columns = (trained.raw / trained.truth.files[0].name).read_text(encoding="utf-8").splitlines()[0].split(",")
    told = {
        "store": "all",
        "promotion": "false",
        "product_code": "11111A",
        "description": "A LATE CUP",
        "unit_price": "3.00",
        "price": "3.00",
        "country": "United Kingdom",
    }
    lines = [
        {"invoice": "L1", "quantity": "4", "sold_at": "2024-04-10T10:00:00"},
        {"invoice": "L2", "quantity": "8", "sold_at": "2024-04-11T10:00:00"},
        {"invoice": "L3", "quantity": "1", "sold_at": "2024-05-07T10:00:00"},
        {"invoice": "L4", "quantity": "many", "sold_at": "2024-05-07T10:00:00"},
    ]
    text = "\n".join([",".join(columns), *(",".join((told | line).get(column, "") for column in columns) for line in lines)])
    (folder / "late.csv").write_text(text + "\n", encoding="utf-8")
    with Lake(settings) as lake:
        load(lake, folder / "late.csv", "canonical")
    run_stages(settings, ["features"], as_of="2024-05-13")
    return settings


@pytest.fixture
def kept(later: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A copy of `later` that may be written to, and is the environment's home: published as of 2024-05-06 with three champions, and as of 2024-05-13 with
    late lines."""
    found = tmp_path / "home"
    copy_home(later.home, found)
    for name, value in {"HOME": found, "PROFILE": "test", "VAULT__KEYS": "derived", "VAULT__SECRET": SECRET}.items():
        monkeypatch.setenv(f"ZEROMARGIN_{name}", str(value))
    return later.model_copy(update={"home": found})


@pytest.fixture
def inbox(settings: Settings) -> Path:
    (settings.home / "inbox" / "canonical").mkdir(parents=True)
    return settings.home / "inbox"
