"""TIFFs through the command: one photograph in many forms gets one mask, and what is none is a row with its reason."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.archive import read_grey, seg_batch
from tests.support.tiff_files import Page, written


def lesion() -> np.ndarray:
    """A brown spot on skin: uint8 ``(240, 320, 3)``."""
    rows, columns = np.mgrid[:240, :320].astype(np.float32)
    inside = 1 / (1 + np.exp((np.hypot((columns - 140) / 70, (rows - 120) / 60) - 1) * 14))[..., None]
    skin = np.array((214, 170, 148.0)) * (1 - inside) + np.array((92, 58, 44.0)) * inside
    return np.clip(skin + np.random.default_rng(0).normal(0, 3, (240, 320, 1)), 0, 255).astype(np.uint8)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def forms() -> dict[str, bytes]:
    image = lesion()
    deep, small = image.astype(np.uint16) * 256 + 17, np.ascontiguousarray(image[::4, ::4])
    text = b"ImageJ=1.54f\nimages=3\nchannels=3\nmode=composite\n\0"
    planes = [np.ascontiguousarray(image[..., k : k + 1]) for k in range(3)]
    return {
        "plain": written(Page(image)),
        "planar16": written(Page(deep, bits=16, is_planar=True)),
        "planar16-tiles-big-endian": written(Page(deep, bits=16, is_planar=True, tile=(64, 64)), order=">", big=True),
        "float": written(Page(image.astype(np.float32) / 255, bits=32, kind=3)),
        "bits32": written(Page(image.astype(np.uint32) << 24, bits=32)),
        "thumbnail-first": written(Page(small, tags=[(254, 4, [1])]), Page(image)),
        "imagej-channels": written(Page(planes[0], 1, tags=[(270, 2, text)]), Page(planes[1], 1), Page(planes[2], 1)),
        "two-pages": written(Page(image), Page(255 - image)),
    }


def test_one_photograph_has_one_mask_in_every_form(forms: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, data in forms.items():
        (tmp_path / "in" / f"{name}.tif").write_bytes(data)
    ended = seg_batch("run", tmp_path / "in", "--out", tmp_path / "out", "--device", "cpu")
    assert (ended.returncode, f"{len(forms)} masks, 0 failed" in ended.stderr) == (0, True), ended.stderr
    masks = {path.stem.partition(".")[0]: read_grey(path) > 0 for path in masks_of(tmp_path)}
    first = masks["plain"]
    assert first.sum() > 5000
    assert {name: mask.shape for name, mask in masks.items() if mask.shape != (240, 320)} == {}
    assert {name: int((mask != first).sum()) for name, mask in masks.items() if (mask != first).sum() > 40} == {}


def masks_of(folder: Path) -> list[Path]:
    return sorted((folder / "out").rglob("*.png"))


def test_what_is_no_photograph_is_a_row_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    image = lesion()
    files = {
        "raw.tif": written(Page(image[..., :1], 32803)),
        "signed.tif": written(Page(image.astype(np.int16) - 200, bits=16, kind=2)),
        "stack.tif": written(*[Page(image[..., :1], 1, tags=[(270, 2, b"ImageJ=1\nimages=3\nslices=3\n\0")])] * 3),
        "cut.tif": written(Page(image))[:90_000],
    }
    for name, data in files.items():
        (tmp_path / "in" / name).write_bytes(data)
    table = tmp_path / "table.jsonl"
    ended = seg_batch("run", tmp_path / "in", "--out", tmp_path / "out", "--device", "cpu", "--table", table)
    assert ended.returncode == 3, ended.stderr
    errors = {Path(row["path"]).name: row["error"] for row in map(json.loads, table.read_text().splitlines())}
    expected = {
        "raw.tif": "A camera's raw photograph", "signed.tif": "Signed samples of 16 bits",
        "stack.tif": "An ImageJ stack", "cut.tif": "Damaged image",
    }  # fmt: skip
    assert errors.keys() == expected.keys()
    assert {name: begin for name, begin in expected.items() if not errors[name].startswith(begin)} == {}
    assert masks_of(tmp_path) == []
