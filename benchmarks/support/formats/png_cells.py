"""The matrix of PNG, by a small writer: depth x colour type x interlace x transparency, turns, and colour chunks.

Source: W3C PNG (Third Edition).
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.support.formats import colours
from benchmarks.support.formats.cells import (
    CONVERTED,
    LOSSLESS,
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
from benchmarks.support.formats.tiff_writer import packed

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16)}
NAMES = {GREY: "grey", RGB: "RGB", PALETTE: "palette", GREY_ALPHA: "grey and alpha", RGBA: "RGB and alpha"}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of each pass: first column, first row, step across, step down."""
Chunk = tuple[bytes, bytes]


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return one chunk with its length and sum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    samples: NDArray[Any],
    colour: int,
    bits: int,
    *,
    interlaced: bool = False,
    before: Sequence[Chunk] = (),
    parts: int = 1,
) -> bytes:
    """Return a PNG of ``samples`` ``(H, W, C)``; ``before``: chunks ahead of the pixels; ``parts``: IDAT chunks."""
    height, width = samples.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, int(interlaced))
    raw = b"".join(_filtered(block, bits) for block in _passes(samples, interlaced))
    whole = zlib.compress(raw, 6)
    step = -(-len(whole) // parts)
    data = [(b"IDAT", whole[at : at + step]) for at in range(0, len(whole), step)]
    chunks = [(b"IHDR", head), *before, *data, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, content) for kind, content in chunks)


def _passes(samples: NDArray[Any], interlaced: bool) -> Iterator[NDArray[Any]]:
    if not interlaced:
        yield samples
        return
    for left, top, across, down in ADAM7:
        block = samples[top::down, left::across]
        if block.size:
            yield block


