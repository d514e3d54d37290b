"""Pair the images of two outputs: by path, by the path below a source that was moved, or by mask name.

Nothing is guessed: a source counts as moved only if its images are found below the other root with the same sizes, and
mask names decide only if no path is in both.
"""

from __future__ import annotations

import functools
import os.path
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from batch.errors import printable
from batch.ledger.images import Image, Images
from batch.naming import clash_key

SAMPLE = 32
"""Images of a source that are searched below another root."""
ENOUGH_AGREE = 0.5
"""Share of them that must exist there, with the same sizes."""
FEW_ROOTS = 32
"""If there are more sources, a moved source is searched only among those of the same name or label."""

Pair = tuple[Image | None, Image | None]
Partners = list[Image | None]


@dataclass(frozen=True)
class Roots:
    """The roots of one output's sources, mapped to their roots in the other output; unmoved roots map to themselves."""

    there: Mapping[str, str]

    @functools.cached_property
    def moved(self) -> dict[str, str]:
        """Return the roots that differ."""
        return {root: other for root, other in self.there.items() if root != other}

    def back(self) -> Roots:
        """Return the reverse mapping."""
        return Roots({other: root for root, other in self.there.items()})

    def path(self, path: str) -> str | None:
        """Return the path of an image in the other output; None if another image would have that path."""
        root = _root_of(path, self.there)
        if root is not None and self.there[root] != root:
            return self.there[root] + path[len(root) :]
        taken = _root_of(path, self._targets)
        return path if taken is None or taken == root else None

    @functools.cached_property
    def _targets(self) -> frozenset[str]:
        return frozenset(self.moved.values())


class Pairs:
    """The images of two outputs, ``a`` and ``b``, in pairs. ``notes``: how they were paired, if not by equal paths."""

    def __init__(self, a: Images, b: Images) -> None:
        self._a, self._b = a, b
        self._roots = Roots(_paired_roots(a, b))
        self._back = self._roots.back()
        self._by_mask = False
        self.notes = [
            f"images of {printable(root)} in A are those of {printable(other)} in B"
            for root, other in self._roots.moved.items()
        ]
        if not self.has_any:
            self._by_mask = True
            self.notes = ["no path is in both: images are paired by the names of their masks"]

    @property
    def has_any(self) -> bool:
        """Return whether any image is in both outputs."""
        return any(any(self._in_b(page)) for page in self._a.pages())

    def __iter__(self) -> Iterator[Pair]:
        """Yield a pair for each image of A, then those that are only in B; None stands for a missing image.

        Both ledgers are read page by page.
        """
        for page in self._a.pages():
            yield from zip(page, self._in_b(page), strict=True)
        for page in self._b.pages():
            found = self._partners(page, self._a, self._back)
            yield from ((None, image) for image, partner in zip(page, found, strict=True) if partner is None)

    def _in_b(self, page: Sequence[Image]) -> Partners:
        return self._partners(page, self._b, self._roots)

    def _partners(self, page: Sequence[Image], others: Images, roots: Roots) -> Partners:
        if self._by_mask:
            return _by_masks(page, others)
        paths = [roots.path(image.path) for image in page]
        found = others.at([path for path in paths if path is not None])
        return [None if path is None else found.get(path) for path in paths]


def _by_masks(page: Sequence[Image], others: Images) -> Partners:
    """Return the images whose masks have these names, if their own files also have the same names."""
    found = others.of_masks([image.mask for image in page])
    partners: Partners = []
    for image in page:
        other = found.get(clash_key(image.mask))
        partners.append(other if other is not None and _base(other.path) == _base(image.path) else None)
    return partners


def _paired_roots(a: Images, b: Images) -> dict[str, str]:
    """Map roots of A to roots of B: the same ones, and those that hold the same images."""
    of_a, of_b = a.roots(), b.roots()
    pairs = {root: root for root in of_a if root in of_b}
    left = {root: label for root, label in of_b.items() if root not in pairs}
    for root, label in of_a.items():
        if root in pairs or not left:
            continue
        if (found := _moved_to(root, label, left, a, b)) is not None:
            pairs[root] = found
            del left[found]
    return pairs


def _moved_to(root: str, label: str, left: Mapping[str, str], a: Images, b: Images) -> str | None:
    """Return the root of B that holds most of A's images with their sizes, preferring equal labels; else None."""
    sample = a.first_below(root, SAMPLE)
    alike = {other: (of_b == label, _base(other) == _base(root)) for other, of_b in left.items()}
    tried = [other for other in left if len(left) <= FEW_ROOTS or any(alike[other])]
    agreeing = {other: _agreement(root, other, sample, b) for other in tried}
    best = max(tried, key=lambda other: (agreeing[other], *alike[other]), default=None)
    return best if best is not None and agreeing[best] >= max(1, ENOUGH_AGREE * len(sample)) else None


def _agreement(root: str, other: str, sample: Sequence[Image], b: Images) -> int:
    """Count the images of the sample that exist below the other root with the same sizes."""
    moved = {other + image.path[len(root) :]: image for image in sample}
    return sum(image.bytes == moved[path].bytes for path, image in b.at(list(moved)).items())


def _root_of(path: str, roots: Collection[str]) -> str | None:
    """Return the innermost of the roots above a path."""
    end = len(path)
    while (end := path.rfind("/", 0, end)) > 0:
        if path[:end] in roots:
            return path[:end]
    return None


def _base(path: str) -> str:
    return os.path.basename(path.rstrip("/"))
