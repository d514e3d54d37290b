"""Augmentation: image and truth move together, from a seed, and colour leaves the truth alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as transforms

from seglab.data.augmentation import SMOOTHNESS, WHOLE, Augmentation, augmentation_of, smoothed, turned
from seglab.data.examples import Examples, cut
from seglab.data.finding.layouts import find_pairs
from seglab.recipes.recipe import make_recipe

EVERYTHING = {"augment": "full", "rotate": 30, "elastic": 6}
EACH = [
    Augmentation(crop=True),
    Augmentation(turn=True),
    Augmentation(rotate=45),
    Augmentation(elastic=6),
    Augmentation(zoom_out=1.0),
    augmentation_of(make_recipe(EVERYTHING)),
]


def red_square(root: Path) -> Path:
    """One pair whose image is the truth, painted in red."""
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    truth = np.zeros((96, 128), np.uint8)
    truth[20:60, 70:110] = 255
    Image.fromarray(np.dstack([truth, 0 * truth, 0 * truth])).save(root / "images" / "a.png")
    Image.fromarray(truth).save(root / "masks" / "a.png")
    return root


@pytest.mark.parametrize("augmentation", EACH, ids=["crop", "turn", "rotate", "elastic", "zoom out", "everything"])
def test_image_and_truth_move_alike(tmp_path: Path, augmentation: Augmentation) -> None:
    """The lesion is painted red: wherever the picture went, the target must have gone too."""
    examples = Examples(find_pairs(red_square(tmp_path)), 64, augmentation, seed=0)
    seen = set()
    for epoch in range(12):
        image, target = examples[epoch, 0]
        red = image[0].float() / max(1.0, float(image[0].max()))
        assert (red - target[0]).abs().mean() < 0.02, epoch
        assert float(target.min()) >= 0
        assert float(target.max()) <= 1
        seen.add(target.numpy().tobytes())
    assert len(seen) > 4


def test_what_is_drawn_depends_on_the_generator_alone() -> None:
    augmentation = EACH[-1]
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 48, 48), np.uint8))
    target = torch.zeros(1, 48, 48)
    before = torch.get_rng_state()
    drawn = [augmentation.apply(np.random.default_rng(3), image, target)[0] for _ in range(2)]
    assert torch.equal(*drawn)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(drawn[0], augmentation.apply(np.random.default_rng(4), image, target)[0])


def test_no_corner_is_empty_after_a_rotation() -> None:
    white, full = torch.full((3, 40, 40), 255, dtype=torch.uint8), torch.ones(1, 40, 40)
    for seed in range(5):
        image, target = Augmentation(rotate=45, elastic=5).apply(np.random.default_rng(seed), white, full)
        assert int(image.min()) == 255
        assert float(target.min()) == pytest.approx(1)


def test_elastic_deformation_is_as_strong_as_asked() -> None:
    field = Augmentation(elastic=8)._displacement(np.random.default_rng(1), 96)
    assert float(field.abs().amax()) * 96 / 2 == pytest.approx(8, rel=1e-4)
    assert torch.diff(field, dim=1).abs().max() * 96 / 2 < 2  # smooth: neighbours move together


@pytest.mark.parametrize("side", [8, 33, 96])
def test_the_deformation_is_blurred_as_by_a_dense_kernel(side: int) -> None:
    noise = np.random.default_rng(side).uniform(-1, 1, (side, side)).astype(np.float32)
    sigma = SMOOTHNESS * side
    kernel = min(2 * round(2 * sigma) + 1, side - 1 + side % 2)
    dense = transforms.gaussian_blur(torch.from_numpy(noise)[None, None], [kernel, kernel], [sigma, sigma])[0, 0]
    assert np.abs(dense.numpy() - smoothed(noise)).max() <= 2e-7


def test_colour_changes_the_image_only() -> None:
    grey, target = torch.full((3, 8, 8), 100, dtype=torch.uint8), torch.rand(1, 8, 8)
    image, same = Augmentation(brightness=0.4).apply(np.random.default_rng(2), grey, target)
    assert torch.equal(target, same)
    assert not torch.equal(image, grey)


WORSE = ["gamma", "blur", "noise", "jpeg"]


@pytest.mark.parametrize("name", WORSE)
def test_what_spoils_an_image_leaves_its_truth_and_repeats_itself(name: str) -> None:
    value: Any = {"gamma": 0.5, "blur": 2.0, "noise": 20.0, "jpeg": 10}[name]
    augmentation = Augmentation(**{name: value})
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 32, 32), np.uint8))
    target = torch.rand(1, 32, 32)
    one, same = augmentation.apply(np.random.default_rng(2), image, target)
    other, _ = augmentation.apply(np.random.default_rng(2), image, target)
    assert torch.equal(target, same)
    assert torch.equal(one, other)
    assert one.dtype == torch.uint8
    assert not torch.equal(one, image)
    assert getattr(augmentation_of(make_recipe({name: value})), name) == value


def test_blur_and_noise_are_as_strong_as_they_say() -> None:
    grey, target = torch.full((3, 64, 64), 128, dtype=torch.uint8), torch.zeros(1, 64, 64)
    spreads = [
        float(Augmentation(noise=10).apply(np.random.default_rng(seed), grey, target)[0].float().std())
        for seed in range(20)
    ]
    assert 1 < np.mean(spreads) < 9
    assert max(spreads) < 10.5
    assert torch.equal(Augmentation(blur=3).apply(np.random.default_rng(0), grey, target)[0], grey)


def test_a_frame_that_is_zoomed_out_shows_a_smaller_lesion() -> None:
    image, target = torch.zeros(3, 64, 64, dtype=torch.uint8), torch.zeros(1, 64, 64)
    target[:, 24:40, 24:40] = 1
    areas = [
        float(Augmentation(zoom_out=1.0).apply(np.random.default_rng(seed), image, target)[1].sum())
        for seed in range(40)
    ]
    assert max(areas) <= 256 * 1.05
    assert 256 / 4 <= min(areas) < 256 / 2


def test_recipes_name_what_is_drawn() -> None:
    assert augmentation_of(make_recipe({"augment": "none"})) == Augmentation()
    assert augmentation_of(make_recipe({"augment": "flips", "rotate": 10})) == Augmentation(turn=True, rotate=10.0)
    assert augmentation_of(make_recipe({"augment": "full"})).brightness > 0
    assert augmentation_of(make_recipe({"augment": "flips", "jitter": 0.1})).brightness == 0.1


def test_crops_stay_inside_and_turns_are_the_symmetries_of_the_square() -> None:
    array = np.arange(30 * 20, dtype=np.uint32).reshape(30, 20).astype(np.uint8)
    boxes = [Augmentation(crop=True).box(np.random.default_rng(seed)) for seed in range(200)]
    assert 20 < sum(box == WHOLE for box in boxes) < 100
    for box in boxes:
        assert min(cut(array, box).shape) >= 1
        assert box[0] + box[2] <= 1 + 1e-9
        assert box[1] + box[3] <= 1 + 1e-9
    square = torch.arange(9).reshape(1, 3, 3)
    assert len({turned(square, turn).numpy().tobytes() for turn in range(8)}) == 8
