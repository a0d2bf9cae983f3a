"""Whether a vault is the one that made this lake's keys, and still knows all of them."""

from __future__ import annotations

from lakehouse.errors import NoPermission, TryAgain, VaultError
from lakehouse.privacy.secrets import has_secret
from lakehouse.privacy.vault import Vault, is_made, open_vault
from lakehouse.settings import Settings
from lakehouse.tables import Lake, home_id
from lakehouse.tables.catalog import BRONZE

_GONE = (
    "Where it is gone for good, make a home of the last backup, vault and all (zeromargin restore-backup), and load there what came later"
)


def refuse_other_vault(lake: Lake, vault: Vault) -> None:
    """Raises `VaultError` where the vault knows nobody though customers have landed, is another lake's, or has made fewer keys than when this lake was loaded
    last: those whom it does not know would get a second key. Derived keys are the same whoever makes them, so that another vault does no harm; they are
    refused of a vault that has made random ones."""
    if vault.derived and not vault.is_derived():
        raise VaultError(
            f"the vault ({_place(lake.settings)}) has made random keys, and vault.keys says that keys are derived: customers would get keys of two kinds."
            " Set vault.keys to random"
        )
    if vault.is_empty() and not lake.read(BRONZE).where("customer_key IS NOT NULL").isEmpty():
        raise VaultError(_lost(lake.settings))
    if wrong := _wrong(lake, vault.made(), vault.mark()):
        raise VaultError(wrong)


def note_keys(lake: Lake, vault: Vault) -> None:
    """Remembers how many keys there are, once a file has landed. The lease is held."""
    home_id.note_keys(lake.ops, vault.made(), vault.marked())


def judged(lake: Lake) -> tuple[bool, str]:
    """Whether the vault still knows every key that it had made when this lake was loaded last, and what was found: asked without an engine, and making
    none. True, and why, where nobody is to be known, this user may not look, or it does not answer now."""
    settings, known = lake.settings, home_id.keys(lake.ops)
    if not known:
        return True, "no customer is known by number"
    if not is_made(settings):
        return False, _lost(settings)
    if not (has_secret(settings) or settings.vault.make_secrets):
        return True, "not looked at: its secret is not here (ZEROMARGIN_VAULT__SECRET)"
    try:
        with open_vault(settings) as vault:
            made, mark = vault.made(), vault.mark()
    except (NoPermission, TryAgain) as error:
        return True, f"not looked at: {error}"
    except VaultError as error:
        return False, str(error)
    if not made:
        return False, _lost(settings)
    wrong = _wrong(lake, made, mark)
    return wrong is None, wrong or f"{made:,} keys"


def _lost(settings: Settings) -> str:
    return (
        f"customers have landed in this lake, but its vault ({_place(settings)}) knows nobody: it was lost or is another"
        f" one. Put it back before anything is loaded; without it nobody is recognised. {_GONE}"
    )


def _wrong(lake: Lake, made: int, mark: str | None) -> str | None:
    known, expected = home_id.keys(lake.ops), home_id.vault(lake.ops)
    if lake.settings.vault.keys != "random":
        return None
    if expected is not None and mark != expected:
        return (
            f"the vault ({_place(lake.settings)}) is not the one that this lake's customers are in: it would give them a second key. Set vault.url to theirs,"
            " or put it back, before anything is loaded"
        )
    if made >= known:
        return None
    return (
        f"the vault ({_place(lake.settings)}) has made {made:,} keys, and had made {known:,} when this lake was loaded last: it is an older one, and would"
        f" give customers whom it does not know any more a second key. Put the newer one back before anything is loaded. {_GONE}"
    )


def _place(settings: Settings) -> str:
    return settings.vault_url.rpartition("@")[2]
