"""The folders that a run writes pictures to: separate from each other and from photographs, and marked as its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from batch.errors import OutputError, cannot_write, printable
from batch.ledger.writer import Ledger
from batch.output_mark import mark, owner_of
from batch.outputs.leftovers import files_of
from batch.outputs.spec import Output
from batch.settings import RunSettings
from seglab.errors import ConfigError
from seglab.images.formats import IMAGE_SUFFIXES

PICTURES = IMAGE_SUFFIXES | {".npy"}


def require_apart(settings: RunSettings, output: Output) -> None:
    """Raise :class:`ConfigError` if two kinds of pictures would go to one folder."""
    seen: dict[Path, str] = {}
    for option, folder in _folders(settings, output):
        if (other := seen.setdefault(folder.resolve(), option)) != option:
            raise ConfigError(
                f"{option} and {other} are one folder, {printable(str(folder))}; expected two, as their files have "
                f"the same names. Choose another folder for {option}."
            )


def require_free(settings: RunSettings, output: Output) -> None:
    """Raise :class:`OutputError` where pictures are in the way of an output that has no ledger yet."""
    for option, folder in _folders(settings, output):
        if option != "--out":
            _require_no_pictures(option, folder, owner_of(folder))


def take_possession(settings: RunSettings, output: Output, ledger: Ledger) -> None:
    """Mark the folders as those of this ledger's output, before anything is written.

    Raises :class:`OutputError` if one holds pictures that no run of this output made, or cannot be written.
    """
    for option, folder in _folders(settings, output):
        owner = owner_of(folder)
        if owner == ledger.owner:
            continue
        if option == "--out":
            _require_own_output(folder, owner, ledger)
        elif str(folder) not in ledger.used(option[2:]):
            _require_no_pictures(option, folder, owner)
        try:
            mark(folder, ledger.owner)
        except OSError as error:
            raise cannot_write(printable(str(folder)), error) from error


def _require_own_output(folder: Path, owner: str | None, ledger: Ledger) -> None:
    if owner is not None and not ledger.is_new:
        raise OutputError(
            f"The mark in {printable(str(folder))} belongs to another output than the ledger; expected both from one "
            "output. The ledger was replaced or copied: restore the right one, or choose another output."
        )


def _folders(settings: RunSettings, output: Output) -> Iterator[tuple[str, Path]]:
    for option, folder in (("--out", output.folder), ("--overlays", settings.overlays), ("--probs", settings.probs)):
        if folder is not None:
            yield option, folder


def _require_no_pictures(option: str, folder: Path, owner: str | None) -> None:
    found = next(files_of(folder, PICTURES), None)
    if found is not None:
        whose = "no run of this output made" if owner is None else "a run of another output made"
        raise OutputError(
            f"{option} {printable(str(folder))} holds {printable(found)}, which {whose}, and which might be "
            "overwritten; expected an empty folder, or the one that runs of this output wrote to. Choose another "
            "folder."
        )
