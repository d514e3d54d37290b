"""The files that runs made of an image: mask, overlay, probability map. Files that were changed since are kept."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.errors import OutputError, cannot_write, printable
from batch.ledger.forgetting import ChosenImage, Forgetting
from batch.ledger.reader import DoneEntry
from batch.naming import overlay_path
from batch.output_mark import owner_of
from batch.outputs.base import CHANGED, Store
from batch.outputs.leftovers import remove_leftovers
from batch.outputs.probabilities import ProbFiles
from batch.outputs.spec import Output
from batch.reporting.as_written import why_changed

MASKS, OVERLAYS, MAPS = "masks", "overlays", "probability maps"
UNRECORDED = (
    "no record says that a run made it, because a run was killed. Run again or remove it, then forget the image"
)
FOREIGN = (
    "no record says that a run made it: it is somebody else's, or was edited. Move it away or remove it, then forget "
    "the image"
)
LEADS_OUT = "its name leads out of the output"


class KeptError(Exception):
    """A file that is kept, with the reason: it may be somebody else's, or cannot be removed."""


@dataclass(frozen=True)
class Pictures:
    """A folder of pictures beside the masks. ``what``: :data:`OVERLAYS` or :data:`MAPS`; ``where``: returns the file of
    a mask.
    """

    what: str
    folder: Path
    where: Callable[[str], Path]


@dataclass(frozen=True)
class MadeFiles:
    """The files of one output, which is locked. ``classes``: of the models, by key."""

    output: Output
    store: Store
    pictures: Sequence[Pictures]
    classes: Mapping[str | None, int]

    def remove(self, image: ChosenImage) -> Iterator[str]:
        """Remove what runs made of an image; yield for each file :data:`MASKS`, :data:`OVERLAYS` or :data:`MAPS`.

        Raises :class:`KeptError` for a file that is kept; the image's remaining files are then kept, too.
        """
        mask = image.entry.mask
        if mask.startswith("/") or ".." in mask.split("/"):
            raise KeptError(f"{printable(mask)}: {LEADS_OUT}")
        was_made = image.entry.sha256 is not None or image.is_done
        why_not = None if was_made else UNRECORDED if image.status == "pending" else FOREIGN
        if self._remove_mask(image, why_not):
            yield MASKS
        for pictures in self.pictures:
            if self._remove_picture(pictures, mask, why_not):
                yield pictures.what

    def remove_leftovers(self, images: Iterable[ChosenImage]) -> None:
        """Remove temporary files that killed runs left for these images."""
        masks = [image.entry.mask for image in images]
        for folder in filter(None, (self.output.folder, *(pictures.folder for pictures in self.pictures))):
            remove_leftovers(folder, masks)

    def _remove_mask(self, image: ChosenImage, why_not: str | None) -> bool:
        mask, where = image.entry.mask, self.store.where(image.entry.mask)
        data = self._read(mask)
        if data is None:
            return False
        if not self.output.is_archive:
            reason = why_not or (_why_not_ours(data, image, self.classes) if data else None)
            if reason is not None:
                raise KeptError(f"{printable(where)}: {reason}")
        try:
            self.store.remove(mask)
        except OSError as error:
            raise _cannot_remove(where, error) from error
        if self._read(mask) is not None:
            raise KeptError(f"{printable(where)} cannot be removed; check the permissions of its folder")
        if self.output.folder is not None:
            _remove_empty(self.output.folder, mask)
        return True

    def _read(self, mask: str) -> bytes | None:
        try:
            return self.store.read(mask)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise KeptError(f"{printable(self.store.where(mask))}: {error.strerror or error}") from error

    def _remove_picture(self, pictures: Pictures, mask: str, why_not: str | None) -> bool:
        path = pictures.where(mask)
        if not os.path.lexists(path):
            return False
        if why_not is not None:
            raise KeptError(f"{printable(str(path))}: {why_not}")
        try:
            path.unlink()
        except OSError as error:
            raise _cannot_remove(str(path), error) from error
        _remove_empty(pictures.folder, mask)
        return True


@contextlib.contextmanager
def made_files(output: Output, pictures: Sequence[Pictures], classes: Mapping[str | None, int]) -> Iterator[MadeFiles]:
    """Open the files of an output, which is locked, for removal; an archive is rewritten without them at the end.

    Raises :class:`OutputError` if they cannot be written.
    """
    try:
        with contextlib.closing(output.store()) as store:
            if output.is_archive:
                store.prepare([])
            yield MadeFiles(output, store, pictures, classes)
    except OSError as error:
        raise cannot_write(output.name, error) from error


def pictures_of(
    ledger: Forgetting,
    bases: Sequence[Path],
    overlays: Path | None,
    probs: Path | None,
    *,
    ignore_missing: bool = False,
) -> list[Pictures]:
    """Return the folders that runs wrote pictures to, recognised by their marks. ``overlays``, ``probs``: their present
    places, if not where the runs put them; ``bases``: folders to which relative names may refer.

    Raises :class:`OutputError` if one is not found, unless ``ignore_missing``.
    """
    found = [
        Pictures(OVERLAYS, folder, functools.partial(overlay_path, folder))
        for folder in _folders(ledger, "--overlays", overlays, bases, ignore_missing)
    ]
    for folder in _folders(ledger, "--probs", probs, bases, ignore_missing):
        kinds = sorted(ledger.used("probs_format"))
        found += [Pictures(MAPS, folder, ProbFiles(folder, kind).where) for kind in kinds]
    return found


def _folders(
    ledger: Forgetting, option: str, now: Path | None, bases: Sequence[Path], ignore_missing: bool
) -> list[Path]:
    named: set[Any] = ledger.used(option.removeprefix("--"))
    places = [[now]] if now is not None else [[base / name for base in bases] for name in sorted(named)]
    found: dict[Path, None] = {}
    for candidates in places:
        ours = [path for path in candidates if owner_of(path) == ledger.owner]
        if not (ours or ignore_missing):
            raise OutputError(_not_found(option, candidates[0]))
        found.update(dict.fromkeys(path.resolve() for path in ours))
    return list(found)


def _not_found(option: str, folder: Path) -> str:
    return (
        f"Runs wrote pictures to {printable(str(folder))} ({option}), where no folder with the mark of this output "
        f"exists. It may hold pictures of the images to forget. Give its present place with {option}, or, if it is "
        "gone for good, continue with --ignore-missing."
    )


def _why_not_ours(data: bytes, image: ChosenImage, classes: Mapping[str | None, int]) -> str | None:
    """Return why these bytes may not be the mask that a run wrote; None if they are."""
    entry: DoneEntry = image.entry
    if entry.sha256 is not None:
        is_ours = hashlib.sha256(data).hexdigest() == entry.sha256
        return None if is_ours else f"{CHANGED}. Move it away or remove it, then forget the image"
    return why_changed(data, entry, classes.get(entry.key, 1))


def _cannot_remove(where: str, error: OSError) -> KeptError:
    return KeptError(f"{printable(where)} cannot be removed: {error.strerror or error}")


def _remove_empty(root: Path, mask: str) -> None:
    """Remove the empty folders above a mask: their names may reveal as much as its own."""
    folder = posixpath.dirname(mask)
    while folder:
        try:
            os.rmdir(root / folder)
        except OSError:
            return
        folder = posixpath.dirname(folder)
