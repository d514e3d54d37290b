"""The paths that a user may mean by a typed name: as in the ledger, as named for a command, or as printed."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator

from batch.sources.lists.list_text import read_entries
from batch.sources.lists.stream import open_stream, unreadable, with_beginning
from batch.urls import canonical, is_url, public_url

ESCAPED = re.compile(rb"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|[nrt])")
LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def spellings(name: str) -> Iterator[str]:
    """Yield the image paths that a name may stand for, the most literal first."""
    seen = set()
    for text in (name, _unescaped(name)):
        for path in _paths(text):
            if path not in seen:
                seen.add(path)
                yield path


def _paths(name: str) -> Iterator[str]:
    yield name
    if is_url(name):
        with contextlib.suppress(ValueError):  # not a valid URL, so not an image
            yield public_url(canonical(name))
        return
    if "\0" in name:
        return
    path = os.path.abspath(name)
    yield path
    folder, base = os.path.split(path)
    yield os.path.join(os.path.realpath(folder), base)
    yield os.path.realpath(path)


def _unescaped(name: str) -> str:
    """Return a name with printed escapes, ``\\xNN`` and ``\\n``, converted back."""

    def byte(found: re.Match[bytes]) -> bytes:
        code = found[1]
        if code in LETTERS:
            return LETTERS[code]
        value = int(code[1:], 16)
        return bytes([value]) if code.startswith(b"x") else chr(value).encode("utf-8", "surrogatepass")

    return os.fsdecode(ESCAPED.sub(byte, os.fsencode(name)))


def names_in(lists: Iterable[str]) -> Iterator[str]:
    """Yield the entries of lists: paths, one per line or NUL-separated; ``-`` is standard input.

    Raises :class:`batch.errors.SourceError` for a list that cannot be read.
    """
    for name in lists:
        try:
            with contextlib.ExitStack() as stack:
                stream = open_stream(name) or stack.enter_context(open(name, "rb"))
                yield from (entry.text for entry in read_entries(*with_beginning(stream, name)))
        except OSError as error:
            raise unreadable(name, error) from error
