"""Find the images that corrected masks belong to, by the names of the files."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from batch.errors import OutputError, printable
from batch.ledger.images import Images
from batch.ledger.reader import LedgerReader
from batch.naming import SUFFIX, clash_key
from batch.urls import is_url, path_part
from seglab.images.formats import IMAGE_SUFFIXES

AT_ONCE = 400
"""Names per query."""
NO_PNG = "it is not a PNG; save the mask as PNG"
UNKNOWN = "no image of this output has a mask, or a photograph, of this name"


def corrected_masks(folder: Path, ledger: LedgerReader, left: list[tuple[str, str]]) -> dict[str, tuple[str, Path]]:
    """Return mask name and file of each corrected mask (the PNG files below ``folder``) by its image's path.

    A file is named as the mask of its image, or as its photograph. To ``left``, name and reason are added of those that
    belong to no image. Raises :class:`OutputError` if there is no PNG.
    """
    if not folder.is_dir():
        raise OutputError(f"{printable(str(folder))} is not a folder; expected one with corrected masks (PNG).")
    files = [file for file in _files_below(folder) if _is_mask_file(file, left)]
    if not files:
        raise OutputError(f"There is no PNG in {printable(str(folder))}; expected corrected masks. Check --import.")
    names = {file: file.relative_to(folder).as_posix() for file in files}
    by_mask = _by_mask(ledger, names.values())
    by_stems = by_stem(ledger, {Path(name).stem for name in names.values()})
    found: dict[str, tuple[str, Path]] = {}
    for file, name in names.items():
        fitting = by_mask.get(clash_key(name), []) or _best(name, by_stems.get(clash_key(Path(name).stem), []))
        if len(fitting) != 1:
            paths = ", ".join(path for path, _ in fitting[:3])
            left.append((str(file), f"it fits several images ({paths}); name it as its mask" if paths else UNKNOWN))
            continue
        path, mask = fitting[0]
        if path in found:
            left.append((str(file), f"{found[path][1]} is of the same image"))
        else:
            found[path] = (mask, file)
    return found


def _files_below(folder: Path) -> Iterator[Path]:
    for above, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(above, name) for name in sorted(names) if not name.startswith("."))


def _is_mask_file(file: Path, left: list[tuple[str, str]]) -> bool:
    suffix = file.suffix.lower()
    if suffix in IMAGE_SUFFIXES and suffix != SUFFIX:
        left.append((str(file), NO_PNG))
    return suffix == SUFFIX


def _by_mask(ledger: LedgerReader, names: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    """Return the images whose masks have these names, by the name's key."""
    asked, images, found = list(names), Images(ledger), {}
    for begin in range(0, len(asked), AT_ONCE):
        for key, image in images.of_masks(asked[begin : begin + AT_ONCE]).items():
            found[key] = [(image.path, image.mask)]
    return found


def by_stem(ledger: LedgerReader, stems: set[str]) -> dict[str, list[tuple[str, str]]]:
    """Return the images whose photographs have these names without suffix, by the name's key."""
    keys, found = {clash_key(stem) for stem in stems}, defaultdict(list)
    for path, mask, _ in ledger.places():
        if (key := clash_key(stem_of(path))) in keys:
            found[key].append((path, mask))
    return found


def _best(name: str, images: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the images that a name fits: if it has folders, those whose masks lie in the same ones."""
    folder = str(PurePosixPath(name).parent)
    inside = [image for image in images if str(PurePosixPath(image[1]).parent) == folder]
    return inside if len(inside) == 1 else images


def stem_of(path: str) -> str:
    """Return the name of a photograph without its suffix."""
    return PurePosixPath(path_part(path) if is_url(path) else path).stem
