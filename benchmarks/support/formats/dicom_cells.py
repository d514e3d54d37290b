"""The matrix of DICOM: photometric x transfer syntax x planar x depth x frames, of photographs of visible light.

Source: DICOM PS3.3 C.7.6.3, PS3.5 section 8 and annex A.
"""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

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
    three,
)
from benchmarks.support.formats.jpeg_writer import JFIF, Form, Segment, adobe, jpeg
from benchmarks.support.formats.png_cells import exif

if TYPE_CHECKING:
    from pydicom import Dataset

PHOTOGRAPH = "1.2.840.10008.5.1.4.1.1.77.1.4"
"""VL Photographic Image Storage."""
BASE = "1.2.840.10008.1.2"
RAW = {"implicit": BASE, "explicit": f"{BASE}.1", "big endian": f"{BASE}.2", "deflated": f"{BASE}.1.99"}
RLE = f"{BASE}.5"
BASELINE, EXTENDED, LOSSLESS_14, LOSSLESS_SV1 = (f"{BASE}.4.{number}" for number in (50, 51, 57, 70))
LS, LS_NEAR, J2K_LOSSLESS, J2K = (f"{BASE}.4.{number}" for number in (80, 81, 90, 91))
HT_LOSSLESS, HT = f"{BASE}.4.201", f"{BASE}.4.203"
FEWER = Bound(6.0, 60.0)


@dataclass(frozen=True)
class Pixels:
    """What the data set says of its samples."""

    photometric: str
    samples: int = 3
    planar: int = 0
    allocated: int = 8
    stored: int = 8
    high: int | None = None
    signed: int = 0
    frames: int | None = None


def dicom(content: bytes | list[bytes], syntax: str, pixels: Pixels, *, fragments: int = 1, **elements: Any) -> bytes:
    """Return a file of raw pixel data, or of encapsulated frames where ``content`` is a list; ``fragments``: of each
    frame.
    """
    import pydicom

    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = pydicom.uid.UID(PHOTOGRAPH)
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.UID("1.2.3.4.5")
    data.Modality, data.PatientName = "XC", "Nobody"
    data.Rows, data.Columns = picture().shape[:2]
    data.SamplesPerPixel, data.PhotometricInterpretation = pixels.samples, pixels.photometric
    if pixels.samples > 1:
        data.PlanarConfiguration = pixels.planar
    data.BitsAllocated, data.BitsStored = pixels.allocated, pixels.stored
    data.HighBit = pixels.stored - 1 if pixels.high is None else pixels.high
    data.PixelRepresentation = pixels.signed
    if pixels.frames is not None:
        data.NumberOfFrames = pixels.frames
    for name, value in elements.items():
        setattr(data, name, value)
    _attach(data, content, fragments)
    target = io.BytesIO()
    data.save_as(target, enforce_file_format=True)
    return target.getvalue()


def _attach(data: Dataset, content: bytes | list[bytes], fragments: int) -> None:
    from pydicom.encaps import encapsulate

    if isinstance(content, list):
        data.PixelData = encapsulate(content, fragments_per_frame=fragments)
        data["PixelData"].is_undefined_length = True
    else:
        data.PixelData = content + bytes(len(content) % 2)
    data["PixelData"].VR = "OW" if data.BitsAllocated > 8 else "OB"


def cells() -> Iterator[Cell]:
    """Yield the matrix, or nothing where pydicom is not installed."""
    try:
        import pydicom  # noqa: F401
    except ImportError:
        return
    for part in (_raw, _palettes, _subsampled, _jpegs, _encapsulated, _depths, _elements, _others):
        yield from part()


def _cell(group: str, name: str, data: bytes, *accepted: Picture, bound: Bound = LOSSLESS) -> Cell:
    return Cell("DICOM", group, name, ".dcm", data, accepted, bound)


def _ordered(samples: NDArray[Any], planar: int, bits: int, syntax: str) -> bytes:
    arranged = np.moveaxis(samples, 2, 0) if planar else samples
    return arranged.astype(f"{'>' if syntax == RAW['big endian'] else '<'}u{bits // 8}").tobytes()


