"""Masks as COCO annotations, for annotation tools and detection frameworks: as run lengths, or as polygons.

In label maps, each class but the background is a category, and each class in an image is one annotation.

Run lengths are exact. Polygons run along the edges of pixels, so they rasterise to the same mask except for its holes,
which polygons cannot have. Source: COCO data format, section "Object Detection"; run lengths by pycocotools.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from batch.errors import cannot_write, encodable
from batch.formats.material import Item, Material
from batch.formats.outlines import Mask, outlines
from batch.reporting.makers import Makers
from batch.reporting.result_file import begins_with, require_replaceable
from export.runtime.masks import bbox_of
from seglab.data.finding.found import OUR_OUTLINES
from seglab.errors import ConfigError
from seglab.files import replacing
from seglab.images.mask_values import levels

SUPERCATEGORY = "skin"
BEGIN = f'{{"info": {{"description": "{OUR_OUTLINES}"'
INSTALL = 'COCO run lengths need pycocotools, which is not installed. Install it with pip install "seglab[outputs]".'


def write_coco(material: Material, path: Path, *, polygons: bool = False) -> tuple[int, int]:
    """Write masks as one COCO JSON file; return how many images and annotations it has.

    Raises :class:`OutputError` if masks have different classes, or if the file cannot be written.
    """
    images = annotations = 0
    info, categories = _info(material.makers), categories_of(material.classes)
    try:
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.write(f'{{"info": {json.dumps(info)}, "categories": {json.dumps(categories)}, "annotations": [')
            for text in _separated(_annotations(material, polygons)):
                file.write(text)
                annotations += 1
            file.write('\n], "images": [')
            for text in _separated(_images(material)):
                file.write(text)
                images += 1
            file.write("\n]}\n")
    except OSError as error:
        raise cannot_write(str(path), error) from error
    return images, annotations


def require_coco(path: Path) -> None:
    """Raise :class:`ConfigError` if pycocotools is missing or ``path`` does not end in .json, and :class:`OutputError`
    if it would replace somebody else's file.
    """
    require_replaceable(path, (".json",), "a file of contours", begins_with(BEGIN))
    try:
        import pycocotools.mask  # noqa: F401
    except ImportError as error:
        raise ConfigError(INSTALL) from error


def categories_of(classes: Sequence[tuple[int, str]]) -> list[dict[str, Any]]:
    """Return COCO's categories: lesion, or the classes with their numbers in label maps."""
    return [{"id": number, "name": name, "supercategory": SUPERCATEGORY} for number, name in classes]


def run_lengths(mask: Mask) -> dict[str, Any]:
    """Return a mask ``(H, W)``, 0 or 255, as COCO run lengths: ``size`` (H, W) and ``counts``, as text."""
    from pycocotools import mask as coco

    found = coco.encode(np.asfortranarray(mask >> 7))
    return {"size": [int(side) for side in found["size"]], "counts": found["counts"].decode("ascii")}


def _info(makers: Makers) -> dict[str, Any]:
    """Return what the file says about itself; without paths, because it is passed on."""
    return {
        "description": OUR_OUTLINES,
        "models": [
            {"key": maker.key, "sha256": maker.run and maker.run.model_sha256, "images": maker.done}
            for maker in makers.all
        ],
    }


def _annotations(material: Material, polygons: bool) -> Iterator[dict[str, Any]]:
    numbers = itertools.count(1)
    parts = functools.partial(_parts, polygons=polygons, are_labels=material.are_labels)
    for entry, found in material.each(parts):
        image = material.names.number(entry)
        for part in found:
            yield {"id": next(numbers) if material.are_labels else image, "image_id": image, **part}


def _images(material: Material) -> Iterator[dict[str, Any]]:
    """Yield the images whose masks were read."""
    for entry in material.entries():
        if entry.mask not in material.left_out:
            name = encodable(material.names.photograph(entry))
            number = material.names.number(entry)
            yield {"id": number, "file_name": name, "height": entry.height, "width": entry.width}


def _parts(item: Item, *, polygons: bool, are_labels: bool) -> list[dict[str, Any]]:
    """Return the parts of a mask for annotations: one for a lesion, or one for each class in a label map."""
    entry = item.entry
    if entry.bbox is None:
        return []
    if not are_labels:
        return [_part(1, item.mask, entry.lesion_area, entry.bbox, polygons)]
    return [_of_class(item.mask, number, polygons) for number in levels(item.mask)[0].tolist() if number]


def _of_class(labels: Mask, number: int, polygons: bool) -> dict[str, Any]:
    mask = np.asarray(cv2.inRange(labels, number, number), np.uint8)  # (H, W), 0 or 255
    return _part(number, mask, int(cv2.countNonZero(mask)), bbox_of(mask), polygons)


def _part(category: int, mask: Mask, area: int, box: tuple[int, int, int, int], polygons: bool) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    return {
        "category_id": category,
        "segmentation": outlines(mask) if polygons else run_lengths(mask),
        "area": area,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "iscrowd": 0 if polygons else 1,
    }


def _separated(entries: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Yield the entries of a JSON list as text."""
    separator = "\n"
    for entry in entries:
        yield separator + json.dumps(entry, separators=(",", ":"))
        separator = ",\n"
