"""All matrices by name, and the part of them that a quick run uses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from benchmarks.support.formats import bomb_cells, dicom_cells, jpeg_cells, other_cells, png_cells, tiff_cells
from benchmarks.support.formats.cells import Cell

MATRICES: dict[str, Callable[[], Iterator[Cell]]] = {
    "tiff": tiff_cells.cells,
    "png": png_cells.cells,
    "jpeg": jpeg_cells.cells,
    "dicom": dicom_cells.cells,
    "others": other_cells.cells,
    "bombs": bomb_cells.cells,
}
QUICK = 12
"""Cells per group in a quick run, evenly spread over the group."""


def all_cells(names: Sequence[str], most_of_a_group: int | None = None) -> list[Cell]:
    """Return the cells of matrices; ``most_of_a_group``: at most so many of each group, evenly spread."""
    groups: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for name in names:
        for cell in MATRICES[name]():
            groups[cell.matrix, cell.group].append(cell)
    return [cell for group in groups.values() for cell in _spread(group, most_of_a_group)]


def _spread(cells: list[Cell], most: int | None) -> list[Cell]:
    if most is None or len(cells) <= most:
        return cells
    return [cells[index * len(cells) // most] for index in range(most)]
