"""Parts of the ledger: what became of the images of a unit, in one Parquet file whose presence says that it is done."""

from __future__ import annotations

import builtins
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from batch.cluster.files.manifest import Entry
from batch.cluster.files.names import UnitName
from batch.cluster.files.place import Place
from batch.cluster.files.tables import (
    HEX_DIGITS,
    LIKE_THE_LAST,
    NEAR,
    VARIED,
    about_end,
    about_table,
    encode_table,
    read_table,
)
from batch.errors import OutputError, printable
from batch.figures import Figures, Finish

if TYPE_CHECKING:
    import pyarrow

FORMAT_VERSION = 1
SHA256_BYTES = 32
END_BYTES = 64 * 2**10
"""Holds the footer of a part, which grows with the columns and not with the rows."""
MOST_REASONS = 20
"""Reasons of failures that a summary counts; the rows have all of them."""
OTHER_REASONS = "other reasons"
COLUMNS = {
    "path": "string", "source": "string", "mask": "string", "status": "string", "error": "string", "bytes": "int64",
    "mtime_ns": "int64", "version": "string", "height": "int32", "width": "int32", "lesion_area": "int64",
    "bbox_x0": "int32", "bbox_y0": "int32", "bbox_x1": "int32", "bbox_y1": "int32", "confidence": "float32",
    "suitable": "float32", "seconds": "float32", "attempts": "int8", "remark": "string", "tar": "string",
    "offset": "int64", "size": "int64",
}  # fmt: skip
"""As in the ledger of a run (:mod:`batch.ledger.schema`), with the place of the mask: the name of its tar, and offset
and size in bytes of its content there; no tar if masks are files. ``sha256`` follows, as 32 bytes."""
MEASURED = (
    "height", "width", "lesion_area", "bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1", "confidence", "suitable",
)  # fmt: skip
CODINGS = {
    "path": LIKE_THE_LAST, "mask": LIKE_THE_LAST, "bytes": NEAR, "mtime_ns": NEAR, "version": HEX_DIGITS,
    "lesion_area": NEAR, "bbox_x0": NEAR, "bbox_y0": NEAR, "bbox_x1": NEAR, "bbox_y1": NEAR,
    "confidence": VARIED, "suitable": VARIED, "offset": NEAR, "size": NEAR, "sha256": VARIED,
}  # fmt: skip
SECONDS_DIGITS = 4
"""Decimals of ``seconds``: others tell nothing, and cost two bytes an image."""


class Row(NamedTuple):
    """An image of a unit that is done: the columns of a part, in their order."""

    path: str
    source: str
    mask: str
    status: str
    error: str | None
    bytes: int
    mtime_ns: int
    version: str | None
    height: int | None
    width: int | None
    lesion_area: int | None
    bbox_x0: int | None
    bbox_y0: int | None
    bbox_x1: int | None
    bbox_y1: int | None
    confidence: float | None
    suitable: float | None
    seconds: float
    attempts: int
    remark: str | None
    tar: str | None
    offset: int | None
    size: int | None
    sha256: builtins.bytes | None

    @property
    def is_done(self) -> bool:
        """Return whether the image has a mask."""
        return self.status == "done"


class DamagedPartError(OutputError):
    """A part of the ledger is not what a worker wrote."""


class Stored(NamedTuple):
    """Where a mask is: the name of its tar, offset and size in bytes."""

    tar: str | None
    offset: int | None
    size: int | None


NOWHERE = Stored(None, None, None)


def row_of(entry: Entry, finish: Finish, stored: Stored = NOWHERE) -> Row:
    """Return the row for an image and its outcome."""
    found = finish.figures
    size, mtime_ns = (finish.bytes, finish.mtime_ns) if finish.bytes >= 0 else (entry.bytes, entry.mtime_ns)
    values: dict[str, Any] = {
        "status": "failed" if found is None else "done",
        "error": finish.error,
        "bytes": size,
        "mtime_ns": mtime_ns,
        "version": finish.version or entry.version or None,
        "remark": finish.remark or None if found is not None else None,
        "sha256": bytes.fromhex(finish.sha256) if found is not None else None,
    }
    measured = dict(zip(MEASURED, _measured(found), strict=True))
    values |= {
        "seconds": round(finish.seconds, SECONDS_DIGITS),
        "attempts": finish.attempts,
        **measured,
        **stored._asdict(),
    }
    return Row(path=entry.path, source=entry.source, mask=entry.mask, **values)


