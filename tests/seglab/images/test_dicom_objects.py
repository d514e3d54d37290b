"""Which DICOM objects are read, how they are recognised, and what a hostile one may cost."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglab.errors import ImageError
from seglab.images.kinds import picture_kind
from seglab.images.reader import read_image, read_photo
from seglab.synth import synthesise
from tests.support.dicom_files import bare, dicom, encoded, jpeg

pydicom = pytest.importorskip("pydicom")

STORAGE = "1.2.840.10008.5.1.4.1.1."
IMPLICIT, BIG, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
RGB = synthesise(41, 60, seed=1).image
GREY = np.ascontiguousarray(RGB[..., 1])


@pytest.mark.parametrize("ending", ["77.1.1", "77.1.2", "77.1.4", "77.1.5.1", "77.1.7"])
def test_visible_light_is_read_without_a_remark(ending: str) -> None:
    assert read_photo(dicom(RGB, SOPClassUID=STORAGE + ending)).remarks == ()


def test_a_secondary_capture_is_read_with_a_remark() -> None:
    photo = read_photo(dicom(RGB, SOPClassUID=STORAGE + "7", Modality="CT"))
    np.testing.assert_array_equal(photo.pixels, RGB)
    assert photo.remarks == ("a secondary capture (modality CT); it may not be a photograph",)


@pytest.mark.parametrize(
    ("ending", "name"),
    [
        ("2", "CT Image Storage"),
        ("4", "MR Image"),
        ("1", "Computed Radiography"),
        ("6.1", "Ultrasound"),
        ("128", "Positron"),
    ],
)
def test_other_images_are_taken_only_when_asked_for(ending: str, name: str) -> None:
    data = dicom(GREY, SOPClassUID=STORAGE + ending)
    with pytest.raises(ImageError, match=f"A DICOM object of {name}.*expected a photograph.*--any-dicom"):
        read_image(data)
    photo = read_photo(data, any_dicom=True)
    np.testing.assert_array_equal(photo.pixels[..., 0], GREY)
    assert name in photo.remarks[0]


@pytest.mark.parametrize("ending", ["66.4", "66.7", "30", "481.2", "77.1.4.1"])
def test_segmentations_doses_and_videos_are_never_taken(ending: str) -> None:
    for any_dicom in (False, True):
        with pytest.raises(ImageError, match=r"expected (a|one) photograph") as error:
            read_photo(dicom(GREY, SOPClassUID=STORAGE + ending), any_dicom=any_dicom)
        assert "--any-dicom" not in str(error.value)


@pytest.mark.parametrize(
    ("modality", "is_read"), [("XC", True), ("DMS", True), ("OT", True), ("US", False), ("CT", False), ("", True)]
)
def test_of_a_private_class_the_modality_decides(modality: str, is_read: bool) -> None:
    data = dicom(RGB, SOPClassUID="1.3.6.1.4.1.9", Modality=modality)
    if is_read:
        np.testing.assert_array_equal(read_image(data), RGB)
    else:
        with pytest.raises(ImageError, match=f"a private class and modality {modality}"):
            read_image(data)


def test_any_dicom_goes_through_rescaling_and_the_window() -> None:
    """Stored 0 to 255 is -1000 to -745; a window of 100 at -900 begins at -950 and ends at -851 (PS3.3 C.11.2.1.2)."""
    stored = np.arange(256, dtype=np.uint16).reshape(16, 16)
    fields = {"RescaleSlope": 1, "RescaleIntercept": -1000, "WindowCenter": -900, "WindowWidth": 100}
    data = dicom(stored, SOPClassUID=STORAGE + "2", BitsStored=12, HighBit=11, **fields)  # type: ignore[arg-type]
    grey = read_photo(data, any_dicom=True).pixels[..., 0].ravel()
    assert (grey[:51] == 0).all()
    assert (grey[149:] == 255).all()
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    header = pydicom.dcmread(io.BytesIO(data))
    windowed = apply_voi_lut(apply_modality_lut(stored, header), header).ravel()
    expected = (windowed - windowed.min()) / (windowed.max() - windowed.min()) * 255
    assert np.abs(grey - expected).max() <= 1


def test_signed_samples_need_a_window() -> None:
    signed = (np.arange(-128, 128, dtype=np.int16) * 8).reshape(16, 16)
    data = dicom(signed, SOPClassUID=STORAGE + "2", PixelRepresentation=1)
    with pytest.raises(ImageError, match="Signed DICOM samples"):
        read_photo(data, any_dicom=True)
    windowed = dicom(signed, SOPClassUID=STORAGE + "2", PixelRepresentation=1, WindowCenter=0, WindowWidth=2048)
    grey = read_photo(windowed, any_dicom=True).pixels[..., 0].ravel().astype(int)
    assert (np.diff(grey) >= 0).all()
    assert (grey[0], grey[-1]) == (0, 254)


def test_the_profile_of_the_object_counts() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(read_image(dicom(RGB, ICCProfile=profile + bytes(len(profile) % 2))), RGB)
    photo = read_photo(dicom(RGB, ICCProfile=b"no profile"))
    np.testing.assert_array_equal(photo.pixels, RGB)
    assert len(photo.remarks) == 1


def test_pixels_that_are_no_squares_are_remarked() -> None:
    assert read_photo(dicom(RGB, PixelAspectRatio=[1, 1])).remarks == ()
    assert "2:1" in read_photo(dicom(RGB, PixelAspectRatio=[2, 1])).remarks[0]


def _group_2_first(whole: bytes) -> bytes:
    return whole[132:]


def _another(syntax: str) -> Callable[[bytes], bytes]:
    return lambda whole: bare(encoded(whole, syntax))


@pytest.mark.parametrize("strip", [bare, _group_2_first, _another(IMPLICIT), _another(BIG)])
def test_data_sets_without_a_files_header_are_recognised_and_read(strip: Callable[[bytes], bytes]) -> None:
    data = strip(dicom(RGB))
    assert picture_kind(data[:512]) == "a bare DICOM data set"
    np.testing.assert_array_equal(read_image(data), RGB)


def test_a_bare_data_set_with_a_jpeg_is_read() -> None:
    data = bare(dicom(RGB, "1.2.840.10008.1.2.4.50", jpeg(RGB), PhotometricInterpretation="YBR_FULL_422"))
    np.testing.assert_array_equal(read_image(data), read_image(jpeg(RGB)))


def test_other_files_are_not_taken_for_dicom() -> None:
    random.seed(3)
    junk = [random.randbytes(512) for _ in range(2000)]
    begun = [bytes((first, 0)) + rest[2:] for first in (2, 8) for rest in junk]
    begun += [b"\x08\0\x05\0CS" + rest[6:] for rest in junk]
    others = [b"\x08\0\0\0" * 128, b"\x02\0\x01\0" * 128, bytes(512), b"\x08\0\x05\0CS\x0a\0ISO_IR 100", b"\x08\0", b""]
    assert [
        found for data in (*junk, *begun, *others) if (found := picture_kind(data)) == "a bare DICOM data set"
    ] == []


def _bomb(before: bytes, repeated: bytes, count: int) -> bytes:
    """Return a deflated file of an image of 41 x 60 with elements before its pixels."""
    whole = encoded(dicom(RGB), DEFLATED)
    start = 132 + 12 + int(pydicom.filereader.dcmread(io.BytesIO(whole)).file_meta[0x00020000].value)
    plain = zlib.decompress(whole[start:], -15)
    at = plain.find(b"\xe0\x7f\x10\0")
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    parts = [engine.compress(plain[:at] + before), *(engine.compress(repeated) for _ in range(count))]
    return whole[:start] + b"".join((*parts, engine.compress(plain[at:]), engine.flush()))


HUGE_STREAM = b"".join(
    (
        b"\xff\x4f\xff\x51\0\x2f\0\0",
        struct.pack(">8I", 65535, 65535, 0, 0, 65535, 65535, 0, 0),
        b"\0\3" + b"\7\1\1" * 3 + b"\xff\x90\xff\xd9",
    )
)
"""A JPEG 2000 of 65535 x 65535 pixels."""
SHORT_RUNS = struct.pack("<16I", 3, 64, 66, 68, *[0] * 12) + b"\x81\0" * 3
BOMBS: dict[str, Callable[[], bytes]] = {
    "zeros": lambda: _bomb(struct.pack("<HH2sHI", 0x29, 0x1010, b"OB", 0, 400_000_000), bytes(10_000_000), 40),
    "elements": lambda: _bomb(b"", struct.pack("<HH2sH", 0x29, 0x1010, b"LO", 0) * 100_000, 30),
    "items": lambda: _bomb(
        struct.pack("<HH2sHI", 0x29, 0x1010, b"SQ", 0, 0xFFFFFFFF), struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 100_000, 30
    ),
    "frame of a codestream": lambda: dicom(RGB, "1.2.840.10008.1.2.4.90", HUGE_STREAM),
    "rows and columns": lambda: dicom(RGB, Rows=20000, Columns=20000),
    "run lengths": lambda: dicom(RGB, "1.2.840.10008.1.2.5", SHORT_RUNS, Rows=19999, Columns=19999),
}  # fmt: skip

MEASURED = """
import resource, sys, time
from pathlib import Path
from seglab.errors import ImageError
from seglab.images.reader import read_image
from tests.support.dicom_files import dicom
import numpy as np
read_image(dicom(np.zeros((8, 8, 3), np.uint8)))
data = Path(sys.argv[1]).read_bytes()
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
try:
    read_image(data)
