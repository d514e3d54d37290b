"""Files with changed headers, read in child processes: no crash, no hang, no large allocation, and no other error than
that of an image.
"""

from __future__ import annotations

import io
import resource
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from seglab.errors import ImageError
from seglab.images.reader import read_photo
from tests.seglab.images.test_formats_png import written

FILES_OF_EACH = 600
SECONDS = 240
SLOWEST = 5.0
"""Seconds for one small file."""
MEMORY = 3 << 30
MAX_PIXELS = 1_000_000
SCENE = np.random.default_rng(4).integers(0, 256, (24, 40, 3), np.uint8)
KINDS = (
    "png", "png16", "png16 in passes", "palette", "apng", "profile", "bmp", "bmp8", "rle",
    "gif", "webp", "webp alpha", "webp lossless",
    "avif", "heic", "jp2", "j2k",
)  # fmt: skip


def whole(kind: str) -> bytes:
    """Return a small file of a kind."""
    if kind == "png16 in passes":
        return written(SCENE.astype(np.uint16) * 257, 16, 2, interlaced=True)
    if kind in ("heic", "rle"):
        return _heic() if kind == "heic" else _run_lengths()
    image = Image.fromarray(SCENE)
    turned = image.rotate(180)
    made: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "png16": (Image.fromarray(SCENE[..., 0].astype(np.uint16) * 200), "PNG", {}),
        "palette": (image.quantize(16), "PNG", {"transparency": 3}),
        "apng": (image, "PNG", {"save_all": True, "append_images": [turned]}),
        "bmp8": (image.quantize(200), "BMP", {}),
        "webp alpha": (Image.fromarray(np.dstack([SCENE, SCENE[..., :1]])), "WEBP", {"exif": b"MM\0*\0\0\0\x08\0\0"}),
        "webp lossless": (image, "WEBP", {"lossless": True, "save_all": True, "append_images": [turned]}),
        "j2k": (image, "JPEG2000", {"no_jp2": True}),
        "jp2": (image, "JPEG2000", {}),
        "profile": (image, "PNG", {"icc_profile": _profile()}),
    }
    return _saved(*made.get(kind, (image, kind.upper(), {})))


def _profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes().replace(b"para", b"pari", 1)


def _heic() -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(SCENE)).save(buffer, quality=60)
    return buffer.getvalue()


def _saved(image: Image.Image, format: str, options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def _run_lengths() -> bytes:
    data = bytearray(_saved(Image.fromarray(np.zeros((24, 40), np.uint8)).convert("P"), "BMP", {}))
    start = struct.unpack_from("<I", data, 10)[0]
    struct.pack_into("<I", data, 30, 1)
    return bytes(data[:start]) + b"\x28\5\0\0" * 10 + b"\0\2\5\3" + b"\0\5abcde\0" + b"\0\1"


def changed(data: bytes, rng: np.random.Generator) -> bytes:
    """Return the file with a few bytes or numbers changed, mostly in its header; check sums of PNGs fit again."""
    spoiled = bytearray(data if rng.random() < 0.9 else data[: int(rng.integers(40, len(data)))])
    for _ in range(int(rng.integers(1, 5))):
        end = min(len(spoiled), 400) if rng.random() < 0.8 else len(spoiled)
        place = int(rng.integers(4, end - 4))
        match int(rng.integers(4)):
            case 0:
                spoiled[place] = int(rng.integers(256))
            case 1:
                spoiled[place : place + 4] = struct.pack(
                    ">I", int(rng.choice([0, 1, 255, 65535, 2**31 - 1, 2**32 - 1]))
                )
            case 2:
                spoiled[place : place + 4] = struct.pack("<I", int(rng.choice([0, 1, 7, 65535, 2**31, 2**32 - 1])))
            case 3:
                spoiled[place] ^= 1 << int(rng.integers(8))
    return _with_check_sums(bytes(spoiled)) if data.startswith(b"\x89PNG") and rng.random() < 0.9 else bytes(spoiled)


def _with_check_sums(data: bytes) -> bytes:
    summed, at = bytearray(data), 8
    while at + 12 <= len(summed):
        end = at + 8 + struct.unpack_from(">I", summed, at)[0]
        if end + 4 > len(summed):
            break
        struct.pack_into(">I", summed, end, zlib.crc32(summed[at + 4 : end]))
        at = end + 4
    return bytes(summed)


def files(kind: str) -> Iterator[bytes]:
    seed, rng = whole(kind), np.random.default_rng(zlib.crc32(kind.encode()))
    for _ in range(FILES_OF_EACH):
        yield changed(seed, rng)


def main(kind: str) -> None:
    """Read the files of a kind; in the child process."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    read = 0
    for number, data in enumerate(files(kind)):
        began = time.monotonic()
        try:
            read_photo(data, max_pixels=MAX_PIXELS)
            read += 1
        except ImageError as error:
            if not str(error).isprintable():
                raise AssertionError(f"file {number}: {error!r}") from error
        except BaseException as error:
            raise AssertionError(f"file {number}: {error!r}") from error
        if time.monotonic() - began > SLOWEST:
            raise AssertionError(f"file {number} took {time.monotonic() - began:.1f} s")
    sys.stdout.write(f"{read} of {FILES_OF_EACH} read\n")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_changed_headers_end_in_pixels_or_in_a_refusal(kind: str) -> None:
    if kind == "heic":
        pytest.importorskip("pillow_heif")
    script = f"from tests.seglab.images.test_formats_fuzz import main; main({kind!r})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    assert done.stderr == ""


def test_the_whole_files_are_read() -> None:
    for kind in KINDS:
        if kind != "heic":
            assert read_photo(whole(kind)).size == (24, 40)
