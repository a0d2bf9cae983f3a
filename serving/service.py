"""What the service holds while it lives, and the thread that keeps it up to date."""

from __future__ import annotations

import logging
import threading

from lakehouse.errors import TryAgain
from lakehouse.models.bundle import Bundle
from lakehouse.registry.loading import Registered, Registry, open_registered
from lakehouse.settings import Settings
from serving.answer_log import AnswerLog
from serving.champions import Champion
from serving.customers import Customers
from serving.features import Features, Pool
from serving.metrics import Metrics
from serving.publication import Publication, Publications

MODELS = ("demand", "segments", "recommendations")

log = logging.getLogger(__name__)


class Service:
    """The parts of one process. Answers read them; `refresh` alone changes them, each by replacing one reference."""

    def __init__(self, settings: Settings) -> None:
        chosen = settings.serving
        self.settings = settings
        self.metrics = Metrics()
        pool = self._pool = Pool(chosen.lookup_timeout_s)
        self.features = Features(settings, pool, self.metrics)
        self.customers = Customers(settings, pool)
        self.answer_log = AnswerLog(
            settings.home / "answers", chosen.answer_queue, chosen.segment_rows, chosen.segment_s, self.metrics.log_dropped.inc
        )
        registry = Registry(settings)
        self.champions = {name: Champion(name, registry, self._open_model, self.metrics) for name in MODELS}
        self.publication: Publication | None = None
        self._publications = Publications(settings)
        self._publications_problem: str | None = None
        self._ending = threading.Event()
        self._refresher = threading.Thread(target=self._refresh_until_ending, name="refresh", daemon=True)

    def start(self) -> None:
        """Looks once at everything, then begins to take answers and to look again by itself."""
        self.refresh()
        self.answer_log.start()
        self._refresher.start()

    def stop(self) -> None:
        """Writes the answer log out and lets go of everything."""
        self._ending.set()
        self.answer_log.close()
        self._pool.close()
        self.customers.close()

    def refresh(self) -> None:
        """Looks for a newer publication, newer champions, a store or a vault that came or was replaced. Never raises."""
        try:
            self.publication = self._publications.newest()
            self._publications_problem = None
        except TryAgain as error:  # the one that is known stays
            if self._publications_problem is None:
                log.error("%s", error)
            self._publications_problem = str(error)
        for champion in self.champions.values():
            champion.refresh()
        self.features.refresh()
        self.customers.refresh()

    def reasons(self) -> list[str]:
        """Why this process is not ready; none where it is."""
        found = []
        if self.publication is None:
            found.append(self._publications_problem or "nothing is published yet")
        for name, champion in self.champions.items():
            if champion.current is None:
                found.append(f"no champion of {name}" + (f": {champion.problem}" if champion.problem else ""))
        if self.features.problem is not None:
            found.append(self.features.problem)
        elif self.publication is not None and self.features.is_behind(self.publication):
            found.append(f"the features are stale: published online up to {self.features.marker}, newest is {self.publication.moment}")
        if self.customers.problem is not None:  # every load makes a vault, that of a file without customers too
            found.append(self.customers.problem)
        return found

    def _open_model(self, registered: Registered) -> Bundle:
        return open_registered(self.settings, registered)

    def _refresh_until_ending(self) -> None:
        while not self._ending.wait(self.settings.serving.refresh_s):
            try:
                self.refresh()
            except Exception:  # whatever it is, the next look may do better, and without looks a new champion is never seen
                log.exception("looking for what is new failed")
