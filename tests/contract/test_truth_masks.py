"""Truth masks through the commands: scored by their values, named where they are bad, and told from photographs."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from seglab.cli import main
from tests.support.archive import read_grey, run_all, save, seg_batch

LESION = np.hypot(*np.mgrid[-30:30, -40:40]) < 20
BYTES = LESION.astype(np.uint8)
PREDICTED = np.roll(BYTES, 3, axis=1) * 255
DICE = 2 * np.sum(LESION & (PREDICTED > 0)) / (LESION.sum() + np.sum(PREDICTED > 0))
FORMS = {
    "bits.png": LESION,
    "ones.png": BYTES,
    "deep.png": BYTES.astype(np.uint16) * 255,
    "integers.tif": BYTES.astype(np.int32) * 255,
    "floats.tif": BYTES.astype(np.float32),
    "alpha.png": np.dstack([np.full((60, 80), 255, np.uint8), BYTES * 255]),
}
DOUBT = "all 2 truths are empty, but masks are not; check that these are the right truths"
CLASSES = np.repeat(np.arange(60, dtype=np.uint8)[:, None] // 15, 80, axis=1)


def test_good_truths_of_every_depth_are_scored_alike(tmp_path: Path) -> None:
    for name, truth in FORMS.items():
        save(tmp_path / "truth" / name, truth)
        save(tmp_path / "masks" / f"{Path(name).stem}.png", PREDICTED)
    done = seg_batch("score", tmp_path / "masks", tmp_path / "truth", "--csv", tmp_path / "scores.csv")
    assert done.returncode == 0, done.stderr
    with (tmp_path / "scores.csv").open(newline="") as file:
        assert [float(row["dice"]) for row in csv.DictReader(file)] == pytest.approx([DICE] * len(FORMS), abs=1e-4)
    assert DOUBT not in done.stdout + done.stderr


def test_a_bad_truth_is_named_and_the_others_are_scored(tmp_path: Path) -> None:
    save(tmp_path / "truth" / "good_segmentation.png", BYTES)
    save(tmp_path / "truth" / "bad_segmentation.png", CLASSES)
    for name in ("good", "bad"):
        save(tmp_path / "masks" / f"{name}.png", PREDICTED)
    done = seg_batch("score", tmp_path / "masks", tmp_path / "truth")
    assert done.returncode == 3
    assert f"{DICE:.4f}" in done.stdout
    assert "bad.png: its truth bad_segmentation.png: Not clear what in this mask is lesion" in done.stdout
    assert "0, 1, 2, 3" in done.stdout


def test_truths_that_are_all_empty_are_doubted(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / "truth" / name, BYTES * 0)
        save(tmp_path / "masks" / name, PREDICTED)
        save(tmp_path / "empty" / name, BYTES * 0)
    for masks, truth, is_doubted in (("masks", "truth", True), ("empty", "truth", False), ("masks", "masks", False)):
        done = seg_batch("score", tmp_path / masks, tmp_path / truth)
        assert done.returncode == 0, done.stderr
        assert (DOUBT in done.stdout + done.stderr) == is_doubted


def test_training_data_is_read_by_the_same_rule(tmp_path: Path) -> None:
    CliRunner().invoke(main, ["synth", "--out", str(tmp_path / "data"), "--count", "8", "--size", "80x60"])
    first, second, *_ = sorted((tmp_path / "data" / "masks").iterdir())
    Image.fromarray((read_grey(first) > 0).astype(np.uint16)).save(first)
    Image.fromarray(CLASSES).save(second)
    result = CliRunner().invoke(main, ["inspect", str(tmp_path / "data")])
    assert result.exit_code == 1
    assert "1 error, 0 leaks, 0 notes" in result.output
    assert f"{second}: Not clear what in this mask is lesion" in result.output


def grey_photograph(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).normal(0, 9, (60, 80))
    return Image.fromarray((np.where(LESION, 90, 170) + noise).astype(np.uint8))


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("form", ["grey", "palette", "deep", "masks", "classes", "broken"])
def test_grey_photographs_beside_images_are_taken_and_masks_are_not(tmp_path: Path, kind: str, form: str) -> None:
    save(tmp_path / "set" / "images" / "a.png")
    (tmp_path / "set" / "labels").mkdir()
    file = tmp_path / "set" / "labels" / "a.png"
    if form == "broken":
        file.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    else:
        photo = grey_photograph(1)
        {
            "grey": photo,
            "palette": photo.convert("RGB").quantize(64),
            "deep": Image.fromarray(np.asarray(photo).astype(np.uint16) * 257),
            "masks": Image.fromarray(BYTES.astype(np.uint16)),
            "classes": Image.fromarray(CLASSES),
        }[form].save(file)
    source = tmp_path / "set"
    if kind == "zip":
        source = tmp_path / "set.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for path in sorted((tmp_path / "set").rglob("*.png")):
                archive.write(path, path.relative_to(tmp_path))
    taken = [result.path for result in run_all(source, tmp_path / "out")]
    assert len(taken) == (1 if form in ("masks", "classes") else 2)
