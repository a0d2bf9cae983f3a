"""Customer numbers exchanged for keys. A number is looked up, never entered, and goes no further than this."""

from __future__ import annotations

import logging

from sqlalchemy.engine import make_url

from lakehouse.databases import file_of
from lakehouse.errors import TryAgain
from lakehouse.privacy.vault import Vault, open_vault
from lakehouse.settings import Settings
from serving.features import Pool
from serving.problems import AmbiguousCustomer

log = logging.getLogger(__name__)


class Customers:
    """The vault of a home, opened by `refresh` where there is one: a service that finds none does not make it."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._settings, self._pool = settings, pool
        self._vault: Vault | None = None
        self._opened: object = None
        self._failed = False
        self._identities: list[str] = []
        self.problem: str | None = "not opened yet"

    def refresh(self) -> None:
        """Opens the vault and learns its spaces of customer numbers. Never raises."""
        try:
            there = self._there()
            if self._vault is None or there != self._opened or self._failed:
                if there is None:
                    self._drop()
                    self.problem = "there is no vault: nothing was loaded, or its file is away"
                    return
                opened = open_vault(self._settings)
                self._drop()
                self._vault, self._opened, self._failed = opened, self._there(), False
            self._identities = self._vault.identities()
            self.problem = None
        except Exception as error:
            problem = f"the vault does not answer: {type(error).__name__}: {error}"
            if problem != self.problem:
                log.error("%s", problem)
            self.problem = problem

    async def key(self, number: str) -> str | None:
        """The key of a customer, None for a number that nobody has. Raises `TryAgain` where the vault does not answer in time, and
        `AmbiguousCustomer` where retailers that don't share their numbers both have it."""
        vault, identities = self._vault, self._identities
        if vault is None:
            raise TryAgain(self.problem or "the vault is not open")
        found = await self._pool.run(lambda: self._keys(vault, identities, number))
        if len(found) > 1:
            raise AmbiguousCustomer()
        return next(iter(found), None)

    def _keys(self, vault: Vault, identities: list[str], number: str) -> set[str]:
        """Raises `TryAgain` for whatever is wrong with the vault: an answer can do without it."""
        try:
            if self._there() is None:
                raise TryAgain("the vault's file is away")  # else the next connection would make an empty one in its place
            return {key for identity in identities if (key := vault.look_up(identity, number)) is not None}
        except TryAgain:
            raise
        except Exception as error:
            self._failed = True
            raise TryAgain(f"the vault does not answer: {type(error).__name__}") from error

    def _there(self) -> object:
        """What tells this vault from another one in the same place; None where there is none."""
        file = file_of(self._settings.vault_url)
        if file is None:
            return str(make_url(self._settings.vault_url))
        try:
            found = file.stat()
        except FileNotFoundError:
            return None
        # An empty file is what is left of a vault: opening it would make another one of it, in which nobody is known.
        return (found.st_dev, found.st_ino) if found.st_size else None

    def _drop(self) -> None:
        before, self._vault = self._vault, None
        if before is not None:
            before.close()

    def close(self) -> None:
        if self._vault is not None:
            self._vault.close()
