"""The matrix of TIFF, by the small writer: depth x photometric x layout x compression x order, turns, alpha, pages."""

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
from tifffile import TiffWriter, imwrite

from benchmarks.support.formats import colours
from benchmarks.support.formats.cells import (
    CONVERTED,
    LOSSLESS,
    LOSSY,
    Bound,
    Cell,
    Picture,
    deepened,
    grey_picture,
    picture,
    shallowed,
    three,
    turned,
)
from benchmarks.support.formats.tiff_writer import Layout, Tag, float_predicted, tiff, tiff_pages

Compress = Callable[[bytes], Any]
PLAIN: dict[str, tuple[int, Compress]] = {
    "none": (1, bytes),
    "lzw": (5, imagecodecs.lzw_encode),
    "deflate": (8, imagecodecs.zlib_encode),
    "old deflate": (32946, imagecodecs.zlib_encode),
    "packbits": (32773, imagecodecs.packbits_encode),
    "zstd": (50000, imagecodecs.zstd_encode),
    "lzma": (34925, imagecodecs.lzma_encode),
}
UNITS: dict[str, dict[str, Any]] = {"one strip": {}, "strips": {"rows": 16}, "tiles": {"tile": 16}}
"""Places of whole MCUs and data units."""
PLACES: dict[str, dict[str, Any]] = {"one strip": {}, "strips": {"rows": 7}, "tiles": {"tile": 16}}
ORDERS = {"little": "<", "big": ">"}
FLOATS = {16: np.float16, 32: np.float32, 64: np.float64}
KINDS = {"f": 3, "i": 2, "u": 1}


def cells() -> Iterator[Cell]:
    """Yield the matrix."""
    yield from _depths("grey, black is zero", grey_picture()[..., None], 1)
    yield from _depths("grey, white is zero", grey_picture()[..., None], 0)
    yield from _depths("RGB", picture(), 2)
    for part in (
        _floats,
        _palettes,
        _inks,
        _ycbcr,
        _lab,
        _turns,
        _alpha,
        _predictors,
        _codecs,
        _fax,
        _pages,
        _ranges,
        _untidy,
        _profiles,
        _cut,
    ):
        yield from part()


def _cell(group: str, name: str, data: bytes, *accepted: Picture, bound: Bound = LOSSLESS) -> Cell:
    return Cell("TIFF", group, name, ".tif", data, accepted, bound)


def _ways() -> Iterator[tuple[str, dict[str, Any]]]:
    for (how, (number, compress)), (where, place), (end, order) in itertools.product(
        PLAIN.items(), PLACES.items(), ORDERS.items()
    ):
        yield f"{how}, {where}, {end} endian", {"compression": number, "compress": compress, "order": order, **place}


def _depths(group: str, shown: NDArray[np.uint8], photometric: int) -> Iterator[Cell]:
    """Unsigned samples of all depths."""
    for bits, planar in itertools.product((1, 2, 4, 8, 12, 16, 32), (1, 2) if shown.shape[2] > 1 else (1,)):
        samples = deepened(shown, bits)
        right = shallowed(samples, bits)
        stored = samples if photometric else (2**bits - 1 - samples.astype(np.int64)).astype(np.uint32)
        for way, options in _ways():
            layout = Layout(bits=bits, photometric=photometric, planar=planar, **options)
            layers = "by plane, " if planar == 2 else ""
            yield _cell(group, f"{bits} bit, {layers}{way}", tiff(stored, layout), _rgb(right))
        big = Layout(bits=bits, photometric=photometric, planar=planar, big=True, rows=9)
        yield _cell(group, f"{bits} bit, BigTIFF, planar {planar}", tiff(stored, big), _rgb(right))
        if bits <= 8:
            turned_bits = Layout(bits=bits, photometric=photometric, planar=planar, fill_order=2)
            yield _cell(group, f"{bits} bit, lowest bit first, planar {planar}", tiff(stored, turned_bits), _rgb(right))


def _rgb(shown: NDArray[np.uint8]) -> Picture:
    return three(shown) if shown.shape[2] == 1 else shown