def _raw() -> Iterator[Cell]:
    ybr = np.clip(np.round(colours.to_ycbcr(picture())), 0, 255).astype(np.uint8)
    grey = grey_picture()[..., None]
    for (name, syntax), planar, bits in itertools.product(RAW.items(), (0, 1), (8, 16)):
        for photometric, stored, right, bound in (
            ("RGB", picture(), picture(), LOSSLESS),
            ("YBR_FULL", ybr, picture(), CONVERTED),
            ("MONOCHROME2", grey, three(grey), LOSSLESS),
            ("MONOCHROME1", 255 - grey, three(grey), LOSSLESS),
        ):
            if photometric == "YBR_FULL" and bits == 16:
                continue
            count = stored.shape[2]
            if count == 1 and planar:
                continue
            pixels = Pixels(photometric, count, planar, bits, bits)
            data = dicom(_ordered(deepened(stored, bits), planar, bits, syntax), syntax, pixels)
            yield _cell("raw", f"{photometric} {bits} bit, planar {planar}, {name}", data, right, bound=bound)
        one = Pixels("RGB", planar=planar, allocated=bits, stored=bits, frames=1)
        data = dicom(_ordered(deepened(picture(), bits), planar, bits, syntax), syntax, one)
        yield _cell("raw", f"RGB {bits} bit, planar {planar}, {name}, one frame", data, picture())


def _palettes() -> Iterator[Cell]:
    table = np.random.default_rng(6).integers(0, 256, (256, 3)).astype(np.uint8)
    right = table[grey_picture()]
    for entries, (name, syntax) in itertools.product((8, 16), RAW.items()):
        luts: dict[str, Any] = {}
        order = ">" if syntax == RAW["big endian"] else "<"
        for channel, colour in enumerate(("Red", "Green", "Blue")):
            values = table[:, channel].astype(np.uint16) * (257 if entries == 16 else 1)
            luts[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, entries]
            luts[f"{colour}PaletteColorLookupTableData"] = values.astype(f"{order}u{entries // 8}").tobytes()
        data = dicom(grey_picture().tobytes(), syntax, Pixels("PALETTE COLOR", 1), **luts)
        yield _cell("palette", f"entries of {entries} bit, {name}", data, right)


def _subsampled() -> Iterator[Cell]:
    """YBR_FULL_422, raw: Y Y Cb Cr of each pair of pixels."""
    ybr = colours.to_ycbcr(picture())
    pairs = ybr.reshape(ybr.shape[0], -1, 2, 3)
    chroma = pairs[..., 1:].mean(axis=2)
    raw = np.clip(np.round(np.concatenate([pairs[..., 0], chroma], axis=2)), 0, 255).astype(np.uint8).tobytes()
    for name in ("implicit", "explicit"):
        data = dicom(raw, RAW[name], Pixels("YBR_FULL_422"))
        yield _cell("raw", f"YBR_FULL_422, {name}", data, picture(), bound=LOSSY)


