"""Every published recipe, from the shared data sets to scores: smaller and shorter, by the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from seglab.cli import main
from seglab.data.finding.layouts import find_pairs

MOBILENET = ["encoder=mobilenet_v2", "encoder_weights={data}/weights/mobilenet_v2_imagenet.pth"]
NARROW = ["widths=[8, 16, 32]"]
RECIPES = {
    "ham10000-smp": ("ham10000", MOBILENET),
    "isic2018-scratch": ("isic2018", NARROW),
    "isic2016-resnet34": ("isic2017", MOBILENET),
    "isic2024-unet": ("isic2018", MOBILENET),
    "isic2018-task1": ("isic2018", NARROW),
}
KEPT = 64
"""Images of each set that take part: evenly spaced ones."""
SMALL = ["size=64", "epochs=1", "batch=8", "workers=0", "lr=1e-3", "precision=fp32"]


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_goes_from_the_data_to_scores(recipe: str, data_dir: Path, tmp_path: Path) -> None:
    name, changes = RECIPES[recipe]
    run = tmp_path / "run"
    left = tmp_path / "left_out.txt"
    left.write_text("".join(f"{id}\n" for id in all_but(KEPT, data_dir / name)))
    words = [word for change in (*SMALL, *changes) for word in ("--set", change.format(data=data_dir))]
    call = ["train", "--recipe", recipe, "--data", str(data_dir / name), "--out", str(run), "--device", "cpu"]
    trained = CliRunner().invoke(main, [*call, "--exclude", str(left), *words])
    assert trained.exit_code == 0, trained.output
    assert f"{name}: used " in trained.output
    figures = json.loads((run / "settings.json").read_text())["data"]
    assert figures["training_images"] > 30
    assert figures["validation_images"] > 3
    last = (run / "log.csv").read_text().splitlines()[-1].split(",")
    assert 0 < float(last[3]) < 1  # the Dice: a network that has learned a little, no empty or perfect one


def all_but(count: int, root: Path) -> list[str]:
    """Return the ids of all but ``count`` pairs of each part of a data set."""
    parts: dict[str, list[str]] = {}
    for pair in find_pairs(root):
        parts.setdefault(pair.part, []).append(pair.id)
    return [id for ids in parts.values() for place, id in enumerate(ids) if place % max(1, len(ids) // count)]
