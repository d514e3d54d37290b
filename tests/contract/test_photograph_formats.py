"""Photographs in every format, in folders, archives and by patterns; and files that only look like photographs."""

from __future__ import annotations

import io
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.contract.test_folders import Run, run
from tests.support.archive import spot

__all__ = ["run"]

FORMATS = {
    "a.jpg": "JPEG", "b.jfif": "JPEG", "c.PJPEG": "JPEG", "d.mpo": "JPEG", "e.gif": "GIF", "f.jp2": "JPEG2000",
    "g.avif": "AVIF", "h.dib": "BMP", "i.webp": "WEBP", "j.apng": "PNG", "IM0001": "TIFF", "1.2.840.113619.2.1": "GIF",
    "k": "AVIF", "photo.heic.1": "JPEG2000",
}  # fmt: skip


def content(format: str, seed: int = 1, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(spot(48, 64, (20, 10, 30 + seed, 40))).save(buffer, format, **options)
    return buffer.getvalue()


def folder() -> Path:
    path = Path("set")
    path.mkdir()
    for number, (name, format) in enumerate(FORMATS.items()):
        (path / name).write_bytes(content(format, number))
    return path


def test_every_format_is_a_photograph_whatever_its_name(run: Run) -> None:
    ended = run(str(folder()))
    assert (ended.code, sorted(ended.done)) == (0, sorted(f"set/{name}" for name in FORMATS)), ended.said
    assert "passed over" not in ended.said


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_and_in_archives(run: Run, kind: str) -> None:
    path = shutil.make_archive("set", kind, folder())
    ended = run(Path(path).name)
    assert (ended.code, len(ended.done)) == (0, len(FORMATS)), ended.said


def test_and_by_patterns_which_do_not_call_others_no_images(run: Run) -> None:
    folder()
    ended = run("set/1.2*")
    assert (ended.code, ended.done) == (0, ["set/1.2.840.113619.2.1"]), ended.said
    assert "no images" not in ended.said
    assert "13 images and files of unknown kind that do not match the pattern" in ended.said


def test_what_only_has_the_name_of_a_photograph_fails_and_says_what_it_is(run: Run) -> None:
    Path("set").mkdir()
    Path("set/good.jpg").write_bytes(content("JPEG"))
    Path("set/hang.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 600 450\n{} loop\nshowpage\n")
    Path("set/pointer.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n")
    with zipfile.ZipFile("set/archive.bmp", "w") as archive:
        archive.writestr("a.txt", "a")
    ended = run("set")
    assert (ended.code, ended.done) == (3, ["set/good.jpg"]), ended.said
    for words in ("PostScript", "not an image: Git LFS pointer", "not an image: zip"):
        assert words in ended.said


def test_a_bitmap_of_zeros_behind_a_header_is_an_image(run: Run) -> None:
    Path("set").mkdir()
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save("set/black.dib", "BMP")
    assert run("set").done == ["set/black.dib"]
