"""DICOM files through the command: what is a photograph gets a mask, anything else a row with a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from batch.cli import main
from tests.support.dicom_files import bare, dicom, jpeg

pytest.importorskip("pydicom")
CT = "1.2.840.10008.5.1.4.1.1.2"
RGB = np.full((60, 80, 3), (224, 180, 160), np.uint8)
RGB[12:30, 20:44] = (90, 50, 40)


def run(folder: Path, model: Path, *options: str, out: str = "m") -> dict[str, str]:
    """Return what each file of a folder became: ``done``, or its sentence."""
    table = folder.with_suffix(".jsonl")
    arguments = ["run", str(folder), "--out", str(folder.with_name(out)), "--model", str(model), "--device", "cpu"]
    CliRunner().invoke(main, [*arguments, "--table", str(table), *options], catch_exceptions=False)
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    return {Path(row["path"]).name: row.get("error") or row["status"] for row in rows}


def test_photographs_by_any_name_get_masks_and_others_words(tmp_path: Path, model_file: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "IM0001").write_bytes(dicom(RGB))
    (folder / "1.2.840.113619.2.1.1").write_bytes(bare(dicom(RGB)))
    (folder / "ct.dcm").write_bytes(dicom(np.ascontiguousarray(RGB[..., 0]), SOPClassUID=CT))
    found = run(folder, model_file)
    assert found.pop("ct.dcm").startswith("A DICOM object of CT Image Storage; expected a photograph")
    assert found == {"IM0001": "done", "1.2.840.113619.2.1.1": "done"}
    pictures = tmp_path / "pictures"
    assert set(run(folder, model_file, "--any-dicom", "--overlays", str(pictures), out="n").values()) == {"done"}
    assert len(list(pictures.glob("*.jpg"))) == 3


def test_the_exif_of_a_jpeg_inside_turns_no_mask(tmp_path: Path, model_file: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for orientation in (1, 3, 6):
        exif = Image.Exif()
        exif[0x112] = orientation
        syntax, colours = "1.2.840.10008.1.2.4.50", "YBR_FULL_422"
        data = dicom(RGB, syntax, jpeg(RGB, exif=exif), PhotometricInterpretation=colours)
        (folder / f"{orientation}.dcm").write_bytes(data)
    assert set(run(folder, model_file).values()) == {"done"}
    masks = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "m").glob("*.png"))]
    assert [mask.shape for mask in masks] == [(60, 80)] * 3
    np.testing.assert_array_equal(masks[0], masks[1])
    np.testing.assert_array_equal(masks[0], masks[2])
