"""Scores against scikit-learn, and all that cannot be scored."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score, jaccard_score

from batch.commands.score import score
from seglab.errors import DataError
from tests.support.archive import StandIn, read_grey, run_all, save, seg_batch, spot
from tests.support.artefact import blobs, tiny_model


def truth_for(path: Path, mask: NDArray[np.uint8]) -> Path:
    return save(path, mask)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An output folder of a real run, and a data set with its truth."""
    root = tmp_path_factory.mktemp("scored")
    rng = np.random.default_rng(3)
    for number in range(5):
        image, mask = blobs(rng, 80 + number, 100)
        save(root / "data" / "images" / f"ISIC_{number}.jpg", image, quality=95)
        save(root / "data" / "masks" / f"ISIC_{number}_segmentation.png", mask)
    model = tiny_model(root / "tiny.onnx")
    done = seg_batch("run", root / "data" / "images", "--out", root / "out", "--model", model, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    return root / "out", root / "data"


def test_scores_against_scikit_learn(scored: tuple[Path, Path], tmp_path: Path) -> None:
    out, data = scored
    done = seg_batch("score", out, data, "--json", "-", "--csv", tmp_path / "rows.csv")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    masks = [read_grey(out / f"ISIC_{n}.png").ravel() > 0 for n in range(5)]
    truths = [read_grey(data / "masks" / f"ISIC_{n}_segmentation.png").ravel() > 0 for n in range(5)]
    pairs = list(zip(truths, masks, strict=True))
    dice = [f1_score(truth, mask) for truth, mask in pairs]
    assert found["format_version"] == 1
    assert found["summary"]["count"] == 5
    assert found["summary"]["dice"] == pytest.approx(np.mean(dice))
    assert found["summary"]["iou"] == pytest.approx(np.mean([jaccard_score(truth, mask) for truth, mask in pairs]))
    pooled = f1_score(np.concatenate(truths), np.concatenate(masks))
    assert found["summary"]["pooled_dice"] == pytest.approx(pooled)
    with (tmp_path / "rows.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["dice"]) for row in rows] == pytest.approx(dice)
    assert [row["image"] for row in rows] == [f"ISIC_{n}.png" for n in range(5)]


def test_the_table(scored: tuple[Path, Path], tmp_path: Path) -> None:
    done = seg_batch("score", *scored, "--json", tmp_path / "s.json")
    assert done.returncode == 0
    assert "images scored" in done.stdout
    summary = json.loads((tmp_path / "s.json").read_text())["summary"]
    assert f"{summary['dice']:.4f}" in done.stdout


def test_a_folder_of_masks_without_a_ledger(scored: tuple[Path, Path]) -> None:
    _, data = scored
    report = score(data / "masks", data)
    assert report.scores.summary()["dice"] == 1
    assert report.is_complete


def test_what_cannot_be_scored_is_named(tmp_path: Path) -> None:
    for name in ("good", "resized", "alone", "broken"):
        save(tmp_path / "in" / f"{name}.png", spot(40, 60))
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    run_all(tmp_path / "in", tmp_path / "out", StandIn())
    mask = read_grey(tmp_path / "out" / "good.png")
    truth_for(tmp_path / "truth" / "good.png", mask)
    truth_for(tmp_path / "truth" / "resized.png", mask[:20])
    truth_for(tmp_path / "truth" / "broken.png", mask)
    truth_for(tmp_path / "truth" / "other.png", mask)
    report = score(tmp_path / "out", tmp_path / "truth")
    assert report.scores.names == ["good.png"]
    assert list(report.failed) == ["resized.png"]
    assert "(40, 60)" in report.failed["resized.png"]
    assert "(20, 60)" in report.failed["resized.png"]
    assert report.masks_without_truth == ["alone.png"]
    assert report.truths_without_mask == ["other"]
    assert [Path(path).name for path in report.images_failed] == ["broken.png"]
    assert not report.is_complete
    text = "\n".join(report.lines())
    assert all(word in text for word in ("resized.png", "alone.png", "other", "broken.png"))
    assert seg_batch("score", tmp_path / "out", tmp_path / "truth").returncode == 3


def test_a_truth_without_a_mask_shows_in_the_exit_code(scored: tuple[Path, Path], tmp_path: Path) -> None:
    _, data = scored
    masks = tmp_path / "masks"
    shutil.copytree(data / "masks", masks)
    assert seg_batch("score", masks, data).returncode == 0
    (masks / "ISIC_3_segmentation.png").unlink()
    done = seg_batch("score", masks, data)
    assert (done.returncode, "truths without a mask: 1\n  ISIC_3" in done.stdout) == (3, True)


def test_a_mask_that_was_deleted_is_named(tmp_path: Path) -> None:
    for name in "ab":
        save(tmp_path / "in" / f"{name}.png")
        truth_for(tmp_path / "truth" / f"{name}.png", np.zeros((48, 64), np.uint8))
    run_all(tmp_path / "in", tmp_path / "out", StandIn())
    (tmp_path / "out" / "a.png").unlink()
    report = score(tmp_path / "out", tmp_path / "truth")
    assert list(report.failed) == ["a.png"]


def test_nothing_that_fits_is_an_error(tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png")
    run_all(tmp_path / "in", tmp_path / "out", StandIn())
    truth_for(tmp_path / "truth" / "b.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match="has a truth below"):
        score(tmp_path / "out", tmp_path / "truth")
    with pytest.raises(DataError, match="not a folder"):
        score(tmp_path / "none", tmp_path / "truth")
