"""The photograph among a TIFF's pages: a thumbnail, a mask or one channel is never taken for it in silence."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from seglab.errors import ImageError, TooLargeError
from seglab.images.decoders import tiff
from seglab.images.decoders.base import Request
from tests.support.tiff_files import Page, Tag, written

PIXELS = np.random.default_rng(5).integers(0, 256, (40, 60, 3), np.uint8)
SMALL = np.ascontiguousarray(PIXELS[::4, ::4])
REDUCED: list[Tag] = [(254, 4, [1])]
MASK = Page(PIXELS[..., :1] // 200, 4, 1, tags=[(254, 4, [4])])
FULL = Page(PIXELS)


def grey(channel: int, tags: list[Tag] | None = None) -> Page:
    return Page(np.ascontiguousarray(PIXELS[..., channel : channel + 1]), 1, tags=tags or [])


def described(text: str) -> list[Tag]:
    return [(270, 2, text.encode() + b"\0")]


def by_tifffile(samples: NDArray[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, **options)
    return buffer.getvalue()


FOUND: dict[str, tuple[list[Page], tuple[str, ...]]] = {
    "a marked thumbnail first": ([Page(SMALL, tags=REDUCED), FULL], ()),
    "one marked in the old way": ([Page(SMALL, tags=[(255, 3, [2])]), FULL], ()),
    "one that is not marked": ([Page(SMALL), FULL], ("read from page 2; the first is a smaller copy",)),
    "the photograph below its thumbnail": ([Page(SMALL, tags=REDUCED, below=[FULL])], ()),
    "below one that is not marked": ([Page(SMALL, below=[FULL])], ()),
    "smaller levels below it": ([Page(PIXELS, below=[Page(SMALL, tags=REDUCED)])], ()),
    "smaller levels behind it": ([FULL, Page(PIXELS[::2, ::2]), Page(SMALL)], ()),
    "its mask first": ([MASK, FULL], ()),
    "its mask behind it": ([FULL, MASK], ()),
    "three pages": ([FULL, Page(255 - PIXELS), Page(PIXELS // 2)], ("the first of 3 pages",)),
    "only a copy": (
        [Page(PIXELS, tags=REDUCED)],
        ("marked as a smaller copy or a mask, and nothing else is in the file",),
    ),
    "an image of ImageJ": ([Page(PIXELS, tags=described("ImageJ=1.54f\nunit=um\n"))], ()),
}


@pytest.mark.parametrize("name", FOUND)
@pytest.mark.parametrize("big", [False, True])
def test_the_photograph_is_found(name: str, big: bool) -> None:
    pages, remarks = FOUND[name]
    found = tiff.decode(written(*pages, big=big), Request())
    assert np.array_equal(np.asarray(found.pixels), PIXELS)
    assert found.remarks == remarks


def test_three_channels_of_imagej_are_one_image() -> None:
    text = described("ImageJ=1.54f\nimages=3\nchannels=3\nmode=composite\n")
    own = written(grey(0, text), grey(1), grey(2))
    planes = np.ascontiguousarray(PIXELS.transpose(2, 0, 1))
    theirs = by_tifffile(planes, imagej=True, metadata={"axes": "CYX", "mode": "composite"})
    for data in (own, theirs):
        found = tiff.decode(data, Request())
        assert np.array_equal(np.asarray(found.pixels), PIXELS)
        assert found.remarks == ("three grey pages read as red, green and blue",)


@pytest.mark.parametrize(
    "channel", [{"Name": ["Red", "Green", "Blue"]}, {"Color": [-16776961, 16711935, 65535]}], ids=["names", "colours"]
)
def test_three_channels_of_ome_are_one_image_where_they_are_called_so(channel: dict[str, Any]) -> None:
    planes = np.ascontiguousarray(PIXELS.transpose(2, 0, 1))
    data = by_tifffile(planes, ome=True, photometric="minisblack", metadata={"axes": "CYX", "Channel": channel})
    assert np.array_equal(np.asarray(tiff.decode(data, Request()).pixels), PIXELS)


def test_one_image_of_ome_in_rgb() -> None:
    planes = np.ascontiguousarray(PIXELS.transpose(2, 0, 1))
    contiguous = by_tifffile(PIXELS, ome=True, photometric="rgb", metadata={"axes": "YXS"})
    planar = by_tifffile(planes, ome=True, photometric="rgb", planarconfig="separate", metadata={"axes": "SYX"})
    for data in (contiguous, planar):
        assert np.array_equal(np.asarray(tiff.decode(data, Request()).pixels), PIXELS)


PLANES = np.ascontiguousarray(PIXELS.transpose(2, 0, 1))
IMAGEJ = "ImageJ=1.54f\nimages=3\n"
REFUSED = {
    "an ImageJ stack of 3 images": written(grey(0, described(f"{IMAGEJ}slices=3\n")), grey(1), grey(2)),
    "an ImageJ stack of 3 images ": written(grey(0, described(f"{IMAGEJ}frames=3\n")), grey(1), grey(2)),
    "mode grayscale": written(grey(0, described(f"{IMAGEJ}channels=3\nmode=grayscale\n")), grey(1), grey(2)),
    "an ImageJ image whose three channels": written(grey(0, described(f"{IMAGEJ}channels=3\nmode=composite\n"))),
    "3 channels that are not clearly": by_tifffile(
        PLANES, ome=True, photometric="minisblack", metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP", "R"]}}
    ),
    "3 slices": by_tifffile(PLANES, ome=True, photometric="minisblack", metadata={"axes": "ZYX"}),
    "3 time points": by_tifffile(PLANES, ome=True, photometric="minisblack", metadata={"axes": "TYX"}),
    "a stack of shape 3 x 40 x 60": by_tifffile(PLANES, photometric="minisblack"),
    "colour filter array": written(Page(SMALL, tags=REDUCED, below=[Page(PIXELS[..., :1], 32803)])),
    "linear raw data": written(Page(PIXELS, 34892)),
    "DNG": written(Page(PIXELS, tags=[(50706, 1, [1, 4, 0, 0])])),
    "a volume of 5 slices": written(Page(PIXELS, tags=[(32997, 4, [5])])),
    "a Zeiss LSM file": written(Page(PIXELS, tags=[(34412, 1, [0] * 8)])),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_no_single_photograph_is_refused_by_name(reason: str) -> None:
    with pytest.raises(ImageError, match=f"(?i){reason.strip()}") as refused:
        tiff.decode(REFUSED[reason], Request())
    assert "amaged" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_floats_that_begin_like_a_raw_file_are_none() -> None:
    samples = np.full((8, 8, 1), 210.0, np.float32)
    data = bytearray(written(Page(samples, 1, 32, 3), order=">"))
    assert data[8:10] == b"CR"
    assert np.asarray(tiff.decode(bytes(data), Request()).pixels).max() == 210


def test_of_a_pyramid_only_the_first_level_counts() -> None:
    with pytest.raises(TooLargeError, match="60 x 40"):
        tiff.decode(written(FULL, Page(SMALL, tags=REDUCED)), Request(max_pixels=2000))
