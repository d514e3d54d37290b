"""What is wrong with a data set, before a network learns from it.

Images and truths that cannot be read or do not fit, truths that look odd, and leaks: one lesion, or one picture, on two
sides of a split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.data.layouts import require_size
from seglab.data.pairs import Pair
from seglab.data.splits import PARTS, Split
from seglab.errors import DataError, MissingDependencyError, SeglabError
from seglab.images.mask_values import Truth
from seglab.images.pixels.resize import fit

MODES = ("refuse", "report", "off")
THUMBNAIL = 24
"""Side of the pictures that are compared, in pixels."""
HASH_BITS = 4
COLOUR_LEVELS = 6.0
"""Two images are one picture where at most so many of the 64 bits of their perceptual hashes differ, and their
thumbnails by at most so many levels of 255 on average. Lesions in mid-frame look alike: either alone finds many that
are not one. On 2065 ISIC 2018 and 2150 ISIC 2017 images both together found the known doubles, two that were not
known, and no others."""
SHOWN = 10
BLOCK = 1024


@dataclass(frozen=True)
class Leak:
    """Something that is on two sides: ``kind`` is ``lesion`` or ``picture``, ``parts`` where either is."""

    kind: str
    first: Pair
    second: Pair
    parts: tuple[str, str]

    def __str__(self) -> str:
        what = "show one lesion" if self.kind == "lesion" else "are the same picture"
        return f"{self.first.id} ({self.parts[0]}) and {self.second.id} ({self.parts[1]}) {what}"


@dataclass
class Findings:
    """``errors``: pairs that cannot be used, by source. ``notes``: what looks odd. ``leaks``: across the parts."""

    errors: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    leaks: list[Leak] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether the data can be used as it is."""
        return not self.errors and not self.leaks

    def lines(self) -> Iterator[str]:
        """Yield a line per finding."""
        yield from (f"error: {source}: {reason}" for source, reason in self.errors.items())
        yield from (f"leak: {leak}" for leak in self.leaks)
        yield from (f"note: {source}: {reason}" for source, reason in self.notes.items())


@dataclass(frozen=True)
class _Seen:
    """One pair looked at: an error or a note (or neither), the hash ``(64,)`` of ±1 and the thumbnail."""

    error: str = ""
    note: str = ""
    hash: NDArray[np.float32] | None = None
    thumbnail: NDArray[np.float32] | None = None


def inspect(split: Split, *, workers: int = 2, advance: Callable[[int], Any] = lambda count: None) -> Findings:
    """Look at every pair of ``split`` once, ``workers`` at a time; ``advance`` is told of each that is through."""
    placed = [(part, pair) for part, pairs in split.parts().items() for pair in pairs]
    findings, seen = Findings(), []
    with ThreadPoolExecutor(workers) as pool:
        for (_, pair), result in zip(placed, pool.map(lambda entry: _look_at(entry[1]), placed), strict=True):
            if result.error:
                findings.errors[pair.source] = result.error
            elif result.note:
                findings.notes[pair.source] = result.note
            seen.append(result)
            advance(1)
    findings.leaks.extend([*_shared_lesions(placed), *_shared_pictures(placed, seen)])
    return findings


def require_sound(split: Split, findings: Findings, mode: str) -> Split:
    """Return the split to train on. ``refuse``: raise :class:`DataError` for errors and leaks.

    ``report``: leave out pairs that cannot be used and, of every leak, the pair on the training (else validation) side.
    """
    if findings.sound or mode == "off":
        return split
    if mode == "refuse":
        lines = [line for line in findings.lines() if not line.startswith("note")]
        more = f"\n  and {len(lines) - SHOWN} more, which seglab inspect lists" if len(lines) > SHOWN else ""
        raise DataError(
            "The data is not sound; expected pairs that can be read, and nothing on two sides of the split:\n  "
            + "\n  ".join(lines[:SHOWN])
            + more
            + "\nCorrect the data, or add --inspect report to train without the pairs in question."
        )
    dropped = {leak.first.source for leak in findings.leaks} | findings.errors.keys()
    kept = Split(
        split.method,
        split.seed,
        *(tuple(pair for pair in pairs if pair.source not in dropped) for pairs in split.parts().values()),
    )
    if not kept.training or not kept.validation:
        raise DataError(
            "Without the pairs in question nothing is left to train or validate on; expected some. Add data."
        )
    return kept


