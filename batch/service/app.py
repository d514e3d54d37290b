"""The service's addresses: ``/v1/masks`` for programs, ``/`` for people, ``/health`` and ``/metrics`` for operators."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from importlib.resources import files
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from batch.executors.base import Opened
from batch.service.answers import JSON, PNG, ZIP, as_json, as_png, as_zip, kind_for
from batch.service.description import BODY, RESPONSES, SUMMARY
from batch.service.engine import Answer, BusyError, Engine, StoppedError, TooManyError
from batch.service.metrics import Metrics
from batch.service.uploads import Budget, Limits, Reader, Upload, busy
from seglab import __version__
from seglab.pages.page import style

WRITTEN_AT_ONCE = 2
"""Answers that are made at a time: JSON needs several copies of a mask, of a hundred megapixels at worst."""
STATIC = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/service.js": ("service.js", "text/javascript; charset=utf-8"),
    "/zip.js": ("zip.js", "text/javascript; charset=utf-8"),
    "/service.css": ("service.css", "text/css; charset=utf-8"),
}


class Service:
    """An engine behind HTTP, with its limits and metrics. ``opened``: the model."""

    def __init__(self, engine: Engine, opened: Opened, limits: Limits, metrics: Metrics) -> None:
        self._engine, self._limits, self._metrics = engine, limits, metrics
        self._budget = Budget(limits.held)
        self._classes = opened.contract.classes
        self._writing = asyncio.Semaphore(WRITTEN_AT_ONCE)
        self._model = {
            "file": opened.path.name,
            "sha256": opened.sha256,
            "device": opened.device.name,
            "precision": opened.device.precision,
            "classes": list(opened.contract.class_names),
        }

    async def masks(self, request: Request, *, with_masks: bool) -> Response:
        """Answer a request for masks."""
        begin = time.monotonic()
        reader = Reader(request, self._limits, self._budget)
        waiting: list[Future[Answer]] = []
        try:
            uploads = await reader.uploads()
            kind = kind_for(request.headers.get("accept", ""), len(uploads))
            waiting = self._submit(uploads)
            answers = await self._answers(waiting)
            async with self._writing:
                return await run_in_threadpool(self._response, kind, uploads, answers, with_masks)
        finally:
            self._engine.give_up(waiting)
            reader.close(waiting)
            self._metrics.seconds.observe(time.monotonic() - begin)

    def _submit(self, uploads: Sequence[Upload]) -> list[Future[Answer]]:
        try:
            return self._engine.submit([upload.data for upload in uploads])
        except TooManyError as error:
            raise HTTPException(
                413, f"{len(uploads)} photographs came, and fewer may wait in all (--queue). Send fewer at once."
            ) from error
        except BusyError as error:
            raise busy() from error
        except StoppedError as error:
            raise HTTPException(503, str(error)) from error

    async def _answers(self, waiting: Sequence[Future[Answer]]) -> list[Answer]:
        wrapped = [asyncio.wrap_future(answer) for answer in waiting]
        _, late = await asyncio.wait(wrapped, timeout=self._limits.seconds)
        if late:
            self._metrics.images.labels("late").inc(len(late))
            raise HTTPException(504, f"There was no mask within {self._limits.seconds:g} s. Send it again later.")
        answers = [answer.result() for answer in wrapped]
        if refused := [answer.error for answer in answers if not answer.was_tried]:
            raise HTTPException(503, refused[0])
        for answer in answers:
            self._metrics.images.labels("failed" if answer.error else "done").inc()
        return answers

    def _response(self, kind: str, uploads: list[Upload], answers: list[Answer], with_masks: bool) -> Response:
        pairs = list(zip(uploads, answers, strict=True))
        if kind == JSON:
            status = 422 if all(answer.error for answer in answers) else 200
            return JSONResponse(as_json(pairs, self._model, self._classes, with_masks=with_masks), status)
        if kind == PNG:
            mask, headers = as_png(answers[0])
            return Response(mask, media_type=PNG, headers=headers)
        return Response(
            as_zip(pairs), media_type=ZIP, headers={"Content-Disposition": 'attachment; filename="masks.zip"'}
        )

    def health(self) -> Response:
        """Answer whether masks are made: 200, or 503 with the reason."""
        is_ready = self._engine.is_ready
        found: dict[str, Any] = {"ready": is_ready, "waiting": self._engine.waiting, "model": self._model}
        if self._engine.failure is not None:
            found["error"] = str(self._engine.failure)
        return JSONResponse(found, 200 if is_ready else 503)


def create_app(engine: Engine, opened: Opened, limits: Limits, metrics: Metrics) -> FastAPI:
    """Return the app; the engine is finished and closed at its end."""
    service = Service(engine, opened, limits, metrics)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(engine.close)  # while a second signal is still heard

    app = FastAPI(
        title="seglab", version=__version__, summary=SUMMARY, docs_url=None, redoc_url=None, lifespan=lifespan
    )

    @app.middleware("http")
    async def counted(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            response = await call(request)
        except Exception:
            metrics.requests.labels("500").inc()
            raise
        response.headers.setdefault("Cache-Control", "no-store")
        metrics.requests.labels(str(response.status_code)).inc()
        return response

    @app.post("/v1/masks", responses=RESPONSES, openapi_extra=BODY, summary="Masks of photographs")
    async def masks(
        request: Request,
        mask: Annotated[bool, Query(description="In JSON: with each mask as base64 of a PNG.")] = False,
    ) -> Response:
        return await service.masks(request, with_masks=mask)

    @app.get("/health", summary="Whether masks are made")
    async def health() -> Response:
        return service.health()

    @app.get("/metrics", summary="Counts and times for Prometheus")
    async def measured() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/style.css", include_in_schema=False)
    async def styled() -> Response:
        return Response(style(), media_type="text/css; charset=utf-8")

    for path, (name, kind) in STATIC.items():
        app.add_api_route(path, _file(name, kind), include_in_schema=False)
    return app


def _file(name: str, kind: str) -> Callable[[], Awaitable[Response]]:
    content = (files("batch.service") / "static" / name).read_bytes()

    async def answer() -> Response:
        return Response(content, media_type=kind)

    return answer
