"""``seg-batch contours``: the masks of an output as one COCO file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from batch.formats.coco import require_coco, write_coco
from batch.formats.material import Material
from batch.formats.naming import names_of
from batch.outputs.reading import output_of, reading
from batch.reporting.makers import Makers
from batch.sources.by_path import Photographs
from seglab.words import counted


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
    """Write the masks of an output as one COCO JSON file, in which a file name is that of the mask's image,
    or its pseudonym if masks are named by pseudonyms.

    ``advance`` is called after each mask with the number of all masks. Raises :class:`OutputError` if there is no
    ledger, a mask cannot be read, masks have different classes, or the file cannot be written or is somebody else's;
    :class:`ConfigError` if pycocotools is missing, or the name does not end in .json.
    """
    require_coco(path)
    output = output_of(out)
    with reading(output) as (store, ledger), ledger.snapshot():
        makers = Makers.of(ledger)
        names = names_of(ledger, output.state)
        material = Material(store, ledger, makers, names, Photographs(), is_strict=True, advance=advance)
        images, annotations = write_coco(material, path, polygons=polygons)
        return ContourReport(images, annotations, tuple(makers.warnings()), len(material.classes))
