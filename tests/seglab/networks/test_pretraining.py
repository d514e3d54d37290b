"""By which mean and deviation the weights that a run starts from were trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from seglab.commands.runs.taught import start_remarks
from seglab.networks.build import build_network
from seglab.networks.checkpoints import Checkpoint, NetworkSpec, save_checkpoint
from seglab.recipes.recipe import make_recipe

SCRATCH = {"arch": "unet-scratch", "widths": [4, 8]}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"encoder_weights": "some.pth", "normalise": "unit"},
        {"encoder": "tu-tf_efficientnet_lite1", "encoder_weights": "package"},
        {"encoder": "tu-resnet18", "encoder_weights": "imagenet"},
        {"encoder": "tu-tf_efficientnet_b0", "encoder_weights": "some.pth"},
        SCRATCH,
    ],
)
def test_nothing_is_said_of_what_fits_or_is_not_known(values: dict[str, object]) -> None:
    assert list(start_remarks(make_recipe(values))) == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"encoder": "tu-tf_efficientnet_lite1", "encoder_weights": "package", "normalise": "imagenet"},
            "encoder_weights=package were trained on pixels normalised by mean 0.5, 0.5, 0.5 and deviation 0.5, 0.5, "
            "0.5; this run has normalise=imagenet. For the same normalisation: --set normalise=inception",
        ),
        (  # by timm's own record of how these weights were trained
            {"encoder": "tu-vit_tiny_patch16_224", "encoder_weights": "imagenet"},
            "this run has normalise=imagenet. For the same normalisation: --set normalise=inception",
        ),
        (
            {"encoder": "tu-vit_base_patch16_clip_224", "encoder_weights": "imagenet"},
            "mean 0.481455, 0.457827, 0.408211 and deviation 0.26863, 0.261303, 0.275777; this run has "
            "normalise=imagenet. No `normalise` of a recipe is the same.",
        ),
    ],
)
def test_weights_that_learned_otherwise_are_named(values: dict[str, object], said: str) -> None:
    (line,) = start_remarks(make_recipe(values))
    assert said in line


@pytest.mark.parametrize(("normalise", "expected"), [("imagenet", ["normalise=unit"]), ("unit", [])])
def test_a_checkpoint_to_start_from_says_it_itself(tmp_path: Path, normalise: str, expected: list[str]) -> None:
    spec = NetworkSpec("unet-scratch", options={"widths": [4, 8]})
    state = build_network(spec).state_dict()
    save_checkpoint(Checkpoint(spec, 32, state, mean=(0.0,) * 3, std=(1.0,) * 3), tmp_path / "c.pt")
    said = list(start_remarks(make_recipe({**SCRATCH, "init": str(tmp_path / "c.pt"), "normalise": normalise})))
    assert [line.rpartition("--set ")[2] for line in said] == expected
