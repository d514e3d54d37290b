"""Take corrected masks in: with their photographs they become a training set, ``images/`` and ``masks/`` in a folder.

Nothing that exists is replaced, so the same import can be repeated, and another one added to the same folder.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from batch.errors import OutputError, cannot_write, printable
from batch.ledger.lock import locked
from batch.ledger.reader import DoneEntry, LedgerReader
from batch.naming import SUFFIX, clash_key
from batch.output_mark import is_marked, is_output
from batch.outputs.png import decode_mask, encode_mask
from batch.outputs.reading import StoredMasks, read_stored, reading, stored_mask
from batch.outputs.spec import Output
from batch.reporting.as_written import why_changed
from batch.reporting.same_photograph import require_same
from batch.review.corrected import by_stem, corrected_masks, stem_of
from batch.review.decisions import Decisions, Verdict
from batch.review.reviewed import decided
from batch.sources.by_path import Photographs
from batch.urls import is_url, path_part
from seglab.errors import ImageError, SeglabError
from seglab.files import safe_name, write_bytes
from seglab.images.formats import IMAGE_SUFFIXES
from seglab.images.masks import read_mask
from seglab.images.reader import read_photo
from seglab.words import counted

SHOWN = 20
ALIKE = 64
"""Pixels a side to which a JPEG may be reduced while its size is read."""
STILL_REJECTED = "it is still the mask that was rejected; correct it first"
LABELS = "it is a map of several classes, and a training set has masks of lesions"
NO_SUFFIX = "its photograph has no suffix of an image, so training would not find it"


@dataclass
class ImportReport:
    """What was taken: ``corrected`` and ``accepted`` masks. ``left``: name and reason of the others."""

    folder: Path
    corrected: int = 0
    accepted: int = 0
    left: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Return whether all masks were taken."""
        return not self.left

    def lines(self) -> Iterator[str]:
        """Yield the report for a person."""
        masks = f"{counted(self.corrected, 'corrected mask')} and {counted(self.accepted, 'accepted mask')}"
        yield f"{masks} taken, {len(self.left):,} not: {printable(str(self.folder))}"
        yield from (f"not taken: {printable(name)}: {printable(why)}" for name, why in self.left[:SHOWN])
        if len(self.left) > SHOWN:
            yield f"and {len(self.left) - SHOWN:,} more not taken"
        if self.corrected or self.accepted:
            yield f"train with it: seglab train --data {printable(str(self.folder))}"


@dataclass(frozen=True)
class Wanted:
    """A mask to take: ``path`` and ``mask`` of its image in the ledger. ``file``: the corrected mask; None: the mask of
    the output. ``name``: for messages. ``is_rejected``: whether the output's mask was rejected.
    """

    path: str
    mask: str
    classes: int
    name: str
    file: Path | None = None
    is_rejected: bool = False

    @property
    def stem(self) -> str:
        """Return the photograph's name without its suffix."""
        return stem_of(self.path)


def take_in(
    output: Output,
    corrected: Path | None,
    folder: Path,
    *,
    accepted: bool,
    advance: Callable[[int], object] = lambda total: None,
) -> ImportReport:
    """Write corrected masks (the PNG files below ``corrected``) and their photographs into ``folder``.

    ``accepted``: also the output's masks that were accepted. ``advance`` is called after each mask with the number of
    all. Raises :class:`OutputError` if there is no ledger, or the folder is not one for a training set.
    """
    _require_folder(folder, output)
    report = ImportReport(folder)
    with locked(folder), reading(output) as (store, ledger):
        wanted = _wanted(output, ledger, corrected, report, accepted=accepted)
        last = ledger.last_run()
        photographs = Photographs(None if last is None else last.settings.get("zip_encoding"))
        taking = _Taking(folder, store, ledger, _names(ledger, wanted), photographs)
        total = len(wanted) + len(report.left)
        for one, why in taking.take_all(wanted):
            advance(total)
            if why:
                report.left.append((one.name, why))
            elif one.file is None:
                report.accepted += 1
            else:
                report.corrected += 1
    return report


def _require_folder(folder: Path, output: Output) -> None:
    """Raise :class:`OutputError` for a folder that training would not read, or that is no folder."""
    ours = [*(path for path in (folder, *folder.absolute().parents) if is_marked(path) or is_output(path))]
    if ours:
        raise OutputError(
            f"The folder {printable(str(folder))} lies in {printable(str(ours[0]))}, which a run writes to; expected a "
            "place of its own for a training set. Name another folder with --to."
        )
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{printable(str(folder))} is a file; expected a folder, or none. Name another with --to.")


