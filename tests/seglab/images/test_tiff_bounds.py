"""TIFFs that lie about themselves: refused in words and within a bounded memory."""

from __future__ import annotations

import io
import lzma
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from seglab.errors import ImageError, TooLargeError
from seglab.images.decoders import tiff
from seglab.images.decoders.base import Request
from tests.support.tiff_files import Page, Tag, written

PIXELS = np.random.default_rng(6).integers(0, 256, (40, 60, 3), np.uint8)
REPOSITORY = Path(__file__).resolve().parents[3]
MEGABYTES = 64
MEASURED = """
import resource, sys
from seglab.errors import ImageError
from seglab.images.decoders import tiff
from seglab.images.decoders.base import Request
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
data = [open(name, "rb").read() for name in sys.argv[1:]]
before = peak()
for each in data:
    try:
        tiff.decode(each, Request())
    except ImageError:
        pass
print(peak() - before)
"""


def large(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9000, 9000)).save(buffer, kind)
    return buffer.getvalue()


def bombs() -> list[bytes]:
    """Strips of 7,200 bytes that would become hundreds of millions."""
    black = bytes(200_000_000)
    made: list[tuple[int, bytes]] = [
        (8, zlib.compress(black)), (34925, lzma.compress(black)), (50000, bytes(imagecodecs.zstd_encode(black))),
        (32773, b"\x81\0" * 1_000_000), (7, large("JPEG")), (34933, large("PNG")), (34712, large("JPEG2000")),
        (34887, bytes(imagecodecs.lerc_encode(np.zeros((9000, 9000), np.uint8)))),
    ]  # fmt: skip
    return [
        written(Page(PIXELS, compression=number, encode=lambda part, data=data: data))  # type: ignore[misc]
        for number, data in made
    ]


@pytest.mark.slow
def test_what_is_compressed_takes_no_more_than_its_place(tmp_path: Path) -> None:
    names = [tmp_path / f"{number}.tif" for number in range(8)]
    for name, data in zip(names, bombs(), strict=True):
        name.write_bytes(data)
    ended = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, names)], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < MEGABYTES


LIES: dict[str, tuple[list[Tag], str]] = {
    "tiles of 2^31": ([(322, 4, [2**31]), (323, 4, [2**31])], "tiles of 2147483648"),
    "a strip outside the file": ([(273, 4, [10**9])], "ends at byte"),
    "a strip that is too long": ([(278, 4, [20]), (273, 4, [8, 8]), (279, 4, [3600, 10**9])], "ends at byte"),
    "too few strips": ([(278, 4, [4])], "1 of 10 strips"),
    "strips of nothing": ([(278, 4, [20]), (273, 4, [8, 8]), (279, 4, [0, 0])], "is missing"),
    "too short strips": ([(278, 4, [20]), (273, 4, [8, 8]), (279, 4, [3600, 90])], "90 of 3600 bytes"),
    "a size of nothing": ([(256, 4, [0])], "0 x 40"),
    "a size of 2^32": ([(256, 4, [2**32 - 1])], "million pixels"),
    "many channels": ([(277, 3, [65535])], "65535 channels"),
    "many pieces": ([(256, 4, [1]), (257, 4, [399_999_999]), (278, 4, [1])], "399999999 strips or tiles"),
    "samples of 83 bits": ([(258, 3, [83] * 3)], "83 bits"),
    "samples of different bits": ([(258, 3, [5, 6, 5])], "5, 6, 5 bits"),
    "an unknown compression": ([(259, 3, [32809])], "ThunderScan"),
    "JPEG XR, whose decoder prints": ([(259, 3, [34934])], "JPEG XR"),
    "an unknown predictor": ([(259, 3, [8]), (317, 3, [7])], "predictor 7"),
}


@pytest.mark.parametrize("name", LIES)
def test_lies_are_refused_by_name(name: str) -> None:
    tags, message = LIES[name]
    with pytest.raises(ImageError, match=message):
        tiff.decode(written(Page(PIXELS, tags=tags)), Request())


@pytest.mark.parametrize("without", [258, 262, 278, 279, 339, 284])
def test_tags_that_may_be_absent(without: int) -> None:
    samples = PIXELS if without != 258 else PIXELS[..., :1] & 1
    page = Page(samples, 1 if without == 258 else 2, 1 if without == 258 else 8, without=[without])
    expected = samples if without != 258 else np.repeat(samples * 255, 3, axis=2)
    assert np.array_equal(np.asarray(tiff.decode(written(page), Request()).pixels), expected)


def test_samples_of_many_bytes_count_as_more() -> None:
    page = Page(np.zeros((40, 60, 3), np.float64), 2, 64, 3)
    with pytest.raises(TooLargeError, match="million bytes"):
        tiff.decode(written(page), Request(max_pixels=2400))


def links(data: bytes) -> list[int]:
    """Where the places of the directories of a little-endian TIFF are written, the last of which holds 0."""
    found = [4]
    while at := struct.unpack_from("<I", data, found[-1])[0]:
        found.append(at + 2 + 12 * struct.unpack_from("<H", data, at)[0])
    return found


def relinked(value: Any) -> bytes:
    data = bytearray(written(Page(PIXELS), Page(PIXELS)))
    places = links(bytes(data))
    struct.pack_into("<I", data, places[-1], struct.unpack_from("<I", data, 4)[0] if value is None else value)
    return bytes(data)


def test_a_chain_of_pages_that_runs_in_a_circle_ends() -> None:
    assert tiff.decode(relinked(None), Request()).remarks == ("the first of 2 pages",)


def test_a_chain_of_pages_that_breaks_off_is_said() -> None:
    remarks = tiff.decode(relinked(10**9), Request()).remarks
    assert remarks == ("the first of 2 pages", "its list of pages breaks off")


def test_a_million_pages() -> None:
    data = bytearray(written(Page(PIXELS)))
    first, link = struct.unpack_from("<I", data, 4)[0], links(bytes(data))[-1]
    directory = bytes(data[first:link])
    for _ in range(20_000):
        struct.pack_into("<I", data, link, len(data))
        link = len(data) + len(directory)
        data += directory + bytes(4)
    assert tiff.decode(bytes(data), Request()).remarks == ("the first of more than 1000 pages",)


def test_an_image_smaller_than_its_place_is_damage() -> None:
    small = bytes(imagecodecs.jpeg_encode(np.ascontiguousarray(PIXELS[:40, :50])))
    for layout in ({}, {"tile": (64, 64)}):
        with pytest.raises(ImageError, match=r"Damaged image: .* has 50 x 40 x 3 samples instead of 60 x 40 x 3"):
            tiff.decode(written(Page(PIXELS, 6, compression=7, encode=lambda part: small, **layout)), Request())  # type: ignore[arg-type]


@pytest.mark.parametrize("tags", [[(330, 4, [8] * 64)], [(330, 4, [2**32 - 1])], [(34675, 7, [1, 2, 3])]])
def test_odd_tags_of_good_pixels(tags: list[Tag]) -> None:
    assert tiff.decode(written(Page(PIXELS, tags=tags)), Request()).size == (40, 60)


def test_every_file_that_is_cut_off_is_refused() -> None:
    for page in (Page(PIXELS), Page(PIXELS, compression=5, rows=7), Page(PIXELS, compression=8, tile=(16, 16))):
        data = written(page)
        for size in range(1, len(data) - 4, 97):
            with pytest.raises(ImageError, match="Damaged"):
                tiff.decode(data[:size], Request())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_mutated_files_are_read_or_refused(seed: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.support.tiff_fuzz", str(seed), "2500"],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    assert "of 2500 read" in ended.stdout
