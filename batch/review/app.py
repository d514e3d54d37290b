"""The review page as a web app, below an address that nobody can guess; it answers this machine only."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel, Field

from batch.errors import encodable, printable
from batch.review.decisions import VERDICTS, Action, Decision, Standing, Verdict, verdicts_of
from batch.review.pictures import SIDES, Layer, Pictures
from batch.review.queue import Filters, Order, Place, Reason, Status
from batch.review.reviewed import Image, StaleError
from batch.web.guard import Guard
from batch.web.server import LOOPBACK
from seglab.errors import ImageError, SeglabError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from batch.review.reviewed import Reviewed

MEDIA_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
MOST_ROWS = 200
LONGEST_NOTE = 2000
NOWHERE = "There is nothing at this address. Open the one that seg-batch review printed.\n"
GONE = "This image is not in the ledger any more."
NOT_TOLD = "It cannot be shown; the reason may hold names. Whoever started `seg-batch review` can look at the output."
NOT_KEPT = {"cache-control": "no-store"}
"""A browser keeps no copy of a photograph on its disk."""


class Asked(BaseModel):
    """A decision as the page sends it. ``sha256``: of the mask that was shown; ``verdict``, ``reviewer``: what was said
    of it, and who said so; None: not known.
    """

    row: int
    action: Action
    sha256: str | None = None
    note: str = Field(default="", max_length=LONGEST_NOTE)
    verdict: str | None = None
    reviewer: str | None = None


def review_app(reviewed: Reviewed, token: str, reviewer: str) -> ASGIApp:
    """Return the app. All its addresses begin with ``token``; ``reviewer``: who decides."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(_pages(), prefix=f"/{token}")
    app.include_router(_answers(reviewed, Pictures(reviewed), reviewer), prefix=f"/{token}/api")

    @app.exception_handler(404)
    def nowhere(request: Request, error: HTTPException) -> Response:
        return PlainTextResponse(error.detail if error.detail != "Not Found" else NOWHERE, 404)

    @app.exception_handler(RequestValidationError)
    def not_understood(request: Request, error: RequestValidationError) -> Response:
        return PlainTextResponse("This is no decision or question of the review page. Reload the page.\n", 422)

    @app.exception_handler(SeglabError)
    def failed(request: Request, error: SeglabError) -> Response:
        text = NOT_TOLD if reviewed.is_nameless and not isinstance(error, StaleError) else printable(str(error))
        return PlainTextResponse(text, 409 if isinstance(error, StaleError) else 500)

    return Guard(app, LOOPBACK)


def _pages() -> APIRouter:
    """Return the page with its scripts and styles."""
    router = APIRouter()
    folder = files("batch.review") / "static"
    known = {file.name: file.read_bytes() for file in folder.iterdir() if "." in file.name}

    @router.get("/")
    def page() -> Response:
        return Response(known["review.html"], media_type="text/html", headers=NOT_KEPT)

    @router.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in known:
            raise HTTPException(404)
        kind = MEDIA_TYPES[name[name.rindex(".") :]]
        return Response(known[name], media_type=kind, headers=NOT_KEPT)

    return router