def _jpegs() -> Iterator[Cell]:
    """Baseline JPEG: the stream decides its colours, and EXIF in it is ignored."""
    ycc, rgb = colours.to_ycbcr(picture()), picture().astype(np.float64)
    even, wide, square = [(1, 1)] * 3, [(2, 1), (1, 1), (1, 1)], [(2, 2), (1, 1), (1, 1)]
    for factors, photometric in itertools.product((even, wide, square), ("YBR_FULL", "YBR_FULL_422", "RGB")):
        frame = jpeg(ycc, Form(factors))
        name = f"JFIF, {factors[0]}, said to be {photometric}"
        yield _cell("baseline JPEG", name, dicom([frame], BASELINE, Pixels(photometric)), picture(), bound=FEWER)
    bare = jpeg(ycc, Form(wide, segments=()))
    yield _cell(
        "baseline JPEG",
        "no marker, YBR_FULL_422",
        dicom([bare], BASELINE, Pixels("YBR_FULL_422")),
        picture(),
        bound=FEWER,
    )
    for name, form in (
        ("Adobe 0", Form(even, segments=(adobe(0),))),
        ("ids R G B", Form(even, segments=(), ids=b"RGB")),
    ):
        for photometric in ("RGB", "YBR_FULL"):
            data = dicom([jpeg(rgb, form)], BASELINE, Pixels(photometric))
            yield _cell("baseline JPEG", f"RGB by {name}, said to be {photometric}", data, picture(), bound=FEWER)
    bare_rgb = jpeg(rgb, Form(even, segments=()))
    yield _cell("baseline JPEG", "no marker, RGB", dicom([bare_rgb], BASELINE, Pixels("RGB")), picture(), bound=FEWER)
    for orientation, photometric in itertools.product((1, 3, 6, 8), ("YBR_FULL_422", "RGB")):
        turn: Segment = (0xE1, b"Exif\0\0" + exif(orientation))
        frame = jpeg(ycc, Form(wide, segments=(JFIF, turn)))
        name = f"EXIF {orientation}, said to be {photometric}"
        yield _cell("baseline JPEG", name, dicom([frame], BASELINE, Pixels(photometric)), picture(), bound=FEWER)
    grey = jpeg(grey_picture()[..., None], Form([(1, 1)]))
    for photometric, right in (("MONOCHROME2", grey_picture()), ("MONOCHROME1", 255 - grey_picture())):
        data = dicom([grey], BASELINE, Pixels(photometric, 1))
        yield _cell("baseline JPEG", photometric, data, three(right), bound=FEWER)
    other_size = jpeg(colours.to_ycbcr(picture(40, 40)), Form(even))
    yield _cell("baseline JPEG", "of another size", dicom([other_size], BASELINE, Pixels("YBR_FULL")))
    whole = dicom([frame], BASELINE, Pixels("RGB", frames=1), fragments=2)
    yield _cell("baseline JPEG", "one frame in two fragments", whole, picture(), bound=FEWER)


def _encapsulated() -> Iterator[Cell]:
    encoders: dict[str, tuple[str, str, Callable[[NDArray[Any]], Any], Bound]] = {
        "RLE": (RLE, "RGB", _rle, LOSSLESS),
        "lossless JPEG, process 14": (LOSSLESS_14, "RGB", partial(_lossless_jpeg, predictor=4), LOSSLESS),
        "lossless JPEG, first order": (LOSSLESS_SV1, "RGB", partial(_lossless_jpeg, predictor=1), LOSSLESS),
        "JPEG-LS": (LS, "RGB", imagecodecs.jpegls_encode, LOSSLESS),
        "JPEG-LS near": (LS_NEAR, "RGB", partial(imagecodecs.jpegls_encode, level=2), LOSSY),
        "JPEG 2000 lossless, RGB": (J2K_LOSSLESS, "RGB", partial(_jpeg2000, reversible=True, mct=False), LOSSLESS),
        "JPEG 2000 lossless, RCT": (J2K_LOSSLESS, "YBR_RCT", partial(_jpeg2000, reversible=True), LOSSLESS),
        "JPEG 2000, ICT": (J2K, "YBR_ICT", partial(_jpeg2000, reversible=False, level=50), LOSSY),
        "HTJ2K lossless": (HT_LOSSLESS, "YBR_RCT", partial(imagecodecs.htj2k_encode, reversible=True), LOSSLESS),
        "HTJ2K": (HT, "YBR_RCT", partial(imagecodecs.htj2k_encode, reversible=True), LOSSLESS),
    }
    for (name, (syntax, photometric, encode, bound)), bits in itertools.product(encoders.items(), (8, 12, 16)):
        dtype = np.uint8 if bits == 8 else np.uint16
        allocated = 8 if bits == 8 else 16
        for colours_of, said, shown, right in (
            ("RGB", photometric, picture(), picture()),
            ("grey", "MONOCHROME2", grey_picture(), three(grey_picture())),
            ("grey inverted", "MONOCHROME1", 255 - grey_picture(), three(grey_picture())),
        ):
            try:
                frame = bytes(encode(deepened(shown, bits).astype(dtype)))
            except (RuntimeError, ValueError):
                continue  # what this codec does not write
            pixels = Pixels(said, 3 if colours_of == "RGB" else 1, allocated=allocated, stored=bits)
            yield _cell(
                "encapsulated", f"{name}, {colours_of} {bits} bit", dicom([frame], syntax, pixels), right, bound=bound
            )
    twelve = bytes(imagecodecs.jpeg8_encode(deepened(grey_picture(), 12).astype(np.uint16), level=95, bitspersample=12))
    pixels = Pixels("MONOCHROME2", 1, allocated=16, stored=12)
    yield _cell(
        "encapsulated",
        "extended JPEG, grey 12 bit",
        dicom([twelve], EXTENDED, pixels),
        three(grey_picture()),
        bound=LOSSY,
    )
    eight = jpeg(colours.to_ycbcr(picture()), Form([(2, 1), (1, 1), (1, 1)]))
    yield _cell(
        "encapsulated", "extended JPEG, 8 bit", dicom([eight], EXTENDED, Pixels("YBR_FULL_422")), picture(), bound=FEWER
    )


