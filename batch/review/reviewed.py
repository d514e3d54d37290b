"""An output under review: its ledger, which a run may change meanwhile, its masks, and the decisions on them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from batch.errors import OutputError, printable
from batch.ledger.reader import LedgerReader
from batch.ledger.schema import encode, ledger_path
from batch.outputs.reading import masks_of, read_stored
from batch.outputs.spec import Output
from batch.pseudonyms import pseudonym_of
from batch.reporting.reasons import nameless_reason
from batch.reporting.same_photograph import require_same
from batch.review.decisions import VERDICTS, Action, Decision, Decisions, Standing, Verdict, standing_of
from batch.review.queue import Filters, Order, Page, Place, Queue, Reason, reasons_sql, why
from batch.sqlite_readonly import state_of
from seglab.errors import ImageError, SeglabError

AT_ONCE_SECONDS = 0.5
"""A ledger that is read faster is read again before the next answer; a slower one beside it."""
REST = 10
"""A large ledger that changes is read again after this many times the time that it took."""
NO_MASK = "This image has no mask, so there is nothing to accept or reject. Decide on images that are done."
NOT_RECORDED = (
    "The mask's file is not the one in the ledger: it was changed, or is being made again. Run `seg-batch verify`."
)
MADE_AGAIN = "The mask was made again since it was shown. Look at the new one, then decide."
MEANWHILE = "Somebody else decided on this image at this moment. Look at it again, then decide."


class StaleError(SeglabError):
    """A decision on a mask that is no longer there."""


@dataclass(frozen=True)
class Image:
    """An image as the ledger has it now; figures are None if it failed or they are not known. ``classes``: of its
    model. ``shown``: its name on the page, a pseudonym if masks are named so; ``error`` then names nothing, too.
    """

    row: int
    path: str
    mask: str
    status: str
    height: int | None
    width: int | None
    share: float | None
    confidence: float | None
    suitable: float | None
    reasons: list[Reason]
    error: str | None
    remark: str | None
    sha256: str | None
    classes: int
    shown: str

    @property
    def is_done(self) -> bool:
        """Return whether there is a mask."""
        return self.status == "done"


class _Snapshot:
    """A ledger that was opened, and its images in their orders. Calls must not overlap."""

    def __init__(self, output: Output) -> None:
        self.state = _state_of(output)
        begun = time.monotonic()
        self.ledger = LedgerReader(output.state)
        try:
            self.queue = Queue(self.ledger)
            self._classes = self.ledger.classes()
            self.is_nameless = self.ledger.is_pseudonymous
            newer = ("sha256", "remark", "suitable")
            sha256, remark, suitable = (name if self.ledger.has("items", name) else "NULL" for name in newer)
            self._columns = (
                "id, path, mask, status, height, width, lesion_fraction, confidence, "
                f"{suitable}, {reasons_sql(self.ledger)}, error, {remark}, {sha256}, key"
            )
        except BaseException:
            self.ledger.close()
            raise
        self.seconds = time.monotonic() - begun
        self.seen = 0  # the last decision that the verdicts of the queue contain

    def images(self, rows: Sequence[int]) -> dict[int, Image]:
        """Return the images in these rows that are still there."""
        numbers = ", ".join(str(int(row)) for row in rows)
        found = self.ledger.query(f"SELECT {self._columns} FROM items WHERE id IN ({numbers})")
        return {row[0]: self._image(row) for row in found}

    def _image(self, row: tuple[Any, ...]) -> Image:
        *values, reasons, error, remark, sha256, key = row
        _, shown, mask, *_ = row
        if self.is_nameless:
            error, shown, remark = error and nameless_reason(error, shown), pseudonym_of(mask), None
        return Image(*[*values, why(reasons), error, remark, sha256, self._classes.get(key, 1), shown])

    def learn(self, decisions: Decisions) -> None:
        """Bring the verdicts up to date."""
        last = decisions.last()
        if last == self.seen:
            return
        for row, _, _, standing in decided(decisions, self.ledger, self.seen):
            self.queue.judge(row, standing.verdict)
        self.seen = last


class Reviewed:
    """An output that is being reviewed, for any thread; a context manager. Raises :class:`OutputError` if it has no
    ledger, or its decisions cannot be kept.
    """

    def __init__(self, output: Output) -> None:
        self.output = output
        self.problem = ""
        with contextlib.ExitStack() as opened:
            self._snapshot = _Snapshot(output)
            opened.callback(self._snapshot.ledger.close)
            self.decisions = opened.enter_context(Decisions(output.state))
            self._masks = masks_of(output)
            opened.pop_all()
        self._forgotten = self.decisions.times_forgotten
        self._lock = threading.RLock()
        self._reading = threading.Lock()
        self._read_at = time.monotonic()

    def __enter__(self) -> Reviewed:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._masks.close()
            self.decisions.close()
            self._snapshot.ledger.close()

    def page(self, order: Order, filters: Filters, place: Place, size: int) -> tuple[Page, list[Image]]:
        """Return a page and its images. Images that were removed meanwhile are left out."""
        self._refresh()
        with self._lock:
            self._snapshot.learn(self.decisions)
            page = self._snapshot.queue.page(order, filters, place, size)
            found = self._snapshot.images(page.rows)
        return page, [found[row] for row in page.rows if row in found]

    def image(self, row: int) -> Image | None:
        """Return the image in a row of the ledger; None if there is none, or it is still to be done."""
        self._refresh()
        with self._lock:
            found = self._snapshot.images([row]).get(row)
        return None if found is None or found.status == "pending" else found

    @property
    def is_nameless(self) -> bool:
        """Return whether masks are named by pseudonyms, so that the page may name no image."""
        return self._snapshot.is_nameless

    def counts(self) -> dict[str, int]:
        """Return how many images are done and failed, and how many have a verdict."""
        with self._lock:
            self._snapshot.learn(self.decisions)
            queue = self._snapshot.queue
            return {"done": queue.done, "failed": queue.failed, "reviewed": queue.reviewed}

    def standings(self, images: Sequence[Image]) -> dict[int, Standing]:
        """Return what holds for images, by row."""
        known = self.decisions.of([image.path for image in images])
        return {image.row: standing_of(known.get(image.path, []), image.sha256) for image in images}

    def history(self, image: Image) -> list[Decision]:
        """Return all decisions on an image, also on earlier masks, the last one first."""
        return self.decisions.of([image.path]).get(image.path, [])[::-1]

    def decide(
        self, image: Image, seen: str | None, action: Action, reviewer: str, note: str = "", after: int | None = None
    ) -> None:
        """Add a decision on the mask whose file has the SHA-256 ``seen``, as the ledger had it; ``after``: the number
        of the last decision that the reviewer knows, 0 for none, None for any.

        Raises :class:`StaleError` if the image has another mask now, or none, or its file is not the recorded one, or
        somebody decided meanwhile.
        """
        if not image.is_done:
            raise StaleError(NO_MASK)
        if seen != image.sha256:
            raise StaleError(MADE_AGAIN)
        if action in VERDICTS:
            try:
                seen = hashlib.sha256(self.mask_file(image)).hexdigest()
            except ImageError as error:
                raise StaleError(str(error)) from error
        if not self.decisions.add(image.path, seen or self._sha256_of(image), action, reviewer, note, after):
            raise StaleError(MEANWHILE)

    def runs_setting(self, name: str) -> list[str]:
        """Return the values that a setting had in runs, the last run first."""
        with self._lock:
            texts = list(self._snapshot.ledger.query("SELECT settings FROM runs ORDER BY id DESC"))
        values = (json.loads(text or "{}").get(name) for (text,) in texts)
        return list(dict.fromkeys(str(value) for value in values if value))

    def owner(self) -> str | None:
        """Return what the marks in folders of this output say; None if the ledger does not know."""
        with self._lock:
            row = next(self._snapshot.ledger.query("SELECT value FROM meta WHERE key = 'owner'"), None)
        return None if row is None else str(row[0])

    def mask_file(self, image: Image) -> bytes:
        """Return the content of a mask's file. Raises :class:`ImageError` if it is missing, or not the recorded one."""
        data = read_stored(self._masks, image.mask)
        if image.sha256 is None or hashlib.sha256(data).hexdigest() == image.sha256:
            return data
        if self.output.is_archive:  # it may have been rewritten since it was opened
            with contextlib.closing(masks_of(self.output)) as masks:
                data = read_stored(masks, image.mask)
            if hashlib.sha256(data).hexdigest() == image.sha256:
                return data
        raise ImageError(NOT_RECORDED)

    def require_same(self, image: Image, photograph: bytes) -> None:
        """Raise :class:`ImageError` if these bytes are not of the photograph that the mask was made of."""
        if image.is_done:
            with self._lock:
                state = self._snapshot.ledger.states([image.row]).get(image.row)
            if state is not None:
                require_same(image.path, photograph, *state)

    def _sha256_of(self, image: Image) -> str | None:
        """Return the SHA-256 of a mask's file, for ledgers that do not keep it; None if it cannot be read."""
        try:
            return hashlib.sha256(self.mask_file(image)).hexdigest()
        except ImageError:
            return None

    def _refresh(self) -> None:
        """Read the ledger again if it changed: at once if that is quick or images were forgotten, else beside the
        answers. Raises :class:`OutputError` if it cannot be read after images were forgotten.
        """
        if (forgotten := self.decisions.times_forgotten) != self._forgotten:
            self._reading.acquire()
            self._read_again()
            if self.problem:
                raise OutputError(self.problem)
            self._forgotten = forgotten
            return
        took = self._snapshot.seconds
        is_quick = took < AT_ONCE_SECONDS
        if _state_of(self.output) == self._snapshot.state:
            return
        if not is_quick and time.monotonic() - self._read_at < REST * took:
            return
        if not self._reading.acquire(blocking=is_quick):
            return
        if is_quick:
            self._read_again()
        else:
            threading.Thread(target=self._read_again, daemon=True).start()

    def _read_again(self) -> None:
        """Replace the snapshot; the lock ``_reading`` is held, and released here."""
        try:
            if _state_of(self.output) != self._snapshot.state:
                fresh = _Snapshot(self.output)
                fresh.learn(self.decisions)
                with self._lock:
                    before, self._snapshot = self._snapshot, fresh
                    before.ledger.close()
            self.problem = ""
        except OutputError as error:
            self.problem = str(error)
        finally:
            self._read_at = time.monotonic()
            self._reading.release()


