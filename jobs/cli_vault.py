"""The command `vault rotate`: customer numbers encrypted anew."""

from __future__ import annotations

from dataclasses import asdict

import typer

from jobs.cli_session import AsJson, answer, say, session

app = typer.Typer(help="The vault of customer numbers.", no_args_is_help=False)


@app.callback()
def of_vault() -> None:
    """The vault of customer numbers."""


@app.command("rotate")
def rotate(context: typer.Context, as_json: AsJson = False) -> None:
    """Encrypt every customer number anew, under the next key that the vault's secret gives. Loading, serving and customer keys are as before."""
    from lakehouse.privacy.vault import open_vault

    def progress(done: int, of: int) -> None:
        say(f"{done:,} of {of:,} customers")

    with open_vault(session(context).settings()) as vault:
        done = vault.rotate(progress)
    if as_json:
        answer(asdict(done))
    else:
        print(f"{done.customers:,} customer numbers are encrypted under generation {done.generation} now")
