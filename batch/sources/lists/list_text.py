"""The text of a list of files: its encoding, its separator, and which entries can be paths."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple

from batch.sources.lists.stream import read_some

CHUNK = 1 << 16
LONGEST = 4096
"""The longest path in bytes (PATH_MAX on Linux)."""
BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks; UTF-32's begins like UTF-16's, so it comes first."""
MOST, HARDLY_ANY = 0.6, 0.05
"""Share of zeros at every other byte that marks UTF-16. NUL separators are rarer and not at fixed places."""
CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
NO_TEXT = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Control characters that only occur in a list as part of a file name: not NUL, tab or line ends."""
COMMENT, QUOTES = "#", ('"', "'")


class Entry(NamedTuple):
    """An entry of a list; ``can_be_path``: whether it is short enough and without control characters, or exists."""

    text: str
    can_be_path: bool = True


def read_entries(stream: IO[bytes], beginning: bytes) -> Iterator[Entry]:
    """Yield the entries of a list that begins with ``beginning``, without comments and blank lines."""
    end, blocks = _separated(_as_utf8(stream, beginning))
    entry_of = _verbatim if end == b"\0" else _line
    rest = b""
    for block in blocks:
        *parts, rest = (rest + block).split(end)
        yield from filter(None, map(entry_of, parts))
        rest = rest[: LONGEST + 2]  # a longer entry is not a path; this bounds the memory
    yield from filter(None, [entry_of(rest)])


def is_binary(beginning: bytes) -> bool:
    """Return whether this is the beginning of binary data. Names of existing files may have any character."""
    if _encoding(beginning)[0] is not None:
        return False
    if b"\0\0" in beginning:
        return True
    entries = beginning.split(b"\0" if b"\0" in beginning else b"\n")
    odd = [entry for entry in entries if NO_TEXT.search(entry)]
    return bool(odd) and not any(map(os.path.lexists, odd))


def _encoding(beginning: bytes) -> tuple[str | None, int]:
    """Return the encoding of a list if it has a mark or is UTF-16 without one, and the mark's length in bytes."""
    for bom, name in BOMS:
        if beginning.startswith(bom):
            return name, len(bom)
    odd, even = beginning[1::2], beginning[::2]
    if len(odd) < 2 or os.path.lexists(beginning.partition(b"\0")[0]):
        return None, 0
    at_odd, at_even = odd.count(0) / len(odd), even.count(0) / len(even)
    if at_odd > MOST and at_even < HARDLY_ANY:
        return "utf-16-le", 0
    if at_even > MOST and at_odd < HARDLY_ANY:
        return "utf-16-be", 0
    return None, 0


def _as_utf8(stream: IO[bytes], beginning: bytes) -> Iterator[bytes]:
    """Yield the text in UTF-8, without its mark; text in an unknown encoding unchanged."""
    encoding, mark = _encoding(beginning)
    blocks = iter(lambda: read_some(stream, CHUNK), b"")
    if mark:
        stream.read(mark)
    if encoding in (None, "utf-8"):
        yield from blocks
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    for block in blocks:
        yield decoder.decode(block).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def _separated(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return what ends an entry (NUL if the first block has one, else LF, else CR), and all blocks."""
    first = b""
    for block in blocks:
        first += block
        if b"\0" in first or b"\n" in first or len(first) > LONGEST:
            break
    end = next((end for end in (b"\0", b"\n", b"\r") if end in first), b"\n")
    return end, _chained(first, blocks)


def _chained(first: bytes, blocks: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from blocks


def _verbatim(entry: bytes) -> Entry | None:
    return _checked(entry) if entry else None


def _line(line: bytes) -> Entry | None:
    """Return the entry of a line: verbatim if that path exists, else without quotes and blanks; None for a comment."""
    line = line.removesuffix(b"\r")
    text = os.fsdecode(line)
    if not text.startswith((COMMENT, *QUOTES)) and text.strip() == text:
        return _checked(line) if text else None
    if os.path.lexists(line):
        return Entry(text)
    text = text.strip()
    if not text or text.startswith(COMMENT):
        return None
    if len(text) > 2 and text[0] == text[-1] and text[0] in QUOTES:
        text = text[1:-1]
    return _checked(os.fsencode(text))


def _checked(entry: bytes) -> Entry:
    text = os.fsdecode(entry)
    return Entry(text, (len(entry) <= LONGEST and not CONTROL.search(entry)) or os.path.lexists(entry))
