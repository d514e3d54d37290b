"""The names under which masks and photographs are handed on: their own, or pseudonyms."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from batch.ledger.reader import DoneEntry, LedgerReader
from batch.naming import SUFFIX
from batch.pseudonyms import key_of, pseudonym, pseudonym_of
from batch.reporting.coco_names import FileNames

PICTURE_SUFFIX = ".jpg"
"""Of photographs that are written again."""


class Names(Protocol):
    """Names below an exported folder, with ``/``; two images never share one."""

    def entries(self) -> Iterator[DoneEntry]:
        """Yield the images that are done, in an order that may be handed on."""

    def mask(self, entry: DoneEntry) -> str:
        """Return the name of a mask, which ends in ``.png``."""

    def photograph(self, entry: DoneEntry) -> str:
        """Return the name of a photograph."""

    def number(self, entry: DoneEntry) -> int:
        """Return the number of an image."""


class OwnNames:
    """Masks as they are named in the output; photographs as :class:`FileNames` names them."""

    def __init__(self, ledger: LedgerReader) -> None:
        self._ledger, self._photographs = ledger, FileNames(ledger)

    def entries(self) -> Iterator[DoneEntry]:
        """Yield the images that are done, in the order of the ledger."""
        return self._ledger.done_entries()

    def mask(self, entry: DoneEntry) -> str:
        """Return the name of a mask."""
        return entry.mask

    def photograph(self, entry: DoneEntry) -> str:
        """Return the name of a photograph, with its own suffix."""
        return self._photographs.of(entry)

    def number(self, entry: DoneEntry) -> int:
        """Return the number of the image's row in the ledger."""
        return entry.id


class Pseudonyms:
    """Names that tell nothing without the key. Order and numbers follow from the pseudonyms, since the order of the
    ledger is that of the names. ``of``: returns the pseudonym for the name of a mask.
    """

    def __init__(self, ledger: LedgerReader, of: Callable[[str], str]) -> None:
        self._ledger, self._of = ledger, of
        self._order = [row for _, row in sorted((self.of(entry), entry.id) for entry in ledger.done_entries())]
        self._numbers = {row: number for number, row in enumerate(self._order, 1)}

    def of(self, entry: DoneEntry) -> str:
        """Return the pseudonym of an image."""
        return self._of(entry.mask)

    def entries(self) -> Iterator[DoneEntry]:
        """Yield the images that are done, in the order of their pseudonyms."""
        return self._ledger.done_entries_of(self._order)

    def mask(self, entry: DoneEntry) -> str:
        """Return the name of a mask."""
        return self.of(entry) + SUFFIX

    def photograph(self, entry: DoneEntry) -> str:
        """Return the name of a photograph."""
        return self.of(entry) + PICTURE_SUFFIX

    def number(self, entry: DoneEntry) -> int:
        """Return the position of an image in the order of pseudonyms."""
        return self._numbers[entry.id]


def names_of(ledger: LedgerReader, state: Path, *, pseudonymise: bool = False) -> Names:
    """Return the names of an output's images, by pseudonyms if its masks are named so or if ``pseudonymise``.

    ``state``: the folder of the ledger, for the key. Raises :class:`OutputError` if the key cannot be read or written.
    """
    if ledger.is_pseudonymous:
        return Pseudonyms(ledger, pseudonym_of)
    if not pseudonymise:
        return OwnNames(ledger)
    key = key_of(state)
    return Pseudonyms(ledger, lambda mask: pseudonym(key, mask))


def with_suffix(name: str, suffix: str) -> str:
    """Return a mask's name with another suffix than ``.png``."""
    return posixpath.splitext(name)[0] + suffix