def _lossless_jpeg(samples: NDArray[Any], predictor: int) -> bytes:
    bits = 8 if samples.itemsize == 1 else 12 if samples.max() < 4096 else 16
    return bytes(imagecodecs.jpeg8_encode(samples, lossless=True, predictor=predictor, bitspersample=bits))


def _jpeg2000(samples: NDArray[Any], **options: Any) -> bytes:
    bits = 8 if samples.itemsize == 1 else 12 if samples.max() < 4096 else 16
    return bytes(imagecodecs.jpeg2k_encode(samples, codecformat="j2k", bitspersample=bits, **options))


def _rle(samples: NDArray[Any]) -> bytes:
    """Return RLE of a frame (annex G): a segment for each byte of each sample, the high ones first, row by row."""
    planes = samples.reshape(*samples.shape[:2], -1)
    raw = planes.astype(planes.dtype.newbyteorder(">")).view(np.uint8)  # (H, W, samples * bytes)
    segments = []
    for plane in range(raw.shape[2]):
        rows = [bytes(imagecodecs.packbits_encode(row.tobytes())) for row in raw[..., plane]]
        segment = b"".join(rows)
        segments.append(segment + bytes(len(segment) % 2))
    offsets = [64 + sum(map(len, segments[:number])) for number in range(len(segments))]
    return struct.pack("<16I", len(segments), *offsets, *[0] * (15 - len(offsets))) + b"".join(segments)


def _depths() -> Iterator[Cell]:
    """Samples that do not fill what is allocated."""
    grey = grey_picture()
    for stored, photometric in itertools.product((9, 10, 12, 14, 16), ("MONOCHROME2", "MONOCHROME1")):
        samples = deepened(grey if photometric == "MONOCHROME2" else np.invert(grey), stored)
        pixels = Pixels(photometric, 1, allocated=16, stored=stored)
        data = dicom(samples.astype("<u2").tobytes(), RAW["explicit"], pixels)
        yield _cell("depth", f"{photometric}, {stored} of 16 bit", data, three(grey))
        if stored < 16:
            dirty = samples.astype(np.uint16) | np.uint16(0x8000)
            data = dicom(dirty.astype("<u2").tobytes(), RAW["explicit"], pixels)
            yield _cell("depth", f"{photometric}, {stored} of 16 bit, overlay bits above", data, three(grey))
    rgb = deepened(picture(), 12)
    data = dicom(rgb.astype("<u2").tobytes(), RAW["explicit"], Pixels("RGB", allocated=16, stored=12))
    yield _cell("depth", "RGB, 12 of 16 bit", data, picture())
    bits = (grey > 127).astype(np.uint8)
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    data = dicom(packed, RAW["explicit"], Pixels("MONOCHROME2", 1, allocated=1, stored=1))
    yield _cell("depth", "MONOCHROME2, 1 bit", data, three(bits * 255))
    signed = dicom(
        (grey.astype(np.int16) - 128).tobytes(),
        RAW["explicit"],
        Pixels("MONOCHROME2", 1, allocated=16, stored=16, signed=1),
    )
    yield _cell("depth", "MONOCHROME2, signed, without a window", signed)