def _floats() -> Iterator[Cell]:
    for (bits, dtype), planar, scale, way in itertools.product(
        FLOATS.items(), (1, 2), (1.0, 255.0), list(_ways())[::3]
    ):
        values = (picture() / 255.0 * scale).astype(dtype)
        layout = Layout(bits=bits, planar=planar, kind=3, **way[1])
        yield _cell("float", f"RGB {bits} bit 0-{scale:g}, planar {planar}, {way[0]}", tiff(values, layout), picture())
        if planar == 1:
            grey = (grey_picture()[..., None] / 255.0 * scale).astype(dtype)
            layout = Layout(bits=bits, photometric=1, kind=3, **way[1])
            right = three(grey_picture())
            yield _cell("float", f"grey {bits} bit 0-{scale:g}, {way[0]}", tiff(grey, layout), right)
            layout = Layout(bits=bits, photometric=0, kind=3, **way[1])
            data = tiff((scale - grey).astype(dtype), layout)
            yield _cell("float", f"grey {bits} bit {scale:g}-0, white is zero, {way[0]}", data, right)


def _palettes() -> Iterator[Cell]:
    rng = np.random.default_rng(3)
    for bits, values, (way, options) in itertools.product((1, 2, 4, 8), ("16 bit", "8 bit"), _ways()):
        table = rng.integers(0, 256, (2**bits, 3)).astype(np.uint8)
        table[0], table[-1] = (250, 20, 130), (255, 250, 240)
        index = deepened(grey_picture(), bits)
        entries = (table.T.astype(int) * (257 if values == "16 bit" else 1)).ravel().tolist()
        layout = Layout(bits=bits, photometric=3, tags=((320, 3, entries),), **options)
        yield _cell("palette", f"{bits} bit, {values} entries, {way}", tiff(index[..., None], layout), table[index])


def _inks() -> Iterator[Cell]:
    ink = colours.to_cmyk(picture())
    right = colours.from_cmyk(ink)
    for bits, planar, (way, options) in itertools.product((8, 16), (1, 2), list(_ways())[::2]):
        layout = Layout(bits=bits, photometric=5, planar=planar, tags=((332, 3, [1]),), **options)
        data = tiff(deepened(ink, bits), layout)
        yield _cell("CMYK", f"{bits} bit, planar {planar}, {way}", data, right, bound=CONVERTED)
    for orientation in range(2, 9):
        data = tiff(ink, Layout(photometric=5, tags=(_turn(orientation),)))
        yield _cell("CMYK", f"orientation {orientation}", data, turned(right, orientation), bound=CONVERTED)


def _ycbcr() -> Iterator[Cell]:
    full: Tag = (532, 5, [0, 1, 255, 1, 128, 1, 255, 1, 128, 1, 255, 1])
    studio: Tag = (532, 5, [16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1])
    values = colours.to_ycbcr(picture())
    narrow = np.stack([values[..., 0] * 219 / 255 + 16, *((values[..., c] - 128) * 224 / 255 + 128 for c in (1, 2))], 2)
    for (across, down), (how, (number, compress)), (span, tag) in itertools.product(
        ((1, 1), (2, 1), (2, 2), (4, 1), (1, 2), (4, 4)), list(PLAIN.items())[:5], (("full", full), ("studio", studio))
    ):
        stored = np.clip(np.round(values if span == "full" else narrow), 0, 255).astype(np.uint8)
        tags = ((530, 3, [across, down]), tag)
        for where, place in UNITS.items():
            layout = Layout(
                photometric=6, compression=number, compress=compress, tags=tags, pack=_units(across, down), **place
            )  # fmt: skip
            name = f"{across} x {down}, {span} range, {how}, {where}"
            yield _cell("YCbCr", name, tiff(stored, layout), picture(), bound=LOSSY if across * down > 1 else CONVERTED)


