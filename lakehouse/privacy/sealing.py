"""Customer numbers as ciphertext: AES-GCM under the encryption subkey of a generation, each sealed to its own row."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lakehouse.errors import VaultError
from lakehouse.privacy.secrets import subkey

_NONCE = 12  # bytes, before the ciphertext


class Sealing:
    """Seals and opens. Generations are counted from 1; the subkey of each comes from the one secret."""

    def __init__(self, master: bytes) -> None:
        self._master = master
        self._ciphers: dict[int, AESGCM] = {}

    def seal(self, generation: int, identity: str, lookup: bytes, number: str) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher(generation).encrypt(nonce, number.encode(), _bound_to(identity, lookup))

    def unseal(self, generation: int, identity: str, lookup: bytes, sealed: bytes) -> str:
        """The number. Raises `VaultError` for what was not sealed with this secret, or for another row."""
        try:
            return self._cipher(generation).decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound_to(identity, lookup)).decode()
        except InvalidTag:
            raise VaultError("a row of the vault is not what was written: it was changed, or moved from another customer") from None

    def _cipher(self, generation: int) -> AESGCM:
        if generation not in self._ciphers:
            self._ciphers[generation] = AESGCM(subkey(self._master, f"encryption {generation}"))
        return self._ciphers[generation]


def _bound_to(identity: str, lookup: bytes) -> bytes:
    """What a ciphertext is sealed together with, so that it opens in its own row alone."""
    return identity.encode() + b"\0" + lookup
