"""The command `vault rotate`: customer numbers encrypted anew."""

from __future__ import annotations

from dataclasses import asdict

import typer

from jobs.cli_session import AsJson, answer, say, session

app = typer.Typer(no_args_is_help=False)


@app.callback()
def of_vault() -> None:
    """The vault of customer numbers."""


@app.command("rotate")
def rotate(context: typer.Context, as_json: AsJson = False) -> None:
    """Encrypt every customer number anew, under the next key that the vault's secret gives. Loading, serving and customer keys are as before."""
    from lakehouse.errors import StateError, VaultError
    from lakehouse.ingest.vault_age import judged
    from lakehouse.privacy.vault import is_made, open_vault

    def progress(done: int, of: int) -> None:
        say(f"{done:,} of {of:,} customers")

    settings = session(context).settings()
    if settings.home.exists():
        with session(context).lake() as lake:
            is_its, found = judged(lake)
        if not is_its:
            raise VaultError(found)
    if not is_made(settings):
        raise StateError(f"there is no vault yet in {settings.home}: nothing was loaded into it. Look at --home")
    with open_vault(settings) as vault:
        done = vault.rotate(progress)
    if as_json:
        answer(asdict(done))
        return
    print(f"{done.customers:,} customer numbers are encrypted under generation {done.generation} now")
    if done.resumed:
        print("An earlier rotation had been broken off, and was ended. Do it again for a key of its own.")
    if done.in_log:
        print("Somebody was reading: the former ciphertexts stay in the vault's write-ahead log until all who have it open are done.")
