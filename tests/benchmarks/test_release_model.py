"""A release from tiny sets in the official layouts: every stage, what a second call does, and what the card says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from benchmarks.studies.release_model import main
from benchmarks.support.release.card import card_text
from benchmarks.support.release.plan import PLANS, QUICK
from benchmarks.support.release.sets import SETS, lesions_of, link_set
from benchmarks.support.release.soft_masks import make_soft_masks, mean_map, members
from benchmarks.support.release.work import Work
from seglab.data.dividing import validates
from seglab.recipes.recipe import load_recipe
from seglab.synth.scene import synthesise
from tests.support.int8 import needs_exact_int8

LAYOUTS = {
    "isic2018": ("ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"),
    "isic2017": ("ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth"),
    "isic2017/": ("ISIC-2017_Validation_Data", "ISIC-2017_Validation_Part1_GroundTruth"),
    "originals": ("images", "masks"),
    "ham10000": ("HAM10000_images_part_1", "HAM10000_segmentations_lesion_tschandl"),
}
NUMBERS = {
    "isic2018": range(30), "isic2017": range(20, 36), "isic2017/": range(50, 54), "originals": range(60, 63),
    "ham10000": range(24306, 24312),
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder in small: ids in both ISIC sets, with other pictures; two photographs of each HAM10000 lesion."""
    root = tmp_path_factory.mktemp("data")
    for place, (name, (images, masks)) in enumerate(LAYOUTS.items()):
        for number in NUMBERS[name]:
            pair = synthesise(72, 96 if name == "originals" else 72, seed=number + 1000 * place)
            id = f"ISIC_{number:07d}"
            _save(root / name.rstrip("/") / images / f"{id}.jpg", pair.image[..., ::-1])
            _save(
                root / name.rstrip("/") / masks / f"{id}{'' if name == 'originals' else '_segmentation'}.png", pair.mask
            )
    rows = [f"HAM_{number // 2:07d},ISIC_{number:07d}" for number in NUMBERS["ham10000"]]
    (root / "ham10000" / "HAM10000_metadata.csv").write_text("\n".join(["lesion_id,image_id", *rows]) + "\n")
    return root