def _units(across: int, down: int) -> Callable[[NDArray[Any]], bytes]:
    """Return the packing of YCbCr data units: luma of a block, then its mean Cb and Cr (TIFF 6.0, section 21)."""

    def pack(block: NDArray[Any]) -> bytes:
        padded = np.pad(block, ((0, -block.shape[0] % down), (0, -block.shape[1] % across), (0, 0)), mode="edge")
        rows, columns = padded.shape[0] // down, padded.shape[1] // across
        units = padded.reshape(rows, down, columns, across, 3).transpose(0, 2, 1, 3, 4)
        luma = units[..., 0].reshape(rows, columns, -1)
        chroma = np.round(units[..., 1:].reshape(rows, columns, -1, 2).mean(axis=2)).astype(np.uint8)
        return np.concatenate([luma, chroma], axis=2).astype(np.uint8).tobytes()

    return pack


def _lab() -> Iterator[Cell]:
    lab = colours.to_lab(picture())
    eight = np.round(np.stack([lab[..., 0] * 2.55, lab[..., 1], lab[..., 2]], 2)).astype(np.int16)
    deep = np.round(np.stack([lab[..., 0] * 655.35, lab[..., 1] * 256, lab[..., 2] * 256], 2)).astype(np.int64)
    icc = np.round(np.stack([lab[..., 0] * 652.8, (lab[..., 1] + 128) * 256, (lab[..., 2] + 128) * 256], 2))
    kinds = {
        "CIE 8 bit": (8, 8, eight.astype(np.uint8)),
        "CIE 16 bit": (8, 16, deep.astype(np.uint16)),
        "ICC 8 bit": (9, 8, (eight + np.array([0, 128, 128], np.int16)).astype(np.uint8)),
        "ICC 16 bit": (9, 16, icc.astype(np.uint16)),
    }
    for (kind, (photometric, bits, stored)), planar, (way, options) in itertools.product(
        kinds.items(), (1, 2), list(_ways())[::5]
    ):
        layout = Layout(bits=bits, photometric=photometric, planar=planar, **options)
        name = f"{kind}, planar {planar}, {way}"
        yield _cell("L*a*b*", name, tiff(stored, layout), picture(), bound=Bound(6.0, 40.0))


def _turn(orientation: int) -> Tag:
    return (274, 3, [orientation])


def _turns() -> Iterator[Cell]:
    table = np.random.default_rng(4).integers(0, 256, (256, 3)).astype(np.uint8)
    entries: Tag = (320, 3, (table.T.astype(int) * 257).ravel().tolist())
    grey = grey_picture()[..., None]
    for orientation, bits, (where, place) in itertools.product(range(1, 9), (8, 16), PLACES.items()):
        kinds: tuple[tuple[str, NDArray[np.uint8], Picture, dict[str, Any]], ...] = (
            ("RGB", picture(), picture(), {}),
            ("RGB by plane", picture(), picture(), {"planar": 2}),
            ("grey", grey, three(grey), {"photometric": 1}),
            ("white is zero", 255 - grey, three(grey), {"photometric": 0}),
            ("palette", grey, table[grey[..., 0]], {"photometric": 3, "tags": (_turn(orientation), entries)}),
        )
        for name, stored, shown, options in kinds:
            if name == "palette" and bits == 16:
                continue
            layout = Layout(**{"bits": bits, "tags": (_turn(orientation),), **place, **options})
            what = f"{name} {bits} bit, orientation {orientation}, {where}"
            yield _cell("orientation", what, tiff(deepened(stored, bits), layout), turned(shown, orientation))


def _alpha() -> Iterator[Cell]:
    alpha = np.clip(np.arange(picture()[..., 0].size).reshape(picture().shape[:2]) % 256, 64, 255).astype(np.uint8)
    for kind, planar, bits, (base, stored, photometric) in itertools.product(
        (0, 1, 2), (1, 2), (8, 16), (("RGB", picture(), 2), ("grey", grey_picture()[..., None], 1))
    ):
        premultiplied = np.round(stored * (alpha[..., None] / 255.0)).astype(np.uint8)
        colour = premultiplied if kind == 1 else stored
        values = np.concatenate([colour, alpha[..., None]], axis=2)
        data = tiff(
            deepened(values, bits), Layout(bits=bits, photometric=photometric, planar=planar, tags=((338, 3, [kind]),))
        )
        accepted = (_rgb(stored),) if kind != 1 else (_rgb(stored), _rgb(premultiplied))
        bound = Bound(3.0, 12.0) if kind == 1 else LOSSLESS  # dark premultiplied samples lose their low bits
        yield _cell("alpha", f"{base} {bits} bit, ExtraSamples {kind}, planar {planar}", data, *accepted, bound=bound)


