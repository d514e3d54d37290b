"""What formats are made from: the masks of an output as its ledger recorded them, with their photographs."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from batch.errors import OutputError
from batch.formats.naming import Names
from batch.ledger.reader import DoneEntry, LedgerReader
from batch.outputs.png import decode_mask
from batch.outputs.reading import StoredMasks, read_stored
from batch.reporting.as_written import why_changed
from batch.reporting.makers import Makers
from batch.reporting.same_photograph import same_or_error
from batch.sources.ahead import map_ahead
from batch.sources.by_path import Photographs, archive_of
from seglab.errors import DataError, ImageError

PAGE = 1024
"""Photographs outside archives that are asked for at once."""

Found = TypeVar("Found")
Source = tuple[DoneEntry, bytes | ImageError | None]


@dataclass(frozen=True)
class Item:
    """An image with a mask. ``photograph``: the bytes of its file, if the format needs them."""

    entry: DoneEntry
    photograph: bytes | None
    _store: StoredMasks
    _classes: int

    @functools.cached_property
    def data(self) -> bytes:
        """Return the bytes of the mask's file. Raises :class:`ImageError` if it cannot be read."""
        return read_stored(self._store, self.entry.mask)

    @functools.cached_property
    def mask(self) -> NDArray[np.uint8]:
        """Return the mask, uint8 ``(H, W)``: 0 or 255, or numbers of classes. Raises :class:`ImageError`."""
        return decode_mask(self.data, self._classes)


@dataclass
class Material:
    """The masks of one output. ``left_out``: the reasons why masks are not exported, by name; filled by :meth:`each`.

    ``is_strict``: the first mask that cannot be read is an error, and masks are not compared with the ledger.
    ``advance`` is called after each mask with the number of all. ``rows``: of the masks that are wanted; None: all.
    """

    store: StoredMasks
    ledger: LedgerReader
    makers: Makers
    names: Names
    photographs: Photographs
    is_strict: bool = False
    advance: Callable[[int], object] = lambda total: None
    left_out: dict[str, str] = field(default_factory=dict)
    rows: Set[int] | None = None

    @functools.cached_property
    def class_names(self) -> tuple[str, ...]:
        """Return the classes of all masks, see :meth:`Makers.class_names`."""
        return self.makers.class_names()

    @property
    def classes(self) -> list[tuple[int, str]]:
        """Return numbers and names of what masks show: the lesion, or all classes but the background."""
        return list(enumerate(self.class_names[1:] or self.class_names, 1))

    @property
    def are_labels(self) -> bool:
        """Return whether masks hold numbers of classes."""
        return len(self.class_names) > 1

    def entries(self) -> Iterator[DoneEntry]:
        """Yield the masks that are wanted, in the order of their names."""
        return self._wanted(self.names.entries())

    def _wanted(self, entries: Iterator[DoneEntry]) -> Iterator[DoneEntry]:
        return (entry for entry in entries if self.rows is None or entry.id in self.rows)

    def each(
        self, function: Callable[[Item], Found], *, with_photographs: bool = False
    ) -> Iterator[tuple[DoneEntry, Found]]:
        """Yield each image with what ``function`` makes of it, in threads. Those for which it raises
        :class:`ImageError` are left out with the reason, as are missing and changed masks.
        """
        sources = self._with_photographs() if with_photographs else ((entry, None) for entry in self.entries())
        total = self.makers.done if self.rows is None else len(self.rows)
        for (entry, _), found in map_ahead(functools.partial(self._made, function), sources):
            self.advance(total)
            if isinstance(found, _LeftOut):
                self.left_out[entry.mask] = found.reason
            else:
                yield entry, found

    def _made(self, function: Callable[[Item], Found], source: Source) -> Found | _LeftOut:
        entry, photograph = source
        try:
            if isinstance(photograph, ImageError):
                raise ImageError(f"Its photograph cannot be used: {photograph}") from photograph
            item = Item(entry, photograph, self.store, len(self.class_names))
            if not self.is_strict and (reason := why_changed(item.data, entry, len(self.class_names))) is not None:
                return _LeftOut(f"{reason[0].upper()}{reason[1:]}")
            return function(item)
        except (DataError, ImageError) as error:
            if self.is_strict:
                where = self.store.where(entry.mask)
                raise OutputError(
                    f"{where}: {error} Run `seg-batch verify --redo`, then run again to remake it."
                ) from error
            return _LeftOut(str(error))

    def _with_photographs(self) -> Iterator[Source]:
        """Yield the images with the bytes of their photographs, in the order of the ledger, in which the images of an
        archive come together.
        """
        for archive, entries in itertools.groupby(self._wanted(self.ledger.done_entries()), _archive):
            while some := list(entries if archive else itertools.islice(entries, PAGE)):
                by_path = {entry.path: entry for entry in some}
                states = self.ledger.states([entry.id for entry in some])
                for path, data in self.photographs.read_all(by_path):
                    entry = by_path[path]
                    yield entry, same_or_error(path, data, *states[entry.id])


def _archive(entry: DoneEntry) -> str | None:
    return archive_of(entry.path)


@dataclass(frozen=True)
class _LeftOut:
    reason: str
