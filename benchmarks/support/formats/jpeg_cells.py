"""The matrix of JPEG: samplings, colours by marker, restarts, scans, processes, turns, profiles, untidy files."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
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
    Picture,
    deepened,
    grey_picture,
    picture,
    three,
    turned,
)
from benchmarks.support.formats.jpeg_writer import EOI, JFIF, Form, Segment, adobe, jpeg
from benchmarks.support.formats.png_cells import exif, xmp

COLOUR_FACTORS = [
    [(1, 1), (1, 1), (1, 1)], [(2, 1), (1, 1), (1, 1)], [(2, 2), (1, 1), (1, 1)], [(1, 2), (1, 1), (1, 1)],
    [(4, 1), (1, 1), (1, 1)], [(4, 2), (1, 1), (1, 1)], [(1, 4), (1, 1), (1, 1)], [(2, 2), (2, 1), (2, 1)],
    [(2, 2), (1, 2), (1, 2)], [(2, 1), (2, 1), (1, 1)], [(2, 2), (2, 1), (1, 1)], [(2, 2), (1, 1), (1, 2)],
    [(1, 1), (2, 1), (2, 1)], [(1, 1), (2, 2), (2, 2)], [(2, 2), (2, 2), (2, 2)], [(2, 1), (2, 1), (2, 1)],
    [(3, 1), (1, 1), (1, 1)], [(1, 3), (1, 1), (1, 1)], [(2, 4), (1, 1), (1, 1)], [(4, 1), (2, 1), (2, 1)],
]  # fmt: skip
GREY_FACTORS = [[(1, 1)], [(2, 2)], [(2, 1)], [(1, 3)], [(4, 1)], [(3, 3)]]
INK_FACTORS = [
    [(1, 1)] * 4, [(2, 2), (1, 1), (1, 1), (2, 2)], [(2, 1), (1, 1), (1, 1), (2, 1)], [(2, 2), (1, 1), (1, 1), (1, 1)],
    [(1, 2), (1, 1), (1, 1), (1, 2)], [(2, 2)] * 4, [(4, 1), (1, 1), (1, 1), (4, 1)],
]  # fmt: skip
EVEN = [(1, 1), (1, 1), (1, 1)]
HALVED = [(2, 2), (1, 1), (1, 1)]
LARGE = (800, 1010)
FEWER = Bound(6.0, 60.0)


def cells() -> Iterator[Cell]:
    """Yield the matrix."""
    for part in (
        _samplings,
        _marked,
        _scans,
        _processes,
        _turns,
        _profiles,
        _untidy,
        _cut,
        _sizes,
        _scaled,
        _scaled_samplings,
    ):
        yield from part()


def _cell(group: str, name: str, data: bytes, *accepted: Picture, bound: Bound = LOSSY) -> Cell:
    return Cell("JPEG", group, name, ".jpg", data, accepted, bound)


def _encoded(encode: Callable[..., Any], samples: NDArray[Any], **options: Any) -> bytes:
    return bytes(encode(samples, **options))


def _ycc(shown: Picture | None = None) -> NDArray[Any]:
    return colours.to_ycbcr(picture() if shown is None else shown)


def _named(factors: list[tuple[int, int]]) -> str:
    return " ".join(f"{across}x{down}" for across, down in factors)


def _samplings() -> Iterator[Cell]:
    for factors, apart, restart in itertools.product(COLOUR_FACTORS, (False, True), (0, 3)):
        if not apart and sum(across * down for across, down in factors) > 10:
            continue  # more blocks in an MCU than T.81 allows
        name = f"{_named(factors)}, {'scans apart' if apart else 'one scan'}, restart {restart}"
        form = Form(factors, apart=apart, restart=restart)
        yield _cell("YCbCr", name, jpeg(_ycc(), form), picture(), bound=FEWER)
    for factors, restart in itertools.product(GREY_FACTORS, (0, 2)):
        data = jpeg(grey_picture()[..., None], Form(factors, restart=restart))
        yield _cell("grey", f"{_named(factors)}, restart {restart}", data, three(grey_picture()))
    ink = colours.to_cmyk(picture())
    right = colours.from_cmyk(ink)
    ycck = np.dstack([colours.to_ycbcr(ink[..., :3]), 255 - ink[..., 3]])
    for factors, restart, apart in itertools.product(INK_FACTORS, (0, 4), (False, True)):
        if not apart and sum(across * down for across, down in factors) > 10:
            continue
        name = f"{_named(factors)}, {'scans apart' if apart else 'one scan'}, restart {restart}"
        form = Form(factors, segments=(adobe(0),), restart=restart, apart=apart)
        yield _cell("CMYK", f"Adobe 0, {name}", jpeg(255.0 - ink, form), right, bound=FEWER)
        form = Form(factors, segments=(adobe(2),), restart=restart, apart=apart)
        yield _cell("CMYK", f"Adobe 2 (YCCK), {name}", jpeg(ycck, form), right, bound=FEWER)
    buffer = io.BytesIO()
    Image.fromarray(ink, "CMYK").save(buffer, "JPEG", quality=95)
    yield _cell("CMYK", "by Pillow", buffer.getvalue(), right)


def _marked() -> Iterator[Cell]:
    """The markers that distinguish RGB from YCbCr: JFIF, Adobe, ids."""
    rgb, ycc = picture().astype(np.float64), _ycc()
    for name, planes, form in (
        ("no marker, ids 1 2 3: YCbCr", ycc, Form(EVEN, segments=())),
        ("no marker, ids 0 1 2: YCbCr", ycc, Form(EVEN, segments=(), ids=b"\0\1\2")),
        ("no marker, ids R G B: RGB", rgb, Form(EVEN, segments=(), ids=b"RGB")),
        ("no marker, odd ids: YCbCr", ycc, Form(EVEN, segments=(), ids=b"\x22\x33\x44")),
        ("JFIF, ids R G B: YCbCr", ycc, Form(EVEN, ids=b"RGB")),
        ("Adobe 0: RGB", rgb, Form(EVEN, segments=(adobe(0),))),
        ("Adobe 1: YCbCr", ycc, Form(EVEN, segments=(adobe(1),))),
        ("Adobe 5: YCbCr", ycc, Form(EVEN, segments=(adobe(5),))),
        ("Adobe 7: YCbCr", ycc, Form(HALVED, segments=(adobe(7),))),
        ("Adobe 1, ids R G B: YCbCr", ycc, Form(EVEN, segments=(adobe(1),), ids=b"RGB")),
        ("JFIF and Adobe 1", ycc, Form(HALVED, segments=(JFIF, adobe(1)))),
        ("JFIF and Adobe 0: JFIF counts", ycc, Form(EVEN, segments=(JFIF, adobe(0)))),
        ("JFIF 1.02", ycc, Form(EVEN, segments=((0xE0, JFIF[1][:5] + b"\x01\x02" + JFIF[1][7:]),))),
        ("JFIF 2.01", ycc, Form(EVEN, segments=((0xE0, JFIF[1][:5] + b"\x02\x01" + JFIF[1][7:]),))),
        ("JFIF 0.00", ycc, Form(EVEN, segments=((0xE0, JFIF[1][:5] + b"\x00\x00" + JFIF[1][7:]),))),
        ("JFIF cut short", ycc, Form(EVEN, segments=((0xE0, b"JFIF\0\x01"),))),
        ("JFXX", ycc, Form(EVEN, segments=(JFIF, (0xE0, b"JFXX\0\x13\x01\x01abc")))),
    ):
        yield _cell("colour by marker", name, jpeg(planes, form), picture(), bound=FEWER)
    ink = colours.to_cmyk(picture())
    plain = jpeg(ink.astype(np.float64), Form([(1, 1)] * 4, segments=()))
    other = colours.from_cmyk(np.asarray(255 - ink, np.uint8))
    yield _cell("colour by marker", "CMYK without a marker", plain, colours.from_cmyk(ink), other, bound=FEWER)
    yield _cell("colour by marker", "two components", jpeg(_ycc()[..., :2], Form([(1, 1)] * 2, segments=())))


def _scans() -> Iterator[Cell]:
    for restart, factors in itertools.product((1, 2, 5, 1000), (EVEN, HALVED)):
        data = jpeg(_ycc(), Form(factors, restart=restart))
        yield _cell("scans", f"restart {restart}, {_named(factors)}", data, picture(), bound=FEWER)
    for factors in (EVEN, HALVED):
        yield _cell(
            "scans",
            f"height behind the scan, {_named(factors)}",
            jpeg(_ycc(), Form(factors, dnl=True)),
            picture(),
            bound=FEWER,
        )
        data = jpeg(_ycc(), Form(factors, deep_tables=True))
        yield _cell("scans", f"quantisation of 16 bits, {_named(factors)}", data, picture(), bound=FEWER)
        data = jpeg(_ycc(), Form(factors, fill=b"\xff\xff"))
        yield _cell("scans", f"fill bytes, {_named(factors)}", data, picture(), bound=FEWER)


def _processes() -> Iterator[Cell]:
    for quality, subsampling, progressive, optimise in itertools.product(
        (60, 95), (0, 1, 2), (False, True), (False, True)
    ):
        buffer = io.BytesIO()
        options = {"quality": quality, "subsampling": subsampling, "progressive": progressive, "optimize": optimise}
        Image.fromarray(picture()).save(buffer, "JPEG", **options)
        name = f"{'progressive' if progressive else 'baseline'}, quality {quality}, {subsampling}, optimised {optimise}"
        yield _cell("process", name, buffer.getvalue(), picture(), bound=FEWER)
        if subsampling == 0:
            buffer = io.BytesIO()
            Image.fromarray(grey_picture()).save(buffer, "JPEG", **options)
            yield _cell("process", f"grey {name}", buffer.getvalue(), three(grey_picture()), bound=FEWER)
    for bits, colour in itertools.product((8, 12, 16), ("RGB", "grey")):
        shown = picture() if colour == "RGB" else grey_picture()
        deep = deepened(shown, bits).astype(np.uint8 if bits == 8 else np.uint16)
        right = shown if colour == "RGB" else three(shown)
        for predictor in range(1, 8):
            data = _encoded(imagecodecs.jpeg8_encode, deep, lossless=True, predictor=predictor, bitspersample=bits)
            yield _cell("process", f"lossless {colour} {bits} bit, predictor {predictor}", data, right, bound=LOSSLESS)
        if bits == 12:
            data = _encoded(imagecodecs.jpeg8_encode, deep, level=95, bitspersample=12)
            yield _cell("process", f"extended {colour} 12 bit", data, right, bound=FEWER)
    data = _encoded(imagecodecs.jpegls_encode, picture())
    yield _cell("process", "JPEG-LS under .jpg", data, picture(), bound=LOSSLESS)


def _app1(orientation: int, order: str = "<") -> Segment:
    return 0xE1, b"Exif\0\0" + exif(orientation, order)


def _turns() -> Iterator[Cell]:
    for orientation, order, (name, planes, form, shown) in itertools.product(
        range(1, 9),
        ("<", ">"),
        (
            ("YCbCr", _ycc(), EVEN, picture()),
            ("halved", _ycc(), HALVED, picture()),
            ("grey", grey_picture()[..., None], [(1, 1)], three(grey_picture())),
        ),
    ):
        data = jpeg(planes, Form(form, segments=(JFIF, _app1(orientation, order))))
        yield _cell(
            "orientation", f"{name}, EXIF {orientation}, {order}", data, turned(shown, orientation), bound=FEWER
        )
    ink = colours.to_cmyk(picture())
    for orientation in range(1, 9):
        data = jpeg(255.0 - ink, Form([(1, 1)] * 4, segments=(adobe(0), _app1(orientation))))
        right = turned(colours.from_cmyk(ink), orientation)
        yield _cell("orientation", f"CMYK, EXIF {orientation}", data, right, bound=FEWER)
    thumbnail = jpeg(_ycc(picture(16, 24)), Form(EVEN))
    for name, segments in (
        ("XMP says 6", (JFIF, (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(6)))),
        ("XMP says 6, EXIF says 1", (JFIF, _app1(1), (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(6)))),
        ("EXIF says 0", (JFIF, _app1(0))),
        ("EXIF says 9", (JFIF, _app1(9))),
        ("broken EXIF", (JFIF, (0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"))),
        ("EXIF cut short", (JFIF, (0xE1, b"Exif\0\0II"))),
        ("a JPEG in EXIF", (JFIF, (0xE1, b"Exif\0\0" + exif(1) + thumbnail))),
        ("a JPEG in APP2", (JFIF, (0xE2, b"MPF\0" + thumbnail))),
        ("a JPEG in a comment", (JFIF, (0xFE, thumbnail))),
    ):
        yield _cell("orientation", name, jpeg(_ycc(), Form(EVEN, segments=segments)), picture(), bound=FEWER)


def _profiles() -> Iterator[Cell]:
    for (name, primaries), gamma, parts in itertools.product(
        (("Display P3", colours.DISPLAY_P3), ("Adobe RGB", colours.ADOBE_RGB)), (1.8, 2.2), (1, 3)
    ):
        stored = colours.in_space(picture(), primaries, gamma)
        right = colours.from_space(stored, primaries, gamma)
        profile = colours.matrix_profile(primaries, gamma, name)
        chunks = _icc(profile, parts)
        for way, segments in (("in order", chunks), ("last first", chunks[::-1])):
            form = Form(EVEN, segments=(JFIF, *segments))
            yield _cell(
                "profile", f"{name}, gamma {gamma}, {parts} parts {way}", jpeg(_ycc(stored), form), right, bound=FEWER
            )
        for orientation in (3, 6):
            form = Form(EVEN, segments=(JFIF, _app1(orientation), *chunks))
            what = f"{name}, gamma {gamma}, {parts} parts, EXIF {orientation}"
            yield _cell("profile", what, jpeg(_ycc(stored), form), turned(right, orientation), bound=FEWER)
    whole = _icc(colours.matrix_profile(colours.DISPLAY_P3, 2.2, "P3"), 3)
    for name, segments in (("a part is missing", whole[:2]), ("zeros", _icc(bytes(300), 1)), ("empty", _icc(b"", 1))):
        yield _cell(
            "profile", f"broken: {name}", jpeg(_ycc(), Form(EVEN, segments=(JFIF, *segments))), picture(), bound=FEWER
        )
    light = three(colours.encoded((grey_picture() / 255.0) ** 1.8))
    data = jpeg(grey_picture()[..., None], Form([(1, 1)], segments=(JFIF, *_icc(colours.grey_profile(1.8), 1))))
    yield _cell("profile", "grey, gamma 1.8", data, light, bound=FEWER)


def _icc(profile: bytes, parts: int) -> list[Segment]:
    step = max(1, -(-len(profile) // parts))
    pieces = [profile[at : at + step] for at in range(0, max(1, len(profile)), step)]
    return [(0xE2, b"ICC_PROFILE\0" + bytes([n + 1, len(pieces)]) + piece) for n, piece in enumerate(pieces)]


def _untidy() -> Iterator[Cell]:
    for (name, factors), restart in itertools.product((("even", EVEN), ("halved", HALVED)), (0, 3)):
        whole = jpeg(_ycc(), Form(factors, restart=restart))
        at = whole.index(b"\xff\xc0")
        for what, data in (
            ("no EOI", whole[:-2]),
            ("zeros behind EOI", whole + bytes(5000)),
            ("text behind EOI", whole + b"text" * 100),
            ("a second JPEG behind", whole + jpeg(_ycc(picture(16, 24)), Form(EVEN))),
            ("two stray bytes before EOI", whole[:-2] + b"\0\0" + EOI),
            ("stray bytes before SOF", whole[:at] + b"\x12\x34\x56" + whole[at:]),
            ("zeros for EOI", whole[:-2] + bytes(2000)),
        ):
            yield _cell("untidy", f"{what}, {name}, restart {restart}", data, picture(), bound=FEWER)


def _cut() -> Iterator[Cell]:
    """Files that lack pixels: none may be read."""
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "JPEG", quality=95, progressive=True)
    forms = {
        "even": jpeg(_ycc(), Form(EVEN)),
        "halved, restart 3": jpeg(_ycc(), Form(HALVED, restart=3)),
        "scans apart": jpeg(_ycc(), Form(EVEN, apart=True)),
        "grey": jpeg(grey_picture()[..., None], Form([(1, 1)])),
        "CMYK": jpeg(255.0 - colours.to_cmyk(picture()), Form([(1, 1)] * 4, segments=(adobe(0),))),
        "progressive": buffer.getvalue(),
    }
    for (name, data), share in itertools.product(forms.items(), (0.2, 0.5, 0.8, 0.95)):
        start = data.index(b"\xff\xda")
        end = start + int((len(data) - start) * share)
        yield _cell("cut off", f"{name}, at {share:.0%}", data[:end])
        yield _cell("cut off", f"{name}, at {share:.0%}, EOI put behind", data[:end] + EOI)
        yield _cell("cut off", f"{name}, zeros from {share:.0%}", data[:end] + bytes(len(data) - end))


def _scaled() -> Iterator[Cell]:
    """Large files, of which a reduced copy is asked for."""
    big = picture(*LARGE)
    files: dict[str, bytes] = {}
    for progressive, subsampling in itertools.product((False, True), (0, 1, 2)):
        buffer = io.BytesIO()
        options = {"quality": 90, "progressive": progressive, "subsampling": subsampling, "exif": b"Exif\0\0" + exif(6)}
        Image.fromarray(big).save(buffer, "JPEG", **options)
        files[f"{'progressive' if progressive else 'baseline'}, {subsampling}"] = buffer.getvalue()
    for bits in (8, 12, 16):
        deep = deepened(big, bits).astype(np.uint8 if bits == 8 else np.uint16)
        files[f"lossless {bits} bit"] = _encoded(imagecodecs.jpeg8_encode, deep, lossless=True, bitspersample=bits)
    files["extended 12 bit"] = _encoded(
        imagecodecs.jpeg8_encode, deepened(big, 12).astype(np.uint16), level=90, bitspersample=12
    )
    buffer = io.BytesIO()
    Image.fromarray(colours.to_cmyk(big), "CMYK").save(buffer, "JPEG", quality=90)
    files["CMYK"] = buffer.getvalue()
    for (name, data), at_least in itertools.product(files.items(), (64, 100, 192, 384)):
        right = turned(big, 6) if name.startswith(("baseline", "progressive")) else big
        yield Cell("JPEG", "scaled", f"{name}, at least {at_least}", ".jpg", data, (right,), FEWER, at_least)


def _sizes() -> Iterator[Cell]:
    for (height, width), factors in itertools.product(((1, 1), (1, 9), (8, 8), (17, 3), (65, 130)), (EVEN, HALVED)):
        shown = picture(height, width)
        data = jpeg(_ycc(shown), Form(factors))
        bound = FEWER if min(height, width) > 8 else Bound(24.0, 90.0)  # chroma of a whole block is one colour there
        yield _cell("size", f"{height} x {width}, {_named(factors)}", data, shown, bound=bound)
        for at_least in (1, 4, 20):
            name = f"{height} x {width}, {_named(factors)}, at least {at_least}"
            if min(height, width) >= at_least:
                yield Cell("JPEG", "size", name, ".jpg", data, (shown,), Bound(24.0, 90.0), at_least)


def _scaled_samplings() -> Iterator[Cell]:
    """Reduced copies of what few encoders write: every sampling, inks, profiles with a turn."""
    shown = picture(203, 262)
    files = [
        (_named(factors), jpeg(_ycc(shown), Form(factors, restart=5)), shown)
        for factors in COLOUR_FACTORS
        if sum(across * down for across, down in factors) <= 10
    ]
    for factors in GREY_FACTORS:
        grey = np.ascontiguousarray(shown[..., 1:2])
        files.append((f"grey {_named(factors)}", jpeg(grey, Form(factors)), three(grey)))
    ink = colours.to_cmyk(shown)
    for factors in INK_FACTORS[:5]:
        data = jpeg(255.0 - ink, Form(factors, segments=(adobe(0), _app1(8))))
        files.append((f"CMYK {_named(factors)}", data, turned(colours.from_cmyk(ink), 8)))
    stored = colours.in_space(shown, colours.DISPLAY_P3, 2.2)
    chunks = _icc(colours.matrix_profile(colours.DISPLAY_P3, 2.2, "P3"), 2)
    right = turned(colours.from_space(stored, colours.DISPLAY_P3, 2.2), 6)
    files.append(("Display P3, EXIF 6", jpeg(_ycc(stored), Form(HALVED, segments=(JFIF, _app1(6), *chunks))), right))
    files.append(("scans apart", jpeg(_ycc(shown), Form(HALVED, apart=True)), shown))
    files.append(("height behind the scan", jpeg(_ycc(shown), Form(EVEN, dnl=True)), shown))
    files.append(("RGB", jpeg(shown.astype(np.float64), Form(EVEN, segments=(adobe(0),))), shown))
    for (name, data, whole), at_least in itertools.product(files, (25, 50, 100)):
        yield Cell("JPEG", "scaled", f"{name}, at least {at_least}", ".jpg", data, (whole,), FEWER, at_least)