def _filtered(block: NDArray[Any], bits: int) -> bytes:
    """Return a pass's rows, each with one of the five filters in turn."""
    bytes_a_pixel = max(1, bits * block.shape[2] // 8)
    rows = np.frombuffer(packed(block, bits, ">"), np.uint8).reshape(block.shape[0], -1).astype(np.int16)
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    left = np.pad(rows, ((0, 0), (bytes_a_pixel, 0)))[:, : rows.shape[1]]
    corner = np.pad(above, ((0, 0), (bytes_a_pixel, 0)))[:, : rows.shape[1]]
    guesses = [np.zeros_like(rows), left, above, (left + above) // 2, _paeth(left, above, corner)]
    lines = []
    for row in range(len(rows)):
        kind = row % 5
        lines.append(bytes([kind]) + ((rows[row] - guesses[kind][row]) & 255).astype(np.uint8).tobytes())
    return b"".join(lines)


def _paeth(a: NDArray[np.int16], b: NDArray[np.int16], c: NDArray[np.int16]) -> NDArray[np.int16]:
    guess = a + b - c
    by_a, by_b, by_c = abs(guess - a), abs(guess - b), abs(guess - c)
    return np.where((by_a <= by_b) & (by_a <= by_c), a, np.where(by_b <= by_c, b, c)).astype(np.int16)


def cells() -> Iterator[Cell]:
    """Yield the matrix."""
    for part in (_depths, _transparent, _turns, _profiles, _colour_chunks, _sizes, _oddities):
        yield from part()


def _cell(group: str, name: str, data: bytes, *accepted: Picture, bound: Bound = LOSSLESS) -> Cell:
    return Cell("PNG", group, name, ".png", data, accepted, bound)


def _stored(colour: int, bits: int) -> tuple[NDArray[Any], Picture, tuple[Chunk, ...]]:
    """Return samples, the picture that they are, and the chunks that they need."""
    if colour == PALETTE:
        table = np.random.default_rng(bits).integers(0, 256, (2**bits, 3)).astype(np.uint8)
        index = deepened(grey_picture(), bits)
        return index[..., None], table[index], ((b"PLTE", table.tobytes()),)
    shown = picture() if colour in (RGB, RGBA) else grey_picture()[..., None]
    samples = deepened(shown, bits)
    right = shallowed(samples, bits)
    if colour in (GREY_ALPHA, RGBA):
        alpha = deepened(np.roll(grey_picture(), 9, axis=1), bits)[..., None]
        samples = np.concatenate([samples, alpha], axis=2)
    return samples, three(right) if right.shape[2] == 1 else right, ()


def _depths() -> Iterator[Cell]:
    for colour, depths in DEPTHS.items():
        for bits, interlaced, parts in itertools.product(depths, (False, True), (1, 3)):
            samples, right, before = _stored(colour, bits)
            data = png(samples, colour, bits, interlaced=interlaced, before=before, parts=parts)
            name = f"{bits} bit, {'interlaced' if interlaced else 'plain'}, {parts} IDAT"
            yield _cell(NAMES[colour], name, data, right)


def _transparent() -> Iterator[Cell]:
    for colour, interlaced in itertools.product((GREY, RGB, PALETTE), (False, True)):
        for bits in DEPTHS[colour]:
            samples, right, before = _stored(colour, bits)
            if colour == PALETTE:
                key = bytes(range(0, 250, 50))[: 2**bits]
            else:
                key = struct.pack(f">{samples.shape[2]}H", *(int(value) for value in samples[20, 20]))
            data = png(samples, colour, bits, interlaced=interlaced, before=(*before, (b"tRNS", key)))
            name = f"{NAMES[colour]} {bits} bit, {'interlaced' if interlaced else 'plain'}"
            yield _cell("tRNS", name, data, right)


def exif(orientation: int, order: str = "<") -> bytes:
    """Return EXIF with an orientation and nothing else, without the six bytes that JPEG puts first."""
    mark = b"II" if order == "<" else b"MM"
    entry = struct.pack(order + "HHIHH", 0x112, 3, 1, orientation, 0)
    return mark + struct.pack(order + "HIH", 42, 8, 1) + entry + bytes(4)


def xmp(orientation: int) -> bytes:
    """Return XMP that states an orientation, which is ignored."""
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
        f'tiff:Orientation="{orientation}"/></rdf:RDF></x:xmpmeta>'
    ).encode()


def _turns() -> Iterator[Cell]:
    for colour, depths in DEPTHS.items():
        for bits, orientation, order in itertools.product(depths[-2:], range(1, 9), ("<", ">")):
            samples, right, before = _stored(colour, bits)
            data = png(samples, colour, bits, before=(*before, (b"eXIf", exif(orientation, order))))
            name = f"{NAMES[colour]} {bits} bit, EXIF {orientation}, {order}"
            yield _cell("orientation", name, data, turned(right, orientation))
        samples, right, before = _stored(colour, 8)
        text = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(6)
        data = png(samples, colour, 8, before=(*before, (b"iTXt", text)))
        yield _cell("orientation", f"{NAMES[colour]}, XMP says 6", data, right)


def _iccp(profile: bytes) -> Chunk:
    return b"iCCP", b"a profile\0\0" + zlib.compress(profile)


def _profiles() -> Iterator[Cell]:
    for (name, primaries), gamma, bits in itertools.product(
        (("Display P3", colours.DISPLAY_P3), ("Adobe RGB", colours.ADOBE_RGB), ("sRGB's primaries", colours.SRGB)),
        (1.0, 1.8, 2.2), (8, 16),
    ):  # fmt: skip
        stored = colours.in_space(picture(), primaries, gamma)
        right = colours.from_space(stored, primaries, gamma)
        profile = colours.matrix_profile(primaries, gamma, f"{name} {gamma}")
        for colour in (RGB, RGBA):
            samples = stored if colour == RGB else np.dstack([stored, grey_picture()])
            data = png(_deep(samples, bits), colour, bits, before=(_iccp(profile),))
            yield _cell("profile", f"{name}, gamma {gamma}, {NAMES[colour]} {bits} bit", data, right, bound=CONVERTED)
    named = colours.matrix_profile(colours.ADOBE_RGB, 2.2, "sRGB IEC61966-2.1")
    stored = colours.in_space(picture(), colours.ADOBE_RGB, 2.2)
    right = colours.from_space(stored, colours.ADOBE_RGB, 2.2)
    yield _cell(
        "profile",
        "Adobe RGB that calls itself sRGB",
        png(stored, RGB, 8, before=(_iccp(named),)),
        right,
        bound=CONVERTED,
    )
    for gamma in (1.0, 1.8):
        light = (grey_picture() / 255.0) ** gamma
        right = three(colours.encoded(light))
        data = png(grey_picture()[..., None], GREY, 8, before=(_iccp(colours.grey_profile(gamma)),))
        yield _cell("profile", f"grey, gamma {gamma}", data, right, bound=CONVERTED)
    for name, broken in (("no profile", b"nothing"), ("zeros", bytes(200)), ("empty", b"")):
        yield _cell("profile", f"broken: {name}", png(picture(), RGB, 8, before=(_iccp(broken),)), picture())


def _deep(samples: NDArray[np.uint8], bits: int) -> NDArray[Any]:
    return samples.astype(np.uint16) * 257 if bits == 16 else samples


def _gama(gamma: float) -> Chunk:
    return b"gAMA", struct.pack(">I", round(gamma * 100000))


def _chrm(primaries: tuple[tuple[float, float], ...]) -> Chunk:
    values = [0.3127, 0.3290, *(value for pair in primaries for value in pair)]
    return b"cHRM", struct.pack(">8I", *(round(value * 100000) for value in values))


def _colour_chunks() -> Iterator[Cell]:
    linear, p3 = colours.in_space(picture(), colours.SRGB, 1.0), colours.in_space(picture(), colours.DISPLAY_P3, 2.2)
    from_linear = colours.from_space(linear, colours.SRGB, 1.0)
    from_p3 = colours.from_space(p3, colours.DISPLAY_P3, 2.2)
    p3_srgb_curve = _p3_with_curve_of_srgb(picture())
    profile = _iccp(colours.matrix_profile(colours.SRGB, 1.0, "linear"))
    chunks: list[tuple[str, Picture, Picture, tuple[Chunk, ...]]] = [
        ("gAMA 0.45455", picture(), picture(), (_gama(0.45455),)),
        ("gAMA and cHRM of sRGB", picture(), picture(), (_gama(0.45455), _chrm(colours.SRGB))),
        ("gAMA 1.0", linear, from_linear, (_gama(1.0),)),
        ("gAMA 1.0, cHRM of sRGB", linear, from_linear, (_gama(1.0), _chrm(colours.SRGB))),
        ("gAMA 0.45455, cHRM of P3", p3, from_p3, (_gama(1 / 2.2), _chrm(colours.DISPLAY_P3))),
        ("sRGB over gAMA 1.0", picture(), picture(), (_gama(1.0), (b"sRGB", b"\0"))),
        ("iCCP over gAMA", linear, from_linear, (_gama(0.45455), profile)),
        ("gAMA 0", picture(), picture(), (_gama(0.0),)),
        ("cICP sRGB", picture(), picture(), ((b"cICP", bytes([1, 13, 0, 1])),)),
        ("cICP Display P3", p3_srgb_curve, picture(), ((b"cICP", bytes([12, 13, 0, 1])),)),
        ("cICP sRGB over gAMA 1.0", picture(), picture(), ((b"cICP", bytes([1, 13, 0, 1])), _gama(1.0))),
    ]
    for name, stored, right, before in chunks:
        yield _cell("colour chunks", f"RGB, {name}", png(stored, RGB, 8, before=before), right, bound=CONVERTED)
        deep = png(_deep(stored, 16), RGB, 16, before=before)
        yield _cell("colour chunks", f"RGB 16 bit, {name}", deep, right, bound=CONVERTED)
    light = three(colours.encoded((grey_picture() / 255.0) ** 1.0))
    for bits in (8, 16):
        data = png(_deep(grey_picture()[..., None], bits), GREY, bits, before=(_gama(1.0),))
        yield _cell("colour chunks", f"grey {bits} bit, gAMA 1.0", data, light, bound=CONVERTED)


def _p3_with_curve_of_srgb(shown: Picture) -> Picture:
    matrix = np.linalg.inv(colours.to_xyz(colours.DISPLAY_P3)) @ colours.to_xyz(colours.SRGB)
    return colours.encoded(colours.linear(shown) @ matrix.T)


def _sizes() -> Iterator[Cell]:
    """Small files, in which some passes are empty if they are interlaced."""
    for (height, width), interlaced in itertools.product(
        ((1, 1), (1, 5), (4, 1), (3, 3), (8, 9), (5, 17)), (False, True)
    ):
        for colour, depths in DEPTHS.items():
            for bits in depths:
                samples, right, before = _stored(colour, bits)
                data = png(samples[:height, :width], colour, bits, interlaced=interlaced, before=before)
                name = f"{height} x {width}, {NAMES[colour]} {bits} bit, {'interlaced' if interlaced else 'plain'}"
                yield _cell("size", name, data, np.ascontiguousarray(right[:height, :width]))


def _oddities() -> Iterator[Cell]:
    whole = png(picture(), RGB, 8)
    yield _cell("oddities", "bytes behind the end", whole + b"behind" * 9, picture())
    twelve = deepened(picture(), 12)
    yield _cell("oddities", "12 of 16 bits", png(twelve, RGB, 16), picture())
    twelve_grey = deepened(grey_picture()[..., None], 12)
    yield _cell("oddities", "12 of 16 bits, grey", png(twelve_grey, GREY, 16), three(grey_picture()))
    yield _cell(
        "oddities",
        "12 of 16 bits, sBIT 12",
        png(deepened(picture(), 16) & 0xFFF0, RGB, 16, before=((b"sBIT", b"\x0c" * 3),)),
        picture(),
    )
    few = np.unique(deepened(grey_picture(), 2))
    index = np.searchsorted(few, deepened(grey_picture(), 2))
    table = np.array([[10, 20, 30], [90, 40, 200], [200, 250, 40], [255, 255, 255]], np.uint8)
    short = png(index[..., None], PALETTE, 8, before=((b"PLTE", table.tobytes()),))
    yield _cell("oddities", "palette of 4 entries for 8 bits", short, table[index])
    yield _cell("oddities", "all pixels, no end", whole[:-20], picture())
    for at in (60, len(whole) // 2, len(whole) - 60):
        yield _cell("oddities", f"cut off at {at}", whole[:at])
    bad = bytearray(whole)
    bad[len(bad) // 2] ^= 4
    yield _cell("oddities", "a byte of the pixels changed", bytes(bad))