def _answers(reviewed: Reviewed, pictures: Pictures, reviewer: str) -> APIRouter:
    """Return what the page asks for: images, pictures of them, and decisions."""
    router = APIRouter()

    def image_of(row: int) -> Image:
        image = reviewed.image(row)
        if image is None:
            raise HTTPException(404, GONE)
        return image

    def progress() -> dict[str, Any]:
        problem = NOT_TOLD if reviewed.problem and reviewed.is_nameless else reviewed.problem
        return {**reviewed.counts(), "reviewer": reviewer, "problem": problem, "has_heat": pictures.has_heat}

    @router.get("/images")
    def images(
        order: Order = Order.DOUBT,
        status: Status | None = None,
        verdict: Literal["none", "accepted", "rejected"] | None = None,
        reason: Reason | None = None,
        row: int | None = None,
        side: Literal["at", "after", "before"] = "at",
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 60,
    ) -> Response:
        filters = Filters(status, None if verdict is None else Verdict[verdict.upper()], reason)
        page, found = reviewed.page(order, filters, Place(row, side), limit)
        standings = reviewed.standings(found)
        rows = [_shown(image, standings[image.row]) for image in found]
        return _json({"images": rows, "first": page.first, "total": page.total, "progress": progress()})

    @router.get("/images/{row}")
    def image(row: int) -> Response:
        found = image_of(row)
        standing = reviewed.standings([found])[row]
        history = [_told(decision, found) for decision in reviewed.history(found)]
        return _json({**_shown(found, standing), "history": history, "progress": progress()})

    @router.get("/images/{row}/{layer}")
    def picture(row: int, layer: Layer, side: int = SIDES[0]) -> Response:
        try:
            content, kind = pictures.of(image_of(row), layer, side if side in SIDES else SIDES[0])
        except ImageError as error:
            raise HTTPException(404, NOT_TOLD if reviewed.is_nameless else printable(str(error))) from error
        return Response(content, media_type=kind, headers=NOT_KEPT)

    @router.post("/decisions")
    def decide(asked: Asked) -> Response:
        found = image_of(asked.row)
        history = reviewed.history(found)
        _require_allowed(asked, verdicts_of(history[::-1], found.sha256), reviewer)
        note = asked.note.strip().encode("utf-8", "replace").decode("utf-8")  # JSON may hold half a character
        last = None if asked.action is Action.NOTE else history[0].id if history else 0
        reviewed.decide(found, asked.sha256, asked.action, reviewer, note, last)
        return image(asked.row)

    return router


def _json(value: dict[str, Any]) -> Response:
    return JSONResponse(value, headers=NOT_KEPT)


def _shown(image: Image, standing: Standing) -> dict[str, Any]:
    """Return an image for the page."""
    path = printable(encodable(image.shown))
    return {
        "row": image.row,
        "path": path,
        "name": path.rpartition("/")[2],
        "status": image.status,
        "size": [image.width, image.height],
        "share": image.share,
        "confidence": image.confidence,
        "suitable": image.suitable,
        "reasons": image.reasons,
        "error": None if image.error is None else printable(encodable(image.error)),
        "remark": image.remark,
        "sha256": image.sha256,
        "verdict": standing.verdict.name.lower(),
        "note": encodable(standing.note),
        "reviewer": encodable(standing.reviewer),
        "decided_at": standing.decided_at,
    }


def _require_allowed(asked: Asked, verdicts: Sequence[Decision], reviewer: str) -> None:
    """Raise :class:`StaleError` if it would overrule another reviewer's verdict that was not shown, or take it back.

    ``verdicts``: on the image's present mask.
    """
    if not verdicts or asked.action is Action.NOTE:
        return
    last = verdicts[-1]
    verdict = VERDICTS[last.action].name.lower()
    is_shown = asked.verdict is None or (asked.verdict, asked.reviewer) == (verdict, last.reviewer)
    if asked.action is Action.UNDO:
        if all(one.reviewer != reviewer for one in verdicts):
            raise StaleError(
                f"{last.reviewer} {verdict} this mask, and only they can take that back. Accept or reject it to "
                "overrule that."
            )
    elif last.reviewer != reviewer and not is_shown:
        raise StaleError(
            f"{last.reviewer} {verdict} this mask since it was shown to you. Decide again to overrule that."
        )


def _told(decision: Decision, image: Image) -> dict[str, Any]:
    """Return a decision of an image's history for the page."""
    return {
        "action": decision.action,
        "note": encodable(decision.note),
        "reviewer": encodable(decision.reviewer),
        "decided_at": decision.decided_at,
        "is_of_earlier_mask": image.sha256 is not None and decision.sha256 != image.sha256,
    }
