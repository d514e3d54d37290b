"""Copies that are still under way: the file has its size, and zeros where the rest will be. No mask is made of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.support.null_network import null_model
from tests.support.archive import seg_batch
from tests.support.partial_copies import WHOLE, cut, encoded, photograph


@pytest.fixture(scope="module")
def null(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that costs nothing to run."""
    return null_model(tmp_path_factory.mktemp("model") / "null.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.31, 0.5, 0.83])
def test_a_mask_is_made_when_the_copy_is_complete_and_not_before(share: float, null: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    whole = {name: make() for name, make in WHOLE.items() if name != "raw.dcm"}
    for name, data in whole.items():
        (tmp_path / "in" / name).write_bytes(cut(data, share, 512))
    table = tmp_path / "table.jsonl"
    command = ("run", tmp_path / "in", "--out", tmp_path / "out", "--model", null, "--device", "cpu", "--table", table)
    ended = seg_batch(*command)
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    assert ended.returncode == 3, ended.stderr
    assert {row["path"]: row["error"] for row in rows if row["status"] != "failed"} == {}
    assert sum("run again when it is complete" in row["error"] for row in rows) >= len(rows) - 3
    assert not list((tmp_path / "out").rglob("*.png"))
    for name, data in whole.items():
        (tmp_path / "in" / name).write_bytes(data)
    ended = seg_batch(*command)
    assert (ended.returncode, f"{len(whole)} masks, 0 failed" in ended.stderr) == (0, True), ended.stderr


def test_photographs_with_black_borders_are_done(null: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    image = Image.fromarray(photograph())
    image.paste((0, 0, 0), (0, 150, *image.size))
    for number, upright in enumerate((image, image.rotate(180), Image.new("RGB", image.size))):
        for name, kind in (("a.bmp", "BMP"), ("b.tif", "TIFF"), ("c.webp", "WEBP"), ("d.png", "PNG")):
            (tmp_path / "in" / f"{number}{name}").write_bytes(encoded(kind, upright))
    ended = seg_batch("run", tmp_path / "in", "--out", tmp_path / "out", "--model", null, "--device", "cpu")
    assert (ended.returncode, "12 masks, 0 failed" in ended.stderr) == (0, True), ended.stderr


def test_a_tiff_that_was_cut_off_is_called_incomplete(null: Path, tmp_path: Path) -> None:
    data = encoded("TIFF", compression="tiff_lzw")
    (tmp_path / "cut.tif").write_bytes(data[: len(data) * 9 // 10])
    (tmp_path / "page.jpg").write_bytes(b"<!DOCTYPE html>\n<html>Please log in</html>\n")
    names = (tmp_path / "cut.tif", tmp_path / "page.jpg")
    ended = seg_batch("run", *names, "--out", tmp_path / "out", "--model", null, "--device", "cpu")
    assert ended.returncode == 3
    assert re.search(r"cut\.tif +damaged TIFF\n", ended.stderr)
    assert re.search(r"page\.jpg +not an image: web page or XML\n", ended.stderr)
    told = seg_batch("status", tmp_path / "out").stdout
    assert "begin as a TIFF" in told
    assert "download may be incomplete" in told
    assert "Not an image (a web page or XML" in told
    assert "udc" not in told
