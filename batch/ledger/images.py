"""Find the images of a ledger by path, source or mask, many at a time, for comparing two outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from batch.ledger.reader import DONE_COLUMNS, PAGE, DoneEntry, LedgerReader, done_entry_of
from batch.ledger.schema import encode
from batch.naming import clash_key


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a ledger: absolute ``path``, ``mask`` below the output (existing or not), ``status``, size in
    ``bytes`` (-1: unknown), ``error`` if it failed. ``entry``: the figures of its mask if it is done, else None.
    """

    path: str
    mask: str
    status: str
    bytes: int
    error: str | None
    entry: DoneEntry | None


class Images:
    """The images of an open ledger."""

    def __init__(self, ledger: LedgerReader) -> None:
        self._ledger = ledger
        sha256 = "sha256" if ledger.has("items", "sha256") else "NULL"
        self._columns = f"id, {DONE_COLUMNS}, {sha256}, status, bytes, error"

    def pages(self) -> Iterator[list[Image]]:
        """Yield all images in the order they were found, a page at a time; each page is read when it is needed."""
        text = f"SELECT {self._columns} FROM items WHERE id > ? ORDER BY id LIMIT {PAGE}"
        rows = list(self._ledger.query(text, (-1,)))
        while rows:
            yield list(map(_image, rows))
            rows = list(self._ledger.query(text, (rows[-1][0],)))

    def at(self, paths: Sequence[str]) -> dict[str, Image]:
        """Return the images with these paths, by path."""
        found = (_image(row) for row in self._where("path", paths))
        return {image.path: image for image in found}

    def of_masks(self, masks: Sequence[str]) -> dict[str, Image]:
        """Return the images with these mask names, by :func:`batch.naming.clash_key` of the name."""
        found = (_image(row) for row in self._where("mask_key", [clash_key(mask) for mask in masks]))
        return {clash_key(image.mask): image for image in found}

    def first_below(self, root: str, most: int) -> list[Image]:
        """Return the first images below a source's root, by path."""
        text = f"SELECT {self._columns} FROM items WHERE path >= CAST(? AS TEXT) AND path < CAST(? AS TEXT)"
        bounds = (encode(root + "/"), encode(root + "0"))
        return list(map(_image, self._ledger.query(f"{text} ORDER BY path LIMIT {int(most)}", bounds)))

    def roots(self) -> dict[str, str]:
        """Return the roots of sources and the folders of their masks; empty for a ledger of format 1."""
        if not self._ledger.has("sources"):
            return {}
        return dict(self._ledger.query("SELECT root, label FROM sources ORDER BY id"))

    def count(self) -> int:
        """Return the number of images."""
        return sum(self._ledger.counts().values())

    def _where(self, column: str, texts: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        marks = ", ".join(["CAST(? AS TEXT)"] * len(texts))
        return self._ledger.query(
            f"SELECT {self._columns} FROM items WHERE {column} IN ({marks})", tuple(map(encode, texts))
        )


def _image(row: tuple[Any, ...]) -> Image:
    *of_mask, status, size, error = row
    entry = done_entry_of(tuple(of_mask))
    return Image(entry.path, entry.mask, status, size, error, entry if status == "done" else None)
