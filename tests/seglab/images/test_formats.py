"""GIF, WebP, AVIF, HEIC and JPEG 2000: first frames, turns, depths; and what is refused, in which words."""

from __future__ import annotations

import builtins
import io
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from seglab.errors import ImageError, TooLargeError
from seglab.images.formats import IMAGE_SUFFIXES
from seglab.images.kinds import READ_PICTURES, picture_kind
from seglab.images.reader import read_fitted, read_photo

HEIGHT, WIDTH = 48, 64
Y, X = np.mgrid[:HEIGHT, :WIDTH]
SCENE = np.stack([4 * X, 5 * Y, 2 * (X + Y)], axis=2).clip(0, 255).astype(np.uint8)
"""Smooth, and without symmetry."""


def encoded(format: str, image: Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image or Image.fromarray(SCENE)).save(buffer, format, **options)
    return buffer.getvalue()


def heic(image: Image.Image | None = None, **options: Any) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image or Image.fromarray(SCENE)).save(buffer, quality=95, chroma=444, **options)
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def box(name: bytes, *content: bytes) -> bytes:
    inside = b"".join(content)
    return struct.pack(">I4s", 8 + len(inside), name) + inside


def difference(pixels: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> float:
    assert pixels.shape == wanted.shape
    return float(np.abs(pixels.astype(np.int16) - wanted).mean())


def frames(count: int) -> list[Image.Image]:
    return [Image.fromarray(np.roll(SCENE, 9 * step, axis=1)) for step in range(count)]


@pytest.mark.parametrize("format", ["WEBP", "AVIF", "GIF"])
def test_of_several_frames_the_first_is_read_and_said(format: str) -> None:
    first, *others = [image.quantize(64) if format == "GIF" else image for image in frames(4)]
    data = encoded(format, first, save_all=True, append_images=others, duration=50)
    photo = read_photo(data)
    assert difference(photo.pixels, np.asarray(first.convert("RGB"))) < 3
    assert photo.remarks == ("the first of 4 frames",)
    assert read_photo(encoded(format, first)).remarks == ()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_and_heic_are_turned_once(orientation: int) -> None:
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded("PNG", exif=exif(orientation))))))
    for data in (encoded("AVIF", quality=95, exif=exif(orientation)), heic(exif=exif(orientation))):
        assert difference(read_photo(data).pixels, wanted) < 3
    assert np.array_equal(read_photo(encoded("WEBP", lossless=True, exif=exif(orientation))).pixels, wanted)


def test_exif_alone_does_not_turn_a_heic() -> None:
    data = heic(exif=exif(1))
    place = data.index(struct.pack(">HHIHH", 0x0112, 3, 1, 1, 0)) if b"MM\0*" in data else data.index(b"\x12\1\3\0\1")
    spoiled = bytearray(data)
    spoiled[place + 8 : place + 10] = b"\0\6" if b"MM\0*" in data else b"\6\0"
    assert difference(read_photo(bytes(spoiled)).pixels, SCENE) < 3


def test_several_heic_images_give_the_main_one() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = pillow_heif.from_pillow(Image.fromarray(SCENE))
    file.add_from_pillow(Image.fromarray(255 - SCENE))
    buffer = io.BytesIO()
    file.save(buffer, quality=95, primary_index=1)
    photo = read_photo(buffer.getvalue())
    assert difference(photo.pixels, 255 - SCENE) < 4
    assert photo.remarks == ("the main one of 2 images",)


def test_without_pillow_heif_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    original: Callable[..., Any] = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "pillow_heif":
            raise ImportError(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImageError, match=r'Install it: pip install "seglab\[heic\]"'):
        read_photo(box(b"ftyp", b"heic", bytes(4), b"mif1heic"))


@pytest.mark.parametrize(("primaries", "transfer", "words"), [(9, 16, "PQ"), (9, 18, "HLG")])
def test_high_dynamic_range_is_refused_by_name(primaries: int, transfer: int, words: str) -> None:
    for data in (encoded("AVIF"), heic()):
        place = data.index(b"nclx")
        coded = data[: place + 4] + struct.pack(">HH", primaries, transfer) + data[place + 8 :]
        with pytest.raises(ImageError, match=rf"of high dynamic range \({words}\); expected ordinary colours"):
            read_photo(coded)


