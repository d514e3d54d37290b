"""The masks of a job, found by the rows of its ledger: in a tar, read once for all of its rows, or as files."""

from __future__ import annotations

import hashlib

from batch.cluster.files.names import MASKS
from batch.cluster.files.parts import Row
from batch.cluster.files.place import Place

MISSING, CHANGED = "it is missing", "it was changed or is damaged"


class StoredMasks:
    """The masks at a job's place. Rows of one tar should come together."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._tar: tuple[str, bytes | None] = ("", None)

    def read(self, row: Row) -> tuple[bytes, str]:
        """Return a mask, and what is wrong with it: an empty text if nothing is."""
        data = self._content(f"{MASKS}/{row.mask}") if row.tar is None else self._member(row.tar, row)
        if data is None:
            return b"", MISSING
        return data, "" if hashlib.sha256(data).digest() == row.sha256 else CHANGED

    def _member(self, tar: str, row: Row) -> bytes | None:
        if tar != self._tar[0]:
            self._tar = ("", None)  # the former one is released first
            self._tar = (tar, self._content(tar))
        whole, begin = self._tar[1], row.offset or 0
        return None if whole is None else whole[begin : begin + (row.size or 0)]

    def _content(self, name: str) -> bytes | None:
        try:
            return self._place.read(name)
        except FileNotFoundError:
            return None
