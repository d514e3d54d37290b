"""The matrix of TIFF, by the small writer: depth x photometric x layout x compression x order, turns, alpha."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.support.formats import colours, tiff_file_cells, tiff_inside_cells
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
from benchmarks.support.formats.tiff_common import (
    FLOATS,
    ORDERS,
    PLACES,
    PLAIN,
    UNITS,
    as_rgb,
    tiff_cell,
    turn_tag,
)
from benchmarks.support.formats.tiff_writer import Layout, Tag, float_predicted, tiff


def cells() -> Iterator[Cell]:
    """Yield the matrix."""
    yield from _depths("grey, black is zero", grey_picture()[..., None], 1)
    yield from _depths("grey, white is zero", grey_picture()[..., None], 0)
    yield from _depths("RGB", picture(), 2)
    for part in (_floats, _palettes, _inks, _ycbcr, _lab, _turns, _alpha, _predictors):
        yield from part()
    yield from tiff_inside_cells.cells()
    yield from tiff_file_cells.cells()


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
            yield tiff_cell(group, f"{bits} bit, {layers}{way}", tiff(stored, layout), as_rgb(right))
        big = Layout(bits=bits, photometric=photometric, planar=planar, big=True, rows=9)
        yield tiff_cell(group, f"{bits} bit, BigTIFF, planar {planar}", tiff(stored, big), as_rgb(right))
        if bits <= 8:
            turned_bits = Layout(bits=bits, photometric=photometric, planar=planar, fill_order=2)
            yield tiff_cell(
                group, f"{bits} bit, lowest bit first, planar {planar}", tiff(stored, turned_bits), as_rgb(right)
            )


def _floats() -> Iterator[Cell]:
    for (bits, dtype), planar, scale, way in itertools.product(
        FLOATS.items(), (1, 2), (1.0, 255.0), list(_ways())[::3]
    ):
        values = (picture() / 255.0 * scale).astype(dtype)
        layout = Layout(bits=bits, planar=planar, kind=3, **way[1])
        yield tiff_cell(
            "float", f"RGB {bits} bit 0-{scale:g}, planar {planar}, {way[0]}", tiff(values, layout), picture()
        )
        if planar == 1:
            grey = (grey_picture()[..., None] / 255.0 * scale).astype(dtype)
            layout = Layout(bits=bits, photometric=1, kind=3, **way[1])
            right = three(grey_picture())
            yield tiff_cell("float", f"grey {bits} bit 0-{scale:g}, {way[0]}", tiff(grey, layout), right)
            layout = Layout(bits=bits, photometric=0, kind=3, **way[1])
            data = tiff((scale - grey).astype(dtype), layout)
            yield tiff_cell("float", f"grey {bits} bit {scale:g}-0, white is zero, {way[0]}", data, right)


def _palettes() -> Iterator[Cell]:
    rng = np.random.default_rng(3)
    for bits, values, (way, options) in itertools.product((1, 2, 4, 8), ("16 bit", "8 bit"), _ways()):
        table = rng.integers(0, 256, (2**bits, 3)).astype(np.uint8)
        table[0], table[-1] = (250, 20, 130), (255, 250, 240)
        index = deepened(grey_picture(), bits)
        entries = (table.T.astype(int) * (257 if values == "16 bit" else 1)).ravel().tolist()
        layout = Layout(bits=bits, photometric=3, tags=((320, 3, entries),), **options)
        yield tiff_cell("palette", f"{bits} bit, {values} entries, {way}", tiff(index[..., None], layout), table[index])


def _inks() -> Iterator[Cell]:
    ink = colours.to_cmyk(picture())
    right = colours.from_cmyk(ink)
    for bits, planar, (way, options) in itertools.product((8, 16), (1, 2), list(_ways())[::2]):
        layout = Layout(bits=bits, photometric=5, planar=planar, tags=((332, 3, [1]),), **options)
        data = tiff(deepened(ink, bits), layout)
        yield tiff_cell("CMYK", f"{bits} bit, planar {planar}, {way}", data, right, bound=CONVERTED)
    for orientation in range(2, 9):
        data = tiff(ink, Layout(photometric=5, tags=(turn_tag(orientation),)))
        yield tiff_cell("CMYK", f"orientation {orientation}", data, turned(right, orientation), bound=CONVERTED)


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
            yield tiff_cell(
                "YCbCr", name, tiff(stored, layout), picture(), bound=LOSSY if across * down > 1 else CONVERTED
            )


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
        yield tiff_cell("L*a*b*", name, tiff(stored, layout), picture(), bound=Bound(6.0, 40.0))


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
            ("palette", grey, table[grey[..., 0]], {"photometric": 3, "tags": (turn_tag(orientation), entries)}),
        )
        for name, stored, shown, options in kinds:
            if name == "palette" and bits == 16:
                continue
            layout = Layout(**{"bits": bits, "tags": (turn_tag(orientation),), **place, **options})
            what = f"{name} {bits} bit, orientation {orientation}, {where}"
            yield tiff_cell("orientation", what, tiff(deepened(stored, bits), layout), turned(shown, orientation))


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
        accepted = (as_rgb(stored),) if kind != 1 else (as_rgb(stored), as_rgb(premultiplied))
        bound = Bound(3.0, 12.0) if kind == 1 else LOSSLESS  # dark premultiplied samples lose their low bits
        yield tiff_cell(
            "alpha", f"{base} {bits} bit, ExtraSamples {kind}, planar {planar}", data, *accepted, bound=bound
        )


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
        yield tiff_cell("predictor", f"differences, {bits} bit, {name}", tiff(samples, layout), picture())
        if bits != 8:
            values = (picture() / 255.0).astype(FLOATS[bits])
            layout = Layout(bits=bits, kind=3, predictor=3, pack=float_predicted, **options)
            yield tiff_cell("predictor", f"float {bits} bit, {name}", tiff(values, layout), picture())
