"""Which release of this library wrote what, where a home outlives the one that made it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from lakehouse.errors import OtherSchema


def here() -> str:
    """The release that is running."""
    try:
        return version("zeromargin")
    except PackageNotFoundError:  # run from its sources
        return "unknown"


def refuse_newer(what: str, found: int, known: int, wrote: str) -> None:
    """Raises `OtherSchema` where the tables of a database are of a later version than is known here. `wrote`: the release that made them so."""
    if found > known:
        raise OtherSchema(
            f"zeromargin {wrote} wrote {what} (schema {found}), this is {here()} (schema {known}): install {wrote} or newer. Nothing was changed"
        )