def _wanted(
    output: Output, ledger: LedgerReader, corrected: Path | None, report: ImportReport, *, accepted: bool
) -> list[Wanted]:
    verdicts: dict[str, Verdict] = {}
    masks: dict[str, str] = {}
    decisions = Decisions.present(output.state)
    if decisions is not None:
        with decisions:
            for _, path, mask, standing in decided(decisions, ledger):
                verdicts[path], masks[path] = standing.verdict, mask
    classes = ledger.classes()
    most = max(classes.values(), default=1)
    found = {} if corrected is None else corrected_masks(corrected, ledger, report.left)
    wanted = [
        Wanted(path, mask, most, str(file), file, verdicts.get(path) is Verdict.REJECTED)
        for path, (mask, file) in found.items()
    ]
    if accepted:
        yes = (path for path, verdict in verdicts.items() if verdict is Verdict.ACCEPTED and path not in found)
        wanted += [Wanted(path, masks[path], most, path) for path in yes]
    return wanted


def _names(ledger: LedgerReader, wanted: list[Wanted]) -> dict[str, str]:
    """Return the name, without suffix, of each image in the training set, by path: its own one if no other image of the
    output has it, so that the same image always gets the same name.
    """
    alike = Counter({key: len(images) for key, images in by_stem(ledger, {one.stem for one in wanted}).items()})
    return {
        one.path: safe_name(one.stem)
        if alike[clash_key(one.stem)] == 1
        else f"{safe_name(one.stem)}-{hashlib.sha256(one.path.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"
        for one in wanted
    }


class _Taking:
    """Checks masks and writes them, with their photographs, under the ``names`` of their paths."""

    def __init__(
        self, folder: Path, store: StoredMasks, ledger: LedgerReader, names: dict[str, str], photographs: Photographs
    ) -> None:
        self._images, self._masks = folder / "images", folder / "masks"
        self._store, self._ledger, self._names, self._photographs = store, ledger, names, photographs

    def take_all(self, wanted: list[Wanted]) -> Iterator[tuple[Wanted, str]]:
        """Yield each mask with the reason why it was not taken, or an empty text."""
        by_path = {one.path: one for one in wanted}
        for path, photograph in self._photographs.read_all(by_path):
            yield by_path[path], self._take(by_path[path], photograph)

    def _take(self, one: Wanted, photograph: bytes | ImageError) -> str:
        try:
            if isinstance(photograph, ImageError):
                raise ImageError(f"its photograph cannot be read: {photograph}") from photograph
            entry = self._ledger.done_entry(one.mask)
            if entry is not None:
                require_same(one.path, photograph, *self._ledger.states([entry.id])[entry.id])
            self._write(one, photograph, self._mask_for(one, entry, photograph))
        except SeglabError as error:
            if isinstance(error, OutputError):
                raise
            return str(error)
        return ""

    def _mask_for(self, one: Wanted, entry: DoneEntry | None, photograph: bytes) -> NDArray[np.uint8]:
        """Return the mask, uint8 ``(H, W)``, 0 or 255. Raises :class:`ImageError` with the reason against it."""
        if one.file is None:
            if one.classes > 1:
                raise ImageError(LABELS)
            if entry is None:
                raise ImageError("its mask is being made again; review the new one")
            data = read_stored(self._store, one.mask)
            if (reason := why_changed(data, entry)) is not None:
                raise ImageError(f"its mask is not the one that was accepted: {reason}; run `seg-batch verify --redo`")
            mask = decode_mask(data)
        else:
            mask = read_mask(one.file)
            if one.is_rejected and one.classes == 1 and self._is_as_stored(one, mask):
                raise ImageError(STILL_REJECTED)
        size = read_photo(photograph, at_least=ALIKE, any_dicom=True).size
        if mask.shape != size:
            (height, width), (tall, wide) = mask.shape, size
            raise ImageError(f"it is {width} x {height} pixels, its photograph {wide} x {tall}; save it at that size")
        return mask

    def _is_as_stored(self, one: Wanted, mask: NDArray[np.uint8]) -> bool:
        try:
            return bool(np.array_equal(stored_mask(self._store, one.mask), mask))
        except ImageError:
            return False

    def _write(self, one: Wanted, photograph: bytes, mask: NDArray[np.uint8]) -> None:
        suffix = PurePosixPath(path_part(one.path) if is_url(one.path) else one.path).suffix.lower()
        if suffix not in IMAGE_SUFFIXES:
            raise ImageError(NO_SUFFIX)
        name = self._names[one.path]
        files = {self._masks / f"{name}{SUFFIX}": encode_mask(mask), self._images / f"{name}{suffix}": photograph}
        for file, data in files.items():
            if os.path.lexists(file) and not _holds(file, data):
                raise ImageError(f"{file} exists with other content; remove it, or name another folder with --to")
        for file, data in files.items():
            try:
                if not file.exists():
                    write_bytes(file, data)
            except OSError as error:
                raise cannot_write(str(file), error) from error


def _holds(file: Path, data: bytes) -> bool:
    try:
        return file.read_bytes() == data
    except OSError:
        return False
