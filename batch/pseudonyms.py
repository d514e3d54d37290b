"""Pseudonyms of images: 16 hexadecimal digits that tell nothing without the secret key of their output."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from batch.errors import OutputError, cannot_write, printable
from batch.naming import SUFFIX

KEY_NAME = "pseudonyms.key"
KEY_BYTES = 32
DIGITS = 16
"""Hexadecimal digits of a pseudonym: among a million, two are equal with a probability of 3 in 100 million."""
PSEUDONYMS = "{pseudonym}" + SUFFIX
"""What a ledger records as the template of its mask names if they are pseudonyms."""


class PseudonymNaming:
    """Names masks by pseudonyms of their images, all in one folder; see :class:`batch.naming.NameTemplate`."""

    text = PSEUDONYMS

    def __init__(self, key: bytes) -> None:
        self._key = key

    def best(self, relative: str) -> str:
        """Return the first candidate."""
        return pseudonym(self._key, relative) + SUFFIX

    def candidates(self, relative: str) -> Iterator[str]:
        """Yield names for an image at ``relative`` (with ``/``), best first, without end."""
        yield self.best(relative)
        for number in itertools.count(2):
            yield self.best(f"{relative}\0{number}")


def pseudonym(key: bytes, name: str) -> str:
    """Return the pseudonym for a name: its HMAC-SHA-256, cut to :data:`DIGITS`."""
    return hmac.new(key, name.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:DIGITS]


def pseudonym_of(mask: str) -> str:
    """Return the pseudonym of an image whose mask is named by it."""
    return mask.removesuffix(SUFFIX)


def key_of(state: Path) -> bytes:
    """Return the secret key of an output, kept beside its ledger so that later names are the same.

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
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
        except OSError:  # a file system without links
            if not path.exists():
                os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _not_a_key(path: Path) -> OutputError:
    return OutputError(
        f"{printable(str(path))} is not a key for pseudonyms; expected {2 * KEY_BYTES} hexadecimal digits. Copy "
        "it again from the output, or remove it: new names then are other ones."
    )
