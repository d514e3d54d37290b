"""Rows as a job over a bucket has them, with figures as varied as those of real images, to see how small a part is."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from batch.cluster.files.manifest import Entry, encode_part
from batch.cluster.files.names import Attempt, UnitName
from batch.cluster.files.parts import Row, Stored, Summary, encode_rows, row_of
from batch.figures import Figures, Finish

BUCKET = "s3://dermatology-archive"
SIZES = ((450, 600), (1024, 1024), (4000, 6000), (2848, 4288))
SHARES = (0.5, 0.2, 0.2, 0.1)
BLOCK = 512
"""Bytes of a block of a tar: a header, and what contents are filled up to."""
FIRST_TIME, IMAGES_PER_SECOND = 1_700_000_000, 5
"""When the first image was uploaded, and how fast the others followed."""
UNIT = UnitName(17)
ATTEMPT = Attempt(UNIT, "0123456789ab")

Name = Callable[[int, np.random.Generator], str]
NAMES: dict[str, Name] = {
    "numbered": lambda number, rng: (
        f"2024/{310 + number // 1000:04}/ISIC_{10**6 + 3 * number + int(rng.integers(3)):07}"
    ),
    "by patient": lambda number, rng: (
        f"clinic-07/patient-{20_000 + number // 4}/2024-{1 + number // 400 % 12:02}-{1 + number // 15 % 28:02}/"
        f"IMG_{int(rng.integers(1, 10**4)):04}"
    ),
    "random": lambda number, rng: f"2024/{310 + number // 1000:04}/{uuid.UUID(bytes=rng.bytes(16))}",
}
"""Three ways to name files. ``random``: UUIDs, 16 bytes that nothing makes shorter."""


class PartSizes(NamedTuple):
    """Bytes per image of a part of the ledger and of the manifest."""

    ledger: float
    manifest: float


def part_sizes(names: str, count: int) -> PartSizes:
    """Return the sizes of parts with ``count`` images whose files are named in one of the :data:`NAMES`."""
    entries, rows = realistic(names, count)
    summary = Summary(
        str(UNIT), ATTEMPT.id, count, count, 0, 60.0, "2026-11-30T01:00:00+00:00", "2026-11-30T01:01:00+00:00",
        "cuda", "fp32", "worker-17",
    )  # fmt: skip
    ledger, manifest = encode_rows(rows, summary), encode_part(UNIT, entries, "0123456789abcdef", "0123456789abcdef")
    return PartSizes(len(ledger) / count, len(manifest) / count)


def realistic(names: str, count: int) -> tuple[list[Entry], list[Row]]:
    """Return entries of a manifest for images of a bucket, and rows of the ledger that say they are done."""
    rng = np.random.default_rng(count)
    entries, rows, uploaded, offset = list[Entry](), list[Row](), float(FIRST_TIME), BLOCK
    for number in range(count):
        uploaded += rng.exponential(1 / IMAGES_PER_SECOND)
        entries.append(_entry(NAMES[names](number, rng), int(uploaded), rng))
        size = int(rng.lognormal(7.5, 0.4))
        rows.append(row_of(entries[-1], _finish(number, rng), Stored(ATTEMPT.tar, offset, size)))
        offset += BLOCK + -(-size // BLOCK) * BLOCK
    return entries, rows


def _entry(name: str, uploaded: int, rng: np.random.Generator) -> Entry:
    path = f"{BUCKET}/{name}.jpg"
    facts = (int(rng.lognormal(12.2, 0.5)), uploaded * 10**9, f"etag:{rng.bytes(16).hex()}")
    return Entry(BUCKET, path, f"{name}.png", *facts, "url", BUCKET, path.removeprefix("s3://"))


def _finish(number: int, rng: np.random.Generator) -> Finish:
    height, width = SIZES[rng.choice(len(SIZES), p=SHARES)]
    x0, y0 = int(rng.integers(width // 2)), int(rng.integers(height // 2))
    x1, y1 = (begin + int(rng.integers(side // 8, side // 2)) for begin, side in ((x0, width), (y0, height)))
    area = int((x1 - x0) * (y1 - y0) * rng.uniform(0.5, 0.8))
    confidence, suitable = float(rng.beta(8, 1.5)), float(rng.beta(9, 1))
    figures = Figures(height, width, area, (x0, y0, x1, y1), confidence, suitable)
    return Finish(
        number, figures=figures, seconds=float(rng.lognormal(-4, 0.4)), sha256=rng.bytes(32).hex(), attempts=1
    )
