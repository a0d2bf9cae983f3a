"""Settings: defaults, a profile's differences, the environment; an unknown key names the nearest known one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError

from lakehouse import settings
from lakehouse.errors import SettingsError, UnknownName


def load(**environ: str) -> settings.Settings:
    return settings.load(home="/nowhere", profile="test", environ=environ)


def test_the_environment_overrides_the_profile_and_the_profile_the_defaults() -> None:
    assert settings.load(home="/nowhere", profile="local", environ={}).runner.in_process is False
    assert load().runner.in_process is True
    assert load(ZEROMARGIN_RUNNER__IN_PROCESS="false").runner.in_process is False


def test_a_misspelt_setting_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match='setting "key" is unknown in vault. Did you mean "keys"'):
        load(ZEROMARGIN_VAULT__KEY="derived")


def test_a_value_of_the_wrong_kind_says_which_setting_and_what_is_allowed() -> None:
    with pytest.raises(SettingsError, match="vault.keys: Input should be 'random' or 'derived'"):
        load(ZEROMARGIN_VAULT__KEYS="both")


def test_an_unknown_profile_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match='Did you mean "local"'):
        settings.load(profile="lokal", environ={})


def test_reserved_names_are_not_settings() -> None:
    found = settings.load(environ={"ZEROMARGIN_HOME": "/elsewhere", "ZEROMARGIN_PROFILE": "test", "ZEROMARGIN_RESULT": "x"})
    assert (found.home, found.profile) == (Path("/elsewhere"), "test")


def test_a_secret_of_digits_alone_stays_text_and_is_not_shown() -> None:
    found = load(ZEROMARGIN_VAULT__SECRET="0" * 64)
    assert found.vault.secret == "0" * 64
    assert "0" * 64 not in repr(found)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        load().engine = "spark"  # type: ignore[misc]


@pytest.mark.parametrize("slip", ["at: */5 * * * *\n", "a: 1\n\tb: 2\n"])
def test_a_slip_in_a_file_of_settings_is_named_with_its_file_and_line(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slip: str
) -> None:
    place = tmp_path / "conf"
    shutil.copytree(settings.CONF, place)
    monkeypatch.setattr(settings, "CONF", place)
    (place / "local" / "settings.yml").write_text(f"# ours\n{slip}", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"local/settings.yml, line [23] can't be read as YAML: .* needs quotation marks"):
        settings.load(home=home, profile="local", environ={})


@pytest.mark.parametrize(
    ("content", "words"),
    [("about: Stückpreis\n".encode("latin-1"), "is not text in UTF-8"), (b"about: a\x07b\n", "holds a character that no text has")],
)
def test_a_file_of_settings_that_is_no_text_is_named(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, words: str
) -> None:
    monkeypatch.setattr(settings, "CONF", shutil.copytree(settings.CONF, tmp_path / "conf"))
    (tmp_path / "conf" / "local" / "settings.yml").write_bytes(content)
    with pytest.raises(SettingsError, match=rf"local/settings.yml .*{words}"):
        settings.load(home=home, profile="local", environ={})
