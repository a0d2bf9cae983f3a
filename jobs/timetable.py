"""The timetable, as conf/base/schedule.yml says it: which steps are done when."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apscheduler.triggers.cron import CronTrigger
from pydantic import Field, ValidationError, field_validator

from jobs import pipeline
from lakehouse.errors import SettingsError, UnknownName
from lakehouse.settings import Section, Settings, conf_file

FILE = "schedule.yml"
STEPS = ("load", "run", "maintain", "verify")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_WEEKDAY = f"[0-7]|{'|'.join(_WEEKDAYS)}"
_ANY_DAY = datetime(2000, 1, 1, tzinfo=UTC)
_LONGEST_JUMP = timedelta(hours=3)


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
            trigger = _trigger(value)
        except ValueError as error:
            raise ValueError(
                f'"{value}" is no time: {error}. Expected five fields, minute hour day month weekday, such as "15 3 * * *"'
            ) from None
        if trigger.get_next_fire_time(None, _ANY_DAY) is None:
            raise ValueError(f'"{value}" never comes: no month that it names has that day')
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
        """The job's first time after a moment; both are UTC without a zone. A time that the clock skips comes as much later, one that it shows
        twice comes once."""
        trigger, zone = _trigger(self.jobs[job].at), ZoneInfo(self.zone)
        # Times are found on the clock's face, whose hours all exist once, and then looked up in the zone.
        face = (after.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) - _LONGEST_JUMP).replace(tzinfo=UTC)
        while True:
            found: datetime | None = trigger.get_next_fire_time(None, face)
            assert found is not None, "a time that never comes is refused when the timetable is read"
            moment = found.replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None)
            if moment > after:
                return moment
            face = found + timedelta(seconds=1)

    def told(self, moment: datetime) -> str:
        """A moment (UTC without a zone) on the timetable's clock."""
        return f"{moment.replace(tzinfo=UTC).astimezone(ZoneInfo(self.zone)):%Y-%m-%d %H:%M} {self.zone}"


def _trigger(crontab: str) -> CronTrigger:
    """A trigger on a clock without a zone. Weekdays are handed on by name: those of a crontab count from Sunday, those of APScheduler from Monday."""
    fields = crontab.split()
    if len(fields) == 5:
        if fields[2] != "*" and fields[4] != "*":
            raise ValueError("a day of the month and a weekday together mean either in a crontab; say one of them")
        if fields[4] != "*":
            fields[4] = ",".join(_WEEKDAYS[day] for day in sorted({day for part in fields[4].split(",") for day in _weekdays(part)}))
    return CronTrigger.from_crontab(" ".join(fields), timezone=UTC)


def _weekdays(part: str) -> set[int]:
    """The days (Sunday is 0) of a part of a crontab's weekday field: a day, a range of days or all, every one of them or every n-th. Days are 0 to
    7, where 0 and 7 are Sunday, or the first three letters of their names."""
    found = re.fullmatch(rf"(?P<day>{_WEEKDAY})|(?:\*|(?P<first>{_WEEKDAY})-(?P<last>{_WEEKDAY}))(?:/(?P<step>[1-9][0-9]*))?", part.lower())
    if found is not None and found["day"]:
        return {_weekday(found["day"]) % 7}
    if found is not None:
        first, last = _weekday(found["first"] or "0"), _weekday(found["last"] or "7")
        if first and found["last"] == "sun":
            last = 7  # a week of names may end with it
        if first <= last:
            return {day % 7 for day in range(first, last + 1, int(found["step"] or 1))}
    raise ValueError(
        f'weekday "{part}" is none of a crontab. Expected 0 to 7 or sun to sat, a range such as 1-5, or steps of one such as */2'
    )


def _weekday(text: str) -> int:
    return int(text) if text.isdigit() else _WEEKDAYS.index(text)


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
    """Where new files are put. Of a folder that the timetable names, `~` is the home of whoever keeps it."""
    return settings.home / "inbox" if timetable.inbox is None else timetable.inbox.expanduser()