def _elements() -> Iterator[Cell]:
    """Elements that affect the pixels besides their layout."""
    stored = colours.in_space(picture(), colours.DISPLAY_P3, 2.2)
    right = colours.from_space(stored, colours.DISPLAY_P3, 2.2)
    profile = colours.matrix_profile(colours.DISPLAY_P3, 2.2, "P3")
    data = dicom(stored.tobytes(), RAW["explicit"], Pixels("RGB"), ICCProfile=profile)
    yield _cell("elements", "ICCProfile, raw", data, right, bound=CONVERTED)
    frame = jpeg(colours.to_ycbcr(stored), Form([(1, 1)] * 3))
    data = dicom([frame], BASELINE, Pixels("YBR_FULL"), ICCProfile=profile)
    yield _cell("elements", "ICCProfile, JPEG", data, right, bound=FEWER)
    inside: Segment = (0xE2, b"ICC_PROFILE\0\1\1" + profile)
    frame = jpeg(colours.to_ycbcr(picture()), Form([(1, 1)] * 3, segments=(JFIF, inside)))
    data, other = dicom([frame], BASELINE, Pixels("YBR_FULL")), colours.from_space(picture(), colours.DISPLAY_P3, 2.2)
    yield _cell("elements", "a profile inside the JPEG alone", data, picture(), other, bound=FEWER)
    samples = (deepened(grey_picture(), 12).astype(np.uint16) << 4).astype("<u2").tobytes()
    high = Pixels("MONOCHROME2", 1, allocated=16, stored=12, high=15)
    yield _cell("elements", "12 bit, the high ones of 16", dicom(samples, RAW["explicit"], high), three(grey_picture()))
    kinds = {"7": "secondary capture", "77.1.4": "photographic", "77.1.1": "endoscopic", "77.1.7": "dermoscopic"}
    for number, name in kinds.items():
        uid = f"1.2.840.10008.5.1.4.1.1.{number}"
        data = dicom(picture().tobytes(), RAW["explicit"], Pixels("RGB"), SOPClassUID=uid)
        yield _cell("elements", name, data, picture())
    windowed: dict[str, Any] = {"WindowCenter": 40, "WindowWidth": 80}
    data = dicom(grey_picture().tobytes(), RAW["explicit"], Pixels("MONOCHROME2", 1), **windowed)
    # The standard says a window applies to grey; a photograph's viewer may show all of it.
    shown = np.clip((grey_picture().astype(np.float64) - 39.5) / 79 + 0.5, 0, 1) * 255
    yield _cell("elements", "a window", data, three(grey_picture()), three(shown.astype(np.uint8)))


def _others() -> Iterator[Cell]:
    """Files that are not one complete photograph."""
    raw = picture().tobytes()
    yield _cell("no photograph", "two frames", dicom(raw * 2, RAW["explicit"], Pixels("RGB", frames=2)))
    for name, uid in (("CT", "2"), ("MR", "4"), ("CR", "1"), ("ultrasound", "6.1"), ("segmentation", "66.4")):
        kind: dict[str, Any] = {"SOPClassUID": f"1.2.840.10008.5.1.4.1.1.{uid}", "Modality": "CT"}
        grey = dicom(grey_picture().tobytes(), RAW["explicit"], Pixels("MONOCHROME2", 1), **kind)
        yield _cell("no photograph", name, grey)
    whole = dicom(raw, RAW["explicit"], Pixels("RGB"))
    for share in (0.3, 0.6, 0.9):
        yield _cell("no photograph", f"cut off at {share:.0%}", whole[: int(len(whole) * share)])
    bare = whole[132:]
    yield _cell("bare", "without preamble, with group 2", bare, picture())
    without = whole[132:]
    at = without.index(b"\x08\0\x16\0UI")
    yield _cell("bare", "explicit, without group 2", without[at:], picture())
    implicit = dicom(raw, RAW["implicit"], Pixels("RGB"))
    at = implicit.index(b"\x08\0\x16\0", 132)
    yield _cell("bare", "implicit, without group 2", implicit[at:], picture())
