"""Masks as labelme's JSON files, one for each photograph, with outlines as polygons.

Polygons have no holes: a region with holes is cut along rows into pieces without holes, which share a group. Together
the polygons fill exactly the pixels of the mask. Source: labelme 6.3, ``_label_file.py`` and ``utils/shape.py``.
"""

from __future__ import annotations

import base64
import json
import posixpath
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from batch.errors import encodable
from batch.formats import MADE_BY
from batch.formats.files import ExportFolder
from batch.formats.material import Item, Material
from batch.formats.naming import with_suffix
from batch.formats.outlines import regions
from batch.formats.pictures import picture
from batch.formats.target import Target

VERSION = "6.3.1"
"""Of labelme, whose format this is."""


def write_labelme(material: Material, target: Target) -> int:
    """Write a JSON file for each mask, named after it; return how many."""
    classes, are_labels = material.classes, material.are_labels
    folder = ExportFolder(target.to, are_pseudonyms=target.are_pseudonyms)
    folder.prepare(keep_from_runs=False)

    def write(item: Item) -> None:
        content = {
            "made_by": MADE_BY,
            "version": VERSION,
            "flags": {},
            "shapes": list(shapes(item.mask, classes, are_labels=are_labels)),
            "imagePath": encodable(posixpath.basename(material.names.photograph(item.entry))),
            "imageData": base64.b64encode(picture(item)).decode("ascii") if target.with_images else None,
            "imageHeight": item.mask.shape[0],
            "imageWidth": item.mask.shape[1],
        }
        folder.write(with_suffix(material.names.mask(item.entry), ".json"), f"{json.dumps(content)}\n".encode())

    count = sum(1 for _ in material.each(write, with_photographs=target.with_images))
    folder.close()
    return count


def shapes(mask: NDArray[np.uint8], classes: list[tuple[int, str]], *, are_labels: bool) -> Iterator[dict[str, Any]]:
    """Yield labelme's shapes of a mask ``(H, W)``: a polygon for each region, several for a region with holes.

    ``are_labels``: the mask holds numbers of ``classes``, else it is 0 or 255.
    """
    groups = 0
    for number, name in classes:
        part = np.asarray(cv2.inRange(mask, number, number), np.uint8) if are_labels else mask
        for pieces in regions(part):
            groups += len(pieces) > 1
            for outline in pieces:
                yield {
                    "label": encodable(name),
                    "points": np.reshape(outline, (-1, 2)).tolist(),
                    "group_id": groups if len(pieces) > 1 else None,
                    "description": "",
                    "shape_type": "polygon",
                    "flags": {},
                    "mask": None,
                }
