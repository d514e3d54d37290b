"""Other decoders than ours. Each returns upright 8-bit RGB as well as it can, or raises an error that says why not."""

from __future__ import annotations

import importlib
import importlib.util
import io
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.support.formats.cells import Picture, three
from seglab.errors import ImageError

Decode = Callable[..., Any]
SECONDS = 15
MAX_PIXELS = 100_000_000
CONVERT = next((name for name in ("convert-im6.q16", "magick", "convert") if shutil.which(name)), None)
VIPS = shutil.which("vipsthumbnail")
DCMTK = shutil.which("dcm2img") or shutil.which("dcmj2pnm")
PHOTOSHOP_KINDS = (".dcm",)


@dataclass(frozen=True, slots=True)
class Task:
    """A file to read.

    ``reduce``: bring the pixels to a square of this side, so that decoders can be compared. ``options``: for the reader
    that is studied.
    """

    data: bytes
    suffix: str
    decoder: str = "seglab"
    reduce: int = 0
    options: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of a file.

    ``state``: ``read``, ``refused`` (with a sentence), ``error`` (any other exception), ``crash``, ``hang``,
    ``memory``. ``pixels``: if read. ``size``: ``(H, W)`` before they were reduced. ``whole``: that of the whole image,
    as the reader says it.
    """

    state: str
    message: str = ""
    pixels: Picture | None = None
    size: tuple[int, int] | None = None
    remarks: tuple[str, ...] = ()
    whole: tuple[int, int] | None = None


def attempted(task: Task, read: Decode) -> Attempt:
    """Read a file. ``read``: the reader that is studied."""
    try:
        if task.decoder == "seglab":
            photo = read(task.data, **dict(task.options))
            pixels, remarks, whole = photo.pixels, tuple(photo.remarks), photo.size
        else:
            pixels, remarks, whole = OTHERS[task.decoder].decode(task), (), None
    except ImageError as error:
        return Attempt("refused", str(error))
    except Exception as error:  # the study asks which exceptions there are
        return Attempt("error", f"{type(error).__name__}: {error}"[:500])
    height, width = pixels.shape[:2]
    return Attempt("read", "", reduced(pixels, task.reduce), (height, width), remarks, whole)


def reduced(pixels: Picture, side: int) -> Picture:
    """Return the picture scaled to a square of this side, by area means."""
    if not side:
        return pixels
    return np.asarray(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def by_pillow(task: Task) -> Picture:
    """Read by Pillow, with its own orientation, and profiles by LittleCMS."""
    from PIL import Image, ImageCms, ImageOps

    if task.suffix in PHOTOSHOP_KINDS:
        raise ValueError("not a kind of Pillow's")
    with Image.open(io.BytesIO(task.data)) as file:
        _require_size(*file.size)
        profile = file.info.get("icc_profile")
        image: Image.Image = ImageOps.exif_transpose(file)
        if profile and image.mode == "RGBA":
            image = Image.fromarray(np.asarray(image)[..., :3])
        if image.mode.startswith("I;16"):
            return three((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
        if image.mode in ("I", "F"):
            raise ValueError(f"mode {image.mode}")
        if profile and image.mode in ("RGB", "CMYK", "L"):
            srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            image = ImageCms.ImageCmsTransform(given, srgb, image.mode, "RGB").apply(image)
        elif image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
            return np.asarray(image.convert("RGBA"))[..., :3]
        return np.asarray(image.convert("RGB"), np.uint8)


def by_opencv(task: Task) -> Picture:
    """Read by OpenCV, which ignores profiles."""
    if task.suffix in PHOTOSHOP_KINDS:
        raise ValueError("not a kind of OpenCV's")
    found = cv2.imdecode(np.frombuffer(task.data, np.uint8), cv2.IMREAD_COLOR)
    if found is None:
        raise ValueError("OpenCV reads nothing")
    return np.ascontiguousarray(found[..., ::-1], np.uint8)


def by_tifffile(task: Task) -> Picture:
    """Read by tifffile, grey and RGB only."""
    import tifffile

    if task.data[:2] not in (b"II", b"MM"):
        raise ValueError("no TIFF")
    with tifffile.TiffFile(io.BytesIO(task.data)) as file:
        page = file.pages.first
        _require_size(page.imagewidth, page.imagelength)
        values = page.asarray()
        if page.planarconfig == 2 and values.ndim == 3:
            values = np.moveaxis(values, 0, 2)
        if page.photometric not in (0, 1, 2) or (page.tags.get(274, None) not in (None,) and page.tags[274].value != 1):
            raise ValueError("photometric or orientation")
        return _shown(values, page.bitspersample, is_white_zero=page.photometric == 0)


def _shown(values: NDArray[Any], bits: int, *, is_white_zero: bool = False) -> Picture:
    if values.dtype.kind not in "ub":
        raise ValueError(f"samples of {values.dtype}")
    full = (values.astype(np.float64) * 255 / (2**bits - 1)).round().astype(np.uint8)
    full = np.invert(full) if is_white_zero else full
    if full.ndim == 3 and full.shape[2] >= 3:
        return np.ascontiguousarray(full[..., :3])
    return three(full if full.ndim == 2 else full[..., 0])


def by_pydicom(task: Task) -> Picture:
    """Read by pydicom with the plug-ins that are installed."""
    import pydicom
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    dataset = pydicom.dcmread(io.BytesIO(task.data))
    _require_size(dataset.Columns, dataset.Rows)
    values = pixel_array(dataset, index=0)
    bits = int(dataset.BitsStored)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        values = apply_color_lut(values, dataset)
        bits = 8 * values.dtype.itemsize
    return _shown(values, bits, is_white_zero=dataset.PhotometricInterpretation == "MONOCHROME1")


def by_magick(task: Task) -> Picture:
    """Read the first picture by ImageMagick, which converts a profile only if told to."""
    arguments = ["-auto-orient", "-alpha", "off", "-colorspace", "sRGB", "-depth", "8", "ppm:-"]
    limits = ["-limit", "memory", "1GiB", "-limit", "map", "1GiB", "-limit", "disk", "0", "-limit", "thread", "1"]
    with tempfile.TemporaryDirectory() as folder:
        path = _written(task, folder)
        return _from_ppm(_output([str(CONVERT), *limits, f"{path}[0]", *arguments]))


def by_vips(task: Task) -> Picture:
    """Read at full size by the thumbnail program of libvips, which orients and converts to sRGB."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        path, target = _written(task, folder), Path(folder) / "out.png"
        command = [str(VIPS), str(path), "-s", "20000x20000>", "-o", str(target)]
        has_profile = b"iCCP" in task.data or b"acsp" in task.data or b"ICC_PROFILE" in task.data
        _output([*command, "--vips-concurrency=1", *(("--export-profile", "srgb") if has_profile else ())])
        with Image.open(target) as image:
            return np.asarray(image.convert("RGBA"), np.uint8)[..., :3]