def decided(decisions: Decisions, ledger: LedgerReader, since: int = 0) -> Iterator[tuple[int, str, str, Standing]]:
    """Yield row, path, mask and standing of all done images with decisions after the number ``since``, by path."""
    sha256 = "sha256" if ledger.has("items", "sha256") else "NULL"
    for paths in decisions.changed_since(since):
        marks = ", ".join(["CAST(? AS TEXT)"] * len(paths))
        text = f"SELECT id, path, mask, {sha256} FROM items WHERE status = 'done' AND path IN ({marks}) ORDER BY path"
        rows = list(ledger.query(text, tuple(map(encode, paths))))
        known = decisions.of(paths)
        for row, path, mask, digest in rows:
            yield row, path, mask, standing_of(known.get(path, []), digest)


def rows_with(verdict: Verdict, output: Output, ledger: LedgerReader) -> frozenset[int]:
    """Return the rows of the images whose present masks have this verdict. Raises :class:`OutputError` if nobody has
    decided on any.
    """
    decisions = Decisions.present(output.state)
    if decisions is None:
        raise OutputError(
            f"Nobody has decided on masks of {printable(output.name)} yet. Review them first: seg-batch review OUT."
        )
    with decisions:
        return frozenset(row for row, _, _, standing in decided(decisions, ledger) if standing.verdict is verdict)


def _state_of(output: Output) -> object:
    return state_of(ledger_path(output.state))
