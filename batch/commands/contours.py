"""Write masks as COCO annotations, for annotation tools and detection frameworks: as run lengths, or as polygons.

In label maps, each class but the background is a category, and each class in an image is one annotation.

Run lengths are exact. Polygons run along the edges of pixels, so they rasterise to the same mask except for its holes,
which polygons cannot have. Source: COCO data format, section "Object Detection"; run lengths by pycocotools.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from batch.errors import OutputError, cannot_write, encodable
from batch.ledger.reader import DoneEntry, LedgerReader
from batch.ledger.records import LESION
from batch.outputs.reading import StoredMasks, output_of, reading, stored_mask
from batch.reporting.coco_names import FileNames
from batch.reporting.makers import Makers
from batch.reporting.result_file import begins_with, require_replaceable
from batch.sources.ahead import map_ahead
from export.runtime.masks import bbox_of
from seglab.data.finding.found import OUR_OUTLINES
from seglab.errors import ConfigError, SeglabError
from seglab.files import replacing
from seglab.images.mask_values import levels
from seglab.words import counted

SUPERCATEGORY = "skin"
BEGIN = f'{{"info": {{"description": "{OUR_OUTLINES}"'
INSTALL = 'COCO run lengths need pycocotools, which is not installed. Install it with pip install "seglab[outputs]".'

Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class ContourReport:
    """How many images and annotations the file has: one annotation for each mask that is not empty, in label maps one
    for each of the ``categories`` in it. ``warnings``: notes for the user.
    """

    images: int
    annotations: int
    warnings: tuple[str, ...] = ()
    categories: int = 1

    def line(self) -> str:
        """Return the report for a person."""
        if self.categories == 1:
            return f"{counted(self.images, 'image')}, {self.annotations:,} with a lesion"
        annotations = counted(self.annotations, "annotation")
        return f"{counted(self.images, 'image')}, {annotations} of {self.categories} classes"


def write_contours(
    out: Path | str, path: Path, *, polygons: bool = False, advance: Callable[[int], object] = lambda total: None
) -> ContourReport:
    """Write the masks of an output as one COCO JSON file, in which a file name is that of the mask's image.

    ``advance`` is called after each mask with the number of all masks. Raises :class:`OutputError` if there is no
    ledger, a mask cannot be read, masks have different classes, or the file cannot be written or is somebody else's;
    :class:`ConfigError` if pycocotools is missing, or the name does not end in .json.
    """
    require_coco(path)
    annotations = 0
    with reading(output_of(out)) as (store, ledger), ledger.snapshot():
        makers = Makers.of(ledger)
        done, class_names = makers.done, makers.class_names()
        categories = categories_of(class_names)
        parts = _Parts(store, len(class_names), polygons)
        try:
            with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
                file.write(f'{{"info": {json.dumps(_info(makers))}, "images": [')
                file.writelines(_separated(_images(ledger)))
                file.write(f'\n], "categories": {json.dumps(categories)}, "annotations": [')
                for text in _separated(_annotations(ledger, parts, lambda: advance(done))):
                    file.write(text)
                    annotations += 1
                file.write("\n]}\n")
        except OSError as error:
            raise cannot_write(str(path), error) from error
    return ContourReport(done, annotations, tuple(makers.warnings()), len(categories))


def require_coco(path: Path) -> None:
    """Raise :class:`ConfigError` if pycocotools is missing or ``path`` does not end in .json, and :class:`OutputError`
    if it would replace somebody else's file.
    """
    require_replaceable(path, (".json",), "a file of contours", begins_with(BEGIN))
    try:
        import pycocotools.mask  # noqa: F401
    except ImportError as error:
        raise ConfigError(INSTALL) from error


def categories_of(class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return COCO's categories: lesion, or the classes with their numbers in label maps."""
    numbered = enumerate(class_names[1:] or LESION, 1)
    return [{"id": number, "name": name, "supercategory": SUPERCATEGORY} for number, name in numbered]


