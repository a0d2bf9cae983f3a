"""Whether a vault is the one that made this lake's keys, and still knows all of them."""

from __future__ import annotations

from lakehouse.errors import VaultError
from lakehouse.privacy.vault import Vault
from lakehouse.tables import Lake, home_id
from lakehouse.tables.catalog import BRONZE


def refuse_other_vault(lake: Lake, vault: Vault) -> None:
    """Raises `VaultError` where the vault knows nobody though customers have landed, or has made fewer keys than when this lake was loaded last: those whom
    it forgot would get a second key. Derived keys are the same whoever makes them, so that an older vault does no harm."""
    place = lake.settings.vault_url.rpartition("@")[2]
    if vault.is_empty() and not lake.read(BRONZE).where("customer_key IS NOT NULL").isEmpty():
        raise VaultError(
            f"customers have landed in this lake, but its vault ({place}) knows nobody: it was lost or is another "
            "one. Put it back before anything is loaded; without it nobody is recognised"
        )
    made, known = vault.made(), home_id.keys(lake.ops)
    if made < known and lake.settings.vault.keys == "random":
        raise VaultError(
            f"the vault ({place}) has made {made:,} keys, and had made {known:,} when this lake was loaded last: it is an older one, and would give"
            " customers whom it does not know any more a second key. Put the newer one back before anything is loaded"
        )


def note_keys(lake: Lake, vault: Vault) -> None:
    """Remembers how many keys there are, once a file has landed. The lease is held."""
    home_id.note_keys(lake.ops, vault.made())
