"""The steps of an epoch: what is accumulated, clipped, frozen and read ahead, against what it ought to equal."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seglab.data.augmentation import augmentation_of
from seglab.data.examples import Examples
from seglab.data.finding.layouts import find_pairs
from seglab.data.loading import Loader
from seglab.errors import ConfigError
from seglab.recipes.recipe import Recipe, make_recipe
from seglab.synth import write_set
from seglab.training.device import choose_precision, make_fabric
from seglab.training.optimizers import Schedule, make_optimiser
from seglab.training.steps import Steps

BASE: dict[str, Any] = {"size": 16, "workers": 0, "optimiser": "sgd", "lr": 0.1, "augment": "full", "epochs": 3}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    """14 synthetic pairs at 16 x 16, augmented."""
    root = tmp_path_factory.mktemp("archive")
    write_set(root, 14, [(24, 32)], seed=3)
    return Examples(find_pairs(root), 16, augmentation_of(make_recipe(BASE)), seed=1)


def small_network() -> nn.Module:
    """A network without batch normalisation."""
    torch.manual_seed(5)
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
    return Network(encoder, nn.Conv2d(4, 1, 3, padding=1))


class Network(nn.Module):
    """An encoder and a decoder, one after the other."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(N, 1, S, S)`` of images."""
        logits: Tensor = self.decoder(self.encoder(x))
        return logits


def steps_of(network: nn.Module, **changes: Any) -> Steps:
    recipe: Recipe = make_recipe(BASE | changes)
    fabric = make_fabric(torch.device("cpu"), "fp32")
    optimiser = make_optimiser(recipe, network)
    model, wrapped = fabric.setup(network, optimiser)
    schedule = Schedule(recipe, optimiser)
    return Steps(recipe, fabric, network=network, model=model, optimiser=wrapped, schedule=schedule, average=None)


def trained(examples: Examples, network: nn.Module, epochs: int = 2, **changes: Any) -> dict[str, Tensor]:
    """Return the weights after some epochs, of a copy."""
    network = copy.deepcopy(network)
    steps = steps_of(network, **changes)
    for number in range(1, epochs + 1):
        steps.train(examples, number, lambda batches, _: batches)
    return network.state_dict()


def assert_close(one: dict[str, Tensor], other: dict[str, Tensor], most: float) -> None:
    for key, value in one.items():
        assert float((value - other[key]).abs().max()) <= most, key


@pytest.mark.parametrize("loss", ["bce+dice", "focal+lovasz"])
def test_accumulated_batches_are_one_big_batch(examples: Examples, loss: str) -> None:
    """14 images: 6, 6, 2 and so on; the last step of an epoch has fewer, and each image counts alike."""
    network = small_network()
    whole = trained(examples, network, batch=6, loss=loss, schedule="constant")
    parts = trained(examples, network, batch=2, accumulate=3, loss=loss, schedule="constant")
    assert_close(whole, parts, 2e-6)
    apart = trained(examples, network, batch=2, loss=loss, schedule="constant")
    assert any(float((whole[key] - apart[key]).abs().max()) > 1e-4 for key in whole)


def test_a_gradient_is_clipped_to_its_norm(examples: Examples) -> None:
    network = small_network()
    for clip in (0.001, 0.01):
        after = trained(examples, network, 1, batch=14, clip=clip, lr=1.0, schedule="constant")
        moved = torch.cat([(after[key] - value).ravel() for key, value in network.state_dict().items()])
        assert float(moved.norm()) == pytest.approx(1.9 * clip, rel=1e-3)  # Nesterov's first step, with momentum 0.9


def test_a_frozen_encoder_stays_as_it_is_with_its_statistics(examples: Examples) -> None:
    torch.manual_seed(1)
    network = Network(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)), nn.Conv2d(4, 1, 1))
    before = network.state_dict()
    for epochs, moves in ((1, False), (2, True)):
        after = trained(examples, network, epochs, batch=7, freeze_encoder=1, weight_decay=0.1)
        same = [torch.equal(after[key], before[key]) for key in before if key.startswith("encoder")]
        assert all(same) is not moves
        assert not torch.equal(after["decoder.weight"], before["decoder.weight"])


