"""The names under which masks and photographs are handed on: their own, or pseudonyms."""

from __future__ import annotations

import hashlib
import hmac
import os
import posixpath
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from batch.errors import OutputError, cannot_write, printable
from batch.ledger.reader import DoneEntry, LedgerReader
from batch.naming import SUFFIX
from batch.reporting.coco_names import FileNames

KEY_NAME = "pseudonyms.key"
KEY_BYTES = 32
DIGITS = 16
"""Hexadecimal digits of a pseudonym: among a million, two are equal with a probability of 3 in 100 million."""
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
    """Names that tell nothing without the key: HMAC-SHA-256 of a mask's name in its output. Order and numbers follow
    from the pseudonyms, since the order of the ledger is that of the names.
    """

    def __init__(self, ledger: LedgerReader, key: bytes) -> None:
        self._ledger, self._key = ledger, key
        self._order = [row for _, row in sorted((self.of(entry), entry.id) for entry in ledger.done_entries())]
        self._numbers = {row: number for number, row in enumerate(self._order, 1)}

    def of(self, entry: DoneEntry) -> str:
        """Return the pseudonym of an image."""
        text = entry.mask.encode("utf-8", "surrogateescape")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()[:DIGITS]

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


def key_of(state: Path) -> bytes:
    """Return the secret key of an output, kept beside its ledger so that later exports give the same pseudonyms.

    A new key is made if there is none. Raises :class:`OutputError` if it cannot be read or written.
    """
    path = state / KEY_NAME
    try:
        if not path.exists():
            _make_key(path)
        key = bytes.fromhex(path.read_text("ascii"))
    except ValueError as error:
        raise _not_a_key(path) from error
    except OSError as error:
        raise cannot_write(str(path), error) from error
    if len(key) != KEY_BYTES:
        raise _not_a_key(path)
    return key


def _make_key(path: Path) -> None:
    """Write a new key that only its owner can read; that of another process, if it was faster, stays."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_hex(KEY_BYTES))
        if not path.exists():
            os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)


def _not_a_key(path: Path) -> OutputError:
    return OutputError(
        f"{printable(str(path))} is not a key for pseudonyms; expected {2 * KEY_BYTES} hexadecimal digits. Copy "
        "it again from the output, or remove it: new exports then have other names."
    )


def with_suffix(name: str, suffix: str) -> str:
    """Return a mask's name with another suffix than ``.png``."""
    return posixpath.splitext(name)[0] + suffix
