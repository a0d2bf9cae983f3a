"""Customer numbers exchanged for keys. A number is looked up, never entered, and goes no further than this."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy.engine import make_url

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
        self._identities: list[str] = []
        self.problem: str | None = "not opened yet"

    def refresh(self) -> None:
        """Opens the vault and learns its spaces of customer numbers. Never raises."""
        try:
            if self._vault is None:
                url = make_url(self._settings.vault_url)
                if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
                    self.problem = "there is no vault yet: nothing was loaded"
                    return
                self._vault = open_vault(self._settings)
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
        found = await self._pool.run(lambda: {key for identity in identities if (key := vault.look_up(identity, number)) is not None})
        if len(found) > 1:
            raise AmbiguousCustomer()
        return next(iter(found), None)

    def close(self) -> None:
        if self._vault is not None:
            self._vault.close()
