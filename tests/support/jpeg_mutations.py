"""Mutate the segments of JPEGs and decode the results; run as a program, so that a crash shows as its exit code.

python -m tests.support.jpeg_mutations SEED COUNT
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from seglab.errors import ImageError
from seglab.images.decoders import jpeg
from seglab.images.decoders.base import Request
from tests.support.jpegs import ARITHMETIC, KINDS, joined, segments

MOST_PIXELS = 4_000_000
ODD = (0, 1, 2, 3, 8, 12, 16, 0x11, 0x14, 0x21, 0x22, 0x41, 0x44, 0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA, 0xFF)
Parts = list[bytes]
Change = Callable[[Parts, bytes, random.Random], tuple[Parts, bytes]]


def _flip(parts: Parts, rest: bytes, rng: random.Random) -> tuple[Parts, bytes]:
    number = rng.randrange(len(parts))
    changed = bytearray(parts[number])
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return [*parts[:number], bytes(changed), *parts[number + 1 :]], rest


def _swap(parts: Parts, rest: bytes, rng: random.Random) -> tuple[Parts, bytes]:
    return rng.sample(parts, len(parts)), rest


def _repeat(parts: Parts, rest: bytes, rng: random.Random) -> tuple[Parts, bytes]:
    number = rng.randrange(len(parts))
    return [*parts[:number], rng.choice(parts), *parts[number:]], rest


def _drop(parts: Parts, rest: bytes, rng: random.Random) -> tuple[Parts, bytes]:
    number = rng.randrange(len(parts))
    return (parts[:number] + parts[number + 1 :]) or parts, rest


def _cut(parts: Parts, rest: bytes, rng: random.Random) -> tuple[Parts, bytes]:
    number = rng.randrange(len(parts))
    return [*parts[:number], parts[number][: rng.randrange(1, len(parts[number]) + 1)], *parts[number + 1 :]], rest


def _frame(parts: Parts, rest: bytes, rng: random.Random) -> tuple[Parts, bytes]:
    """Change kind, precision, sizes or samplings."""
    for number, part in enumerate(parts):
        if len(part) > 9 and 0xC0 <= part[1] <= 0xCF and part[1] not in (0xC4, 0xC8, 0xCC):
            changed = bytearray(part)
            changed[rng.choice((1, *range(4, len(part))))] = rng.choice((*ODD, rng.randrange(256)))
            return [*parts[:number], bytes(changed), *parts[number + 1 :]], rest
    return parts, rest


def _samples(parts: Parts, rest: bytes, rng: random.Random) -> tuple[Parts, bytes]:
    changed = bytearray(rest)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] = rng.choice((0xFF, 0xD8, 0xC0, 0xD9, 0xDA, 0xD0, rng.randrange(256)))
    return parts, bytes(changed)


def _segment_among_samples(parts: Parts, rest: bytes, rng: random.Random) -> tuple[Parts, bytes]:
    at = rng.randrange(len(rest))
    return parts, rest[:at] + rng.choice(parts) + rest[at:]


CHANGES: tuple[Change, ...] = (_flip, _swap, _repeat, _drop, _cut, _frame, _frame, _samples, _segment_among_samples)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return a file, changed in one to three ways."""
    parts, rest = segments(data)
    for _ in range(rng.randint(1, 3)):
        parts, rest = rng.choice(CHANGES)(parts, rest, rng)
    return joined(parts, rest)


def outcome(data: bytes, at_least: int | None) -> str:
    """Decode a file and return the outcome."""
    try:
        decoded = jpeg.decode(data, Request(at_least, MOST_PIXELS))
    except ImageError as error:
        return "damaged" if str(error).startswith("Damaged image: ") else "refused"
    pixels = np.asarray(decoded.pixels)
    return "read" if pixels.dtype == np.uint8 and pixels.shape[2:] == (3,) and pixels.size else "wrong"


def main(seed: int, count: int) -> None:
    """Print how many files had which outcome, and how long the slowest took."""
    rng = random.Random(seed)
    files = [make() for make in (KINDS | ARITHMETIC).values()]
    counts: Counter[str] = Counter()
    slowest = 0.0
    for _ in range(count):
        data = mutated(rng.choice(files), rng)
        start = time.perf_counter()
        counts.update(outcome(data, at_least) for at_least in (64, None))
        slowest = max(slowest, time.perf_counter() - start)
    sys.stdout.write(json.dumps({"counts": counts, "slowest": slowest}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
