"""Which folder of the output each source's masks go to: decided when a source is first seen, and kept.

If the first run names one source, its masks lie at the top of the output; every other source gets a folder named by its
label. A source that was moved is recognised by its images.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from batch.ledger.schema import encode
from batch.naming import clash_key
from batch.sources.image_ref import ImageRef, Origin, below

ENOUGH_AGREE = 0.5
"""Share of the sampled images that must be known below the old root, with the same sizes, for a source to be moved."""


class Origins:
    """The sources of a ledger and their labels, on an open connection; the caller commits.

    ``named``: the sources of this run.
    """

    def __init__(self, connection: sqlite3.Connection, named: Iterable[Origin]) -> None:
        self._connection = connection
        self._named = {origin.root for origin in named if origin.root}
        self._labels: dict[str, str] = dict(connection.execute("SELECT root, label FROM sources"))
        self._is_first = not self._labels

    def relative(self, item: ImageRef) -> str:
        """Return an image's path below the output, from which its mask's name is made. Its origin must be settled."""
        label = self._labels[item.origin.root] if item.origin.root else ""
        return f"{label}/{item.relative}" if label else item.relative

    def settle(self, items: Sequence[ImageRef]) -> bool:
        """Give each source of these images a label; return whether a source was moved, so that paths changed."""
        moved = False
        origins = {item.origin.root: item.origin for item in items}
        new = {root: origin for root, origin in origins.items() if root and root not in self._labels}
        for root, origin in new.items():
            sample = [item for item in items if item.origin.root == root]
            label = self._label_of_rows(sample)
            if label is None and (old := self._moved_from(root, sample)) is not None:
                self._move(old, root)
                moved = True
            else:
                self._add(root, self._new_label(origin) if label is None else label)
        return moved

    def _label_of_rows(self, items: Sequence[ImageRef]) -> str | None:
        """Return the folder before the masks of images that are in the ledger from before format 2, which knew no
        sources; None if there are none.
        """
        for item in items:
            row = self._one("SELECT mask FROM items WHERE path = CAST(? AS TEXT)", encode(item.path))
            label = None if row is None else _before(_folder(item.relative), _folder(row[0]))
            if label is not None:
                return label
        return None

    def _moved_from(self, root: str, sample: Sequence[ImageRef]) -> str | None:
        """Return the root, gone now, below which the ledger has these images with these sizes; else None."""
        agreeing = {old: self._agreement(old, root, sample) for old in self._labels if self._is_gone(old)}
        best = max(agreeing, key=lambda old: agreeing[old], default=None)
        return best if best is not None and agreeing[best] >= max(1, ENOUGH_AGREE * len(sample)) else None

    def _is_gone(self, root: str) -> bool:
        return root not in self._named and os.path.isabs(root) and not os.path.lexists(root)

    def _agreement(self, old: str, root: str, sample: Sequence[ImageRef]) -> int:
        """Count the images that were below the old root; 0 if one of them has another size now."""
        agree = 0
        for item in sample:
            row = self._one(
                "SELECT bytes FROM items WHERE path = CAST(? AS TEXT)", encode(old + item.path.removeprefix(root))
            )
            if row is not None and row[0] != item.bytes:
                return 0
            agree += row is not None
        return agree

    def _move(self, old: str, root: str) -> None:
        """Replace the old root by the new one in the paths of images and in sources inside it."""
        low, high, length = encode(old + "/"), encode(old + "0"), len(encode(old))
        for table, column in (("items", "path"), ("sources", "root")):
            self._connection.execute(
                f"UPDATE OR IGNORE {table} SET {column} = CAST(? || substr(CAST({column} AS BLOB), ?) AS TEXT) "
                f"WHERE {column} >= CAST(? AS TEXT) AND {column} < CAST(? AS TEXT)",
                (encode(root), length + 1, low, high),
            )
        self._connection.execute(
            "UPDATE sources SET root = CAST(? AS TEXT) WHERE root = CAST(? AS TEXT)", (encode(root), encode(old))
        )
        self._labels = dict(self._connection.execute("SELECT root, label FROM sources"))

    def _new_label(self, origin: Origin) -> str:
        if not origin.label or (self._is_first and len(self._named) == 1):
            return ""
        return next(label for label in _candidates(below(origin.label)) if not self._is_taken(label))

    def _is_taken(self, label: str) -> bool:
        key = clash_key(label)
        if key in map(clash_key, self._labels.values()):
            return True
        bounds = (encode(key + "/"), encode(key + "0"))
        return None is not self._one(
            "SELECT 1 FROM items WHERE mask_key >= CAST(? AS TEXT) AND mask_key < CAST(? AS TEXT) LIMIT 1", *bounds
        )

    def _add(self, root: str, label: str) -> None:
        self._connection.execute(
            "INSERT INTO sources (root, label) VALUES (CAST(? AS TEXT), CAST(? AS TEXT))", (encode(root), encode(label))
        )
        self._labels[root] = label

    def _one(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        found: tuple[Any, ...] | None = self._connection.execute(sql, values).fetchone()
        return found


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _before(end: str, folder: str) -> str | None:
    """Return the part of the path ``folder`` before the folders ``end``; None if it does not end with them."""
    if folder == end:
        return ""
    if not end:
        return folder
    return folder.removesuffix(f"/{end}") if folder.endswith(f"/{end}") else None


def _candidates(label: str) -> Iterator[str]:
    yield label
    yield from (f"{label}-{number}" for number in itertools.count(2))