def run_lengths(mask: Mask) -> dict[str, Any]:
    """Return a mask ``(H, W)``, 0 or 255, as COCO run lengths: ``size`` (H, W) and ``counts``, as text."""
    from pycocotools import mask as coco

    found = coco.encode(np.asfortranarray(mask >> 7))
    return {"size": [int(side) for side in found["size"]], "counts": found["counts"].decode("ascii")}


def outlines(mask: Mask) -> list[list[float]]:
    """Return the outlines of a mask's regions, each ``[x0, y0, x1, y1, ...]``, in pixels whose edges are whole numbers.

    OpenCV's contours go through the centres of pixels. In a mask of twice the size they go a quarter pixel inside the
    edge, and every rasteriser fills the same pixels again.
    """
    x0, y0, width, height = cv2.boundingRect(mask)
    part = mask[y0 : y0 + height, x0 : x0 + width]
    doubled = cv2.resize(part, (2 * width, 2 * height), interpolation=cv2.INTER_NEAREST)
    found, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [((contour.reshape(-1, 2) + 0.5) / 2 + (x0, y0)).ravel().tolist() for contour in found]


def _info(makers: Makers) -> dict[str, Any]:
    """Return what the file says about itself; without paths, because it is passed on."""
    return {
        "description": OUR_OUTLINES,
        "models": [
            {"key": maker.key, "sha256": maker.run and maker.run.model_sha256, "images": maker.done}
            for maker in makers.all
        ],
    }


def _images(ledger: LedgerReader) -> Iterator[dict[str, Any]]:
    names = FileNames(ledger)
    for entry in ledger.done_entries():
        name = encodable(names.of(entry))
        yield {"id": entry.id, "file_name": name, "height": entry.height, "width": entry.width}


class _Parts:
    """The parts of masks for annotations: one for a lesion, or one for each class in a label map."""

    def __init__(self, store: StoredMasks, classes: int, polygons: bool) -> None:
        self.are_labels = classes > 1
        self._store, self._classes, self._polygons = store, classes, polygons

    def of(self, entry: DoneEntry) -> list[dict[str, Any]]:
        """Return the parts of a mask. Raises :class:`OutputError` if it cannot be read."""
        if entry.bbox is None:
            return []
        try:
            mask = stored_mask(self._store, entry.mask, self._classes)
        except SeglabError as error:
            raise OutputError(
                f"{self._store.where(entry.mask)}: {error} Run `seg-batch verify --redo`, then run again to remake it."
            ) from error
        if not self.are_labels:
            return [self._part(1, mask, entry.lesion_area, entry.bbox)]
        return [self._of_class(mask, number) for number in levels(mask)[0].tolist() if number]

    def _of_class(self, labels: Mask, number: int) -> dict[str, Any]:
        mask = np.asarray(cv2.inRange(labels, number, number), np.uint8)  # (H, W), 0 or 255
        return self._part(number, mask, int(cv2.countNonZero(mask)), bbox_of(mask))

    def _part(self, category: int, mask: Mask, area: int, box: tuple[int, int, int, int]) -> dict[str, Any]:
        x0, y0, x1, y1 = box
        return {
            "category_id": category,
            "segmentation": outlines(mask) if self._polygons else run_lengths(mask),
            "area": area,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "iscrowd": 0 if self._polygons else 1,
        }


def _annotations(ledger: LedgerReader, parts: _Parts, advance: Callable[[], object]) -> Iterator[dict[str, Any]]:
    numbers = itertools.count(1)
    for entry, found in map_ahead(parts.of, ledger.done_entries()):
        advance()
        for part in found:
            yield {"id": next(numbers) if parts.are_labels else entry.id, "image_id": entry.id, **part}


def _separated(entries: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Yield the entries of a JSON list as text."""
    separator = "\n"
    for entry in entries:
        yield separator + json.dumps(entry, separators=(",", ":"))
        separator = ",\n"
