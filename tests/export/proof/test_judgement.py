"""What a gate may conclude: images that show nothing prove nothing, and nothing may be lost against the truth."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from export.cli import main
from export.proof.judgement import figures_of, judge, why_nothing_is_proved
from export.proof.report import Difference, Row
from export.proof.training_images import told_apart
from export.samples import SampleSet
from export.tolerances import MOST_LOST, tolerance_for
from seglab.networks.checkpoints import save_checkpoint
from tests.support.artefact import blobs, tiny_checkpoint

SAME = Difference(0.0, 0.0, 0, 10_000, 1.0)


def row(marked: float = 0.3, *, edge: bool = False, truth: tuple[float, float] | None = None) -> Row:
    """Return a row of a model that agrees; ``truth``: its Dice and the original's."""
    scores = dict(zip(("dice", "iou", "original_dice", "original_iou"), (truth[0], 0.8, truth[1], 0.8), strict=True)) if truth else None  # fmt: skip  # noqa: E501
    return Row("a.png", (100, 100), SAME, SAME, None if edge else 1.0, scores, marked)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ([0.0, 0.0005], "In all 2 pictures NET finds no lesion; expected masks with lesion and background"),
        ([1.0, 0.9995], "In all 2 pictures NET marks everything as lesion; expected"),
        ([0.0, 1.0], "In each of 2 pictures NET finds no lesion or nothing but lesion; expected"),
        ([], "There are no pictures among the images; expected"),
        ([0.0, 0.01], ""),
        ([1.0, 0.99], ""),
    ],
)
def test_masks_without_lesion_or_without_background_prove_nothing(shares: list[float], message: str) -> None:
    rows = [row(0.5, edge=True), *(row(share) for share in shares)]  # an edge case does not count
    assert why_nothing_is_proved(rows, "NET").startswith(message)
    assert bool(why_nothing_is_proved(rows, "NET")) == bool(message)


def judged(gaps: list[float], precision: str) -> list[str]:
    rows = [row(truth=(0.9 + gap, 0.9)) for gap in gaps]
    limits = tolerance_for(precision)
    return [failure.figure for failure in judge(figures_of(rows), rows, limits, limits)]


@pytest.mark.parametrize(("flipped", "beyond"), [(0, []), (1, []), (2, []), (3, ["whole.flipped"])])
def test_stray_pixels_are_allowed_however_few_images_there_are(flipped: int, beyond: list[str]) -> None:
    """One pixel of the 73,728 of a network of 64 pixels is 1.4e-5, where 1e-5 is allowed."""
    found = dataclasses.replace(row(), whole=Difference(1.2e-7, 1e-8, flipped, 64 * 64, 0.9999))
    rows, limits = [found, *[row() for _ in range(3)]], tolerance_for("fp32")
    assert [failure.figure for failure in judge(figures_of(rows), rows, limits, limits)] == beyond


def test_a_loss_against_the_truth_is_judged_by_its_interval() -> None:
    assert judged([-0.0005, 0.0004] * 20, "int8") == []
    assert judged([-2 * MOST_LOST] * 20, "int8") == ["truth.lowest_dice_difference"]
    assert judged([2 * MOST_LOST] * 20, "int8") == []  # a gain is no loss
    assert judged([-0.1, 0.1] * 4, "int8") == ["truth.lowest_dice_difference"]  # too few, too far apart, to tell
    assert judged([2e-4] * 20, "fp32") == ["truth.dice_difference"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(2):
        assert cv2.imwrite(str(folder / f"p{index}.png"), blobs(np.random.default_rng(index), 60, 80)[0][..., ::-1])
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.slow
@pytest.mark.parametrize(("bias", "seen"), [(-1000.0, "finds no lesion"), (1000.0, "marks everything as lesion")])
def test_a_model_that_sees_no_lesion_or_nothing_else_is_not_made(
    tmp_path: Path, pictures: Path, bias: float, seen: str
) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "c.pt")
    checkpoint.state["head.bias"] += bias
    save_checkpoint(checkpoint, tmp_path / "c.pt")
    out, report = tmp_path / "m.onnx", tmp_path / "r.json"
    result = run("onnx", tmp_path / "c.pt", "--out", out, "--parity", pictures, "--json", report)
    assert result.exit_code == 1
    assert f"In all 2 pictures the PyTorch original {seen}" in result.stderr
    assert "--parity" in result.stderr
    assert not out.exists()
    values = json.loads(report.read_text())
    assert (values["passed"], values["failures"]) == (False, [])
    assert seen in values["unproved"]


def named(*names: str, folder: str = "isic") -> SampleSet:
    return SampleSet("pictures", tuple((Path("data") / folder / f"{name}.jpg", None) for name in names))


def test_images_of_the_training_set_are_called_so(tmp_path: Path) -> None:
    split = {"kind": "seglab split", "format_version": 1, "training": ["a", "b"], "validation": ["c"], "test": []}
    (tmp_path / "split.json").write_text(json.dumps(split))
    checkpoint = tmp_path / "best.pt"
    assert told_apart(named("a", "b"), {}, checkpoint).source == "pictures (from the training set)"
    assert told_apart(named("a", "c"), {}, checkpoint).source == "pictures (1 of them from the training set)"
    assert told_apart(named("c", "d"), {}, checkpoint).source == "pictures"


def test_without_a_split_the_data_sets_name_counts() -> None:
    training = {"data": {"sets": ["isic"], "split": "seeded"}}
    assert told_apart(named("a", "b"), training, None).source == "pictures (from the training set)"
    assert told_apart(named("a", "b", folder="other"), training, None).source == "pictures"
    fifth = {"data": {"sets": ["isic"], "split": "fifth"}}
    noted = told_apart(named(*map(str, range(50))), fifth, None).source
    assert noted.startswith("pictures (")
    assert 30 <= int(noted.split("(")[1].split()[0]) <= 48
    assert told_apart(SampleSet("synthetic images"), training, None).source == "synthetic images"


def test_the_report_names_its_original_and_its_advice() -> None:
    from export.errors import ParityError
    from export.proof.report import Failure, ParityReport

    failed = ParityReport(
        "cpu", "int8", "cpu", "int8", "s", {}, (Failure("whole.flipped", 1.0, 0.1, "a.png"),), (row(),),
        original="net.onnx", advice="Adopt it again.",
    )  # fmt: skip
    with pytest.raises(ParityError, match=r"does not match net\.onnx on cpu(.|\n)*Do not use it\. Adopt it again\."):
        failed.require_passed()
    assert dataclasses.replace(failed, failures=()).passed