def by_dcmtk(task: Task) -> Picture:
    """Read a DICOM file by dcmtk, with YCbCr converted and no window."""
    if task.suffix != ".dcm":
        raise ValueError("no DICOM file")
    with tempfile.TemporaryDirectory() as folder:
        path, target = _written(task, folder), Path(folder) / "out.ppm"
        _output([str(DCMTK), "--write-8-bit-pnm", "--conv-guess-lossy", "-M", str(path), str(target)])
        return _from_ppm(target.read_bytes())


def by_libjpeg(task: Task) -> Picture:
    """Read by the libjpeg of JPEG XT: lossless, 12 and 16 bits, JPEG-LS; only files without an orientation."""
    libjpeg: Any = importlib.import_module("libjpeg")

    header = libjpeg.get_parameters(task.data)
    values = libjpeg.decode(task.data, colour_transform=1 if header["nr_components"] == 3 else 0)
    return _shown(values, int(header["precision"]))


@dataclass(frozen=True, slots=True)
class Other:
    """Another decoder: whether it is installed, and how it reads."""

    is_installed: bool
    decode: Callable[[Task], Picture]


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


OTHERS = {
    "ImageMagick": Other(CONVERT is not None, by_magick),
    "libvips": Other(VIPS is not None, by_vips),
    "Pillow": Other(True, by_pillow),
    "OpenCV": Other(True, by_opencv),
    "tifffile": Other(_has("tifffile"), by_tifffile),
    "pydicom": Other(_has("pydicom"), by_pydicom),
    "libjpeg": Other(_has("libjpeg"), by_libjpeg),
    "dcmtk": Other(DCMTK is not None, by_dcmtk),
}
PROGRAMS = frozenset({"ImageMagick", "libvips", "dcmtk"})
ONLY_FOR = {"libjpeg": (".jpg",), "tifffile": (".tif", ".tiff"), "pydicom": (".dcm",), "dcmtk": (".dcm",)}
NOT_FOR = {"Pillow": (".dcm",), "OpenCV": (".dcm",)}


def others_for(suffix: str) -> list[str]:
    """Return the decoders that are installed and take files of this kind."""
    return [
        name
        for name, other in OTHERS.items()
        if other.is_installed and suffix in ONLY_FOR.get(name, (suffix,)) and suffix not in NOT_FOR.get(name, ())
    ]


def _written(task: Task, folder: str) -> Path:
    path = Path(folder) / f"file{task.suffix}"
    path.write_bytes(task.data)
    return path


def _output(command: list[str]) -> bytes:
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False)
    if ended.returncode:
        raise ValueError(ended.stderr.decode(errors="replace").strip()[:200] or f"exit code {ended.returncode}")
    return ended.stdout


def _from_ppm(data: bytes) -> Picture:
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if found is None:
        raise ValueError("no picture came")
    return np.ascontiguousarray(found[..., ::-1], np.uint8)


def _require_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels")
