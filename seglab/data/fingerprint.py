"""Are these the pictures that a run was begun with? A sample of their pixels says it, wherever they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from seglab.data.pairs import Pair
from seglab.errors import SeglabError

SAMPLE = 16
SIDE = 64
"""Images are decoded scaled down to no less than this many pixels a side."""
DIGITS = 16


def fingerprint(pairs: Sequence[Pair]) -> list[str]:
    """Return a hash of the pixels and truth of each of at most :data:`SAMPLE` of ``pairs``, evenly spaced.

    An image that cannot be read has an empty one.
    """
    places = np.unique(np.linspace(0, len(pairs) - 1, min(SAMPLE, len(pairs))).round().astype(int)).tolist()
    return [_hash(pairs[place]) for place in places]


def are_same(before: Sequence[str], now: Sequence[str]) -> bool:
    """Return whether two fingerprints of as many pairs are of the same pictures, as far as they could be read."""
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