def test_processes_that_stay_are_told_the_epoch(examples: Examples) -> None:
    loader = Loader(examples, workers=2, pin=False)
    for epoch, order in ((1, [[3, 1], [0]]), (4, [[3, 1], [5]])):
        batches = list(loader.batches(epoch, order))
        assert len(batches) == len(order)
        for batch, indices in zip(batches, order, strict=True):
            for image, target, index in zip(*batch, indices, strict=True):
                expected = examples[epoch, index]
                assert torch.equal(image, expected[0])
                assert torch.equal(target, expected[1])


def test_what_a_network_draws_does_not_depend_on_who_reads(examples: Examples) -> None:
    """Dropout draws from torch's generator, from which a loader takes a seed whenever its processes start."""
    torch.manual_seed(2)
    network = Network(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Dropout(0.5)), nn.Conv2d(4, 1, 1))
    here = trained(examples, network, batch=7)
    assert_close(here, trained(examples, network, batch=7, workers=2), 0)
    one = copy.deepcopy(network)
    steps_of(one, batch=7, workers=2).train(examples, 1, lambda batches, _: batches)
    resumed = steps_of(one, batch=7, workers=2)  # its processes start in the second epoch
    resumed.train(examples, 2, lambda batches, _: batches)
    alone = copy.deepcopy(network)
    for number in (1, 2):
        steps_of(alone, batch=7).train(examples, number, lambda batches, _: batches)
    assert_close(one.state_dict(), alone.state_dict(), 0)


def test_validation_counts_every_image(examples: Examples) -> None:
    """Against logits computed image by image, and Dice by its definition."""
    network = small_network()
    with torch.no_grad():
        next(network.get_submodule("decoder").parameters()).mul_(5)
    steps = steps_of(network, batch=4, loss="bce")
    loss, dice, iou = steps.validate(examples, 3, lambda batches, _: batches)
    losses, dices, ious = [], [], []
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    for index in range(len(examples)):
        image, target = examples[3, index]
        with torch.no_grad():
            logits = network(((image.float() / 255 - mean[:, None, None]) / std[:, None, None])[None])[0]
        mask, truth = (logits >= 0).numpy(), (target >= 0.5).numpy()
        both, either, total = (mask & truth).sum(), (mask | truth).sum(), mask.sum() + truth.sum()
        losses.append(float(nn.functional.binary_cross_entropy_with_logits(logits, target)))
        dices.append(2 * both / total if total else 1.0)
        ious.append(both / either if either else 1.0)
    assert (loss, dice, iou) == pytest.approx((np.mean(losses), np.mean(dices), np.mean(ious)), abs=1e-5)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [((1.0, 0.5), "bf16"), ((1.0, 0.95), "fp32"), ((1.0, 2.0), "fp32"), ((0.01, 0.002), "fp32")],
)
def test_auto_takes_what_was_quicker(
    monkeypatch: pytest.MonkeyPatch, seconds: tuple[float, float], expected: str
) -> None:
    monkeypatch.setattr("seglab.training.device._cpu_has_bf16", lambda: True)
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu, lambda names: dict(zip(names, seconds, strict=True))) == expected
    assert choose_precision("auto", cpu) == "bf16"
    for name in ("fp32", "bf16"):
        assert choose_precision(name, cpu, lambda names: {}) == name
    with pytest.raises(ConfigError, match="fp16 is for CUDA"):
        choose_precision("fp16", cpu)


def test_timing_a_step_leaves_the_draws_alone() -> None:
    from seglab.networks.timing import step_seconds

    recipe = make_recipe({"arch": "unet-scratch", "widths": [4, 8], "size": 16})
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    seconds = step_seconds(recipe, torch.device("cpu"), ("fp32", "bf16"))
    assert torch.equal(torch.rand(3), expected)
    assert list(seconds) == ["fp32", "bf16"]
    assert all(value > 0 for value in seconds.values())
    with pytest.raises(ConfigError, match="does not take 3 x 3"):
        step_seconds(
            make_recipe({"arch": "unet-scratch", "widths": [4, 8, 16], "size": 3}), torch.device("cpu"), ("fp32",)
        )
