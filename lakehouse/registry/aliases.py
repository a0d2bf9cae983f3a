"""Who answers: `champion`; who answered before: `previous`; who wants to: `challenger`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mlflow import MlflowClient

Alias = Literal["champion", "challenger", "previous"]
CHAMPION: Alias = "champion"
CHALLENGER: Alias = "challenger"
PREVIOUS: Alias = "previous"


def version_of(client: MlflowClient, name: str, alias: Alias) -> str | None:
    """The version that has the alias; None where nobody has."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def assign(client: MlflowClient, name: str, alias: Alias, version: str) -> None:
    client.set_registered_model_alias(name, alias, version)


def withdraw(client: MlflowClient, name: str, alias: Alias) -> None:
    """Take the alias away; nothing happens where nobody has it."""
    if version_of(client, name, alias) is not None:
        client.delete_registered_model_alias(name, alias)


def promote(client: MlflowClient, name: str, version: str) -> None:
    """Make a version the champion. Doing it twice is doing it once.

    `previous` is written before `champion`, so that at no time the way back is lost.
    """
    champion = version_of(client, name, CHAMPION)
    if champion != version:
        if champion is not None:
            assign(client, name, PREVIOUS, champion)
        assign(client, name, CHAMPION, version)
    if version_of(client, name, CHALLENGER) == version:
        withdraw(client, name, CHALLENGER)
