"""Errors as RFC 9457 problem documents: what was found, what was expected, what to do. Never a stack trace, and never a customer number.

404 unknown-product      nothing was ever sold or learnt under that product and store
404 unknown-model        no such model
404 not-found            no such address
405 method-not-allowed   the address knows other methods
413 content-too-large    the body has more than one mebibyte
422 ambiguous-customer   two retailers have a customer of that number
422 invalid-request      the body is not JSON, or a field is missing, unknown or out of its range
500 internal             a defect of ours; the log has it under the same request id
503 nothing-published    nothing is published yet: the lake has to be run first
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

MEDIA_TYPE = "application/problem+json"
KINDS = str(__doc__).split("\n\n", 1)[1]

NOT_JSON = ("The body is not JSON", "Send a JSON object with content-type application/json.")
_WORD = re.compile(r"[A-Za-z_]{1,40}")

log = logging.getLogger(__name__)


class Problem(Exception):
    """An answer that is a problem. `kind` is the anchor of its explanation in /docs."""

    def __init__(self, status: int, kind: str, title: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{title}: {detail}")
        self.status, self.kind, self.title, self.detail, self.headers = status, kind, title, detail, headers


class UnknownProduct(Problem):
    def __init__(self, product: str, store: str) -> None:
        super().__init__(
            404,
            "unknown-product",
            "Unknown product or store",
            f'Nothing is known of product "{product}" in store "{store}". Products are known from their first published sale on; '
            'where a retailer has no stores, the store is "all".',
        )


class TooManyWeeks(Problem):
    def __init__(self, asked: int, ahead: int) -> None:
        super().__init__(
            422,
            "invalid-request",
            "The request is not valid",
            f"weeks: {asked} were asked for, {ahead} are forecast. Ask for {ahead} at most.",
        )


class AmbiguousCustomer(Problem):
    def __init__(self) -> None:
        super().__init__(
            422,
            "ambiguous-customer",
            "Ambiguous customer number",
            "Several retailers here have a customer of that number, and they don't share their numbers. Send customer_key instead.",
        )


class UnknownModel(Problem):
    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(404, "unknown-model", "Unknown model", f'There is no model "{name}". Models: {", ".join(known)}')


class NothingPublishedYet(Problem):
    def __init__(self) -> None:
        super().__init__(
            503,
            "nothing-published",
            "Nothing is published yet",
            "Load sales and run the lake first (zeromargin load, zeromargin run). This service looks again by itself.",
            headers={"Retry-After": "30"},
        )


def document(
    request: Request, status: int, kind: str, title: str, detail: str, headers: Mapping[str, str] | None = None, **extra: object
) -> Response:
    body = {"type": f"/docs#{kind}", "title": title, "status": status, "detail": detail, "instance": _place(request), **extra}
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def install(app: FastAPI) -> None:
    """Let every error of the app end as a problem document."""

    @app.exception_handler(Problem)
    async def problem(request: Request, error: Problem) -> Response:
        return document(request, error.status, error.kind, error.title, error.detail, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        found = error.errors()
        # A body of another content type is given as it came, and is no object then.
        if any(item["type"] == "json_invalid" or (item["loc"] == ("body",) and not _is_json(request)) for item in found):
            return document(request, 422, "invalid-request", *NOT_JSON)
        # Without the values: a customer number must not come back, nor land in anybody's log of errors.
        errors = [{"field": _field(item["loc"][1:]), "reason": str(item["msg"])} for item in found]
        detail = "; ".join(f"{item['field']}: {item['reason']}" for item in errors)
        return document(request, 422, "invalid-request", "The request is not valid", detail, errors=errors)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 400:  # the framework's word for a body that can't be parsed: no UTF-8, too deep, endless digits
            return document(request, 422, "invalid-request", *NOT_JSON)
        kind = {404: "not-found", 405: "method-not-allowed", 413: "content-too-large"}.get(error.status_code, "http")
        detail = f"{request.method} {_place(request)}: {error.detail}. What there is: /docs"
        return document(request, error.status_code, kind, str(error.detail), detail, error.headers)

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> Response:
        number = uuid.uuid4().hex
        log.error("request %s failed: %s", number, type(error).__name__, exc_info=error)
        return document(request, 500, "internal", "Something went wrong here", f"It is in the log as {number}.", request_id=number)


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _place(request: Request) -> str:
    """The path, where it is one of ours; of another one what is no number: people put the customer's there."""
    return request.url.path if "route" in request.scope else re.sub(r"\d{3,}", "…", request.url.path)


def _field(place: tuple[int | str, ...]) -> str:
    """Where in the body; a name that is no word is not repeated, since it could be what must not come back."""
    parts = [str(part) if isinstance(part, int) or _WORD.fullmatch(part) else "(a field)" for part in place]
    return ".".join(parts) or "body"
