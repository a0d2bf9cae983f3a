"""Secrets: the vault's master secret with the subkeys derived from it, and the key pair that signs models and receipts.

They come from the settings (the environment) or from files of mode 0600 in the home's `secrets` folder. A profile with
`vault.make_secrets` makes missing files on first use and says so; every other refuses to go on without them.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lakehouse.errors import VaultError
from lakehouse.settings import Settings

_LOG = logging.getLogger(__name__)
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_SECRET_BITS = 0o077


def master_secret(settings: Settings, may_make: bool = True) -> bytes:
    """The vault's 32 bytes, from `vault.secret` or else from the home's secrets/vault.

    Made if it is missing and both the profile and `may_make` allow it. Raises `VaultError` where it is missing, malformed, or
    readable by others.
    """
    if settings.vault.secret is not None:
        return bytes.fromhex(settings.vault.secret)
    path = _folder(settings) / "vault"
    if not path.exists():
        if not (may_make and settings.vault.make_secrets):
            raise VaultError(
                f"the vault has no secret. Set ZEROMARGIN_VAULT__SECRET to its 64 hex digits, or put them into {path} (mode 0600)"
            )
        _make(path, secrets.token_hex(32).encode() + b"\n", "a secret for the vault, without which no customer can be found again")
    text = _read(path).decode("ascii", errors="replace").strip()
    if not _HEX.fullmatch(text):
        raise VaultError(f"{path} does not hold a vault secret. Expected 64 hex digits, found {len(text)} characters")
    return bytes.fromhex(text)


def has_secret(settings: Settings) -> bool:
    """Whether the vault's secret is set, or lies in its file."""
    return settings.vault.secret is not None or (_folder(settings) / "vault").exists()


def subkey(master: bytes, purpose: str) -> bytes:
    """32 bytes for one purpose (HKDF with SHA-256, RFC 5869); from one subkey neither the master nor another can be found."""
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=f"zeromargin vault {purpose}".encode()).derive(master)


def signing_key(settings: Settings, may_make: bool = True) -> Ed25519PrivateKey:
    """The key that signs models and receipts: the home's secrets/signing, PEM. Made and raises `VaultError` like `master_secret`."""
    path = _folder(settings) / "signing"
    if not path.exists():
        if not (may_make and settings.vault.make_secrets):
            raise VaultError(
                f"there is no signing key. Put the one of this home back into {path} (mode 0600): its models were signed with it. A home that has none yet"
                " takes any Ed25519 private key in PEM"
            )
        _make(path, _pem(Ed25519PrivateKey.generate()), "a key to sign models and receipts with")
    try:
        key = serialization.load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise VaultError(f"{path} is not a private key in PEM without a password. Expected an Ed25519 key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise VaultError(f"{path} holds a {type(key).__name__}, expected an Ed25519 private key")
    return key


def verify_key(settings: Settings) -> Ed25519PublicKey:
    """The key that signatures are checked with: secrets/signing.pub where it is there (no secret), else from the signing key. None is made: it would
    fit no signature. Raises `VaultError`."""
    path = _folder(settings) / "signing.pub"
    if not path.exists():
        return signing_key(settings, may_make=False).public_key()
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        raise VaultError(f"{path} is not a public key in PEM. Expected an Ed25519 key") from None
    if not isinstance(key, Ed25519PublicKey):
        raise VaultError(f"{path} holds a {type(key).__name__}, expected an Ed25519 public key")
    return key


def _folder(settings: Settings) -> Path:
    return settings.home / "secrets"


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _read(path: Path) -> bytes:
    """A secret file's bytes. Raises `VaultError` when group or others may do anything with it."""
    handle = os.open(path, os.O_RDONLY)
    with os.fdopen(handle, "rb") as file:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        if mode & _SECRET_BITS:
            raise VaultError(f"{path} is open to others (mode {mode:04o}). Expected 0600. If nobody has read it: chmod 600 {path}")
        return file.read()


def _make(path: Path, content: bytes, what: str) -> None:
    """Writes a secret file whole or not at all; where another process was faster, its file stays."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
    _LOG.warning("made %s: %s. Keep a copy of it in a safe place", what, path)
