"""Every kind of TIFF is read right: compared with the array that was written, whose 8 bits are worked out here."""

from __future__ import annotations

import io
import itertools
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from seglab.errors import ImageError
from seglab.images.decoders import tiff
from seglab.images.decoders.base import Decoded, Request
from tests.support.tiff_files import Page, written

HEIGHT, WIDTH = 37, 53
COLOURS = ((1, 0), (1, 1), (2, 1), (3, 2), (4, 2), (4, 5), (5, 5))
"""Channels and photometric interpretation."""
LAYOUTS: tuple[dict[str, Any], ...] = ({}, {"rows": 10}, {"tile": (16, 32)})
COMPRESSIONS = (1, 5, 8, 32946, 32773, 34925, 50000)
CHOSEN_BITS = (1, 2, 4, 8, 12, 16, 32)
ALL_BITS = (*range(1, 17), 20, 24, 31, 32)


def photo(channels: int = 3, bits: int = 8) -> NDArray[Any]:
    rng = np.random.default_rng(bits)
    size = next(size for size in (1, 2, 4) if 8 * size >= bits)
    samples = rng.integers(0, 2**bits, (HEIGHT, WIDTH, channels), np.uint64).astype(f"u{size}")
    samples[0, 0] = 2**bits - 1
    return samples


def decoded(*pages: Page, **options: Any) -> Decoded:
    return tiff.decode(written(*pages, **options), Request())


