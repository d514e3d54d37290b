"""A folder of JPEGs of every kind through the command: each gets its mask, as it lies, or a reason."""

from __future__ import annotations

import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from benchmarks.support.null_network import null_model
from tests.support.archive import masks_below, read_grey, seg_batch
from tests.support.jpegs import KINDS, encoded, gradient, inserted, photograph, segment

SIDE = 900
"""Files are decoded scaled from four times the network's side on."""
XMP = b"http://ns.adobe.com/xap/1.0/\0<rdf:Description tiff:Orientation='6'/>"


def _large() -> np.ndarray:
    return np.array(Image.fromarray(photograph()).resize((SIDE, SIDE)))


def _good() -> dict[str, bytes]:
    plain = encoded(photograph())
    lossless = imagecodecs.jpeg8_encode(_large(), lossless=True, colorspace="RGB", outcolorspace="RGB")
    return {
        **{f"{number:02}.jpg": make() for number, make in enumerate(KINDS.values())},
        "lossless.jpg": bytes(lossless),
        "xmp.jpg": inserted(plain, 0xDB, segment(0xE1, XMP)),
        "no_end.jpg": plain[:-2],
        "stray.jpg": inserted(plain, 0xC0, b"\0\0"),
    }


def _bad() -> dict[str, tuple[bytes, str]]:
    plain, lines = encoded(photograph()), encoded(gradient(), progressive=True)
    return {
        "cut.jpg": (plain[: len(plain) * 2 // 3], "Damaged image"),
        "reserved.jpg": (plain[: len(plain) // 2] + bytes(len(plain) // 2), "Damaged image"),
        "passes.jpg": (lines[: lines.rindex(b"\xff\xda")], "Damaged image"),
        "hierarchical.jpg": (plain.replace(b"\xff\xc0", b"\xff\xc5", 1), "A hierarchical JPEG"),
    }


@pytest.mark.parametrize("exact", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_every_kind_gets_its_mask_or_a_reason(exact: bool, tmp_path: Path) -> None:
    source, out, table = tmp_path / "in", tmp_path / "out", tmp_path / "table.jsonl"
    source.mkdir()
    good, bad = _good(), _bad()
    for name, data in {**good, **{name: data for name, (data, _) in bad.items()}}.items():
        (source / name).write_bytes(data)
    ended = seg_batch(
        "run", source, "--out", out, "--model", null_model(tmp_path / "null.onnx"), "--device", "cpu",
        "--table", table, *(("--exact",) if exact else ()),
    )  # fmt: skip
    assert (ended.returncode, "Traceback" in ended.stderr) == (3, False), ended.stderr
    rows = {Path(row["path"]).name: row for row in map(json.loads, table.read_text().splitlines())}
    assert {name: rows[name]["error"] for name in good if rows[name]["status"] != "done"} == {}
    assert {name for name, (_, reason) in bad.items() if reason in rows[name]["error"]} == set(bad)
    assert len(list(masks_below(out))) == len(good)
    assert read_grey(out / "lossless.png").shape == (SIDE, SIDE)
    assert {read_grey(out / f"{name}.png").shape for name in ("xmp", "no_end", "stray")} == {(120, 160)}
