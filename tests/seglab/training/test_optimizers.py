"""Optimisers, schedules and the moving average of the weights, against hand calculation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seglab.errors import ConfigError
from seglab.networks.build import network_spec
from seglab.recipes.recipe import make_recipe
from seglab.training.optimizers import Schedule, average_of, cosine, make_optimiser
from seglab.training.run_folder import Epoch, best_epoch, stops_early


def history(*dice: float) -> list[Epoch]:
    return [Epoch(number, 0.5, 1 - value, value, value / 2, 1e-3) for number, value in enumerate(dice, 1)]


def test_the_cosine_schedule_warms_up_and_falls() -> None:
    factors = [cosine(step / 100) for step in range(101)]
    assert max(factors) == pytest.approx(1.0)
    assert factors.index(max(factors)) == 5
    assert factors[-1] == pytest.approx(0.01)


def test_the_plateau_schedule_waits_and_is_restored() -> None:
    recipe = make_recipe({"schedule": "plateau", "plateau_patience": 2, "plateau_factor": 0.1, "lr": 1.0})
    schedule = Schedule(recipe, make_optimiser(recipe, nn.Linear(1, 1)))
    rates = []
    for loss in (1.0, 0.9, 0.95, 0.95, 0.95, 0.95):
        schedule.after_epoch(loss)
        rates.append(schedule.lr)
    assert rates == pytest.approx([1, 1, 1, 0.1, 0.1, 0.01])
    other = Schedule(recipe, make_optimiser(recipe, nn.Linear(1, 1)))
    other.restore(schedule.state())
    assert other.state() == schedule.state()


@pytest.mark.parametrize(("patience", "lowered"), [(0, 1), (1, 1), (3, 3)])
def test_the_plateau_lowers_after_exactly_so_many_epochs_without_a_lower_loss(patience: int, lowered: int) -> None:
    recipe = make_recipe({"schedule": "plateau", "plateau_patience": patience, "lr": 1.0})
    schedule = Schedule(recipe, make_optimiser(recipe, nn.Linear(1, 1)))
    schedule.after_epoch(0.5)
    schedule.after_epoch(0.49999)  # lower, if by little
    rates = []
    for _ in range(4):
        schedule.after_epoch(0.5)
        rates.append(schedule.lr)
    assert next(epoch for epoch, rate in enumerate(rates, 1) if rate < 1) == lowered


def test_an_encoder_can_have_a_learning_rate_of_its_own() -> None:
    recipe = make_recipe({"lr": 1.0, "encoder_lr_factor": 0.1, "schedule": "cosine", "weight_decay": 0.5})
    network = nn.ModuleDict({"encoder": nn.Linear(2, 2), "decoder": nn.Linear(2, 1)})
    optimiser = make_optimiser(recipe, network)
    schedule = Schedule(recipe, optimiser)
    for progress in (0.0, 0.05, 0.5, 1.0):
        schedule.before_step(progress)
        rates = [group["lr"] for group in optimiser.param_groups]
        assert rates == pytest.approx([cosine(progress), 0.1 * cosine(progress)])
        assert schedule.lr == rates[0]
    assert [len(group["params"]) for group in optimiser.param_groups] == [2, 2]
    assert optimiser.param_groups[1]["params"][0] is network["encoder"].weight
    with pytest.raises(ConfigError, match=r"unet-scratch has no encoder, .* choose an architecture of smp"):
        make_recipe({"arch": "unet-scratch", "encoder_lr_factor": 0.1})


@pytest.mark.parametrize(("name", "kind"), [("adam", "Adam"), ("adamw", "AdamW"), ("sgd", "SGD")])
def test_optimisers_are_built_by_name(name: str, kind: str) -> None:
    recipe = make_recipe({"optimiser": name, "lr": 0.25, "weight_decay": 0.125})
    optimiser = make_optimiser(recipe, nn.Linear(2, 2))
    assert type(optimiser).__name__ == kind
    assert optimiser.param_groups[0]["lr"] == 0.25
    assert optimiser.param_groups[0]["weight_decay"] == 0.125


def test_the_moving_average_is_what_it_says() -> None:
    linear, norm = nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1)
    network = nn.Sequential(linear, norm)
    average = average_of(network, 0.75)
    assert average is not None
    expected = None
    for value in (1.0, 5.0, 9.0):
        with torch.no_grad():
            linear.weight.fill_(value)
            network.load_state_dict(network.state_dict() | {"1.running_mean": torch.tensor([2 * value])})
        average.update_parameters(network)
        expected = value if expected is None else 0.75 * expected + 0.25 * value
    state = average.module.state_dict()
    assert state["0.weight"].item() == pytest.approx(expected)
    assert state["1.running_mean"].item() == pytest.approx(2 * (expected or 0))
    assert average_of(network, 0.0) is None


def test_training_stops_when_nothing_better_came() -> None:
    recipe = make_recipe({"patience": 2})
    assert not stops_early(history(0.5, 0.8, 0.7), recipe)
    assert not stops_early(history(0.5, 0.8, 0.7, 0.8), make_recipe({"patience": 0}))
    assert not stops_early(history(0.5, 0.8, 0.7, 0.75), make_recipe({"patience": 3}))
    assert stops_early(history(0.5, 0.8, 0.7, 0.8, 0.6), recipe)
    assert best_epoch(history(0.5, 0.8, 0.8), "val_dice").epoch == 2
    assert best_epoch(history(0.5, 0.8, 0.7), "val_loss").epoch == 2


def test_networks_are_described_by_what_they_take() -> None:
    assert network_spec(make_recipe({"arch": "fpn"})).options == {}
    assert network_spec(make_recipe({"decoder_channels": [8, 4]})).options == {"decoder_channels": [8, 4]}
    with pytest.raises(ConfigError, match="fpn takes no decoder_channels"):
        network_spec(make_recipe({"arch": "fpn", "decoder_channels": [8, 4]}))
