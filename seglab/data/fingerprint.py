"""Fingerprints of data: hashes of a sample of images, to check that a resumed run has the same pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from seglab.data.pairs import Pair
from seglab.errors import SeglabError

SAMPLE = 16
SIDE = 64
"""Smallest side in pixels to which images are scaled down while they are decoded."""
DIGITS = 16


def fingerprint(pairs: Sequence[Pair]) -> list[str]:
    """Return a hash of pixels and truth for each of at most :data:`SAMPLE` evenly spaced ``pairs``.

    The hash of an image that cannot be read is empty.
    """
    places = np.unique(np.linspace(0, len(pairs) - 1, min(SAMPLE, len(pairs))).round().astype(int)).tolist()
    return [_hash(pairs[place]) for place in places]


def are_same(before: Sequence[str], now: Sequence[str]) -> bool:
    """Return whether two fingerprints of equal length agree wherever both images could be read, at least once."""
    both = [(one, other) for one, other in zip(before, now, strict=False) if one and other]
    return len(before) == len(now) and bool(both) and all(one == other for one, other in both)


def _hash(pair: Pair) -> str:
    try:
        photo, truth = pair.photo(at_least=SIDE), pair.mask()
    except SeglabError:
        return ""
    digest = hashlib.sha256(f"{photo.size} {truth.shape}".encode())
    digest.update(np.ascontiguousarray(photo.pixels).tobytes())
    digest.update(np.packbits(truth > 0).tobytes())
    return digest.hexdigest()[:DIGITS]
