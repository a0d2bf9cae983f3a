"""The models that answer: found by their alias, verified, self-tested, then swapped in by replacing one reference.

A registry that is away, or a new champion that can't be loaded, changes nothing: the last good model goes on answering, and `problem`
says why it is not the newest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

from lakehouse.errors import RegistryAway, TamperedModel
from lakehouse.registry.loading import Registered
from serving.metrics import Metrics

ALIAS = "champion"
M = TypeVar("M")

log = logging.getLogger(__name__)


class Aliases(Protocol):
    """Where models are found: `lakehouse.registry.loading.Registry`."""

    def by_alias(self, name: str, alias: str) -> Registered | None: ...


@dataclass(frozen=True)
class Loaded(Generic[M]):
    """A model in memory and the version that it is."""

    registered: Registered
    model: M
    loaded_at: datetime


class Champion(Generic[M]):
    """The champion of one model. `current` is read by answers; `refresh` blocks and runs in a thread, one at a time."""

    def __init__(self, name: str, aliases: Aliases, open_model: Callable[[Registered], M], metrics: Metrics) -> None:
        self.name = name
        self.current: Loaded[M] | None = None
        self.problem: str | None = None
        self._aliases, self._open, self._metrics = aliases, open_model, metrics

    def refresh(self) -> None:
        """Look at the alias; where another version has it, load that one and swap. Never raises."""
        try:
            found = self._aliases.by_alias(self.name, ALIAS)
            if found is None:
                self._swap(None)
            elif self.current is None or found.digest != self.current.registered.digest or found.version != self.current.registered.version:
                self._swap(Loaded(found, self._open(found), datetime.now(UTC).replace(tzinfo=None)))
            self._note(None)
        except RegistryAway as error:
            self._note(str(error), "registry")
        except TamperedModel as error:
            self._note(str(error), "tampered")
        except Exception as error:  # whatever is wrong with a new model, the one that answers goes on
            log.debug("the champion of %s can't be loaded", self.name, exc_info=error)
            self._note(f"the champion can't be loaded: {type(error).__name__}: {error}", "error")

    def _swap(self, loaded: Loaded[M] | None) -> None:
        before, self.current = self.current, loaded
        if before is not None and before is not loaded:
            self._metrics.model_info.remove(*self._labels(before))
        if loaded is not None:
            self._metrics.model_info.labels(*self._labels(loaded)).set(1)
            self._metrics.model_loaded.labels(self.name).set_to_current_time()
            log.info("%s: version %s answers now (%s)", self.name, loaded.registered.version, loaded.registered.digest[:12])
        elif before is not None:
            log.warning("%s: nobody is champion any more; the baseline answers", self.name)

    def _note(self, problem: str | None, reason: str = "") -> None:
        if problem is not None:
            self._metrics.load_failures.labels(self.name, reason).inc()
            if problem != self.problem:
                log.error("%s: %s", self.name, problem)
        self.problem = problem

    def _labels(self, loaded: Loaded[M]) -> tuple[str, str, str, str]:
        return self.name, loaded.registered.version, ALIAS, loaded.registered.digest