@pytest.mark.parametrize("bits", [1, 4, 8, 10, 12, 16])
@pytest.mark.parametrize("file", ["jp2", "j2k"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_jpeg_2000_of_every_depth(bits: int, file: str, channels: int) -> None:
    stored = SCENE.astype(np.uint16) << (bits - 8) if bits > 8 else SCENE >> (8 - bits)
    alpha = np.full((HEIGHT, WIDTH, 1), 2**bits - 1)
    samples = np.concatenate([stored[..., : 1 if channels < 3 else 3], alpha], axis=2)[..., :channels]
    data = imagecodecs.jpeg2k_encode(
        samples.astype(np.uint8 if bits <= 8 else np.uint16).squeeze(), level=0, codecformat=file, bitspersample=bits,
        reversible=True,
    )  # fmt: skip
    wanted = SCENE if bits >= 8 else stored * (255 // (2**bits - 1))
    photo = read_photo(data)  # type: ignore[arg-type]
    assert np.array_equal(photo.pixels, wanted if channels > 2 else np.repeat(wanted[..., :1], 3, axis=2))
    assert photo.remarks == ()


def test_a_dark_jpeg_2000_of_twelve_bits_stays_dark() -> None:
    data = imagecodecs.jpeg2k_encode(SCENE[..., 0].astype(np.uint16) >> 2, level=0, bitspersample=12, reversible=True)
    assert np.array_equal(read_photo(data).pixels[..., 0], SCENE[..., 0] >> 6)  # type: ignore[arg-type]


def test_jpeg_2000_in_cmyk_and_tiles() -> None:
    cmyk = Image.fromarray(SCENE).convert("CMYK")
    assert np.array_equal(
        read_photo(encoded("JPEG2000", cmyk, irreversible=False)).pixels, np.asarray(cmyk.convert("RGB"))
    )
    tiles = encoded("JPEG2000", irreversible=False, tile_size=(16, 16))
    assert np.array_equal(read_photo(tiles).pixels, SCENE)
    assert read_fitted(tiles, 16).size == (HEIGHT, WIDTH)


def test_a_gif_that_covers_a_part_of_its_screen_is_said() -> None:
    data = bytearray(encoded("GIF", Image.fromarray(SCENE).quantize(16)))
    struct.pack_into("<HH", data, 6, WIDTH + 8, HEIGHT + 8)
    photo = read_photo(bytes(data))
    assert photo.size == (HEIGHT + 8, WIDTH + 8)
    assert photo.remarks == ("its first frame covers only a part of it",)


@pytest.mark.parametrize("name", ["JPEG2000", "AVIF", "GIF", "WEBP", "HEIC"])
def test_a_copy_under_way_or_cut_off_is_refused(name: str) -> None:
    noisy = Image.fromarray(np.random.default_rng(1).integers(0, 255, (96, 128, 3), np.uint8))
    data = heic(noisy) if name == "HEIC" else encoded(name, noisy)
    for share in (0.3, 0.6, 0.9):
        end = int(len(data) * share)
        for broken in (data[:end], data[:end] + bytes(len(data) - end)):
            with pytest.raises(ImageError, match=r"Damaged image|zeros instead of image data"):
                read_photo(broken)


@pytest.mark.parametrize("name", ["JPEG2000", "AVIF", "GIF", "WEBP", "BMP", "PNG", "HEIC"])
def test_zeros_behind_a_whole_file_do_no_harm(name: str) -> None:
    data = heic() if name == "HEIC" else encoded(name)
    padding = box(b"free", bytes(500)) if name in ("HEIC", "AVIF") else bytes(512)
    assert np.array_equal(read_photo(data + padding).pixels, read_photo(data).pixels)


@pytest.mark.parametrize("name", ["JPEG2000", "AVIF", "GIF", "WEBP", "BMP", "PNG"])
def test_images_above_the_limit_are_not_decoded(name: str) -> None:
    with pytest.raises(TooLargeError):
        read_photo(encoded(name), max_pixels=WIDTH * HEIGHT - 1)
    with pytest.raises(TooLargeError):
        read_photo(heic(), max_pixels=WIDTH * HEIGHT - 1)


def test_a_webp_is_refused_before_its_canvas_is_allocated() -> None:
    lossless = encoded("WEBP", lossless=True)
    canvas = box_of_riff(b"VP8X", bytes(4) + (2**24 - 1).to_bytes(3, "little") * 2) + lossless[12:]
    with pytest.raises(TooLargeError, match="16777216 x 16777216"):
        read_photo(b"RIFF" + struct.pack("<I", 4 + len(canvas)) + b"WEBP" + canvas)


def box_of_riff(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content


REFUSED = [
    (b"%!PS-Adobe-3.0 EPSF-3.0\n", "Not an image of a kind that is read (PostScript)"),
    (b"\xc5\xd0\xd3\xc6" + bytes(28), "Not an image of a kind that is read (PostScript)"),
    (b"\0\0\1\0\1\0" + bytes(30), "Not an image of a kind that is read (an icon of Windows)"),
    (b"P6\n3 2\n255\n" + bytes(18), "Not an image of a kind that is read (a portable anymap (PBM, PGM, PPM))"),
    (b"\n\5\1\x08" + bytes(99), "Not an image of a kind that is read (a Paintbrush image (PCX))"),
    (b"\0\0\2" + bytes(9) + b"\4\0\4\0\x18\0", "Not an image of a kind that is read (a Targa image (TGA))"),
    (b"SIMPLE  =                    T", "Not an image of a kind that is read (a FITS image)"),
    (b"8BPS\0\1" + bytes(30), "Not an image of a kind that is read (a Photoshop file)"),
    (b"\xff\x0a" + bytes(30), "Not an image of a kind that is read (a JPEG XL)"),
    (b"FUJIFILMCCD-RAW 0201", "Not an image of a kind that is read (a raw file of a camera)"),
    (box(b"ftyp", b"crx ", bytes(4), b"crx isom"), "Not an image of a kind that is read (a raw file of a camera)"),
    (box(b"ftyp", b"isom", bytes(4), b"isommp42"), "Not an image of a kind that is read (a video)"),
    (box(b"ftyp", b"qt  ", bytes(4), b"qt  "), "Not an image of a kind that is read (a video)"),
    (b"RIFF\x99\0\0\0AVI LIST", "Not an image of a kind that is read (a video or sound (RIFF))"),
    (b"%PDF-1.7\n", "Not an image (a PDF)"),
    (b"<!DOCTYPE html><html>", "Not an image (a web page or XML)"),
    (b'{"error": "not found"}', "Not an image (JSON)"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "Not an image (a Git LFS pointer)"),
    (b"PK\3\4" + bytes(30), "Not an image (a zip)"),
    (b"patient,age\n1,40\n", "Not an image (text)"),
    ("Läsion 1\n".encode("latin-1") * 9, "Not an image (text)"),
    ("patient".encode("utf-16"), "Not an image (text)"),
    (bytes(4096), "Not an image (all 4096 bytes are zeros)"),
    (b"\x93\x01\x7f\x00\x11", "Not an image (5 bytes that begin with 93 01 7f 00 11)"),
    (b"", "The file is empty"),
]


@pytest.mark.parametrize(("data", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_is_no_photograph_is_called_by_its_name(data: bytes, words: str) -> None:
    with pytest.raises(ImageError) as raised:
        read_photo(data)
    message = str(raised.value)
    assert message.startswith(words)
    assert "expected" in message
    assert message.isprintable()
    assert "b'" not in message
    assert "amaged" not in message


def test_no_format_but_those_on_the_list_is_ever_tried() -> None:
    """Pillow's other plugins, some of which start programs, are not even imported."""
    script = (
        "import sys\nfrom seglab.images.reader import read_photo\nfrom seglab.errors import ImageError\n"
        "for data in (b'%!PS-Adobe-3.0 EPSF-3.0\\n', b'P6 1 1 255 abc', b'\\0\\0\\1\\0' + bytes(40), b'GIF89a'):\n"
        "    try:\n        read_photo(data)\n    except ImageError:\n        pass\n"
        "print([name for name in sys.modules if name.split('.')[-1] in\n"
        "    ('EpsImagePlugin', 'IcoImagePlugin', 'FitsImagePlugin', 'WmfImagePlugin', 'imagecodecs', 'tifffile')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_kinds_that_are_read_have_suffixes_and_are_told_by_their_bytes() -> None:
    files = {
        "a JPEG": encoded("JPEG"), "a PNG": encoded("PNG"), "a TIFF": encoded("TIFF"), "a BMP": encoded("BMP"),
        "a WebP": encoded("WEBP"), "a GIF": encoded("GIF"), "an AVIF": encoded("AVIF"),
        "a JPEG 2000": encoded("JPEG2000"), "a HEIC": heic(),
    }  # fmt: skip
    for kind, data in files.items():
        assert picture_kind(data[:512]) == kind
        assert read_photo(data).size == (HEIGHT, WIDTH)
    assert READ_PICTURES - files.keys() == {"a BigTIFF", "a DICOM file", "a bare DICOM data set"}
    assert {".jfif", ".pjpeg", ".mpo", ".dib", ".gif", ".jp2", ".avif", ".heic", ".ima"} <= IMAGE_SUFFIXES


def test_a_decoder_that_fails_in_its_own_way_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("line one\n\tline two\x1b[31m")

    monkeypatch.setattr(sys.modules["seglab.images.decoders.png.decode"], "read_chunks", failing)
    with pytest.raises(ImageError) as raised:
        read_photo(encoded("PNG"))
    assert str(raised.value).startswith("Damaged image: a PNG; line one line two")
    assert str(raised.value).isprintable()


def test_sizes_of_jpeg_2000_and_gif_are_refused_by_their_headers() -> None:
    data = bytearray(encoded("JPEG2000", no_jp2=True))
    struct.pack_into(">II", data, 8, 2**31, 2**31)
    with pytest.raises(TooLargeError):
        read_photo(bytes(data))
    gif = bytearray(encoded("GIF"))
    struct.pack_into("<HH", gif, 6, 65535, 65535)
    with pytest.raises(TooLargeError):
        read_photo(bytes(gif))
