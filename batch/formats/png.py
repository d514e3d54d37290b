"""Masks as PNG files, in the folders that CVAT calls "Segmentation mask 1.1".

A mask of a lesion is black and white in three channels: CVAT looks up the colours in labelmap.txt. A label map is grey:
CVAT takes its values for positions in labelmap.txt, which are the numbers of the classes. Source: Pascal VOC 2012,
development kit (SegmentationClass, ImageSets); the reader of the format in the library Datumaro, which CVAT uses.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from batch.errors import encodable
from batch.formats import MADE_BY
from batch.formats.files import ExportFolder
from batch.formats.material import Item, Material
from batch.formats.naming import with_suffix
from batch.formats.pictures import picture
from batch.formats.target import Target
from batch.outputs.png import with_text
from seglab.errors import ImageError

MASKS, PHOTOGRAPHS, LIST, LABELS = (
    "SegmentationClass",
    "JPEGImages",
    "ImageSets/Segmentation/default.txt",
    "labelmap.txt",
)
COMMENT = f"# {MADE_BY}\n"
LINE_BREAKS = frozenset("\r\n")
KEYWORD = "Software"


def write_png(material: Material, target: Target) -> int:
    """Write masks (and photographs, if asked) and the lists that name them; return how many masks."""
    class_names = material.class_names
    top, masks, photographs = (
        ExportFolder(folder, are_pseudonyms=target.are_pseudonyms)
        for folder in (target.to, target.to / MASKS, target.to / PHOTOGRAPHS)
    )
    for name in (LIST, LABELS):
        top.require(name)
    top.prepare(keep_from_runs=False)
    masks.prepare(keep_from_runs=True)
    if target.with_images:
        photographs.prepare(keep_from_runs=True)

    def write(item: Item) -> str:
        name = material.names.mask(item.entry)
        if LINE_BREAKS & set(name):
            raise ImageError(
                "Its name has a line break, which lists of images cannot hold; expected a name in one line. Rename the "
                "photograph, or export with --pseudonymise."
            )
        if name.startswith("#"):
            raise ImageError(
                "Its name begins with #, so readers of the list would take it for a comment; expected another name. "
                "Rename the photograph, or export with --pseudonymise."
            )
        if target.with_images:
            photographs.write(with_suffix(name, ".jpg"), picture(item))
        data = item.data if material.are_labels else in_colours(item.mask)
        masks.write(name, with_text(data, KEYWORD, MADE_BY))
        return with_suffix(name, "")

    names = sorted(name for _, name in material.each(write, with_photographs=target.with_images))
    top.write(LIST, _text("".join(f"{name}\n" for name in names)))
    top.write(LABELS, _text(label_map(class_names)))
    for folder in (top, masks, photographs):
        folder.close()
    return len(names)


def in_colours(mask: NDArray[np.uint8]) -> bytes:
    """Return a mask ``(H, W)``, 0 or 255, as a PNG of three equal channels."""
    how = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    _, encoded = cv2.imencode(".png", cv2.merge([mask, mask, mask]), how)
    return encoded.tobytes()


def label_map(class_names: Sequence[str]) -> str:
    """Return the lines of labelmap.txt: names of classes, and the colours by which masks show them."""
    if len(class_names) == 1:
        colours = [("background", 0), (class_names[0], 255)]
    else:
        colours = [(name, number) for number, name in enumerate(class_names)]
    plain = ((encodable(name).replace(":", "_").replace("\n", " "), value) for name, value in colours)
    return "# label:color_rgb:parts:actions\n" + "".join(f"{name}:{value},{value},{value}::\n" for name, value in plain)


def _text(lines: str) -> bytes:
    return (COMMENT + lines).encode("utf-8", "surrogateescape")
