"""``seglab validate`` on a tiny network: parts, scores, intervals, pictures."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from seglab.cli import main
from seglab.data.finding.layouts import find_pairs
from seglab.data.splits import make_split, validates, write_split
from seglab.errors import DataError
from seglab.evaluation import gallery, side_by_side
from seglab.evaluation.gallery import draw_examples
from seglab.evaluation.original import Predictor
from seglab.evaluation.side_by_side import draw_side_by_side
from seglab.metrics.bootstrap import interval
from seglab.metrics.boundary import compare_boundaries
from seglab.metrics.overlap import confusion
from tests.support.artefact import blobs, tiny_checkpoint

COUNT = 12


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of several sizes, with some in the fixed fifth, one of an empty truth."""
    root = tmp_path_factory.mktemp("blobs")
    rng = np.random.default_rng(4)
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for number in range(COUNT):
        image, mask = blobs(rng, 72 + 8 * (number % 3), 96)
        if number == 0:
            image[:], mask[:] = (220, 180, 160), 0
        cv2.imwrite(str(root / "images" / f"blob_{number}.png"), image[..., ::-1])
        cv2.imwrite(str(root / "masks" / f"blob_{number}.png"), mask)
    assert {validates(pair.lesion) for pair in find_pairs(root)} == {True, False}
    return root


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The tiny network, alone in its folder."""
    tiny_checkpoint(tmp_path / "run" / "best.pt")
    return tmp_path / "run" / "best.pt"


def validate(checkpoint: Path, data: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["validate", str(checkpoint), "--data", str(data), "--device", "cpu", *options])


def report_of(checkpoint: Path, data: Path, *options: str) -> dict[str, Any]:
    result = validate(checkpoint, data, "--json", "-", *options)
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def test_scores_are_those_of_the_predictor_at_the_images_sizes(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    report = report_of(checkpoint, data, "--part", "all", "--csv", str(tmp_path / "scores.csv"))
    predictor = Predictor(tiny_checkpoint(tmp_path / "again.pt"))
    pairs = find_pairs(data)
    masks = [(predictor.mask(pair.photo().pixels), pair.mask()) for pair in pairs]
    dice = [confusion(*both).dice for both in masks]
    boundaries = [compare_boundaries(*both) for both in masks]
    scores = report["scores"]
    assert scores["count"] == COUNT
    assert scores["dice"] == pytest.approx(np.mean(dice))
    assert scores["boundary_iou"] == pytest.approx(np.mean([boundary.boundary_iou for boundary in boundaries]))
    assert scores["hd95_median"] == pytest.approx(np.median([boundary.hd95 for boundary in boundaries]))
    assert report["intervals"]["dice"] == pytest.approx(interval(dice))
    assert report["format_version"] == 1
    assert (report["part"], report["split"], report["tta"]) == ("all", "none", "none")
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [pair.id for pair in pairs]
    assert [float(row["dice"]) for row in rows] == pytest.approx(dice, rel=1e-5)
    assert [float(row["hd95"]) for row in rows] == pytest.approx([each.hd95 for each in boundaries], rel=1e-5)


def test_the_table_has_intervals_boundaries_and_the_confusion_matrix(checkpoint: Path, data: Path) -> None:
    result = validate(checkpoint, data, "--part", "all")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{COUNT} images")
    assert "\nDice  " in result.stdout
    assert "95 % interval" in result.stdout
    assert "boundary IoU" in result.stdout
    assert "pixels (median" in result.stdout
    rows = (line.replace(",", "").split() for line in result.stdout.splitlines()[-2:])
    pixels = {words[1]: list(map(int, words[2:])) for words in rows}
    assert sum(map(sum, pixels.values())) == sum(pair.mask().size for pair in find_pairs(data))
    assert sum(pixels["lesion"]) == sum(int((pair.mask() > 0).sum()) for pair in find_pairs(data))
    assert "boundary" not in validate(checkpoint, data, "--part", "all", "--no-boundary").stdout


def test_the_split_is_the_one_named_then_the_runs_and_never_guessed(
    checkpoint: Path, data: Path, tmp_path: Path
) -> None:
    pairs = find_pairs(data)
    unknown = validate(checkpoint, data)
    assert unknown.exit_code == 1
    for way in ("--split FILE", "split.json", "--part all"):
        assert way in unknown.stderr

    write_split(checkpoint.with_name("split.json"), make_split(pairs, "seeded", val_share=0.5, test_share=0.25))
    beside = validate(checkpoint, data, "--json", "-")
    assert "split: split.json" in beside.stderr
    assert json.loads(beside.stdout)["scores"]["count"] == COUNT // 2
    assert report_of(checkpoint, data, "--part", "test")["scores"]["count"] == COUNT // 4
    assert report_of(checkpoint, data, "--part", "all")["split"] == "none"

    named = tmp_path / "other.json"
    write_split(named, make_split(pairs, "seeded", val_share=0.25))
    report = report_of(checkpoint, data, "--split", str(named))
    assert (report["split"], report["scores"]["count"]) == ("other.json", COUNT // 4)


def test_a_part_without_images_is_an_error(checkpoint: Path, data: Path, synth_root: Path, tmp_path: Path) -> None:
    named = tmp_path / "split.json"
    write_split(named, make_split(find_pairs(data), "seeded"))
    for options, message in (
        (["--split", str(named)], "None of the 4 pairs is in the validation part"),
        (["--split", str(tmp_path / "gone.json")], "cannot be read as a split"),
    ):
        result = validate(checkpoint, synth_root, *options)
        assert result.exit_code == 1
        assert message in result.stderr


def test_a_truth_of_another_size_is_named(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.zeros((40, 50, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), np.zeros((50, 40), np.uint8))
    result = validate(checkpoint, tmp_path, "--part", "all")
    assert result.exit_code == 1
    assert "a.png" in result.stderr
    assert "(50, 40)" in result.stderr


def test_flips_are_used_and_said(checkpoint: Path, data: Path) -> None:
    plain, flipped = (report_of(checkpoint, data, "--part", "all", "--tta", tta) for tta in ("none", "flips"))
    assert (plain["tta"], flipped["tta"]) == ("none", "flips")
    assert plain["scores"]["tp"] != flipped["scores"]["tp"]


def test_figures_are_overlays_sheets_and_the_confusion_matrix(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    report = report_of(checkpoint, data, "--part", "all", "--figures", str(tmp_path / "figures"))
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert set(names) > {"best_median_worst.jpg", "side_by_side.jpg", "confusion.png", "report.html"}
    assert len(names) == COUNT + 4
    assert names[2].startswith(f"dice{report['scores']['worst_dice']:.3f}")
    sheet = cv2.imread(str(tmp_path / "figures" / "best_median_worst.jpg"))
    assert sheet is not None
    assert sheet.shape[0] == gallery.HEAD + 3 * (gallery.TILE + gallery.CAPTION)


def test_image_truth_and_mask_stand_side_by_side(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    pairs, predictor = find_pairs(data)[1:4], Predictor(tiny_checkpoint(checkpoint))
    counts = [confusion(predictor.mask(pair.photo().pixels), pair.mask()) for pair in pairs]
    draw_side_by_side(tmp_path / "sheet.png", predictor, pairs, counts)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    best = pairs[max(range(3), key=lambda place: counts[place].dice)]
    top, side, step = 2 * side_by_side.HEAD, side_by_side.TILE, side_by_side.TILE + side_by_side.GAP
    image, truth, mask = (sheet[top : top + side, place * step : place * step + side] for place in range(3))
    height, width = best.mask().shape
    inner = round(side * height / width)  # landscape pictures leave grey above and below
    band = slice((side - inner) // 2, (side - inner) // 2 + inner)
    for tile, expected in ((truth, best.mask()), (mask, predictor.mask(best.photo().pixels))):
        small = cv2.resize(expected, (side, inner), interpolation=cv2.INTER_AREA)
        assert np.abs(tile[band, :, 0].astype(int) - small).mean() < 2
    assert image[band].std() > 5
    with pytest.raises(DataError, match="no image"):
        draw_side_by_side(tmp_path / "none.png", predictor, [], [])


def test_a_gallery_of_one_image_is_drawn_and_of_none_refused(checkpoint: Path, data: Path, tmp_path: Path) -> None:
    pairs, predictor = find_pairs(data), Predictor(tiny_checkpoint(checkpoint))
    draw_examples(tmp_path / "one.png", predictor, pairs[:1], [0.5])
    assert cv2.imread(str(tmp_path / "one.png")) is not None
    with pytest.raises(DataError, match="no image"):
        draw_examples(tmp_path / "none.png", predictor, [], [])