def _predictors() -> Iterator[Cell]:
    for (how, (number, compress)), planar, bits, (where, place), (end, order) in itertools.product(
        (item for item in PLAIN.items() if item[0] not in ("none", "packbits")),
        (1, 2),
        (8, 16, 32),
        PLACES.items(),
        ORDERS.items(),
    ):
        options = {"compression": number, "compress": compress, "planar": planar, "order": order, **place}
        name = f"{how}, planar {planar}, {where}, {end} endian"
        samples = deepened(picture(), bits)
        layout = Layout(bits=bits, predictor=2, **options)
        yield _cell("predictor", f"differences, {bits} bit, {name}", tiff(samples, layout), picture())
        if bits != 8:
            values = (picture() / 255.0).astype(FLOATS[bits])
            layout = Layout(bits=bits, kind=3, predictor=3, pack=float_predicted, **options)
            yield _cell("predictor", f"float {bits} bit, {name}", tiff(values, layout), picture())


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
        layout = Layout(compression=number, pack=_encoded(encode), **place)
        try:
            yield _cell("pictures inside", f"{how}, {where}", tiff(picture(), layout), picture(), bound=bound)
        except (RuntimeError, ImportError):
            continue  # a codec that this build of imagecodecs lacks
    yield from _jpegs()


def _encoded(encode: Any) -> Callable[[NDArray[Any]], bytes]:
    return lambda block: bytes(encode(np.ascontiguousarray(block.astype(np.uint8))))


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
        encode = _encoded(lambda block, o=options: imagecodecs.jpeg8_encode(block.squeeze(), level=92, **o))
        samples = grey_picture()[..., None] if colour == "grey" else picture()
        factors = {"444": [1, 1], "422": [2, 1], "420": [2, 2]}[subsampling]
        tags: tuple[Tag, ...] = ((530, 3, factors),) if colour == "YCbCr" else ()
        photometric = {"YCbCr": 6, "RGB": 2, "grey": 1}[colour]
        layout = Layout(photometric=photometric, compression=7, pack=encode, tags=tags, **place)
        name = f"JPEG {colour} {subsampling}, {where}"
        yield _cell("JPEG inside", name, tiff(samples, layout), _rgb(samples), bound=LOSSY)
        yield _cell(
            "JPEG inside", f"{name}, tables shared", _shared(samples, layout, encode), _rgb(samples), bound=LOSSY
        )
    planes = Layout(
        planar=2, compression=7, pack=_encoded(lambda block: imagecodecs.jpeg8_encode(block[..., 0], level=92))
    )
    yield _cell("JPEG inside", "JPEG by plane", tiff(picture(), planes), picture(), bound=LOSSY)


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
        yield _cell("fax", what, tiff(stored, layout), right)


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


