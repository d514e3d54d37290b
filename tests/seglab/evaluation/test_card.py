"""Model cards: what a run left, in one page; every link leads somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from seglab.cli import main
from seglab.files import sha256
from tests.seglab.evaluation.test_compare import make_run

LINK = re.compile(r"\]\(<?([^)>]+)>?\)")


def card(*words: object) -> Result:
    return CliRunner().invoke(main, ["card", *map(str, words)])


def with_scores(run: Path, dice: float = 0.75, name: str = "scores.json") -> Path:
    """Add a checkpoint's file, its scores and pictures to a run."""
    (run / "best.pt").write_bytes(dice.hex().encode())
    told = {"checkpoint": {"file": "best.pt", "sha256": sha256(run / "best.pt")}}
    scores = {"count": 12, "dice": dice, "iou": 0.6, "sensitivity": 0.8, "specificity": 0.9, "worst_dice": 0.125}
    report = {**told, "scores": scores, "intervals": {"dice": [dice - 0.0312, dice + 0.0312]}}
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_text(json.dumps(report))
    for picture in ("curves.png", "side_by_side.jpg", "confusion.png"):
        (run / picture).write_bytes(b"picture")
    return run


def test_the_card_says_what_the_run_left(tmp_path: Path) -> None:
    run = with_scores(make_run(tmp_path / "my run", [0.5, 0.8, 0.75], ("lr=0.25",)))
    done = card(run)
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(run / "MODEL_CARD.md")
    text = (run / "MODEL_CARD.md").read_text()
    for expected in (
        "# my run\n", "**Not a medical device**", "unet with encoder resnet18 (random weights), 14,000,000 weights",
        "3 of 3 epochs, best 2", f"SHA-256 {sha256(run / 'best.pt')[:12]}", "lr = 0.25",
        "| Dice | 0.7500 | 0.7188 to 0.7812 |",
        "| sensitivity | 0.8000 |  |", "has Dice 0.125", f"seg-export onnx '{run}/best.pt' --out model.onnx",
    ):  # fmt: skip
        assert expected in text
    assert "earlier checkpoint" not in text
    assert sorted(LINK.findall(text)) == ["confusion.png", "curves.png", "side_by_side.jpg"]


def test_links_lead_to_the_run_from_wherever_the_card_lies(tmp_path: Path) -> None:
    run = with_scores(make_run(tmp_path / "my run", [0.5, 0.8, 0.75]))
    (tmp_path / "cards").mkdir()
    assert card(run, "--out", tmp_path / "cards" / "card.md").exit_code == 0
    links = LINK.findall((tmp_path / "cards" / "card.md").read_text())
    assert len(links) == 3
    assert all((tmp_path / "cards" / link).resolve().exists() for link in links)


def test_what_is_missing_or_old_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [0.5])
    assert card(run).exit_code == 0
    text = (run / "MODEL_CARD.md").read_text()
    assert "Not scored at the images' own sizes yet. The best epoch at 128 x 128: Dice 0.5000" in text
    assert "**not finished**" in text
    assert "`best.pt` (missing)" in text
    with_scores(run)
    (run / "best.pt").write_bytes(b"trained on")
    assert card(run).exit_code == 0
    assert "**These scores are of an earlier checkpoint**" in (run / "MODEL_CARD.md").read_text()


def test_folds_have_one_card(tmp_path: Path) -> None:
    for number in (0, 1, 10, 2):
        with_scores(make_run(tmp_path / "cv" / f"fold-{number}", [0.5, 0.6, 0.7]), number / 16)
    with_scores(tmp_path / "cv", 0.5, "out-of-fold/scores.json")
    done = card(tmp_path / "cv")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "cv" / "MODEL_CARD.md").read_text()
    assert "the mean of 4 networks" in text
    assert re.findall(r"^\| (fold-\d+) \|", text, re.MULTILINE) == ["fold-0", "fold-1", "fold-2", "fold-10"]
    assert "12 images, each by the fold that did not train on it" in text
    assert "seg-export onnx --ensemble" in text


@pytest.mark.parametrize("text", ["", "{", "[]", '{"scores": 1}', '{"scores": {}}'])
def test_torn_scores_and_folders_that_are_no_runs_are_refused(tmp_path: Path, text: str) -> None:
    run = make_run(tmp_path / "run", [0.5])
    (run / "scores.json").write_text(text)
    done = card(run)
    assert (done.exit_code, "scores.json cannot be read" in done.output) == (1, True), done.output
    done = card(tmp_path)
    assert (done.exit_code, "not the folder of a training run" in done.output) == (1, True)
    done = card(with_scores(run), "--out", tmp_path)
    assert (done.exit_code, "is a folder" in done.output) == (1, True)