def expected(samples: NDArray[Any], bits: int, photometric: int) -> NDArray[np.uint8]:
    """RGB of samples, worked by hand: the high byte, or the range spread."""
    wide = samples.astype(np.uint64)
    eight = (wide >> np.uint64(bits - 8) if bits > 8 else wide * 255 // (2**bits - 1)).astype(np.uint8)
    if photometric == 5:
        ink = [Image.fromarray(np.ascontiguousarray(eight[..., k])) for k in range(4)]
        return np.asarray(Image.merge("CMYK", ink).convert("RGB"))
    if photometric == 2:
        return eight[..., :3]
    grey = np.repeat(eight[..., :1], 3, axis=2)
    return 255 - grey if photometric == 0 else grey


def cells(depths: tuple[int, ...], stride: int) -> list[dict[str, Any]]:
    """The matrix: all that the writer can write, or each ``stride``-th of it."""
    every = itertools.product(
        depths, COLOURS, (False, True), LAYOUTS, COMPRESSIONS, (1, 2), "<>", (False, True), (False, True)
    )
    names = ("bits", "colours", "is_planar", "layout", "compression", "predictor", "order", "big", "is_reversed")
    made = (dict(zip(names, cell, strict=True)) for cell in every)
    kept = [
        cell
        for cell in made
        if not (cell["is_planar"] and cell["colours"][0] == 1) and not (cell["compression"] == 1 < cell["predictor"])
    ]
    return kept[::stride]


def require_right(cell: dict[str, Any]) -> None:
    (channels, photometric), bits = cell["colours"], cell["bits"]
    samples = photo(channels, bits)
    page = Page(
        samples, photometric, bits, compression=cell["compression"], predictor=cell["predictor"],
        is_planar=cell["is_planar"], is_reversed=cell["is_reversed"], **cell["layout"],
    )  # fmt: skip
    found = decoded(page, order=cell["order"], big=cell["big"])
    assert np.array_equal(np.asarray(found.pixels), expected(samples, bits, photometric)), cell
    assert found.remarks == (), cell


@pytest.mark.parametrize("bits", CHOSEN_BITS)
def test_the_matrix(bits: int) -> None:
    chosen = cells((bits,), 43)
    for cell in chosen:
        require_right(cell)
    assert len(chosen) > 60


@pytest.mark.slow
@pytest.mark.parametrize("bits", ALL_BITS)
def test_a_third_of_the_matrix(bits: int) -> None:
    third = cells((bits,), 3)  # the whole of it: python -m benchmarks.studies.formats
    for cell in third:
        require_right(cell)
    assert len(third) > 1000


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_the_pages_own(orientation: int) -> None:
    page = Page(photo(), tags=[(274, 3, [orientation])])
    image = Image.open(io.BytesIO(written(page)))
    image.load()  # Pillow turns it
    found = decoded(page)
    assert np.array_equal(np.asarray(found.pixels), np.asarray(image))
    assert found.size == (image.height, image.width)


def test_lzw_of_the_first_kind() -> None:
    """Codes from the low bit on, as before TIFF 5: worked by hand, with the table cleared before codes grow."""

    def encode(part: NDArray[Any]) -> bytes:
        raw = part.tobytes()
        codes = [code for at in range(0, len(raw), 200) for code in (256, *raw[at : at + 200])]
        bits = sum(code << 9 * place for place, code in enumerate([*codes, 257]))
        return bits.to_bytes(-(-9 * (len(codes) + 1) // 8), "little")  # type: ignore[no-any-return]

    small = photo()[:20, :30]
    assert np.array_equal(np.asarray(decoded(Page(small, compression=5, encode=encode)).pixels), small)


def test_lzw_codes_beyond_the_table_are_damage(capfd: pytest.CaptureFixture[str]) -> None:
    """A code that was never given out: some decoders read memory that nobody wrote."""
    codes = [256, 7, 4000 % 512, 511, 300, 257]
    bits = "".join(f"{code:09b}" for code in codes).ljust(8 * 60, "0")
    spoiled = int(bits, 2).to_bytes(60, "big")
    page = Page(photo()[:20, :30], compression=5, encode=lambda part: spoiled)
    for _ in range(20):
        with pytest.raises(ImageError, match="cannot be decoded as LZW"):
            decoded(page)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
def test_fax(compression: str, photometric: int) -> None:
    shape = np.zeros((50, 70), np.uint8)
    shape[10:40, 20:61] = 255
    buffer = io.BytesIO()
    Image.fromarray(shape).convert("1").save(buffer, "TIFF", compression=compression, tiffinfo={262: photometric})
    with Image.open(io.BytesIO(buffer.getvalue())) as image:
        reference = np.asarray(image.convert("RGB"))
    assert np.array_equal(np.asarray(tiff.decode(buffer.getvalue(), Request()).pixels), reference)


def as_jpeg(part: NDArray[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(part)).save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(("number", "subsampling"), [(0, (1, 1)), (1, (2, 1)), (2, (2, 2))])
@pytest.mark.parametrize("layout", [{}, {"rows": 16}, {"tile": (32, 32)}])
def test_jpeg_by_pillow_and_by_us_are_alike(number: int, subsampling: tuple[int, int], layout: dict[str, Any]) -> None:
    rows, columns = np.mgrid[:64, :96]
    smooth = np.dstack([rows * 3, columns * 2, 255 - rows - columns]).astype(np.uint8)
    page = Page(
        smooth, 6, compression=7, tags=[(530, 3, list(subsampling))], **layout,
        encode=lambda part: as_jpeg(part, subsampling=number),
    )  # fmt: skip
    data = written(page)
    with Image.open(io.BytesIO(data)) as image:
        reference = np.asarray(image.convert("RGB")).astype(int)
    found = np.asarray(tiff.decode(data, Request()).pixels)
    assert np.abs(found - reference).max() <= 2
    assert np.abs(found - smooth.astype(int)).mean() < 6


def test_a_jpeg_that_breaks_off_is_damage() -> None:
    whole = as_jpeg(photo())
    cut = whole[: len(whole) // 2]
    for data in (cut, cut + b"\xff\xd9", cut + bytes(50)):
        with pytest.raises(ImageError, match="Damaged image"):
            decoded(Page(photo(), 6, compression=7, encode=lambda part, data=data: data))  # type: ignore[misc]


def test_jpeg_that_is_called_rgb_stays_as_it_is() -> None:
    smooth = np.full((32, 32, 3), (200, 120, 60), np.uint8)
    data = imagecodecs.jpeg_encode(smooth, level=98, colorspace="RGB", outcolorspace="RGB")
    found = np.asarray(decoded(Page(smooth, compression=7, encode=lambda part: bytes(data))).pixels)
    assert np.abs(found - smooth.astype(int)).max() <= 3


@pytest.mark.parametrize(
    ("compression", "encoder"),
    [(34887, "lerc"), (34933, "png"), (50001, "webp"), (50002, "jpegxl"), (34712, "jpeg2k")],
)
def test_images_in_strips_and_tiles(compression: int, encoder: str) -> None:
    options = {"webp": {"lossless": True}, "jpegxl": {"lossless": True}, "jpeg2k": {"reversible": True}}
    encode = getattr(imagecodecs, f"{encoder}_encode")
    for layout in LAYOUTS:
        page = Page(
            photo(), compression=compression, **layout,
            encode=lambda part: bytes(encode(np.ascontiguousarray(part), **options.get(encoder, {}))),
        )  # fmt: skip
        assert np.array_equal(np.asarray(decoded(page).pixels), photo()), layout


@pytest.mark.parametrize(("bits", "size"), [(16, "f2"), (32, "f4"), (64, "f8")])
@pytest.mark.parametrize("predictor", [1, 2, 3])
@pytest.mark.parametrize("order", ["<", ">"])
def test_floats(bits: int, size: str, predictor: int, order: str) -> None:
    samples = (photo() / 255).astype(size)
    page = Page(samples, bits=bits, kind=3, compression=8, predictor=predictor, tile=(16, 16))
    found = decoded(page, order=order)
    assert np.abs(np.asarray(found.pixels).astype(int) - photo()).max() <= 1
    assert found.remarks == ("floating-point samples, taken as lying between 0 and 1",)


DEPTHS = [
    (photo().astype("u2"), 16, 1, (), "read as 8 bits"),
    (photo().astype("u2") * 16, 16, 1, (), "read as 12 bits"),
    (photo().astype("u2") * 64, 16, 1, [(281, 3, [16383] * 3)], None),
    (photo().astype("u2") * 256, 16, 1, (), None),
    (photo().astype("u4"), 32, 1, (), "read as 8 bits"),
    (photo().astype("u4") * 256, 32, 1, (), "read as 16 bits"),
    (photo().astype("i4"), 32, 2, (), "read as 8 bits"),
    (photo().astype("i2") * 128, 16, 2, (), "read as 15 bits"),
    (photo().astype("f4"), 32, 3, (), "between 0 and 255"),
    (photo().astype("f4") * 4, 32, 3, [(340, 11, [0.0] * 3), (341, 11, [1020.0] * 3)], None),
]


@pytest.mark.parametrize(("samples", "bits", "kind", "tags", "remark"), DEPTHS)
def test_depth_is_what_the_file_or_its_values_say(
    samples: NDArray[Any], bits: int, kind: int, tags: Any, remark: str | None
) -> None:
    found = decoded(Page(samples, bits=bits, kind=kind, tags=tags))
    assert np.abs(np.asarray(found.pixels).astype(int) - photo()).max() <= 1
    assert (remark in found.remarks[0]) if remark else found.remarks == ()


def test_small_values_of_ink_are_bright() -> None:
    ink = np.full((8, 8, 4), 200, np.uint16)
    assert np.asarray(decoded(Page(ink, 5, 16)).pixels).min() == 255
    assert np.asarray(decoded(Page(ink[..., :1], 0, 16)).pixels).min() == 255


@pytest.mark.parametrize(
    ("samples", "bits", "kind", "message"),
    [
        (np.full((4, 4, 1), -5, "i2"), 16, 2, "Signed samples of 16 bits down to -5"),
        (np.full((4, 4, 1), np.nan, "f4"), 32, 3, "not finite"),
        (np.full((4, 4, 1), 5.0, "f4"), 32, 3, "between 5 and 5"),
        (np.full((4, 4, 1), -0.5, "f4"), 32, 3, "between -0.5 and -0.5"),
        (np.full((4, 4, 1), 2**20, "u4"), 32, 1, "reach only 1048576"),
        (np.zeros((4, 4, 1), "u4"), 32, 5, "complex"),
        (np.zeros((4, 4, 6), "u1"), 8, 1, "6 channels"),
        (np.zeros((4, 4, 3), "u1"), 8, 1, "3 channels without colours"),
    ],
)
def test_what_cannot_be_read_right_is_refused_by_name(
    samples: NDArray[Any], bits: int, kind: int, message: str
) -> None:
    with pytest.raises(ImageError, match=message) as refused:
        decoded(Page(samples, 1, bits, kind))
    assert "amaged" not in str(refused.value)


@pytest.mark.parametrize("scale", [1, 257])
def test_palettes_of_sixteen_and_of_eight_bits(scale: int) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (16, 3))
    colours[0] = 255
    indices = photo(1, 4)
    page = Page(indices, 3, 4, tags=[(320, 3, (colours.T * scale).ravel().tolist())])
    assert np.array_equal(np.asarray(decoded(page).pixels), colours[indices[..., 0]])


def test_an_index_without_its_colour_is_damage() -> None:
    with pytest.raises(ImageError, match="Damaged image: a palette of 2 colours for samples up to 15"):
        decoded(Page(photo(1, 4), 3, 4, tags=[(320, 3, [0, 65535] * 3)]))


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2), (4, 1)])
def test_ycbcr_that_is_not_compressed(subsampling: tuple[int, int]) -> None:
    """Chroma repeated; by Pillow's own conversion, which is JFIF's."""
    across, down = subsampling
    small = np.random.default_rng(1).integers(0, 256, (10, 12, 3), np.uint8)
    chroma = small.repeat(down, 0).repeat(across, 1)
    samples = np.dstack([photo(1)[:10, :12].repeat(down, 0).repeat(across, 1), chroma[..., 1:]])

    def units(part: NDArray[Any]) -> bytes:
        tall, wide = part.shape[0] // down, part.shape[1] // across
        luma = part[..., 0].reshape(tall, down, wide, across).swapaxes(1, 2).reshape(tall, wide, -1)
        return np.dstack([luma, part[::down, ::across, 1:]]).astype(np.uint8).tobytes()

    found = decoded(Page(samples, 6, encode=units, tags=[(530, 3, list(subsampling))]))
    reference = np.asarray(Image.fromarray(np.ascontiguousarray(samples), "YCbCr").convert("RGB")).astype(int)
    assert np.abs(np.asarray(found.pixels) - reference).max() <= 2


@pytest.mark.parametrize(
    ("photometric", "lab", "rgb"),
    [
        (8, (255, 0, 0), (255, 255, 255)),
        (8, (0, 0, 0), (0, 0, 0)),
        (8, (138, 81, 70), (255, 0, 0)),  # sRGB's red is L 54.29, a 80.8, b 69.9 under D50
        (9, (138, 209, 198), (255, 0, 0)),
        (8, (75, 68, 256 - 112), (0, 0, 255)),
    ],
)
def test_lab(photometric: int, lab: tuple[int, int, int], rgb: tuple[int, int, int]) -> None:
    found = np.asarray(decoded(Page(np.full((4, 4, 3), lab, np.uint8), photometric)).pixels)
    assert np.abs(found.astype(int) - rgb).max() <= 6


def test_premultiplied_colours_are_divided_by_alpha() -> None:
    colour, alpha = np.array([200, 100, 50]), np.linspace(60, 255, 40).astype(np.uint8)
    samples = np.empty((4, 40, 4), np.uint8)
    samples[..., :3] = np.rint(colour * (alpha[:, None] / 255))
    samples[..., 3] = alpha
    associated = np.asarray(decoded(Page(samples, tags=[(338, 3, [1])])).pixels)
    assert np.abs(associated.astype(int) - colour).max() <= 3
    kept = np.asarray(decoded(Page(samples, tags=[(338, 3, [2])])).pixels)
    assert np.array_equal(kept, samples[..., :3])


@pytest.mark.parametrize("big", [False, True])
def test_samples_as_they_are_stored(big: bool) -> None:
    values = (photo(1) // 200).astype(np.uint16) * 3
    data = written(Page(values, 0, 16, tags=[(274, 3, [6])]), big=big)
    found = tiff.stored(data, Request())
    assert np.array_equal(found.values, np.rot90(values, -1))
    assert (found.colours, found.bits, found.extra, found.palette) == ("white is zero", 16, 0, None)
    indexed = tiff.stored(written(Page(photo(2, 2), 3, 2, tags=[(320, 3, [0, 1000, 2000, 65535] * 3)])), Request())
    assert (indexed.colours, indexed.extra, indexed.values.shape[2]) == ("palette", 1, 2)
    assert indexed.palette is not None
    assert indexed.palette[:, 0].tolist() == [0, 3, 7, 255]
