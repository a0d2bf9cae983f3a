"""One stage of a run, as its notebook sees it: a lake bound to the run, that declares a result and publishes."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

from lakehouse.errors import StateError
from lakehouse.settings import Settings
from lakehouse.tables import catalog, runs, snapshots
from lakehouse.tables.lake import Lake
from lakehouse.tables.opening import begin_or_resume, restore_stage
from lakehouse.tables.snapshots import Snapshot

GATED = ("silver", "gold", "quality")  # what a run must have done before anything of it is published


class StageLake(Lake):
    """A lake within one stage. Its tables are put back to what they were before the stage, so a stage never sees half of an earlier try."""

    _opened_by_hand: ClassVar[StageLake | None] = None

    def __init__(self, settings: Settings, stage: str, run: str = "", as_of: str = "") -> None:
        super().__init__(settings)
        self.stage = stage
        self._by_hand = ExitStack()
        try:
            self._begin(stage, run, as_of)
        except BaseException:
            self.close()  # a traceback keeps this object, and with it the lease
            raise

    def _begin(self, stage: str, run: str, as_of: str) -> None:
        if run:
            self.run = runs.get(self.ops, run)
        else:
            # Opened by hand: the lease is held until the notebook finishes, opens a stage once more, or its kernel ends.
            if StageLake._opened_by_hand is not None:
                StageLake._opened_by_hand.close()
            held = self._by_hand.enter_context(self.lease(f"stage {stage}, by hand"))
            StageLake._opened_by_hand = self
            self.run = begin_or_resume(self, as_of or None, held.token, stages=(stage,))
        self.check_lease_for_stage()
        self._bind(self.run)
        runs.start_stage(self.ops, self.run.id, stage)
        if not self.run.back_test:
            self._done |= restore_stage(self, self.run, stage)

    def check_lease_for_stage(self) -> None:
        """Raises `LeaseHeld` where the run has been taken over since this notebook was started."""
        if self.run is not None and not self.run.back_test:
            self.check_lease()

    def publish(self, after: Sequence[str] = GATED) -> Snapshot | None:
        """Publishes what the run has made so far: one snapshot, in one transaction. A back-test publishes nothing.

        Raises `StateError` where one of the stages `after` which it comes is not done in this run: the snapshot would say that silver holds
        what has landed, and the next run would not look again.
        """
        assert self.run is not None
        if self.run.back_test:
            return None
        done = {stage.name for stage in runs.stage_runs(self.ops, self.run.id) if stage.state == "done"}
        missing = [name for name in after if name not in done]
        if missing:
            raise StateError(
                f"run {self.run.id} has not done {', '.join(missing)}, so nothing of it can be published. Open those notebooks first, or "
                f"have it done: zeromargin run {self.stage}"
            )
        versions = {name: self.version(name) for name in catalog.load()}
        self.note_published(versions)
        made = Snapshot(0, self.run.id, self.run.as_of, self.run.moment, self.run.every, versions)
        return snapshots.publish(self.ops, made, self.run.lease)

    def finish(self, **result: object) -> None:
        """Declares the stage's result, records the versions that it wrote, and lets go of the engine. The last call of a notebook."""
        assert self.run is not None
        try:
            text = json.dumps(result, sort_keys=True)
        except TypeError as error:
            raise StateError(f"the result of stage {self.stage} can't be written as JSON: {error}") from None
        runs.finish_stage(self.ops, self.run.id, self.stage, self.writer.written, result)
        place = os.environ.get("ZEROMARGIN_RESULT")
        if place:
            draft = Path(f"{place}.part")
            draft.write_text(text, encoding="utf-8")
            draft.replace(place)
        self.close()

    def close(self) -> None:
        super().close()
        self._by_hand.close()
        if StageLake._opened_by_hand is self:
            StageLake._opened_by_hand = None
