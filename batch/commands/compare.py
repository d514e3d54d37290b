"""``seg-batch compare``: what another model or other settings change, from two outputs of the same images."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from batch.errors import printable
from batch.ledger.images import Image, Images
from batch.ledger.reader import LedgerReader
from batch.outputs.reading import StoredMasks, output_of, reading
from batch.reporting.comparison import Comparison, Side
from batch.reporting.image_pairs import Pair, Pairs
from batch.reporting.makers import Makers
from batch.reporting.mask_change import Change, Found, Unusable, change_of
from batch.reporting.pages.page_file import COMPARISON, require_page, write_page
from batch.reporting.table_file import NUMBER, SHARE, TEXT, Row, Table
from batch.sources.ahead import map_ahead
from seglab.errors import DataError

COMPARE_TABLE = Table(
    {
        "path_a": TEXT, "path_b": TEXT, "outcome": TEXT, "dice": SHARE, "iou": SHARE, "gained": NUMBER, "lost": NUMBER,
        "reason": TEXT, "mask_a": TEXT, "mask_b": TEXT, "status_a": TEXT, "status_b": TEXT, "lesion_area_a": NUMBER,
        "lesion_area_b": NUMBER, "height_a": NUMBER, "width_a": NUMBER, "height_b": NUMBER, "width_b": NUMBER,
        "bytes_a": NUMBER, "bytes_b": NUMBER,
    },
    "a comparison",
)  # fmt: skip
"""One row per image, those of A first, in the order found. ``reason``: why masks were not compared."""


@dataclass(frozen=True)
class _Opened:
    """One of the two outputs, opened for reading."""

    masks: StoredMasks
    ledger: LedgerReader

    def now(self, image: Image) -> Image:
        """Return an image with its current row, which a run may have changed."""
        return Images(self.ledger).at([image.path]).get(image.path, image)


def compare(
    out_a: Path,
    out_b: Path,
    *,
    table: Path | None = None,
    worst: int = 10,
    page: Path | None = None,
    advance: Callable[[int], object] = lambda total: None,
) -> Comparison:
    """Compare the masks of two outputs image by image, write a row per image to ``table``, and the ``page`` of the
    comparison.

    Neither output is changed. ``worst``: how many images are named, those whose masks differ most. ``advance`` is
    called after each image of A with their number. Raises :class:`batch.errors.OutputError` if there is no ledger or
    a file cannot be written, and :class:`DataError` if no image is in both.
    """
    if table is not None:
        COMPARE_TABLE.require_writable(table)
    if page is not None:
        require_page(page, COMPARISON)
    with reading(output_of(out_a)) as opened_a, reading(output_of(out_b)) as opened_b:
        a, b = _Opened(*opened_a), _Opened(*opened_b)
        report = Comparison(Side(out_a, a.ledger.last_run()), Side(out_b, b.ledger.last_run()), worst)
        for out, side in ((out_a, a), (out_b, b)):
            _require_lesion_or_not(out, side.ledger)
        pairs = Pairs(Images(a.ledger), Images(b.ledger))
        if not pairs.has_any:
            raise DataError(_nothing_in_common(a, b))
        report.notes = pairs.notes + _mixed("A", a) + _mixed("B", b)
        rows = _rows(pairs, a, b, report, advance)
        if table is None:
            deque(rows, maxlen=0)
        else:
            COMPARE_TABLE.write(rows, table)
        if page is not None:
            _write_page(page, report, a, b)
    return report


def _write_page(path: Path, report: Comparison, a: _Opened, b: _Opened) -> None:
    from batch.reporting.pages.compare_page import compare_page  # with OpenCV

    write_page(path, compare_page(report, (a.masks, a.ledger), (b.masks, b.ledger)), COMPARISON)


def _require_lesion_or_not(out: Path, ledger: LedgerReader) -> None:
    """Raise :class:`DataError` if the masks are now label maps."""
    if len(Makers.of(ledger).class_names()) > 1:
        raise DataError(
            f"{printable(str(out))} holds label maps of several classes; expected masks of one class. Compare outputs "
            "of models of one class."
        )


def _rows(pairs: Pairs, a: _Opened, b: _Opened, report: Comparison, advance: Callable[[int], object]) -> Iterator[Row]:
    total = Images(a.ledger).count()
    for pair, found in map_ahead(lambda pair: _found(pair, a, b), pairs):
        first, second = pair
        if isinstance(found, Unusable) and first is not None and second is not None:
            first, second = a.now(first), b.now(second)
            found = _found((first, second), a, b)
        outcome = report.add(first, second, found)
        if first is not None:
            advance(total)
        yield _row(first, second, outcome, found)


def _found(pair: Pair, a: _Opened, b: _Opened) -> Found | None:
    """Compare the masks of an image; None if it is not done in both."""
    first, second = pair
    if first is None or second is None or first.entry is None or second.entry is None:
        return None
    return change_of((a.masks, first.entry), (b.masks, second.entry))


def _row(first: Image | None, second: Image | None, outcome: str, found: Found | None) -> Row:
    row: Row = {"outcome": outcome, **_side("a", first), **_side("b", second)}
    if isinstance(found, Change):
        return row | {"dice": found.dice, "iou": found.iou, "gained": found.gained, "lost": found.lost}
    reasons = [f"{name}: {image.error}" for name, image in (("A", first), ("B", second)) if image and image.error]
    return row | {"reason": str(found) if found is not None else "; ".join(reasons) or None}


def _side(name: str, image: Image | None) -> Row:
    if image is None:
        return {}
    row: Row = {"path": image.path, "status": image.status, "bytes": image.bytes}
    if (entry := image.entry) is not None:
        row |= {"mask": entry.mask, "lesion_area": entry.lesion_area, "height": entry.height, "width": entry.width}
    return {f"{column}_{name}": value for column, value in row.items()}


def _mixed(name: str, opened: _Opened) -> list[str]:
    return [f"{name}: {warning}" for warning in Makers.of(opened.ledger).warnings()]


def _nothing_in_common(a: _Opened, b: _Opened) -> str:
    examples = [next((page[0].path for page in Images(opened.ledger).pages()), None) for opened in (a, b)]
    in_a, in_b = (printable(path) if path else "none" for path in examples)
    return (
        f"No image of A is in B (the first of A: {in_a}; of B: {in_b}); expected two outputs of the same images. Check "
        "the two paths."
    )