except ImageError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, time.perf_counter() - start, error, sep="|")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures peak memory as Linux counts it")
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_neither_memory_nor_time(name: str, tmp_path: Path) -> None:
    (tmp_path / "bomb").write_bytes(BOMBS[name]())
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "bomb")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    kilobytes, seconds, words = ended.stdout.strip().split("|")
    assert int(kilobytes) < 150_000, words
    assert float(seconds) < 10, words


def test_sequences_a_thousand_deep_are_passed_over() -> None:
    whole = dicom(RGB)
    at = whole.find(b"\xe0\x7f\x10\0")
    opening = struct.pack("<HH2sHI", 0x29, 0x1010, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    closing = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    np.testing.assert_array_equal(read_image(whole[:at] + opening * 1000 + closing * 1000 + whole[at:]), RGB)
    with pytest.raises(ImageError, match="Damaged DICOM"):
        read_image(whole[:at] + opening * 1000)


def test_raw_pixels_are_not_copied_again_and_again() -> None:
    import tracemalloc

    data = dicom(np.zeros((2000, 2000, 3), np.uint8) + np.arange(3, dtype=np.uint8))
    tracemalloc.start()
    read_image(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * len(data)


def _spoiled(rng: random.Random, whole: bytes) -> bytes:
    data = bytearray(whole)
    at_pixels = whole.find(b"\xe0\x7f\x10\0")
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(128, min(len(data), at_pixels + 300))
        match rng.randrange(4):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", bytes(4), b"\xff\xff\xff\x7f"))
            case 2:
                del data[at : at + rng.randrange(1, 20)]
            case _:
                data[at:at] = rng.randbytes(rng.randrange(1, 20))
    return bytes(data[: rng.randrange(len(data))] if rng.random() < 0.05 else data)


def spoil(seed: int, count: int) -> None:
    """Read spoiled files; raises whatever is no :class:`ImageError`, or whose words are more than a line."""
    import imagecodecs

    rng = random.Random(seed)
    streams: dict[int, Any] = {
        50: jpeg(RGB),
        70: imagecodecs.jpeg8_encode(RGB, lossless=True),
        80: imagecodecs.jpegls_encode(RGB),
        90: imagecodecs.jpeg2k_encode(RGB, level=0, codecformat="j2k"),
        201: imagecodecs.htj2k_encode(RGB, reversible=True),
    }
    files = [dicom(RGB, f"1.2.840.10008.1.2.4.{number}", stream) for number, stream in streams.items()]
    files += [dicom(RGB), dicom(GREY, SOPClassUID=STORAGE + "2", WindowCenter=90, WindowWidth=80)]
    files += [encoded(dicom(RGB), syntax) for syntax in (IMPLICIT, BIG, DEFLATED, "1.2.840.10008.1.2.5")]
    for _ in range(count):
        data = _spoiled(rng, rng.choice(files))
        start = time.perf_counter()
        words = "none"
        try:
            read_photo(data, max_pixels=10_000_000, any_dicom=True)
        except ImageError as error:
            words = str(error)
        assert words.isprintable(), repr(words)
        assert time.perf_counter() - start < 20


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_spoiled_files_end_in_pixels_or_words(seed: int) -> None:
    code = f"import warnings; warnings.simplefilter('ignore'); from {__name__} import spoil; spoil({seed}, 500)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
