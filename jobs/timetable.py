"""The timetable, as conf/base/schedule.yml says it: which steps are done when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apscheduler.triggers.cron import CronTrigger
from pydantic import Field, ValidationError, field_validator

from jobs import pipeline
from lakehouse.errors import SettingsError, UnknownName
from lakehouse.settings import Section, Settings, conf_file

FILE = "schedule.yml"
STEPS = ("load", "run", "maintain", "verify")


class Job(Section):
    """Steps that are done one after another, at the times of `at` (as crontab says it)."""

    at: str
    do: tuple[str, ...] = Field(min_length=1)
    tries: int = Field(default=3, ge=1)
    wait_s: float = Field(default=300, ge=0)

    @field_validator("at")
    @classmethod
    def _is_crontab(cls, value: str) -> str:
        try:
            CronTrigger.from_crontab(value, timezone=UTC)
        except ValueError as error:
            raise ValueError(
                f'"{value}" is no time: {error}. Expected five fields, minute hour day month weekday, such as "15 3 * * *"'
            ) from None
        return value

    @field_validator("do")
    @classmethod
    def _known_steps(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for step in value:
            name, *stages = step.split()
            if name not in STEPS or (stages and name != "run"):
                raise ValueError(f'"{step}" is no step. Steps: {", ".join(STEPS)}; run may name stages')
            try:
                pipeline.chosen(stages)
            except UnknownName as error:
                raise ValueError(str(error)) from None
        return value


class Timetable(Section):
    """What `zeromargin schedule` does, and where it finds new files."""

    zone: str
    inbox: Path | None
    settle_s: float = Field(ge=0)
    keep_landed: bool
    jobs: Mapping[str, Job]

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f'"{value}" is not a time zone, such as Europe/London or UTC') from None
        return value

    def next(self, job: str, after: datetime) -> datetime:
        """The job's first time after a moment; both are UTC without a zone. An hour that the clock skips or shows twice has it once."""
        trigger = CronTrigger.from_crontab(self.jobs[job].at, timezone=ZoneInfo(self.zone))
        found: datetime | None = trigger.get_next_fire_time(after.replace(tzinfo=UTC), after.replace(tzinfo=UTC))
        while found is not None and (found.fold or found.astimezone(UTC).replace(tzinfo=None) <= after):
            found = trigger.get_next_fire_time(found, found)
        if found is None:
            raise SettingsError(f'job "{job}" of {FILE} never comes: {self.jobs[job].at}')
        return found.astimezone(UTC).replace(tzinfo=None)

    def told(self, moment: datetime) -> str:
        """A moment (UTC without a zone) on the timetable's clock."""
        return f"{moment.replace(tzinfo=UTC).astimezone(ZoneInfo(self.zone)):%Y-%m-%d %H:%M} {self.zone}"


def load(settings: Settings) -> Timetable:
    """The timetable of the settings' profile. Raises `SettingsError` or `UnknownName` for what is wrong in it."""
    try:
        return Timetable.model_validate(conf_file(FILE, settings.profile))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        *parents, leaf = (str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise UnknownName("key", leaf, (Job if parents else Timetable).model_fields, where=", ".join([FILE, *parents])) from None
        text = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{FILE}, {', '.join([*parents, leaf])}: {text}") from None


def inbox(settings: Settings, timetable: Timetable) -> Path:
    return timetable.inbox or settings.home / "inbox"
