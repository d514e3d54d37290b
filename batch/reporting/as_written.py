"""Whether a mask's file is the one that a run wrote, as recorded in the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from batch.ledger.reader import DoneEntry
from batch.outputs.reading import StoredMasks, read_stored
from seglab.errors import DataError, ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def why_wrong(masks: StoredMasks, entry: DoneEntry, classes: Mapping[str | None, int]) -> str | None:
    """Return why a mask is not the one that was written; None if it is. ``classes``: of the models, by key."""
    try:
        return why_changed(read_stored(masks, entry.mask), entry, classes.get(entry.key, 1))
    except ImageError as error:
        return str(error)


def why_changed(data: bytes, entry: DoneEntry, classes: int = 1) -> str | None:
    """Return why these bytes are not the mask that was written; None if they are. The SHA-256 decides, or, for older
    ledgers, the figures.
    """
    if entry.sha256 is None:
        return _difference(data, entry, classes)
    if hashlib.sha256(data).hexdigest() == entry.sha256:
        return None
    return (
        f"changed since it was written: {_difference(data, entry, classes) or 'same size, area and box, other bytes'}"
    )


def _difference(data: bytes, entry: DoneEntry, classes: int) -> str | None:
    from batch.outputs.png import decode_mask

    try:
        return _measured(decode_mask(data, classes), entry)
    except (DataError, ImageError) as error:
        return str(error)


def _measured(mask: NDArray[np.uint8], entry: DoneEntry) -> str | None:
    """Compare a mask, uint8 ``(H, W)``, with the figures of the ledger; return the difference or None."""
    import cv2

    from export.runtime.masks import bbox_of

    if mask.shape != (entry.height, entry.width):
        return f"{mask.shape[0]}x{mask.shape[1]} pixels; the ledger says {entry.height}x{entry.width}"
    area = int(cv2.countNonZero(mask))
    if area != entry.lesion_area:
        return f"{area} lesion pixels; the ledger says {entry.lesion_area}"
    found = bbox_of(mask) if area else None
    if found != entry.bbox:
        return f"the lesion's box is {found}; the ledger says {entry.bbox}"
    return None
