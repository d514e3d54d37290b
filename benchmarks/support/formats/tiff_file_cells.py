"""TIFFs as files: pages, ranges, untidy directories, profiles, sizes, files cut off."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from tifffile import TiffWriter, imwrite

from benchmarks.support.formats import colours
from benchmarks.support.formats.cells import (
    CONVERTED,
    LOSSY,
    Cell,
    deepened,
    grey_picture,
    picture,
    shallowed,
    three,
    turned,
)
from benchmarks.support.formats.tiff_common import (
    ORDERS,
    PLAIN,
    encoded_blocks,
    tiff_cell,
    turn_tag,
)
from benchmarks.support.formats.tiff_writer import Layout, Tag, tiff, tiff_pages


def cells() -> Iterator[Cell]:
    """Yield the cells."""
    for part in (_pages, _ranges, _untidy, _profiles, _sizes, _cut):
        yield from part()


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
            yield tiff_cell("pages", f"{name}, {end} endian", tiff_pages(content), picture())
        channels = [(picture()[..., c : c + 1], Layout(photometric=1, order=order, tags=_imagej(c))) for c in range(3)]
        yield tiff_cell("pages", f"ImageJ, RGB as channels, {end} endian", tiff_pages(channels), picture())
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
        yield tiff_cell("pages", f"tifffile, {name}", target.getvalue(), picture())


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
        yield tiff_cell("range", name, tiff(stored, layout), *accepted)


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
        yield tiff_cell("untidy", f"{name}, {end} endian", tiff(picture(), replace(layout, order=order)), picture())
    four = np.concatenate([picture(), grey_picture()[..., None]], axis=2)
    yield tiff_cell("untidy", "four samples, no ExtraSamples", tiff(four, Layout()), picture())
    five = np.concatenate([four, grey_picture()[..., None]], axis=2)
    yield tiff_cell("untidy", "two extra samples", tiff(five, Layout(tags=((338, 3, [2, 0]),))), picture())
    yield tiff_cell("untidy", "bytes behind the end", tiff(picture(), Layout()) + b"behind" * 50, picture())
    old = _old_jpeg()
    yield tiff_cell("untidy", "old JPEG, a whole stream", old, picture(), bound=LOSSY)
    target = io.BytesIO()
    with TiffWriter(target) as writer:
        writer.write(picture(12, 16), photometric="rgb", subfiletype=1, subifds=1)
        writer.write(picture(), photometric="rgb", subfiletype=0)
    yield tiff_cell("untidy", "a thumbnail first, the photograph in its SubIFD", target.getvalue(), picture())
    target = io.BytesIO()
    with TiffWriter(target) as writer:
        writer.write(picture(), photometric="rgb", subifds=1, tile=(16, 16))
        writer.write(np.ascontiguousarray(picture()[::2, ::2]), photometric="rgb", subfiletype=1, tile=(16, 16))
    yield tiff_cell("untidy", "a pyramid in SubIFDs", target.getvalue(), picture())


def _old_jpeg() -> bytes:
    """Return a file of compression 6 whose stream is whole (JPEGInterchangeFormat)."""
    stream = encoded_blocks(lambda block: imagecodecs.jpeg8_encode(block, level=92, subsampling="444"))(picture())
    tags: tuple[Tag, ...] = ((512, 3, [1]), (513, 4, [8]), (514, 4, [len(stream)]), (530, 3, [1, 1]))
    return tiff(picture(), Layout(photometric=6, compression=6, pack=lambda _: stream, tags=tags))


def _profiles() -> Iterator[Cell]:
    for (name, primaries), gamma, bits, planar, orientation in itertools.product(
        (("Display P3", colours.DISPLAY_P3), ("Adobe RGB", colours.ADOBE_RGB)), (1.8, 2.2), (8, 16), (1, 2), (1, 6)
    ):
        stored = colours.in_space(picture(), primaries, gamma)
        profile: Tag = (34675, 7, list(colours.matrix_profile(primaries, gamma, name)))
        layout = Layout(bits=bits, planar=planar, tags=(profile, turn_tag(orientation)))
        right = turned(colours.from_space(stored, primaries, gamma), orientation)
        what = f"{name}, gamma {gamma}, {bits} bit, planar {planar}, orientation {orientation}"
        yield tiff_cell("profile", what, tiff(deepened(stored, bits), layout), right, bound=CONVERTED)
    light = (grey_picture() / 255.0) ** 1.8
    grey: Tag = (34675, 7, list(colours.grey_profile(1.8)))
    for photometric, stored in ((1, grey_picture()), (0, np.invert(grey_picture()))):
        data = tiff(stored[..., None], Layout(photometric=photometric, tags=(grey,)))
        yield tiff_cell(
            "profile",
            f"grey, gamma 1.8, photometric {photometric}",
            data,
            three(colours.encoded(light)),
            bound=CONVERTED,
        )
    broken: Tag = (34675, 7, [0] * 100)
    yield tiff_cell("profile", "broken", tiff(picture(), Layout(tags=(broken,))), picture())


def _sizes() -> Iterator[Cell]:
    for (height, width), (where, place), (how, (number, compress)), bits in itertools.product(
        ((1, 1), (1, 33), (40, 1), (16, 16), (17, 31)),
        (("one strip", {}), ("strips", {"rows": 3}), ("tiles", {"tile": 16}), ("a tile too large", {"tile": 64})),
        list(PLAIN.items())[:3],
        (1, 8, 16),
    ):
        options: dict[str, Any] = {"compression": number, "compress": compress, **place}
        grey = deepened(grey_picture()[:height, :width], bits)
        data = tiff(grey[..., None], Layout(bits=bits, photometric=1, **options))
        yield tiff_cell(
            "size", f"{height} x {width}, grey {bits} bit, {how}, {where}", data, three(shallowed(grey, bits))
        )
        if bits > 1:
            shown = picture(height, width)
            data = tiff(deepened(shown, bits), Layout(bits=bits, planar=2, **options))
            yield tiff_cell("size", f"{height} x {width}, RGB by plane {bits} bit, {how}, {where}", data, shown)


def _cut() -> Iterator[Cell]:
    """Files that lack pixels, their directory first: none may be read."""
    for compression, rows, share in itertools.product(
        ("none", "zlib", "lzw", "zstd", "packbits"), (7, 45), (0.4, 0.7, 0.93)
    ):
        target = io.BytesIO()
        imwrite(target, picture(), photometric="rgb", compression=compression, rowsperstrip=rows, metadata=None)
        data = target.getvalue()
        end = int(len(data) * share)
        yield tiff_cell("cut off", f"{compression}, strips of {rows}, at {share:.0%}", data[:end])
        yield tiff_cell(
            "cut off", f"{compression}, strips of {rows}, zeros from {share:.0%}", data[:end] + bytes(len(data) - end)
        )
