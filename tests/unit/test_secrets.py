"""Secrets: made in the home where the profile allows it, private, each subkey for one purpose."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from jobs.processes import ROOT
from lakehouse import settings as settings_module
from lakehouse.errors import SettingsError, VaultError
from lakehouse.privacy.secrets import master_secret, signing_key, subkey, verify_key
from lakehouse.settings import Settings

SECRET = "00112233445566778899aabbccddeeff" * 2


def of_profile(home: Path, profile: str = "local", **vault: object) -> Settings:
    return settings_module.load(home=home, profile=profile, overrides={"vault": vault}, environ={})


def strict(home: Path, **vault: object) -> Settings:
    """As every profile is that does not allow secrets to be made."""
    return of_profile(home, "local", make_secrets=False, **vault)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_profile_local_makes_its_secrets_once_and_keeps_them_private(home: Path) -> None:
    settings = of_profile(home)

    first, key = master_secret(settings), signing_key(settings)

    assert master_secret(settings) == first
    assert signing_key(settings).private_bytes_raw() == key.private_bytes_raw()
    assert len(first) == 32
    assert {path.name: mode(path) for path in (home / "secrets").iterdir()} == {"vault": 0o600, "signing": 0o600}
    assert mode(home / "secrets") == 0o700


def test_two_homes_make_different_secrets(tmp_path: Path) -> None:
    assert master_secret(of_profile(tmp_path / "a")) != master_secret(of_profile(tmp_path / "b"))


def test_making_a_secret_is_said(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = master_secret(of_profile(home))

    assert "Keep a copy" in caplog.text
    assert made.hex() not in caplog.text


def test_base_settings_do_not_allow_secrets_to_be_made() -> None:
    assert "make_secrets: false" in (ROOT / "conf" / "base" / "settings.yml").read_text()


def test_other_profiles_refuse_to_go_on_without_a_secret_and_make_none(home: Path) -> None:
    for ask in (master_secret, signing_key):
        with pytest.raises(VaultError, match="0600"):
            ask(strict(home))
    assert not home.exists()


def test_the_secret_of_the_environment_wins_and_is_written_nowhere(home: Path) -> None:
    assert master_secret(strict(home, secret=SECRET)).hex() == SECRET
    assert not home.exists()


@pytest.mark.parametrize("secret", ["", "00", SECRET[:-1], SECRET[:-1] + "x"])
def test_a_malformed_secret_is_refused_without_being_quoted(home: Path, secret: str) -> None:
    with pytest.raises(SettingsError, match="vault.secret") as refused:
        strict(home, secret=secret)
    assert len(secret) < 8 or secret not in str(refused.value)


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o644, 0o660])
def test_a_secret_file_that_others_may_read_is_refused(home: Path, bits: int) -> None:
    settings = of_profile(home)
    master_secret(settings)
    (home / "secrets" / "vault").chmod(bits)

    with pytest.raises(VaultError, match=f"mode {bits:04o}.*chmod 600"):
        master_secret(settings)


@pytest.mark.parametrize("content", ["", "hunter2", SECRET[:-2], SECRET + "00"])
def test_a_file_that_holds_no_secret_is_named_and_not_quoted(home: Path, content: str) -> None:
    (home / "secrets").mkdir(parents=True)
    (home / "secrets" / "vault").touch(0o600)
    (home / "secrets" / "vault").write_text(content)

    with pytest.raises(VaultError, match="64 hex digits") as refused:
        master_secret(of_profile(home))
    assert not content or content not in str(refused.value)


def test_subkeys_of_one_secret_are_apart_and_repeatable() -> None:
    master, other = bytes.fromhex(SECRET), bytes(32)
    purposes = ("lookup", "check", "encryption 1", "encryption 2", "derived keys")

    keys = {subkey(secret, purpose) for secret in (master, other) for purpose in purposes} | {master, other}

    assert len(keys) == 2 * len(purposes) + 2
    assert subkey(master, "lookup") == subkey(master, "lookup")


def test_a_subkey_is_hkdf_as_the_rfc_says() -> None:
    """RFC 5869 by hand: extract with a salt of zeros, expand one block. Another formula would lose every customer."""
    import hmac

    extracted = hmac.digest(bytes(32), bytes.fromhex(SECRET), "sha256")
    assert subkey(bytes.fromhex(SECRET), "lookup") == hmac.digest(extracted, b"zeromargin vault lookup\x01", "sha256")


def test_to_check_signatures_no_key_is_made(home: Path) -> None:
    with pytest.raises(VaultError, match="there is no signing key. Put the one of this home back"):
        verify_key(of_profile(home))
    assert not home.exists()


def test_signatures_are_checked_with_the_public_key_alone(home: Path) -> None:
    settings = of_profile(home)
    signature = signing_key(settings).sign(b"a model")
    public = verify_key(settings).public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (home / "secrets" / "signing").unlink()
    (home / "secrets" / "signing.pub").write_bytes(public)

    verify_key(strict(home)).verify(signature, b"a model")


@pytest.mark.parametrize("name", ["signing", "signing.pub"])
def test_what_is_no_key_is_named(home: Path, name: str) -> None:
    (home / "secrets").mkdir(parents=True)
    (home / "secrets" / name).touch(0o600)
    (home / "secrets" / name).write_text("no key")

    with pytest.raises(VaultError, match=f"{name} is not a .* key in PEM"):
        verify_key(of_profile(home))


MAKE = """
import sys
from pathlib import Path
from lakehouse import settings
from lakehouse.privacy.secrets import master_secret
chosen = settings.load(home=Path(sys.argv[1]), profile="local", environ={})
sys.stdin.readline()
print(master_secret(chosen).hex())
"""


def test_processes_that_make_the_secret_at_once_get_the_same_one(home: Path) -> None:
    command = [sys.executable, "-c", MAKE, str(home)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT, "env": dict(os.environ)}
    processes = [subprocess.Popen(command, **pipes) for _ in range(3)]  # type: ignore[call-overload]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = {process.communicate(timeout=60)[0].strip() for process in processes}

    assert len(answers) == 1
    assert {path.name for path in (home / "secrets").iterdir()} == {"vault"}
