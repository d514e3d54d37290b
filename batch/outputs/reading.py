"""Open an output for reading, its ledger and its masks, also while a run writes to it. Nothing is written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from batch.errors import OutputError, printable
from batch.ledger.reader import LedgerReader
from batch.outputs.archive_reader import ArchiveReader
from batch.outputs.spec import FRAMINGS, Output
from seglab.errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class StoredMasks(Protocol):
    """Masks by their names (with ``/``), read by any thread."""

    def read(self, mask: str) -> bytes:
        """Return the content of a mask's file. Raises :class:`OSError`, :class:`FileNotFoundError` if it is missing."""

    def where(self, mask: str) -> str:
        """Return the path or URL of a mask, for messages."""

    def names(self) -> Iterator[str]:
        """Yield the names of files that look like masks."""

    def close(self) -> None:
        """Release files and connections."""


def output_of(name: Path | str) -> Output:
    """Return the output for a name, see :meth:`Output.of`. Raises :class:`OutputError` if it cannot be read."""
    try:
        return Output.of(name)
    except OSError as error:
        raise OutputError(
            f"{printable(str(name))} cannot be read: {error.strerror or error}. Expected the output of a run that this "
            "user may read. Check the path, or ask its owner for permission."
        ) from error


def ledger_of(name: Path | str) -> LedgerReader:
    """Open the ledger of an output. Raises :class:`OutputError` if there is none."""
    return LedgerReader(output_of(name).state)


@contextlib.contextmanager
def reading(output: Output, *, in_place: bool = False) -> Iterator[tuple[StoredMasks, LedgerReader]]:
    """Yield an output's masks and its ledger. Raises :class:`OutputError` if there is none."""
    with LedgerReader(output.state, in_place=in_place) as ledger, contextlib.closing(masks_of(output)) as masks:
        yield masks, ledger


def masks_of(output: Output) -> StoredMasks:
    """Return the masks of an output, to be closed. Raises :class:`OutputError` if they cannot be read."""
    if not output.is_archive:
        return output.store()
    path = Path(output.name)
    return ArchiveReader(path, FRAMINGS[path.suffix.lower()](), output.state)


def read_stored(masks: StoredMasks, mask: str) -> bytes:
    """Return the content of a mask's file. Raises :class:`ImageError` with the reason if it cannot be read."""
    try:
        return masks.read(mask)
    except FileNotFoundError as error:
        raise ImageError("The mask is missing. Run again to make it.") from error
    except OSError as error:
        raise ImageError(f"The mask cannot be read: {error.strerror or error}. Check its permissions.") from error


def stored_mask(masks: StoredMasks, mask: str, classes: int = 1) -> NDArray[np.uint8]:
    """Return a mask, see :func:`batch.outputs.png.decode_mask`.

    Raises :class:`ImageError` with the reason if it cannot be read.
    """
    from batch.outputs.png import decode_mask

    return decode_mask(read_stored(masks, mask), classes)
