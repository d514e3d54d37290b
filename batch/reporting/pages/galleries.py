"""Galleries of a page: masks on their photographs, with figures."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from batch.ledger.records import RunRecord
from batch.outputs.png import decode_mask
from batch.outputs.reading import StoredMasks, read_stored
from batch.reporting.pages.pictures import Drawing, Drawings, grouped, with_outlines
from batch.reporting.pages.selection import Gallery, Shown
from batch.reporting.pages.texts import percent, short_text
from batch.reporting.same_photograph import require_same
from seglab.errors import DataError, ImageError
from seglab.pages.page import Picture, Section

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COLOURS = ("cyan", "amber", "magenta", "green", "blue", "orange", "white")
"""Names of :data:`seglab.images.outlines.CLASS_COLOURS`."""
CLASSES_SHOWN = 12
NOT_SHOWN = "The photograph or the mask cannot be shown."


def gallery_sections(
    galleries: Sequence[Gallery],
    masks: StoredMasks,
    runs: Mapping[str | None, RunRecord],
    drawings: Drawings,
    shown: Callable[[str], str],
    *,
    is_nameless: bool = False,
) -> Iterator[Section]:
    """Yield a section for each gallery. ``runs``: by key; ``shown``: formats a path; ``is_nameless``: no reasons why a
    picture is missing, which may hold paths. Each photograph is read once.
    """
    entries = {entry.path: entry for entry in itertools.chain(*(gallery.masks for gallery in galleries))}
    pictures = drawings.of(_drawing(entry, masks, runs.get(entry.key)) for entry in entries.values())
    if is_nameless:
        pictures = without_reasons(pictures)
    colours = _colours(runs)
    for gallery in galleries:
        text = gallery.text + (colours if gallery is galleries[0] else "")
        reason = grouped(pictures, [entry.path for entry in gallery.masks])
        if reason:
            yield Section(gallery.title, f"{text} None of the {len(gallery.masks)} can be shown: {short_text(reason)}")
        else:
            yield Section(gallery.title, text, pictures=[_picture(entry, pictures, shown) for entry in gallery.masks])


def picture_of(found: bytes | str, alt: str, captions: Sequence[str]) -> Picture:
    """Return a picture, or the field for one that could not be drawn."""
    if isinstance(found, bytes):
        return Picture(found, alt, captions)
    return Picture(b"", alt, captions, missing=short_text(found))


def without_reasons(pictures: Mapping[str, bytes | str]) -> dict[str, bytes | str]:
    """Return pictures by path, with the same words for all that could not be drawn."""
    return {path: found if isinstance(found, bytes) else NOT_SHOWN for path, found in pictures.items()}


def _drawing(entry: Shown, masks: StoredMasks, run: RunRecord | None) -> Drawing:
    classes = 1 if run is None else len(run.class_names)

    def draw(photograph: bytes) -> bytes:
        require_same(entry.path, photograph, entry.bytes, entry.mtime_ns, entry.version)
        mask = _as_recorded(masks, entry, classes)
        return with_outlines(photograph, mask, are_labels=classes > 1)

    return Drawing(entry.path, entry.height * entry.width, draw)


def _as_recorded(masks: StoredMasks, entry: Shown, classes: int) -> NDArray[np.uint8]:
    """Return a mask, see :func:`batch.outputs.png.decode_mask`. Raises :class:`ImageError` if it was changed."""
    data = read_stored(masks, entry.mask)
    try:
        mask = decode_mask(data, classes)
        is_same = mask.shape == (entry.height, entry.width)
    except (DataError, ImageError):
        is_same = False
    if not is_same or entry.sha256 not in (None, hashlib.sha256(data).hexdigest()):
        raise ImageError("The mask is not the one that was written. Run `seg-batch verify`.")
    return mask


def _picture(entry: Shown, pictures: Mapping[str, bytes | str], shown: Callable[[str], str]) -> Picture:
    name = shown(entry.path)
    figures = [f"{percent(entry.lesion_fraction)} lesion"]
    if entry.confidence is not None:
        figures.append(f"confidence {entry.confidence:.2f}")
    if entry.suitable is not None:
        figures.append(f"suitable {entry.suitable:.2f}")
    return picture_of(pictures[entry.path], f"{name} with the outline of its mask", [name, ", ".join(figures)])


def _colours(runs: Mapping[str | None, RunRecord]) -> str:
    """Return a sentence on the colours of outlines."""
    named = max((run.class_names for run in runs.values()), key=len, default=("lesion",))
    if len(named) == 1:
        return " The outline of each mask is cyan."
    classes = [
        f"{name} {COLOURS[(number - 1) % len(COLOURS)]}" for number, name in enumerate(named[:CLASSES_SHOWN]) if number
    ]
    return f" Outlines by class: {', '.join(classes)}{', ...' if len(named) > CLASSES_SHOWN else ''}."
