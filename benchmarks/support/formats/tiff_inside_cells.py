"""TIFFs whose strips and tiles are pictures of their own: JPEG of every kind, JPEG 2000, WebP, fax."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.support.formats import colours
from benchmarks.support.formats.cells import (
    LOSSLESS,
    LOSSY,
    Bound,
    Cell,
    deepened,
    grey_picture,
    picture,
    three,
)
from benchmarks.support.formats.jpeg_writer import JFIF, Form, adobe, jpeg
from benchmarks.support.formats.tiff_common import (
    PLACES,
    UNITS,
    as_rgb,
    encoded_blocks,
    tiff_cell,
)
from benchmarks.support.formats.tiff_writer import Layout, Tag, tiff


def cells() -> Iterator[Cell]:
    """Yield the cells."""
    for part in (_codecs, _jpegs, _more_jpegs, _fax):
        yield from part()


def _codecs() -> Iterator[Cell]:
    """Compressions that are pictures of their own in each strip or tile."""
    encoders: dict[str, tuple[int, Any, Bound]] = {
        "JPEG 2000": (34712, lambda block: imagecodecs.jpeg2k_encode(block, reversible=True), LOSSLESS),
        "WebP": (50001, lambda block: imagecodecs.webp_encode(block, lossless=True), LOSSLESS),
        "JPEG XL": (50002, lambda block: imagecodecs.jpegxl_encode(block, lossless=True), LOSSLESS),
        "PNG": (34933, imagecodecs.png_encode, LOSSLESS),
        "LERC": (34887, imagecodecs.lerc_encode, LOSSLESS),
        "JPEG XR": (34934, lambda block: imagecodecs.jpegxr_encode(block, level=100), LOSSY),
    }
    for (how, (number, encode, bound)), (where, place) in itertools.product(encoders.items(), PLACES.items()):
        layout = Layout(compression=number, pack=encoded_blocks(encode), **place)
        try:
            yield tiff_cell("pictures inside", f"{how}, {where}", tiff(picture(), layout), picture(), bound=bound)
        except (RuntimeError, ImportError):
            continue  # a codec that this build of imagecodecs lacks
    yield from _jpegs()


def _jpegs() -> Iterator[Cell]:
    for subsampling, colour, (where, place) in itertools.product(
        ("444", "422", "420"),
        ("YCbCr", "RGB", "grey"),
        UNITS.items(),
    ):
        if colour != "YCbCr" and subsampling != "444":
            continue
        space = {"YCbCr": "ycbcr", "RGB": "rgb", "grey": "grayscale"}[colour]
        options = {
            "colorspace": None if colour == "grey" else "rgb",
            "outcolorspace": space,
            "subsampling": subsampling,
        }
        if colour == "grey":
            options.pop("subsampling")
        encode = encoded_blocks(lambda block, o=options: imagecodecs.jpeg8_encode(block.squeeze(), level=92, **o))
        samples = grey_picture()[..., None] if colour == "grey" else picture()
        factors = {"444": [1, 1], "422": [2, 1], "420": [2, 2]}[subsampling]
        tags: tuple[Tag, ...] = ((530, 3, factors),) if colour == "YCbCr" else ()
        photometric = {"YCbCr": 6, "RGB": 2, "grey": 1}[colour]
        layout = Layout(photometric=photometric, compression=7, pack=encode, tags=tags, **place)
        name = f"JPEG {colour} {subsampling}, {where}"
        yield tiff_cell("JPEG inside", name, tiff(samples, layout), as_rgb(samples), bound=LOSSY)
        yield tiff_cell(
            "JPEG inside", f"{name}, tables shared", _shared(samples, layout, encode), as_rgb(samples), bound=LOSSY
        )
    planes = Layout(
        planar=2, compression=7, pack=encoded_blocks(lambda block: imagecodecs.jpeg8_encode(block[..., 0], level=92))
    )
    yield tiff_cell("JPEG inside", "JPEG by plane", tiff(picture(), planes), picture(), bound=LOSSY)


def _more_jpegs() -> Iterator[Cell]:
    """Streams that do not say their colours themselves, of 12 bits, lossless, and of other names."""
    even = [(1, 1)] * 3
    rgb = _written(Form(even, segments=()))
    yield tiff_cell(
        "JPEG inside",
        "RGB, no marker in the stream",
        tiff(picture(), Layout(compression=7, pack=rgb)),
        picture(),
        bound=LOSSY,
    )
    ycc = np.round(colours.to_ycbcr(picture())).astype(np.uint8)
    for name, segments in (("no marker", ()), ("JFIF", (JFIF,)), ("Adobe 1", (adobe(1),))):
        layout = Layout(photometric=6, compression=7, pack=_written(Form(even, segments=segments)), rows=16)
        yield tiff_cell("JPEG inside", f"YCbCr, {name}", tiff(ycc, layout), picture(), bound=LOSSY)
    ink = colours.to_cmyk(picture())
    pack = _written(Form([(1, 1)] * 4, segments=()))
    data = tiff(ink, Layout(photometric=5, compression=7, pack=pack))
    yield tiff_cell("JPEG inside", "CMYK, no marker", data, colours.from_cmyk(ink), bound=LOSSY)
    for bits, options in (
        (12, {"level": 95}),
        (12, {"lossless": True}),
        (16, {"lossless": True}),
        (8, {"lossless": True}),
    ):
        for group, shown, photometric in (("grey", grey_picture()[..., None], 1), ("RGB", picture(), 2)):
            deep = deepened(shown, bits)
            layout = Layout(bits=bits, photometric=photometric, compression=7, pack=_deep_jpeg(bits, options))
            name = f"{group} {bits} bit, {'lossless' if 'lossless' in options else 'lossy'}"
            yield tiff_cell("JPEG inside", name, tiff(deep, layout), as_rgb(shown), bound=LOSSY)


def _written(form: Form) -> Callable[[NDArray[Any]], bytes]:
    return lambda block: jpeg(block.astype(np.float64), form)


def _deep_jpeg(bits: int, options: dict[str, Any]) -> Callable[[NDArray[Any]], bytes]:
    dtype = np.uint8 if bits == 8 else np.uint16
    colour: dict[str, Any] = {"colorspace": "rgb", "outcolorspace": "rgb"}

    def pack(block: NDArray[Any]) -> bytes:
        plain = np.ascontiguousarray(block.astype(dtype).squeeze())
        return bytes(
            imagecodecs.jpeg8_encode(plain, bitspersample=bits, **options, **(colour if plain.ndim == 3 else {}))
        )

    return pack


def _shared(samples: NDArray[Any], layout: Layout, encode: Callable[[NDArray[Any]], bytes]) -> bytes:
    """Return the file with the quantisation and Huffman tables of all strips in the tag JPEGTables."""
    tables, _ = _split(encode(samples[:16, :16]))
    tag: Tag = (347, 7, list(tables))
    return tiff(samples, replace(layout, pack=lambda block: _split(encode(block))[1], tags=(*layout.tags, tag)))


def _split(jpeg: bytes) -> tuple[bytes, bytes]:
    """Return (tables, the rest) of a JPEG, each with its SOI and EOI."""
    tables, rest, at = b"", b"", 2
    while jpeg[at + 1] != 0xDA:
        length = 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] in (0xDB, 0xC4):
            tables += jpeg[at : at + length]
        else:
            rest += jpeg[at : at + length]
        at += length
    return b"\xff\xd8" + tables + b"\xff\xd9", b"\xff\xd8" + rest + jpeg[at:]


def _fax() -> Iterator[Cell]:
    levels = deepened(grey_picture(), 1)[..., None]
    right = three((levels * 255).astype(np.uint8))
    for (number, name), photometric, (where, place), fill_order in itertools.product(
        ((2, "tiff_ccitt"), (3, "group3"), (4, "group4")), (0, 1), PLACES.items(), (1, 2)
    ):
        stored = levels if photometric else 1 - levels
        pack = _fax_pack(name, fill_order)
        tags: tuple[Tag, ...] = ((292, 4, [0]),) if number == 3 else ()
        layout = Layout(
            bits=1, photometric=photometric, compression=number, pack=pack, fill_order=fill_order, tags=tags, **place
        )  # fmt: skip
        what = f"{name}, photometric {photometric}, {where}, fill order {fill_order}"
        yield tiff_cell("fax", what, tiff(stored, layout), right)


def _fax_pack(compression: str, fill_order: int) -> Callable[[NDArray[Any]], bytes]:
    """Return the packing of 1-bit blocks that libtiff, through Pillow, makes of them."""

    def pack(block: NDArray[Any]) -> bytes:
        target = io.BytesIO()
        image = Image.fromarray((block[..., 0] * 255).astype(np.uint8)).convert("1", dither=Image.Dither.NONE)
        image.save(target, "TIFF", compression=compression, tiffinfo={278: block.shape[0]})
        tags = Image.open(target).tag_v2  # type: ignore[attr-defined]
        start = tags[273][0]
        raw = target.getvalue()[start : start + tags[279][0]]
        turned_bits = np.packbits(np.unpackbits(np.frombuffer(raw, np.uint8)), bitorder="little").tobytes()
        return raw if fill_order == 1 else turned_bits

    return pack