def _measured(found: Figures | None) -> tuple[Any, ...]:
    if found is None:
        return (None,) * len(MEASURED)
    box = found.bbox or (None,) * 4
    return (found.height, found.width, found.lesion_area, *box, found.confidence, found.suitable)


@dataclass(frozen=True)
class Summary:
    """What a part says of its unit beside its rows. ``seconds``: from the first image to the last.

    ``began_at``, ``finished_at``: UTC, ISO 8601. ``reasons``: of failures, with their number.
    """

    unit: str
    attempt: str
    images: int
    done: int
    failed: int
    seconds: float
    began_at: str
    finished_at: str
    device: str
    precision: str
    host: str
    reasons: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    format_version: int = FORMAT_VERSION


def reasons_of(rows: Iterable[Row]) -> dict[str, int]:
    """Count the reasons of failures, the most frequent ones by themselves."""
    counts = Counter(row.error for row in rows if row.error is not None)
    found = {str(reason): count for reason, count in counts.most_common(MOST_REASONS)}
    if (rest := sum(counts.values()) - sum(found.values())) > 0:
        found[OTHER_REASONS] = rest
    return found


def encode_rows(rows: Sequence[Row], summary: Summary) -> bytes:
    """Return a part of the ledger as a file's content."""
    import pyarrow

    fields = [(name, getattr(pyarrow, kind)()) for name, kind in COLUMNS.items()]
    schema = pyarrow.schema([*fields, ("sha256", pyarrow.binary(SHA256_BYTES))])
    return encode_table(schema, rows, asdict(summary), CODINGS)


def read_summary(place: Place, unit: UnitName) -> Summary | None:
    """Return what the part of a unit says of it; None if the unit is not done. Raises as :func:`read_rows`.

    Only the end of the part is read: status asks thousands of parts.
    """
    import pyarrow

    try:
        about = about_end(place.read_end(unit.ledger, END_BYTES)) or about_end(place.read(unit.ledger))
    except FileNotFoundError:
        return None
    except (pyarrow.ArrowException, OSError) as error:
        raise _unusable(place, unit, "is damaged") from error
    if about is None:
        raise _unusable(place, unit, "is damaged")
    return _summary(place, unit, *about)


def read_rows(place: Place, unit: UnitName) -> tuple[Summary, list[Row]] | None:
    """Return what became of a unit's images; None if it is not done.

    Raises :class:`OutputError` for a part that is damaged or was written by a newer release.
    """
    table = _read(place, unit)
    if table is None:
        return None
    if tuple(table.column_names) != Row._fields:
        raise _unusable(place, unit, "has other columns")
    rows = [Row(*values) for values in zip(*(table[name].to_pylist() for name in Row._fields), strict=True)]
    return _summary(place, unit, about_table(table), table.num_rows), rows


def _read(place: Place, unit: UnitName) -> pyarrow.Table | None:
    import pyarrow

    try:
        return read_table(place.read(unit.ledger))
    except FileNotFoundError:
        return None
    except (pyarrow.ArrowException, OSError) as error:
        raise _unusable(place, unit, "is damaged") from error


def _summary(place: Place, unit: UnitName, about: dict[str, Any], images: int) -> Summary:
    if about.get("format_version", 0) > FORMAT_VERSION:
        raise OutputError(
            f"{printable(place.where(unit.ledger))} has format {about['format_version']}; this release knows up to "
            f"{FORMAT_VERSION}. Install the newer release that wrote it."
        )
    try:
        summary = Summary(**about)
    except TypeError as error:
        raise _unusable(place, unit, "was written by another program") from error
    if summary.unit != str(unit) or summary.images != images:
        raise _unusable(place, unit, "is not the part of this unit")
    return summary


def _unusable(place: Place, unit: UnitName, why: str) -> DamagedPartError:
    return DamagedPartError(
        f"{printable(place.where(unit.ledger))} {why}; expected the part that a worker of this release wrote. Let the "
        "next run do the unit again: `seg-batch cluster verify --redo`."
    )
