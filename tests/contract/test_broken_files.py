"""A folder of everything that goes wrong with image files, through the command line and a real model."""

from __future__ import annotations

import json
import os
import re
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.archive import read_grey, run_all, save, seg_batch
from tests.support.artefact import blobs

LATIN = os.fsdecode(b"caf\xe9.jpg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faults") / "in"
    image, _ = blobs(np.random.default_rng(5), 90, 120)
    save(root / "a.jpg", image)
    save(root / "a.png", image[:, ::-1])
    save(root / "cmyk.jpg")
    Image.fromarray(image).convert("CMYK").save(root / "cmyk.jpg")
    Image.fromarray(image[..., 0].astype(np.uint16) * 257).save(root / "deep.tif")
    (root / "empty.jpg").touch()
    save(root / "one.png", image[:1, :1])
    save(root / "sub dir" / "Läsion 1 (größer) 图.jpg", image)
    (root / "text.jpg").write_text("This is not an image.")
    whole = save(root / "truncated.jpg", image).read_bytes()
    (root / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    exif = Image.Exif()
    exif[0x0112] = 6
    save(root / "turned.jpg", image, exif=exif)
    (root / "notes.txt").write_text("no image")
    try:
        save(root / LATIN, image)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    return root


EXPECTED = {
    "a.jpg": "a.png",
    "a.png": "a.png.png",
    LATIN: os.fsdecode(b"caf\xe9.png"),
    "cmyk.jpg": "cmyk.png",
    "deep.tif": "deep.png",
    "one.png": "one.png",
    "sub dir/Läsion 1 (größer) 图.jpg": "sub dir/Läsion 1 (größer) 图.png",
    "turned.jpg": "turned.png",
}
FAILED = {"empty.jpg": "empty", "text.jpg": "Not an image", "truncated.jpg": "Damaged image"}


def test_every_image_gets_a_mask_or_a_reason(folder: Path, model_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = seg_batch("run", folder, "--out", out, "--model", model_file, "--device", "cpu")
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    assert "8 masks, 3 failed, 0 unchanged" in done.stderr
    assert "1 other file (1 .txt)" in done.stderr
    masks = {path.relative_to(out).as_posix(): path for path in out.rglob("*.png")}
    assert set(masks) == set(EXPECTED.values())
    for name, mask in EXPECTED.items():
        with Image.open(folder / name) as image:
            upright = image.size[::-1] if name != "turned.jpg" else image.size
        assert read_grey(masks[mask]).shape == upright, name
    found = json.loads(seg_batch("status", out, "--json").stdout)
    assert found["counts"] == {"done": 8, "failed": 3, "pending": 0}
    reasons = {Path(entry["path"]).name: entry["error"] for entry in found["failures"]}
    assert set(reasons) == set(FAILED)
    assert all(part in reasons[name] for name, part in FAILED.items())
    assert not list(out.rglob("*.tmp*"))


def test_the_turned_image_gives_the_turned_mask(folder: Path, model_file: Path, tmp_path: Path) -> None:
    names = [folder / "a.jpg", folder / "turned.jpg"]
    seg_batch("run", *names, "--out", tmp_path, "--model", model_file, "--exact", "--device", "cpu")
    plain, turned = read_grey(tmp_path / "a.png") > 0, read_grey(tmp_path / "turned.png") > 0
    back = np.rot90(turned)  # orientation 6: the camera lay on its side, clockwise
    assert 2 * (plain & back).sum() / (plain.sum() + back.sum()) > 0.9


def test_running_again_tries_the_failed_ones_only(folder: Path, model_file: Path, tmp_path: Path) -> None:
    arguments = ("run", folder, "--out", tmp_path, "--model", model_file, "--device", "cpu")
    seg_batch(*arguments)
    again = seg_batch(*arguments)
    assert again.returncode == 3
    assert "0 masks, 3 failed, 8 unchanged" in again.stderr


def test_the_names_are_the_same_whatever_comes_first(folder: Path, model_file: Path, tmp_path: Path) -> None:
    seg_batch("run", folder / "a.png", "--out", tmp_path, "--model", model_file, "--device", "cpu")
    seg_batch("run", folder, "--out", tmp_path, "--model", model_file, "--device", "cpu")
    assert {"a.png", "a.jpg.png"} <= {path.name for path in tmp_path.glob("*.png")}
    assert not (tmp_path / "a.png.png").exists()


def test_bytes_that_are_not_utf8_on_the_command_line(folder: Path, model_file: Path, tmp_path: Path) -> None:
    name = os.fsencode(folder / LATIN)
    done = seg_batch("run", name, "--out", tmp_path, "--model", model_file, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / os.fsdecode(b"caf\xe9.png")).is_file()
    assert seg_batch("status", tmp_path).returncode == 0


def test_a_decompression_bomb_is_refused_before_it_is_decoded(model_file: Path, tmp_path: Path) -> None:
    """A PNG of a few hundred bytes that says it has 900 million pixels, and a zip member of 5 GiB of zeros."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(1000)))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bomb.png").write_bytes(bomb)
    save(tmp_path / "in" / "good.png")
    save(tmp_path / "in" / "large.png", np.zeros((100, 100, 3), np.uint8))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        info = zipfile.ZipInfo("a.png")
        archive.writestr(info, bytes(1000))
    data = (tmp_path / "bomb.zip").read_bytes()
    claimed = data.replace(struct.pack("<I", 1000), struct.pack("<I", 0xFFFFFFF0))
    assert claimed != data
    (tmp_path / "bomb.zip").write_bytes(claimed)
    options = ("--model", model_file, "--device", "cpu", "--max-pixels", "9000")
    done = seg_batch("run", tmp_path / "in", tmp_path / "bomb.zip", "--out", tmp_path / "out", *options)
    assert done.returncode == 3
    assert re.search(r"in/bomb\.png +too many pixels: 30000 x 30000\n", done.stderr)
    assert re.search(r"in/large\.png +too many pixels: 100 x 100\n", done.stderr)
    assert re.search(r"bomb\.zip/a\.png +archive ends too early\n", done.stderr)
    assert "1 mask, 3 failed" in done.stderr
    told = seg_batch("status", tmp_path / "out").stdout
    assert "bomb.png: The image has 30000 x 30000 = 900 million pixels; at most 0 million" in told


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_file_that_changes_while_it_is_read_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody goes on writing to a file between its beginning and its end."""
    path = save(tmp_path / "in" / "a.png")
    look = os.fstat

    def grow(handle: int) -> os.stat_result:
        state = look(handle)
        if stat.S_ISREG(state.st_mode) and os.path.samestat(state, path.stat()):
            with path.open("ab") as file:
                file.write(b"more")
        return state

    monkeypatch.setattr(os, "fstat", grow)
    (result,) = run_all(tmp_path / "in", tmp_path / "out")
    monkeypatch.undo()
    assert "The file changed while it was read" in (result.error or "")
    (again,) = run_all(tmp_path / "in", tmp_path / "out")
    assert again.status.value == "done"


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a place that nobody may write to")
def test_an_output_that_cannot_be_written_is_said_at_once(model_file: Path, tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png")
    for out in ("/sys/kernel/masks", "/sys/kernel/masks.zip", tmp_path / "in" / "a.png" / "masks"):
        done = seg_batch("run", tmp_path / "in", "--out", out, "--model", model_file, "--device", "cpu")
        assert (done.returncode, done.stdout) == (1, "")
        assert "cannot be written" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("seed", range(3))
def test_files_with_flipped_and_missing_bytes(model_file: Path, tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image, _ = blobs(rng, 64, 80)
    for number, suffix in enumerate((".jpg", ".png", ".tif", ".bmp", ".webp") * 12):
        path = save(tmp_path / "in" / f"{number:03}{suffix}", image)
        data = bytearray(path.read_bytes())
        for place in rng.integers(0, len(data), int(rng.integers(1, 9))):
            data[place] = int(rng.integers(0, 256))
        path.write_bytes(data[: int(rng.integers(1, len(data) + 1))] if number % 3 == 0 else data)
    done = seg_batch("run", tmp_path / "in", "--out", tmp_path / "out", "--model", model_file, "--device", "cpu")
    assert done.returncode in (0, 3), done.stderr
    counts = json.loads(seg_batch("status", tmp_path / "out", "--json").stdout)["counts"]
    assert counts["pending"] == 0
    assert sum(counts.values()) == 60
