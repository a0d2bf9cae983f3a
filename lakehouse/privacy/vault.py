"""The vault: customer numbers in, customer keys out. Outside of it no natural number is kept."""

from __future__ import annotations

import hmac
import secrets
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Engine, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, InterfaceError, NoSuchModuleError, OperationalError, SQLAlchemyError

from lakehouse.databases import file_of, is_damaged, may_pass
from lakehouse.errors import TryAgain, VaultError, of_database
from lakehouse.privacy.numbers import DamagedNumber, canonical
from lakehouse.privacy.rotation import GENERATION, Progress, Rotation, begin, generation, rotate
from lakehouse.privacy.sealing import Sealing
from lakehouse.privacy.secrets import master_secret, subkey
from lakehouse.privacy.store import connect, customers, facts, insert_new, tombstones
from lakehouse.settings import Settings

_CHECK, _MARK = "check", "mark"
_ROWS = 2_000  # values in one IN (…)
_EPOCH = datetime(1970, 1, 1)
_ALWAYS = int(np.iinfo(np.int64).min)
T = TypeVar("T")


@dataclass(frozen=True)
class _Tombstone:
    before_us: int
    times: int


class Vault:
    """The open vault. `derived` says that keys are computed from the numbers, which is for comparisons only.

    Raises `VaultError` for a secret that is not the one this vault was made with, before anything is done; `TryAgain` when the
    database is busy or away.
    """

    def __init__(self, engine: Engine, master: bytes, derived: bool = False) -> None:
        self.derived = derived
        self._engine = engine
        self._lookup_key = subkey(master, "lookup")
        self._derive_key = subkey(master, "derived keys")
        self._sealing = Sealing(master)
        self._check(subkey(master, _CHECK).hex())

    # ------------------------------------------------------------------ exchange

    def exchange(self, identity: str, numbers: pa.Array | pa.ChunkedArray, sold_at: pa.Array | pa.ChunkedArray | None = None) -> pa.Array:
        """Keys for canonical numbers, line by line; null for null. Unknown numbers get a key, one for all processes.

        `sold_at` (timestamps of the same lines) decides about people who were erased: a line from before that comes without a
        customer, as does one without a time. No key is made for a person who has such lines alone.
        """
        codes, distinct = _encoded(numbers)
        lookups = [self._lookup(identity, number) for number in distinct]
        graves = self._tombstones(identity, lookups)
        living = codes >= 0
        if graves:
            limits = np.array([graves[found].before_us if found in graves else _ALWAYS for found in lookups], dtype=np.int64)
            living[living] = _moments(sold_at, len(codes))[living] >= limits[codes[living]]
        wanted = np.unique(codes[living])
        keys = self._keys(identity, {lookups[code]: distinct[code] for code in wanted}, graves)
        by_code = pa.array([keys.get(found) for found in lookups], pa.string())
        return by_code.take(pa.array(codes, mask=~living))

    def look_up(self, identity: str, number: str) -> str | None:
        """The key of a customer, or None; never makes one. The number may be in any of its forms."""
        try:
            found = canonical(number)
        except DamagedNumber:
            return None
        if found is None:
            return None
        lookup = self._lookup(identity, found)
        return self._known(identity, [lookup]).get(lookup)

    def lookups(self, identity: str, numbers: pa.Array | pa.ChunkedArray) -> pa.Array:
        """Lookup hashes (hex) of canonical numbers, null for null. They tell two customers apart without the vault's rows."""
        codes, distinct = _encoded(numbers)
        hashes = pa.array([self._lookup(identity, number).hex() for number in distinct], pa.string())
        return hashes.take(pa.array(codes, mask=codes < 0))

    def number(self, customer_key: str) -> str | None:
        """The customer number behind a key, for whoever may see it; None for a key that leads to nobody.

        Raises `VaultError` for a row that was not written by this vault, or was moved to another customer's place.
        """
        with self._reading() as engine, engine.connect() as connection:
            row = connection.execute(select(customers).where(customers.c.customer_key == customer_key)).first()
        return None if row is None else self._sealing.unseal(row.generation, row.identity, bytes(row.lookup), bytes(row.number))

    def present(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that still belong to somebody."""
        found: set[str] = set()
        with self._reading() as engine, engine.connect() as connection:
            for part in _parts(sorted(set(keys))):
                found.update(connection.execute(select(customers.c.customer_key).where(customers.c.customer_key.in_(part))).scalars())
        return found

    def identities(self) -> list[str]:
        """The spaces of customer numbers that have somebody in them, sorted."""
        with self._reading() as engine, engine.connect() as connection:
            return list(connection.execute(select(customers.c.identity).distinct().order_by(customers.c.identity)).scalars())

    def is_empty(self) -> bool:
        """Whether it knows nobody and never forgot anybody."""
        with self._reading() as engine, engine.connect() as connection:
            return all(connection.execute(select(table.c.identity).limit(1)).first() is None for table in (customers, tombstones))

    def made(self) -> int:
        """How many keys it has ever made: those of customers, and those of people who were erased. It never falls."""
        with self._reading() as engine, engine.connect() as connection:
            living = connection.execute(select(func.count()).select_from(customers)).scalar_one()
            erased = connection.execute(select(func.coalesce(func.sum(tombstones.c.times), 0))).scalar_one()
        return int(living) + int(erased)

    def is_derived(self) -> bool:
        """Whether the keys that it has made are those that are computed from the numbers, as one of them tells; True where there is none yet."""
        with self._reading() as engine, engine.connect() as connection:
            of_customers = select(customers.c.identity, customers.c.lookup, customers.c.customer_key, tombstones.c.times)
            is_grave = (tombstones.c.identity == customers.c.identity) & (tombstones.c.lookup == customers.c.lookup)
            one = connection.execute(of_customers.outerjoin_from(customers, tombstones, is_grave).limit(1)).first()
        return one is None or one.customer_key == self._derived_key(one.identity, bytes(one.lookup), one.times or 0)

    def mark(self) -> str | None:
        """What tells this vault from every other, copies of it aside; none before anybody has asked to have it marked."""
        with self._reading() as engine, engine.connect() as connection:
            return connection.execute(select(facts.c.value).where(facts.c.name == _MARK)).scalar()

    def marked(self) -> str:
        """The same, given if there is none yet."""
        found = self.mark()
        if found is None:
            with self._reading() as engine, engine.begin() as connection:
                connection.execute(insert_new(engine, facts), [{"name": _MARK, "value": uuid.uuid4().hex}])
                found = connection.execute(select(facts.c.value).where(facts.c.name == _MARK)).scalar_one()
        return str(found)

    def rotate(self, progress: Progress = lambda _done, _of: None) -> Rotation:
        """Encrypts every number anew, as `rotation.rotate` says. Raises `VaultError` for a row that was not written by this vault."""
        with self._reading() as engine:
            return rotate(engine, self._sealing, progress)

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------ rows

    def _check(self, value: str) -> None:
        with self._reading() as engine:
            with engine.connect() as connection:
                noted = set(connection.execute(select(facts.c.name)).scalars())
            if not {_CHECK, GENERATION} <= noted:
                with engine.begin() as connection:
                    connection.execute(insert_new(engine, facts), [{"name": _CHECK, "value": value}])
                    begin(engine, connection)
            with engine.connect() as connection:
                found = connection.execute(select(facts.c.value).where(facts.c.name == _CHECK)).scalar_one()
        if not hmac.compare_digest(found, value):
            raise VaultError(
                "the vault's secret is not the one that this vault was made with. Set ZEROMARGIN_VAULT__SECRET (or the home's"
                " secrets/vault) to the former one; nothing was read or written"
            )

    def _keys(self, identity: str, wanted: Mapping[bytes, str], graves: Mapping[bytes, _Tombstone]) -> dict[bytes, str]:
        known = self._known(identity, list(wanted))
        new = sorted(set(wanted) - set(known))
        if not new:
            return known
        keys = {lookup: self._new_key(identity, lookup, graves[lookup].times if lookup in graves else 0) for lookup in new}
        with self._reading():
            while not self._insert(identity, {lookup: wanted[lookup] for lookup in new}, keys):
                pass  # a rotation began: its generation is the one to seal under
        known |= self._known(identity, new)
        if set(known) < set(wanted):
            raise TryAgain("the vault lost customers while they were exchanged: an erasure is under way. Load again when it is done")
        return known

    def _insert(self, identity: str, numbers: Mapping[bytes, str], keys: Mapping[bytes, str]) -> bool:
        """Writes new customers under the present generation. False, and nothing is written, if a rotation began meanwhile."""
        with self._engine.connect() as connection, connection.begin() as transaction:
            now = generation(connection)
            rows = [
                {
                    "identity": identity,
                    "lookup": lookup,
                    "generation": now,
                    "number": self._sealing.seal(now, identity, lookup, number),
                    "customer_key": keys[lookup],
                }
                for lookup, number in numbers.items()
            ]
            # Another process may meet the same customers now: its rows stay, and are what is read back.
            connection.execute(insert_new(self._engine, customers), rows)
            # SQLite locks with the first row that is written: from here on no rotation can begin before this ends.
            if generation(connection) != now:
                transaction.rollback()
                return False
        return True

    def _known(self, identity: str, lookups: Sequence[bytes]) -> dict[bytes, str]:
        found: dict[bytes, str] = {}
        with self._reading() as engine, engine.connect() as connection:
            for part in _parts(lookups):
                columns = select(customers.c.lookup, customers.c.customer_key)
                rows = connection.execute(columns.where(customers.c.identity == identity, customers.c.lookup.in_(part)))
                found |= {bytes(lookup): key for lookup, key in rows}
        return found

    def _tombstones(self, identity: str, lookups: Sequence[bytes]) -> dict[bytes, _Tombstone]:
        found: dict[bytes, _Tombstone] = {}
        with self._reading() as engine, engine.connect() as connection:
            if connection.execute(select(tombstones.c.times).limit(1)).first() is None:
                return found
            for part in _parts(lookups):
                columns = select(tombstones.c.lookup, tombstones.c.before, tombstones.c.times)
                rows = connection.execute(columns.where(tombstones.c.identity == identity, tombstones.c.lookup.in_(part)))
                found |= {bytes(lookup): _Tombstone(_microseconds(before), times) for lookup, before, times in rows}
        return found

    @contextmanager
    def _reading(self) -> Iterator[Engine]:
        try:
            yield self._engine
        except (OperationalError, InterfaceError, OSError) as error:  # the latter two are what PostgreSQL's driver raises
            refused = of_database(file_of(self._engine.url), error)
            raise refused or TryAgain(
                f"the vault's database does not answer: {_reason(error)}. Try again; if it stays so, look at vault.url"
            ) from None

    # ------------------------------------------------------------------ cryptography

    def _lookup(self, identity: str, number: str) -> bytes:
        return hmac.digest(self._lookup_key, f"{identity}\0{number}".encode(), "sha256")

    def _new_key(self, identity: str, lookup: bytes, erased: int) -> str:
        """32 hex digits. Who comes back after an erasure is somebody new, with derived keys too."""
        return self._derived_key(identity, lookup, erased) if self.derived else secrets.token_hex(16)

    def _derived_key(self, identity: str, lookup: bytes, erased: int) -> str:
        return hmac.digest(self._derive_key, f"{identity}\0{erased}\0".encode() + lookup, "sha256").hex()[:32]


def open_vault(settings: Settings) -> Vault:
    """The vault that the settings name, made on first use. Raises `VaultError` for a missing or a wrong secret, `TryAgain` where its server is
    away, or somebody else has its file locked."""
    try:
        engine = connect(settings.vault_url)
        with engine.connect() as connection:
            is_new = connection.execute(select(facts.c.value).where(facts.c.name == _CHECK)).first() is None
    except (SQLAlchemyError, ImportError, OSError) as error:
        refused, place = of_database(file_of(settings.vault_url), error), _place(settings.vault_url)
        if refused is None and (may := may_pass(settings.vault_url, error)):
            raise TryAgain(f"{place} {may}. Try again; if it stays so, look at vault.url") from None
        if is_damaged(error):
            raise VaultError(
                f"{place} is damaged: {_reason(error)}. Put a whole one back, or bring the home back from a backup, vault and all (zeromargin restore-backup)."
                " Nothing was read or written"
            ) from None
        raise refused or VaultError(f"{place} can't be opened: {_reason(error)}. Look at vault.url") from None
    try:
        # A secret made for a vault that has one already could only be the wrong one.
        return Vault(engine, master_secret(settings, may_make=is_new), settings.vault.keys == "derived")
    except BaseException:
        engine.dispose()
        raise


def is_made(settings: Settings) -> bool:
    """Whether the vault's file is there; of one that is in no file it is not asked."""
    file = file_of(settings.vault_url)
    return file is None or file.is_file()


def _encoded(numbers: pa.Array | pa.ChunkedArray) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Codes into the distinct values (-1 for null), and those."""
    whole = numbers.combine_chunks() if isinstance(numbers, pa.ChunkedArray) else numbers
    encoded = pc.dictionary_encode(whole.cast(pa.string()))
    return pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False).copy(), encoded.dictionary.to_pylist()


def _moments(sold_at: pa.Array | pa.ChunkedArray | None, lines: int) -> npt.NDArray[np.int64]:
    if sold_at is None:
        return np.full(lines, _ALWAYS, dtype=np.int64)
    found: npt.NDArray[np.int64] = pc.fill_null(sold_at.cast(pa.timestamp("us")).cast(pa.int64()), _ALWAYS).to_numpy()
    return found


def _microseconds(moment: datetime) -> int:
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _parts(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _ROWS):
        yield values[start : start + _ROWS]


def _place(url: str) -> str:
    try:
        return f"the vault at {make_url(url).render_as_string(hide_password=True)}"
    except ArgumentError:
        return "the vault"


def _reason(error: Exception) -> str:
    if isinstance(error, NoSuchModuleError | ArgumentError | ImportError):
        return "there is no driver for that URL"
    cause = getattr(error, "orig", None) or error
    return next(iter(str(cause).splitlines()), "no answer")
