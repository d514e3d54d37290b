"""What is read before the pixels: orientation, profiles, frames."""

from __future__ import annotations

import struct
import time

import pytest
from PIL import Image

from seglab.errors import ImageError
from seglab.images.decoders.jpeg.header import exif_of, profile_of, read_header
from seglab.images.pixels.orientation import orientation_of
from tests.support.jpegs import encoded, inserted, photograph, segment


def block(order: str, *entries: tuple[int, int, int, bytes]) -> bytes:
    """Return an EXIF block: tag, type, count, value."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    return head + b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3].ljust(4, b"\0") for entry in entries)


@pytest.mark.parametrize("start", [b"", b"Exif\0\0", b"Exif\0\0Exif\0\0", b"Exif\0\xff"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_orientation_as_cameras_write_it(orientation: int, order: str, start: bytes) -> None:
    entries = ((0x010F, 2, 4, b"abc\0"), (0x0112, 3, 1, struct.pack(order + "H", orientation)))
    assert orientation_of(start + block(order, *entries)) == orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_orientation_as_pillow_writes_it(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "a camera with a long name"
    assert orientation_of(exif.tobytes()) == orientation
    data = encoded(photograph(), exif=exif)
    assert orientation_of(exif_of(data, read_header(data))) == orientation


@pytest.mark.parametrize(
    "exif",
    [
        None, b"", b"Exif\0\0", b"Exif\0\0II*\0", b"nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff",
        block("<", (0x0112, 3, 1, b"\x09\0")), block("<", (0x0112, 3, 1, b"\0\0")),
        block("<", (0x0112, 3, 2, b"\x06\0\x06\0")), block("<", (0x0112, 2, 1, b"6")), block("<")[:9],
        block("<", (0x0112, 3, 1, b"\x06\0"))[:14], block("<", (0x0113, 3, 1, b"\x06\0")),
    ],
)  # fmt: skip
def test_no_orientation(exif: bytes | None) -> None:
    assert orientation_of(exif) == 1


def test_the_thumbnails_orientation_is_not_the_photographs() -> None:
    first = block("<", (0x010F, 2, 4, b"abc\0"))
    second = block("<", (0x0112, 3, 1, b"\x06\0"))[8:]
    assert orientation_of(first + struct.pack("<I", len(first) + 4) + second) == 1


def test_the_first_exif_block_counts() -> None:
    blocks = [segment(0xE1, b"Exif\0\0" + block("<", (0x0112, 3, 1, bytes([number, 0])))) for number in (3, 6)]
    data = inserted(encoded(photograph()), 0xDB, b"".join(blocks))
    assert orientation_of(exif_of(data, read_header(data))) == 3


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (((1, 1),), (b"0", False)), (((1, 2), (2, 2)), (b"01", False)), (((2, 2), (1, 2)), (b"10", False)),
        (((0, 2), (1, 2)), (b"01", False)), (((1, 2),), (None, True)), (((1, 2), (1, 2)), (None, True)),
        (((1, 1), (2, 1)), (None, True)), (((5, 2),), (None, True)), ((), (None, False)),
    ],
)  # fmt: skip
def test_profiles_are_joined_by_their_numbers(
    numbers: tuple[tuple[int, int], ...], expected: tuple[bytes | None, bool]
) -> None:
    pieces = [segment(0xE2, b"ICC_PROFILE\0" + bytes(pair) + b"%d" % at) for at, pair in enumerate(numbers)]
    data = inserted(encoded(photograph()), 0xDB, b"".join(pieces))
    assert profile_of(data, read_header(data)) == expected


def test_a_frame_as_it_is_written() -> None:
    frame = read_header(encoded(photograph(), subsampling=2, progressive=True)).frame
    assert (frame.marker, frame.bits, frame.width, frame.height) == (0xC2, 8, 160, 120)
    assert [tuple(component) for component in frame.components] == [(1, 2, 2), (2, 1, 1), (3, 1, 1)]
    assert read_header(encoded(photograph())).is_one_scan


def test_a_header_that_is_cut_anywhere_is_damaged() -> None:
    data = encoded(photograph())
    end = data.index(b"\xff\xda") + 14
    for at in range(2, end):
        with pytest.raises(ImageError, match="Damaged image: it ends within its header"):
            read_header(data[:at])
    with pytest.raises(ImageError, match="it ends before its pixels"):
        read_header(data[: end - 14] + b"\xff\xd9")
    with pytest.raises(ImageError, match="its header \\(SOF\\) is missing"):
        read_header(data[: data.index(b"\xff\xc0")] + data[end - 14 :])


@pytest.mark.parametrize("filling", [b"\xff\0", b"\xff\xd0", b"\xff", b"\0", b"\xff\xfe\0\2"])
def test_very_many_bytes_before_a_segment_cost_no_time(filling: bytes) -> None:
    data = inserted(encoded(photograph()), 0xC0, filling * 500_000)
    start = time.perf_counter()
    if filling == b"\xff":
        assert read_header(data).frame.width == 160
    else:
        with pytest.raises(ImageError, match=r"surplus bytes|belong to no"):
            read_header(data)
    assert time.perf_counter() - start < 5
