"""Two networks on the same images: the paired bootstrap against SciPy's, and what is not in both."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from scipy import stats

from seglab.cli import main
from tests.seglab.evaluation.test_compare import make_run

RNG = np.random.default_rng(8)
FIRST = (1 - RNG.gamma(0.8, 0.08, 120)).clip(0, 1)
SECOND = (FIRST - RNG.normal(0.01, 0.05, 120)).clip(0, 1)


def write(path: Path, dice: Mapping[str, float], lesions: Mapping[str, str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "dice", "iou", *(["lesion"] if lesions else [])])
        for image, value in dice.items():
            writer.writerow([image, value, value / (2 - value), *([lesions[image]] if lesions else [])])
    return path


def numbered(values: NDArray[np.float64]) -> dict[str, float]:
    return {f"image_{number:03}": float(value) for number, value in enumerate(values)}


def compare(*words: object) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, words)])


def test_the_interval_of_the_difference_is_scipys(tmp_path: Path) -> None:
    files = write(tmp_path / "a.csv", numbered(FIRST)), write(tmp_path / "b.csv", numbered(SECOND))
    done = compare(*files, "--json", "-")
    assert done.exit_code == 0, done.output
    (paired,) = json.loads(done.stdout)["paired"]
    found = paired["differences"]["dice"]
    draws = stats.bootstrap(
        (FIRST, SECOND), lambda a, b, axis: np.mean(a - b, axis=axis), paired=True, method="percentile",
        n_resamples=20_000, rng=np.random.default_rng(2),
    )  # fmt: skip
    width = draws.confidence_interval.high - draws.confidence_interval.low
    assert found["difference"] == pytest.approx(np.mean(FIRST - SECOND))
    assert found["low"] == pytest.approx(draws.confidence_interval.low, abs=0.08 * width)
    assert found["high"] == pytest.approx(draws.confidence_interval.high, abs=0.08 * width)
    assert found["first_better"] == pytest.approx(np.mean(draws.bootstrap_distribution > 0), abs=0.02)
    assert (paired["images"], paired["lesions"]) == (120, 120)
    backwards = json.loads(compare(*files[::-1], "--json", "-").stdout)["paired"][0]["differences"]["dice"]
    assert (backwards["low"], backwards["high"]) == pytest.approx((-found["high"], -found["low"]))


def test_whole_lesions_are_drawn(tmp_path: Path) -> None:
    lesions = {image: f"lesion_{place // 4}" for place, image in enumerate(numbered(FIRST))}
    alone = write(tmp_path / "a.csv", numbered(np.repeat(FIRST[:30], 4)))
    known = write(tmp_path / "b.csv", numbered(np.repeat(FIRST[:30], 4)), lesions)
    other = write(tmp_path / "c.csv", numbered(np.repeat(SECOND[:30], 4)))
    results = [json.loads(compare(file, other, "--json", "-").stdout)["paired"][0] for file in (alone, known)]
    assert [found["lesions"] for found in results] == [120, 30]
    narrow, wide = (found["differences"]["dice"]["high"] - found["differences"]["dice"]["low"] for found in results)
    assert wide == pytest.approx(2 * narrow, rel=0.15), "four photographs of a lesion count as one"


def test_only_common_images_count_and_the_others_are_named(tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", {"ISIC_1": 0.9, "ISIC_2": 0.7, "ISIC_4": 0.1})
    second = write(tmp_path / "b.csv", {"x/ISIC_2_segmentation.png": 0.6, "ISIC_1.png": 0.8, "ISIC_9.png": 1.0})
    done = compare(first, second)
    assert done.exit_code == 0, done.output
    assert "a.csv against b.csv: 2 images that both scored, of 2 lesions" in done.stdout
    assert "0.8000 - 0.7000 = +0.1000" in done.stdout
    assert "only a.csv scored 1 more: ISIC_4" in done.stdout
    assert "only b.csv scored 1 more: ISIC_9.png" in done.stdout


def test_files_that_are_no_scores_are_refused(tmp_path: Path) -> None:
    good = write(tmp_path / "a.csv", {"ISIC_1": 0.9})
    other = write(tmp_path / "b.csv", {"ISIC_2": 0.9})
    done = compare(good, other)
    assert (done.exit_code, "have no scored image in common" in done.output) == (1, True)
    for text in (
        "",
        "epoch,loss\n1,2\n",
        "image,dice,iou\na,x,0.5\n",
        "image,dice,iou\na,nan,0.5\n",
        "image,dice,iou\na\n",
    ):
        (tmp_path / "bad.csv").write_text(text)
        done = compare(good, tmp_path / "bad.csv")
        assert (done.exit_code, "cannot be read as scores" in done.output) == (1, True), (text, done.output)
    assert compare(good, tmp_path / "gone.csv").exit_code == 1
    done = compare(good, good, "--json", tmp_path)
    assert (done.exit_code, "is a folder" in done.output) == (1, True)


def test_runs_are_compared_image_by_image_where_they_left_scores(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, [0.5, 0.6, 0.7]) for name in ("a", "b", "c")]
    for run, values in zip(runs[:2], (FIRST, SECOND), strict=True):
        write(run / "scores.csv", numbered(values))
    done = compare(*runs, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "a against b: 120 images" in done.stdout
    assert "c has no scores per image" in done.stderr
    assert "a against b" in (tmp_path / "out" / "comparison.md").read_text()
    write(tmp_path / "cv" / "out-of-fold" / "scores.csv", numbered(SECOND))
    assert "a against cv: 120 images" in compare(runs[0], tmp_path / "cv").stdout