def _save(path: Path, picture: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def test_plans_are_recipes_that_exist() -> None:
    for plan in PLANS.values():
        for settings in (*(each.settings for each in plan.teachers), plan.student):
            changes = [change.replace("$DATA", "data") for change in settings]
            assert load_recipe("package", changes).epochs >= 1
        changes = [change.replace("$STUDENT", "a.pt") for change in plan.quantised]
        assert load_recipe("package", [*changes, "init=a.pt"]).quantise == "int8"


def test_the_sets_that_decide(data: Path, tmp_path: Path) -> None:
    ids = {}
    for name, each in SETS.items():
        count = link_set(each, data, tmp_path / name)
        ids[name] = {path.stem for path in (tmp_path / name / "images").iterdir()}
        assert len(ids[name]) == len(list((tmp_path / name / "masks").iterdir())) == count
        assert lesions_of(tmp_path / name).keys() == ids[name]
    assert ids["fifth"] == {id for id in (f"ISIC_{number:07d}" for number in range(30)) if validates(id)}
    assert ids["isic2017"] == {f"ISIC_{number:07d}" for number in range(50, 54)}
    assert len(ids["originals"]) == 3
    assert len(set(lesions_of(tmp_path / "ham10000").values())) == 3


def test_the_mean_of_maps_is_taken_at_the_largest_size() -> None:
    small, large = np.full((4, 4), 0.2, np.float32), np.full((6, 6), 0.6, np.float32)
    large[0, 0] = 1
    found = mean_map([small, large])
    assert found.shape == (6, 6)
    assert found[3, 3] == pytest.approx(0.4)
    assert found[0, 0] == pytest.approx(0.6)


def test_soft_masks_are_means_told_apart_by_set(data: Path, model_file: Path, tmp_path: Path) -> None:
    """Of two members that are the same model: what is there already is kept, and both sets have their own."""
    work = Work(data, tmp_path, QUICK, "cpu")
    for name in members(work):
        (tmp_path / "members").mkdir(exist_ok=True)
        (tmp_path / "members" / f"{name}.onnx").write_bytes(model_file.read_bytes())
    ids = [f"ISIC_{number:07d}" for number in (20, 22, 24)]
    split = {"kind": "seglab split", "format_version": 1, "training": ids, "validation": [], "test": []}
    (tmp_path / "teachers" / "small").mkdir(parents=True)
    (tmp_path / "teachers" / "small" / "split.json").write_text(json.dumps(split))
    kept = tmp_path / "maps" / "before" / "isic2017" / f"{ids[0]}.png"
    _save(kept, np.zeros((64, 64), np.uint8))
    assert make_soft_masks(work)
    assert {path.relative_to(tmp_path / "soft").as_posix() for path in (tmp_path / "soft").rglob("*.png")} == {
        f"{name}/{id}.png" for name in ("isic2017", "isic2018") for id in ids
    }
    first, other = (_grey(tmp_path / "maps" / "small" / name / f"{ids[0]}.png") for name in ("isic2017", "isic2018"))
    assert np.abs(first - other).max() > 16  # other pictures
    assert np.abs(_grey(tmp_path / "soft" / "isic2017" / f"{ids[0]}.png") - first / 2).max() <= 1
    assert np.abs(_grey(tmp_path / "soft" / "isic2018" / f"{ids[0]}.png") - other).max() <= 1
    found = json.loads((tmp_path / "soft-doubtful.json").read_text())
    assert (found["images"], found["members"]) == (6, ["small", "before"])
    work.until = 0.0
    kept.unlink()
    assert not make_soft_masks(work)


def test_a_card_says_what_the_figures_say() -> None:
    score = {"images": 6, "dice": 0.9174, "iou": 0.8571, "thresholded_jaccard": 0.81, "worst_dice": 0.25,
             "intervals": {key: [0.9011, 0.9333] for key in ("dice", "iou", "thresholded_jaccard")},
             "device": "openvino", "precision": "int8"}  # fmt: skip
    paired = {
        "images": 6,
        "differences": {key: {"difference": 0.005, "low": -0.001, "high": 0.01} for key in ("dice", "iou")},
    }
    twins = {"images": 6, "mean_dice": 0.9985, "worst_dice": 0.9851, "worst_image": "ISIC_7"}
    files = ("lesion.onnx", "lesion-int8.onnx")
    card = card_text({
        "plan": "full", "picture": "../../docs/worst.png", "worst": [{}] * 12, "files": dict.fromkeys(files, 3 * 2**20),
        "network": {"arch": "unet", "encoder": "mobilenet_v2", "size": 192, "licence": "Apache-2.0", "weights": 2900000,
                    "training_images": 3052, "validation_images": 749},
        "stages": [{"stage": "student", "seconds": 5400, "machine": "two cores",
                    "commands": ["seglab train --data DATA"]}],
        "scores": {model: {"fifth": score} for model in ("before", *files)},
        "paired": {model: {"fifth": paired} for model in files}, "int8_to_fp32": {"fifth": twins},
        "parity": {key: {"images": 90, "mean_dice": 0.999999, "worst_dice": 0.99998} for key in files},
    })  # fmt: skip
    fifth = "| ISIC 2018, validation fifth (crops): 6 |"
    for line in (
        "| student | 1.50 |",
        "$ seglab train --data DATA",
        f"{fifth} before | 0.9174 (0.9011 to 0.9333) | 0.8571 (0.9011 to 0.9333) | 0.8100 (0.9011 to 0.9333) | 0.250 | "
        "openvino, int8 |",
        f"{fifth} `lesion.onnx` | +0.0050 (-0.0010 to +0.0100) | +0.0050 (-0.0010 to +0.0100) |",
        f"{fifth} 0.9985 | 0.9851 (ISIC_7) |",
        "| `lesion-int8.onnx` | 90 | 0.999999 | 0.999980 |",
        "![Outlines of masks and truths on the worst images](../../docs/worst.png)",
    ):
        assert line in card.splitlines()
    assert not re.search(r"\$[a-z{]", card)


def test_a_wrong_stage_is_refused(tmp_path: Path) -> None:
    ended = CliRunner().invoke(main, ["--out", str(tmp_path), "--plan", "quick", "--stage", "stduent"])
    assert ended.exit_code == 1
    assert "no stage 'stduent'; expected one of sets, teacher-small, soft-masks, student" in ended.output


@needs_exact_int8
@pytest.mark.slow
def test_a_whole_release(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "work"
    options = ["--plan", "quick", "--out", str(out), "--data", str(data), "--device", "cpu"]
    stopped = release(*options, "--stage", "sets")
    assert stopped.returncode == 0, stopped.stderr
    ended = release(*options)
    assert ended.returncode == 0, ended.stderr[-3000:]
    again = release(*options)
    assert (again.returncode, "seglab train" in again.stderr) == (0, False)
    other = release(*options[2:])
    assert (other.returncode, "by the plan 'quick', and this is 'shipped'" in other.stderr) == (1, True)
    require_soft_masks(out)
    report = json.loads((out / "release" / "release.json").read_text())
    assert [stage["stage"] for stage in report["stages"]][-2:] == ["export", "scores"]
    assert all(stage["seconds"] > 0 for stage in report["stages"])
    require_scores(out, report)
    card = (out / "release" / "MODEL_CARD.md").read_text()
    assert card == card_text(report)
    assert not re.search(r"\$[a-z{]", card)
    assert str(data) not in card
    assert str(out) not in card
    assert _grey(out / "release" / "worst.png").shape[1] == 4 * 248


def release(*options: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "benchmarks.studies.release_model", *options]
    root = Path(__file__).parents[2]
    return subprocess.run(
        line, capture_output=True, text=True, check=False, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}
    )


def _grey(path: Path) -> NDArray[np.float64]:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert picture is not None, path
    return picture.astype(np.float64)


def require_soft_masks(out: Path) -> None:
    """The mean of the members, a file for each training picture, those of one id told apart by set."""
    trained = json.loads((out / "student" / "split.json").read_text())["training"]
    places = sorted(path.relative_to(out / "soft").as_posix() for path in (out / "soft").rglob("*.png"))
    assert len(places) == len(trained) > len(set(trained))
    for place in places[:3]:
        members = [_grey(out / "maps" / name / place) for name in ("small", "before")]
        size = max(map(len, members))
        whole = [cv2.resize(each, (size, size)) for each in members]
        soft = _grey(out / "soft" / place)
        assert np.abs(np.mean(whole, axis=0) - soft).max() <= 1


def require_scores(out: Path, report: dict[str, Any]) -> None:
    """Scores of one set, counted by scikit-learn; of every set there is one by each model."""
    for model in ("before", "lesion.onnx", "lesion-int8.onnx"):
        assert report["scores"][model].keys() == SETS.keys()
        links, masks = out / "sets" / "originals", out / "scores" / model / "originals"
        dice = [
            f1_score(*(_grey(place).ravel() > 0 for place in (truth, masks / truth.name)), zero_division=1)
            for truth in sorted((links / "masks").iterdir())
        ]
        assert report["scores"][model]["originals"]["dice"] == pytest.approx(np.mean(dice), abs=1e-6)
        low, high = report["scores"][model]["originals"]["intervals"]["dice"]
        assert low <= np.mean(dice) <= high
    assert report["paired"]["lesion.onnx"]["ham10000"]["lesions"] == 3
    difference = report["paired"]["lesion.onnx"]["fifth"]["differences"]["dice"]
    assert difference["difference"] == pytest.approx(
        report["scores"]["lesion.onnx"]["fifth"]["dice"] - report["scores"]["before"]["fifth"]["dice"]
    )
