"""One frozen, typed settings object per process: conf/base, then conf/<profile>, then the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lakehouse.errors import SettingsError, UnknownName

PREFIX = "ZEROMARGIN_"
RESERVED = {"HOME", "PROFILE", "RESULT", "TEST_ALL"}
CONF = Path(__file__).resolve().parent.parent / "conf"

Tree = dict[str, object]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Endpoint(Section):
    remote: str | None
    memory_gb: float = Field(gt=0)
    cores: int = Field(ge=1)
    start_timeout_s: float = Field(gt=0)
    spark_options: str


class Ops(Section):
    url: str | None
    lease_s: float = Field(gt=0)
    wait_s: float = Field(ge=0)


class VaultSettings(Section):
    url: str | None
    keys: Literal["random", "derived"]
    secret: str | None = Field(pattern=r"^[0-9a-fA-F]{64}$", repr=False)
    make_secrets: bool


class Door(Section):
    batch_rows: int = Field(ge=1)
    oldest: str
    trust_clock: bool


class Features(Section):
    every: Literal["week", "day"]
    redis: str | None = Field(repr=False)


class Demand(Section):
    history_weeks: int = Field(ge=1)
    active_weeks: int = Field(ge=1)
    horizon_weeks: int = Field(ge=1, le=8)
    rounds: int = Field(ge=1)


class Segments(Section):
    max_clusters: int = Field(ge=2)
    bootstraps: int = Field(ge=2)


class Recommendations(Section):
    k: int = Field(ge=1)
    label_days: int = Field(ge=7)


class Models(Section):
    retrain_every: int = Field(ge=1)
    seed: int
    threads: int = Field(ge=1)
    demand: Demand
    segments: Segments
    recommendations: Recommendations


class Runner(Section):
    deadline_s: float = Field(gt=0)
    retries: int = Field(ge=0)
    in_process: bool


class Serving(Section):
    host: str
    port: int = Field(ge=0, le=65535)
    refresh_s: float = Field(gt=0)
    lookup_timeout_s: float = Field(gt=0)
    answer_queue: int = Field(ge=1)
    segment_rows: int = Field(ge=1)
    segment_s: float = Field(gt=0)


class QualityPages(Section):
    pages: bool


class Snapshots(Section):
    keep_newest: int = Field(ge=1)
    retention_days: int = Field(ge=1)


class Settings(Section):
    """All settings of one process. `home` holds everything that is written, `profile` names the folder of conf/."""

    home: Path
    profile: str
    engine: Literal["sail", "spark"]
    endpoint: Endpoint
    ops: Ops
    vault: VaultSettings
    door: Door
    features: Features
    models: Models
    runner: Runner
    serving: Serving
    quality: QualityPages
    snapshots: Snapshots

    @property
    def ops_url(self) -> str:
        return self.ops.url or f"sqlite:///{self.home / 'ops.db'}"

    @property
    def vault_url(self) -> str:
        return self.vault.url or f"sqlite:///{self.home / 'vault.db'}"

    @property
    def mlflow_url(self) -> str:
        return f"sqlite:///{self.home / 'mlflow.db'}"


_NOT_IN_HOMES = frozenset('#%?*[]{}\\"<>|^`')
SECTIONS = {str(section): section for section in Section.__subclasses__()}


def load(
    home: Path | str | None = None,
    profile: str | None = None,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from conf/, the environment, and `overrides` (the command line's options), the later winning.

    Raises `SettingsError` or `UnknownName` for a value or a key that is wrong, from wherever it comes.
    """
    env = os.environ if environ is None else environ
    name = profile or env.get(f"{PREFIX}PROFILE") or "local"
    profiles = {path.name for path in CONF.iterdir() if path.is_dir() and path.name != "base"}
    if name not in profiles:
        raise UnknownName("profile", name, profiles)
    tree = _file(CONF / "base" / "settings.yml")
    _merge(tree, _file(CONF / name / "settings.yml"))
    _merge(tree, _environment(env))
    _merge(tree, dict(overrides or {}))
    place = Path(home or env.get(f"{PREFIX}HOME") or Path.home() / ".zeromargin")
    tree |= {"home": _checked_home(place.expanduser().resolve()), "profile": name}
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise _explained(error) from None


def _checked_home(home: Path) -> Path:
    """Raises `SettingsError` for a folder whose path the engines take for another: they read tables by URL, each with its own idea of escaping."""
    wrong = sorted({letter for letter in str(home) if not letter.isascii() or letter.isspace() or letter in _NOT_IN_HOMES})
    if wrong:
        shown = ", ".join("a space" if letter == " " else f'"{letter}"' for letter in wrong)
        raise SettingsError(
            f"the home {home} has {shown} in its path, which the engines do not read tables from. Choose a folder of plain letters, digits and"
            " ./_-~ with --home or ZEROMARGIN_HOME"
        )
    return home


def conf_file(name: str, profile: str) -> Tree:
    """conf/base/`name` with the profile's differences merged in."""
    tree = _file(CONF / "base" / name)
    _merge(tree, _file(CONF / profile / name))
    return tree


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def forget_files() -> None:
    """Has the files of conf/ read anew when they are asked for next."""
    _text.cache_clear()


def parse_yaml(text: str) -> Any:
    """What the text says. It is read in C: in Python that is a tenth of what it takes to open a lake."""
    return yaml.load(text, Loader=yaml.CSafeLoader)


def _file(path: Path) -> Tree:
    try:
        tree = parse_yaml(_text(path)) or {}
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not text in UTF-8. Save it as UTF-8, as it was before") from None
    except yaml.reader.ReaderError as error:
        raise SettingsError(
            f"{path} can't be read as YAML: it holds a character that no text has ({error.reason}), at {error.position}"
        ) from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        raise SettingsError(
            f"{path}{line} can't be read as YAML: {error.problem}. A value that begins with a mark (* & % @) needs quotation marks"
        ) from None
    if not isinstance(tree, dict):
        raise SettingsError(f"{path} holds a {type(tree).__name__}, expected a mapping of settings")
    return tree


def _merge(into: Tree, other: Mapping[str, object]) -> None:
    for key, value in other.items():
        below = into.get(key)
        if isinstance(below, dict) and isinstance(value, Mapping):
            _merge(below, value)
        else:
            into[key] = value


def _environment(env: Mapping[str, str]) -> Tree:
    tree: Tree = {}
    for name, text in env.items():
        key = name.removeprefix(PREFIX)
        if key == name or key in RESERVED:
            continue
        *parents, leaf = key.lower().split("__")
        branch = tree
        for parent in parents:
            below = branch.setdefault(parent, {})
            if not isinstance(below, dict):
                raise SettingsError(f"{name} sets a part of {PREFIX}{parent.upper()}, which is set as a whole too")
            branch = below
        # A secret of digits alone must stay text.
        branch[leaf] = text if leaf == "secret" else _value(name, text)
    return tree


def _value(name: str, text: str) -> object:
    try:
        return parse_yaml(text)
    except yaml.YAMLError:
        raise SettingsError(f"{name} can't be read as a value: {text[:40]!r}. Quote what has special characters") from None


def _explained(error: ValidationError) -> SettingsError | UnknownName:
    first = error.errors(include_url=False, include_input=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        *parents, leaf = (str(part) for part in first["loc"])
        model: type[BaseModel] = Settings
        for parent in parents:
            model = SECTIONS[str(model.model_fields[parent].annotation)]
        return UnknownName("setting", leaf, model.model_fields, where=".".join(parents))
    return SettingsError(f"setting {path}: {first['msg']}. Defaults and their meaning: conf/base/settings.yml")