def _look_at(pair: Pair) -> _Seen:
    try:
        photo = pair.photo(at_least=4 * THUMBNAIL)
        truth = pair.read_truth()
        require_size("the truth", truth.mask.shape, photo.size)
    except SeglabError as unusable:
        return _Seen(error=str(unusable))
    thumbnail = fit(photo.pixels, THUMBNAIL).astype(np.float32).ravel()
    return _Seen("", _note(truth), perceptual_hash(photo.pixels), thumbnail)


def _note(truth: Truth) -> str:
    """Return what looks odd about a truth that was read, or nothing."""
    lesion = int(cv2.countNonZero(truth.mask))
    notes = {
        f"{truth.between:.2%} of the truth is neither 0 nor 255 (saved as JPEG?); from half it counts as lesion": (
            truth.between > 0
        ),
        "the truth is empty": lesion == 0,
        "the truth fills the image": lesion == truth.mask.size,
    }
    return "; ".join(note for note, holds in notes.items() if holds)


def perceptual_hash(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the 64 bits of an RGB image's pHash as -1 and 1, float32 ``(64,)``."""
    try:
        import imagehash
    except ImportError as error:
        raise MissingDependencyError(
            "Looking for the same picture needs imagehash; install it with: pip install 'seglab[train]'"
        ) from error
    from PIL import Image

    small = cv2.resize(pixels, (8 * THUMBNAIL, 8 * THUMBNAIL), interpolation=cv2.INTER_AREA)
    bits = imagehash.phash(Image.fromarray(small)).hash
    return np.where(bits.ravel(), np.float32(1), np.float32(-1))


def _shared_lesions(placed: Sequence[tuple[str, Pair]]) -> Iterator[Leak]:
    by_lesion: dict[str, list[tuple[str, Pair]]] = {}
    for part, pair in placed:
        by_lesion.setdefault(pair.lesion, []).append((part, pair))
    for members in by_lesion.values():
        first_part, first = members[0]
        for part, pair in members[1:]:
            if part != first_part:
                yield Leak("lesion", first, pair, (first_part, part))


def _shared_pictures(placed: Sequence[tuple[str, Pair]], seen: Iterable[_Seen]) -> Iterator[Leak]:
    """Compare every part with those before it, a block of rows at a time."""
    usable = [(part, pair, look) for (part, pair), look in zip(placed, seen, strict=True) if look.hash is not None]
    for place, part in enumerate(PARTS[:-1]):
        ours = [entry for entry in usable if entry[0] == part]
        theirs = [entry for entry in usable if entry[0] in PARTS[place + 1 :]]
        if not ours or not theirs:
            continue
        their_hashes = np.array([look.hash for _, _, look in theirs])  # (M, 64)
        for start in range(0, len(ours), BLOCK):
            block = ours[start : start + BLOCK]
            distance = (64 - np.array([look.hash for _, _, look in block]) @ their_hashes.T) / 2  # (B, M)
            for i, j in np.argwhere(distance <= HASH_BITS).tolist():
                (_, first, a), (other, second, b) = block[i], theirs[j]
                if first.lesion != second.lesion and _alike(a, b):
                    yield Leak("picture", first, second, (part, other))


def _alike(first: _Seen, second: _Seen) -> bool:
    if first.thumbnail is None or second.thumbnail is None:
        return False
    return float(np.abs(first.thumbnail - second.thumbnail).mean()) <= COLOUR_LEVELS
