"""Mutated TIFFs, for a child process: each is read, or refused by an :class:`ImageError`."""

from __future__ import annotations

import struct
import sys
import time
import zlib
from collections.abc import Iterator

import imagecodecs
import numpy as np

from seglab.errors import ImageError
from seglab.images.decoders import tiff
from seglab.images.decoders.base import Request
from tests.support.tiff_files import Page, written

TAGS = (
    254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 317, 320, 322, 323, 324, 325, 330, 332,
    338, 339, 341, 347, 513, 529, 530, 532, 32997, 34675,
)  # fmt: skip
NUMBERS = (0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 24, 32, 64, 255, 256, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1)
COMPRESSIONS = (1, 2, 3, 4, 5, 6, 7, 8, 32773, 34712, 34887, 34925, 34933, 34934, 50000, 50001, 50002)
SLOWEST = 30.0
"""Seconds allowed for one file, on a busy machine."""


def originals() -> list[bytes]:
    pixels = np.random.default_rng(3).integers(0, 256, (40, 50, 3), np.uint8)
    grey = pixels[..., :1]
    pages = [
        Page(pixels), Page(pixels, compression=5, rows=7), Page(pixels, compression=8, predictor=2, tile=(16, 16)),
        Page(pixels, is_planar=True, compression=32773), Page(grey, photometric=1, bits=4),
        Page(grey // 128, photometric=0, bits=1, is_reversed=True),
        Page(pixels, photometric=6, tags=[(530, 3, [1, 1])]),
        Page(grey.astype("f4") / 255, photometric=1, kind=3, bits=32, predictor=3, compression=8),
        Page(grey, photometric=3, tags=[(320, 3, list(range(768)))]),
        Page(pixels, photometric=8, below=[Page(pixels, tags=[(254, 4, [1])])]),
    ]  # fmt: skip
    for number, name in (
        (7, "jpeg"),
        (34712, "jpeg2k"),
        (34887, "lerc"),
        (34933, "png"),
        (50001, "webp"),
    ):
        encode = getattr(imagecodecs, f"{name}_encode")
        pages.append(Page(pixels, compression=number, encode=lambda part, encode=encode: bytes(encode(part))))  # type: ignore[misc]
    pages += [Page(grey // 128, 1, 1, compression=number, encode=lambda part: bytes(range(64))) for number in (2, 3, 4)]
    return [written(page, order=order, big=big) for page in pages for order in "<>" for big in (False, True)]


def mutated(seed: int, count: int) -> Iterator[bytes]:
    """Yield files in which some entries or bytes are changed."""
    rng, files = np.random.default_rng(seed), originals()
    for _ in range(count):
        data = bytearray(files[int(rng.integers(len(files)))])
        for _ in range(int(rng.integers(1, 4))):
            _change(data, rng)
        yield bytes(data)


def _change(data: bytearray, rng: np.random.Generator) -> None:
    order, big = ("<" if data[:2] == b"II" else ">"), data[2:4] in (b"+\0", b"\0+")  # type: ignore[comparison-overlap]
    kind = int(rng.integers(8))
    if len(data) < 16:
        return
    if kind == 0:
        data[int(rng.integers(4, len(data)))] = int(rng.integers(256))
        return
    if kind == 1:
        del data[int(rng.integers(9, len(data))) :]
        return
    entries, size = _entries(data, order, big)
    if not entries:
        return
    at = entries[int(rng.integers(len(entries)))]
    number = int(rng.choice(COMPRESSIONS)) if kind == 2 else int(rng.choice(NUMBERS))
    place = at + size - (8 if big else 4)
    if kind == 2:
        at = next((entry for entry in entries if data[entry : entry + 2] == struct.pack(f"{order}H", 259)), at)
        struct.pack_into(f"{order}H", data, at + size - (8 if big else 4), number)
    elif kind == 3:
        struct.pack_into(f"{order}H", data, at, int(rng.choice(TAGS)))
    elif kind == 4:
        struct.pack_into(f"{order}I", data, at + 4, number)
    elif kind == 5:
        struct.pack_into(f"{order}H", data, at + 2, int(rng.integers(20)))
    elif kind == 6:
        struct.pack_into(f"{order}H", data, place, number & 0xFFFF)
    else:
        struct.pack_into(f"{order}I", data, place, number if rng.random() < 0.5 else int(rng.integers(len(data))))


def _entries(data: bytearray, order: str, big: bool) -> tuple[list[int], int]:
    if len(data) < 16:
        return [], 0
    at = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4)[0]
    size, head = (20, 8) if big else (12, 2)
    if at + head > len(data):
        return [], size
    count = min(struct.unpack_from(f"{order}Q" if big else f"{order}H", data, at)[0], 40)
    return [at + head + k * size for k in range(count) if at + head + (k + 1) * size <= len(data)], size


def main(seed: int, count: int) -> str:
    """Read ``count`` files; return how many were read."""
    read = 0
    for number, data in enumerate(mutated(seed, count)):
        began = time.monotonic()
        try:
            tiff.decode(data, Request(max_pixels=4_000_000))
            read += 1
        except ImageError as error:
            if "\n" in str(error):
                raise AssertionError(f"{number}: {error!r}") from error
        except Exception as error:
            raise AssertionError(f"file {number} of seed {seed} ({zlib.crc32(data)}): {error!r}") from error
        if time.monotonic() - began > SLOWEST:
            raise AssertionError(f"file {number} of seed {seed} took {time.monotonic() - began:.1f} s")
    return f"{read} of {count} read"


if __name__ == "__main__":
    sys.stdout.write(main(int(sys.argv[1]), int(sys.argv[2])) + "\n")
