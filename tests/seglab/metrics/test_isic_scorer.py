"""Scores beside those of the ISIC Challenge's own scorer, on masks made for it: easy, empty, full, grey, at a limit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from batch.cli import main
from tests.support.artefact import blobs

scorer = pytest.importorskip("isic_challenge_scoring.segmentation", reason="the dev extra brings the ISIC scorer")
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # how the scorer calls pandas
SAME_NAMES = {
    "accuracy": "accuracy", "sensitivity": "sensitivity", "specificity": "specificity", "jaccard": "iou",
    "threshold_jaccard": "thresholded_jaccard", "dice": "dice",
}  # fmt: skip
HEIGHT, WIDTH = 100, 130


def bar(count: int) -> NDArray[np.uint8]:
    """A mask whose first ``count`` pixels are lesion."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask.ravel()[:count] = 255
    return mask


def blurred(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A truth with grey at the border, as one that was saved as JPEG; no pixel is 128."""
    soft = cv2.GaussianBlur(mask, (0, 0), 1.5)
    soft[soft == 128] = 129
    return np.asarray(soft, np.uint8)


def eroded(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.erode(mask, np.ones((9, 9), np.uint8)), np.uint8)


def drawn(seed: int) -> NDArray[np.uint8]:
    return blobs(np.random.default_rng(seed), HEIGHT, WIDTH)[1]


PAIRS = {
    "usual": (drawn(1), drawn(2)), "nested": (drawn(3), eroded(drawn(3))),
    "empty-truth": (bar(0), bar(500)), "empty-mask": (bar(500), bar(0)), "both-empty": (bar(0), bar(0)),
    "full-truth": (bar(HEIGHT * WIDTH), bar(900)), "full-mask": (bar(900), bar(HEIGHT * WIDTH)),
    "at-the-limit": (bar(1000), bar(650)), "below-it": (bar(1000), bar(649)), "grey": (blurred(drawn(4)), drawn(4)),
}  # fmt: skip


def put(folder: Path, number: int, mask: NDArray[np.uint8]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(folder / f"ISIC_{number:07d}_segmentation.png"), mask)


def scored(root: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the official scorer's means and ours."""
    official = scorer.SegmentationScore.from_dir(root / "truth", root / "masks").to_dict()["macro_average"]
    done = CliRunner().invoke(main, ["score", str(root / "masks"), str(root / "truth"), "--json", "-"])
    assert done.exit_code == 0, done.output
    return official, json.loads(done.stdout)["summary"]


@pytest.mark.parametrize("chosen", [[name] for name in PAIRS] + [list(PAIRS)], ids=lambda names: "+".join(names)[:20])
def test_every_figure_is_the_official_one(tmp_path: Path, chosen: list[str]) -> None:
    for number, name in enumerate(chosen):
        truth, mask = PAIRS[name]
        put(tmp_path / "truth", number, truth)
        put(tmp_path / "masks", number, mask)
    official, ours = scored(tmp_path)
    assert {theirs: ours[own] for theirs, own in SAME_NAMES.items()} == pytest.approx(official, abs=1e-12)


def test_the_value_128_is_the_documented_difference(tmp_path: Path) -> None:
    truth = bar(2000)
    truth[truth > 0] = np.resize(np.array([255, 255, 255, 128], np.uint8), 2000)
    put(tmp_path / "truth", 0, truth)
    put(tmp_path / "masks", 0, bar(2000))
    official, ours = scored(tmp_path)
    assert official["jaccard"] == pytest.approx(0.75)
    assert ours["iou"] == 1.0