def _pages() -> Iterator[Cell]:
    small = picture(12, 16)
    other = np.ascontiguousarray(picture()[::-1, :, ::-1])
    reduced: tuple[Tag, ...] = ((254, 4, [1]),)
    for end, order in ORDERS.items():
        base = Layout(order=order)
        first = Layout(order=order, tags=reduced)
        pages = {
            "thumbnail first, marked": [(small, first), (picture(), base)],
            "thumbnail last, marked": [(picture(), base), (small, first)],
            "thumbnail first, old mark": [(small, Layout(order=order, tags=((255, 3, [2]),))), (picture(), base)],
            "two photographs": [(picture(), base), (other, base)],
            "a mask first, marked": [
                (three(grey_picture()), Layout(order=order, tags=((254, 4, [4]),))),
                (picture(), base),
            ],
        }
        for name, content in pages.items():
            yield _cell("pages", f"{name}, {end} endian", tiff_pages(content), picture())
        channels = [(picture()[..., c : c + 1], Layout(photometric=1, order=order, tags=_imagej(c))) for c in range(3)]
        yield _cell("pages", f"ImageJ, RGB as channels, {end} endian", tiff_pages(channels), picture())
    by_channel = np.moveaxis(picture(), 2, 0)
    tiles = {"tile": (16, 16), "compression": "deflate", "predictor": True}
    written: tuple[tuple[str, NDArray[Any], dict[str, Any]], ...] = (
        ("ImageJ composite", by_channel, {"imagej": True, "metadata": {"axes": "CYX", "mode": "composite"}}),
        ("ImageJ RGB", picture(), {"imagej": True}),
        ("OME RGB", picture(), {"ome": True, "photometric": "rgb"}),
        ("OME RGB by plane", by_channel, {"ome": True, "photometric": "rgb", "planarconfig": "separate"}),
        ("shaped RGB", picture(), {"photometric": "rgb"}),
        ("tiles, deflate", picture(), {"photometric": "rgb", **tiles}),
    )
    for name, array, options in written:
        target = io.BytesIO()
        imwrite(target, array, **options)
        yield _cell("pages", f"tifffile, {name}", target.getvalue(), picture())


def _imagej(channel: int) -> tuple[Tag, ...]:
    text = b"ImageJ=1.53\nimages=3\nchannels=3\nmode=composite\n\0"
    return ((270, 2, list(text)),) if channel == 0 else ()


def _ranges() -> Iterator[Cell]:
    """Samples that do not use their depth, and signed ones."""
    shown = grey_picture()[..., None]
    most: Tag = (281, 3, [4095] * 3)
    for name, stored, layout, accepted in (
        ("12 of 16 bits", deepened(picture(), 12), Layout(bits=16), (picture(),)),
        ("12 of 16 bits, grey", deepened(shown, 12), Layout(bits=16, photometric=1), (three(shown),)),
        ("SMaxSampleValue 4095 of 16 bits", deepened(picture(), 12), Layout(bits=16, tags=(most,)), (picture(),)),
        ("0-255 in 32 bits", picture(), Layout(bits=32), (picture(),)),
        ("0-65535 in 32 bits", deepened(picture(), 16), Layout(bits=32), (picture(),)),
        ("0-255 in signed 32 bits", picture().astype(np.int32), Layout(bits=32, kind=2), (picture(),)),
        ("signed 16 bits, below zero", picture().astype(np.int16) - 128, Layout(bits=16, kind=2), ()),
        ("complex", (picture() / 255.0).astype(np.float64), Layout(bits=64, kind=6), ()),
    ):  # fmt: skip
        yield _cell("range", name, tiff(stored, layout), *accepted)


def _untidy() -> Iterator[Cell]:
    """Directories as careless programs write them, and old JPEG."""
    forms: dict[str, Layout] = {
        "RowsPerStrip left out": Layout(without=(278,)),
        "RowsPerStrip 2^32 - 1": Layout(tags=((278, 4, [2**32 - 1]),)),
        "StripByteCounts left out": Layout(without=(279,)),
        "StripByteCounts 0": Layout(tags=((279, 4, [0]),)),
        "BitsPerSample once for three": Layout(tags=((258, 3, [8]),)),
        "PlanarConfiguration left out": Layout(without=(284,)),
        "sizes as SHORT": Layout(tags=((256, 3, [picture().shape[1]]), (257, 3, [picture().shape[0]]))),
        "Compression left out": Layout(without=(259,)),
        "Orientation 0": Layout(tags=((274, 3, [0]),)),
        "Orientation 9": Layout(tags=((274, 3, [9]),)),
        "SampleFormat once for three": Layout(tags=((339, 3, [1]),)),
        "SampleFormat undefined": Layout(tags=((339, 3, [4] * 3),)),
        "resolution of 0": Layout(tags=((282, 5, [0, 0]), (283, 5, [0, 0]))),
        "a private tag": Layout(tags=((65000, 7, list(range(200))),)),
    }
    for (name, layout), (end, order) in itertools.product(forms.items(), ORDERS.items()):
        yield _cell("untidy", f"{name}, {end} endian", tiff(picture(), replace(layout, order=order)), picture())
    four = np.concatenate([picture(), grey_picture()[..., None]], axis=2)
    yield _cell("untidy", "four samples, no ExtraSamples", tiff(four, Layout()), picture())
    five = np.concatenate([four, grey_picture()[..., None]], axis=2)
    yield _cell("untidy", "two extra samples", tiff(five, Layout(tags=((338, 3, [2, 0]),))), picture())
    yield _cell("untidy", "bytes behind the end", tiff(picture(), Layout()) + b"behind" * 50, picture())
    old = _old_jpeg()
    yield _cell("untidy", "old JPEG, a whole stream", old, picture(), bound=LOSSY)
    target = io.BytesIO()
    with TiffWriter(target) as writer:
        writer.write(picture(12, 16), photometric="rgb", subfiletype=1, subifds=1)
        writer.write(picture(), photometric="rgb", subfiletype=0)
    yield _cell("untidy", "a thumbnail first, the photograph in its SubIFD", target.getvalue(), picture())
    target = io.BytesIO()
    with TiffWriter(target) as writer:
        writer.write(picture(), photometric="rgb", subifds=1, tile=(16, 16))
        writer.write(np.ascontiguousarray(picture()[::2, ::2]), photometric="rgb", subfiletype=1, tile=(16, 16))
    yield _cell("untidy", "a pyramid in SubIFDs", target.getvalue(), picture())


