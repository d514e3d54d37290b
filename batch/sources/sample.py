"""A sample: images drawn uniformly from all that the sources name, kept in the order of the walk.

Reservoir sampling, algorithm R (Vitter 1985): one walk, with memory for the drawn images only. The same seed and the
same images in the same order give the same sample in every Python version (only ``random.random`` promises that).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from batch.errors import SourceError, printable
from batch.sources.archives.archive import ArchiveSource, StreamSource
from batch.sources.collect import Sources
from batch.sources.image_ref import Drawn, ImageRef
from batch.sources.lists.stream import spoken

DEFAULT_SEED = 0


def drawn(items: Iterable[ImageRef], most: int, seed: int = DEFAULT_SEED) -> tuple[list[ImageRef], int]:
    """Return at most ``most`` of the items, each equally likely and in their order, and the number of all items."""
    draw = random.Random(seed).random
    sample: list[tuple[int, ImageRef]] = []
    count = 0
    for number, item in enumerate(items):
        count += 1
        if number < most:
            sample.append((number, item))
        elif (place := int(draw() * count)) < most:
            sample[place] = (number, item)
    sample.sort(key=lambda entry: entry[0])
    return [item for _, item in sample], count


class SampledSources(Sources):
    """Sources that yield a sample of ``most`` images; the whole walk happens before the first image.

    Other arguments: see :class:`Sources`. Raises :class:`SourceError` for sources whose images must be held in memory
    from the walk on, at once if that is known before the walk.
    """

    def __init__(
        self,
        most: int,
        seed: int,
        sources: Sequence[str],
        suffixes: frozenset[str],
        excluded: Iterable[Path] = (),
        files_from: Sequence[str] = (),
        zip_encoding: str | None = None,
    ) -> None:
        super().__init__(sources, suffixes, excluded, files_from, zip_encoding)
        self._most, self._seed = most, seed
        for source in self._sources:
            if isinstance(source, (ArchiveSource, StreamSource)) and source.is_held:
                raise _cannot_draw(f"{spoken(source.origin.named)} is")

    def __iter__(self) -> Iterator[ImageRef]:
        """Walk over all sources and return an iterator over the sample."""
        sample, count = drawn(self._fetched_when_read(), self._most, self._seed)
        self.report.drawn = Drawn(len(sample), count, self._seed)
        return iter(sample)

    def _fetched_when_read(self) -> Iterator[ImageRef]:
        for item in super().__iter__():
            if item.content.held:  # an archive that a list names
                raise _cannot_draw(f"{printable(item.path)} lies in an archive that is")
            yield item

    def count(self, stopped: Callable[[], bool] = lambda: False) -> int | None:
        """Return how many images the sample has or will have, see :meth:`Sources.count`."""
        named = 0

        def is_enough() -> bool:
            nonlocal named
            named += 1
            return named >= self._most or self.report.drawn is not None or stopped()

        total = super().count(is_enough)
        if self.report.drawn is not None:
            return self.report.drawn.images
        return self._most if named >= self._most else total


def _cannot_draw(what: str) -> SourceError:
    return SourceError(
        f"{what} read once, from front to back, so no sample can be drawn from it; expected a zip, a folder, or an "
        "uncompressed tar on a disk. Decompress it and name the tar, or use --limit, which does its first images."
    )
