"""What a process holds while it answers: champions, the newest publication, the online store, the vault, the log. One thread keeps it fresh."""

from __future__ import annotations

import logging
import threading
from typing import Final

from lakehouse.errors import TryAgain
from lakehouse.models.bundle import Bundle, read_bundle
from lakehouse.privacy.secrets import verify_key
from lakehouse.privacy.vault import Vault, open_vault
from lakehouse.registry.loading import Registered, Registry
from lakehouse.settings import Settings
from serving.answer_log import AnswerLog
from serving.champions import Champion
from serving.look_up import LookUp
from serving.metrics import Metrics
from serving.publication import Publication, Publications

MODELS: Final = ("demand", "segments", "recommendations")

log = logging.getLogger(__name__)


class State:
    """Everything outside that answers need. `start` loads what there is; afterwards whatever is away leaves the last that was there."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.look_up = LookUp(settings, self.metrics)
        self.champions: dict[str, Champion[Bundle]] = {
            name: Champion(name, Registry(settings), self._open, self.metrics) for name in MODELS
        }
        serving = settings.serving
        self.log = AnswerLog(
            settings.home / "answers", serving.answer_queue, serving.segment_rows, serving.segment_s, self.metrics.log_dropped.inc
        )
        self.publication: Publication | None = None
        self._publications = Publications(settings)
        self._vault: Vault | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_fresh, name="refresh", daemon=True)

    def start(self) -> None:
        self.refresh()
        self.log.start()
        self._thread.start()

    def stop(self) -> None:
        """Writes the log to its end."""
        self._stopping.set()
        self._thread.join(5)
        self.look_up.close()
        self.log.close()
        if self._vault is not None:
            self._vault.close()

    def refresh(self) -> None:
        """Looks once at everything that may have changed. Never raises."""
        try:
            self.publication = self._publications.newest() or self.publication
        except TryAgain as error:
            log.warning("%s", error)
        self.look_up.refresh()
        for champion in self.champions.values():
            champion.refresh()

    def key_of(self, number: str) -> str | None:
        """The key of a customer number, of whichever source's customers; None for an unknown one, for whom none is made."""
        if self._vault is None:
            self._vault = open_vault(self.settings)
        found = (self._vault.look_up(identity, number) for identity in self._vault.identities())
        return next((key for key in found if key is not None), None)

    def reasons(self) -> list[str]:
        """What is missing before every answer is a champion's, from fresh features."""
        found = [f"no champion of {name}" for name in MODELS if self.champions[name].current is None]
        if self.publication is None:
            return ["nothing is published", *found]
        marker = self.look_up.marker
        if marker is None or self.publication.moment - marker > self.publication.step:
            found.append(f"the online store is published up to {marker or 'no moment'}, the lake up to {self.publication.moment}")
        return found

    def _open(self, registered: Registered) -> Bundle:
        return read_bundle(registered.folder, verify_key(self.settings))

    def _keep_fresh(self) -> None:
        while not self._stopping.wait(self.settings.serving.refresh_s):
            self.refresh()