def _old_jpeg() -> bytes:
    """Return a file of compression 6 whose stream is whole (JPEGInterchangeFormat)."""
    stream = _encoded(lambda block: imagecodecs.jpeg8_encode(block, level=92, subsampling="444"))(picture())
    tags: tuple[Tag, ...] = ((512, 3, [1]), (513, 4, [8]), (514, 4, [len(stream)]), (530, 3, [1, 1]))
    return tiff(picture(), Layout(photometric=6, compression=6, pack=lambda _: stream, tags=tags))


def _profiles() -> Iterator[Cell]:
    for (name, primaries), gamma, bits, planar, orientation in itertools.product(
        (("Display P3", colours.DISPLAY_P3), ("Adobe RGB", colours.ADOBE_RGB)), (1.8, 2.2), (8, 16), (1, 2), (1, 6)
    ):
        stored = colours.in_space(picture(), primaries, gamma)
        profile: Tag = (34675, 7, list(colours.matrix_profile(primaries, gamma, name)))
        layout = Layout(bits=bits, planar=planar, tags=(profile, _turn(orientation)))
        right = turned(colours.from_space(stored, primaries, gamma), orientation)
        what = f"{name}, gamma {gamma}, {bits} bit, planar {planar}, orientation {orientation}"
        yield _cell("profile", what, tiff(deepened(stored, bits), layout), right, bound=CONVERTED)
    light = (grey_picture() / 255.0) ** 1.8
    grey: Tag = (34675, 7, list(colours.grey_profile(1.8)))
    for photometric, stored in ((1, grey_picture()), (0, np.invert(grey_picture()))):
        data = tiff(stored[..., None], Layout(photometric=photometric, tags=(grey,)))
        yield _cell(
            "profile",
            f"grey, gamma 1.8, photometric {photometric}",
            data,
            three(colours.encoded(light)),
            bound=CONVERTED,
        )
    broken: Tag = (34675, 7, [0] * 100)
    yield _cell("profile", "broken", tiff(picture(), Layout(tags=(broken,))), picture())


def _cut() -> Iterator[Cell]:
    """Files that lack pixels, their directory first: none may be read."""
    for compression, rows, share in itertools.product(
        ("none", "zlib", "lzw", "zstd", "packbits"), (7, 45), (0.4, 0.7, 0.93)
    ):
        target = io.BytesIO()
        imwrite(target, picture(), photometric="rgb", compression=compression, rowsperstrip=rows, metadata=None)
        data = target.getvalue()
        end = int(len(data) * share)
        yield _cell("cut off", f"{compression}, strips of {rows}, at {share:.0%}", data[:end])
        yield _cell(
            "cut off", f"{compression}, strips of {rows}, zeros from {share:.0%}", data[:end] + bytes(len(data) - end)
        )
