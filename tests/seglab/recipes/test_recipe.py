"""Recipes: every one that comes along, and every way to get one wrong."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from seglab.errors import ConfigError
from seglab.recipes.files import recipe_names
from seglab.recipes.recipe import Recipe, load_recipe


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_of_the_package_are_valid(name: str) -> None:
    assert load_recipe(name).epochs > 0


def test_changes_are_typed() -> None:
    recipe = load_recipe("quick", ["epochs=3", "lr=1", "encoder=resnet34", "decoder_channels=[16, 8]", "seed = 7"])
    assert (recipe.epochs, recipe.lr, recipe.encoder, recipe.seed) == (3, 1.0, "resnet34", 7)
    assert recipe.decoder_channels == (16, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("epoch=3", "Did you mean epochs"),
        ("epochs", "no '='"),
        ("epochs=many", "whole number"),
        ("epochs=0", "more than 0"),
        ("loss=no-such-loss", "bce, dice"),
        ("ema=1", "decay below 1"),
        ("val_share=1.0", "between 0 and 1"),
        ("compile=1", "true or false"),
        ("patience=-1", "0 or more"),
        ("seed=-1", "0 or more"),
        ("lr=nan", "more than 0"),
        ("plateau_factor=1.5", "below 1"),
        ("widths=[]", "above 0"),
        ("decoder_channels=[16, 0]", "above 0"),
        ("split=half", "official"),
        ("threshold=1.5", "between 0 and 1"),
        ("decoder_channels=[1.5]", "list of whole numbers"),
    ],
)
def test_wrong_changes_say_what_is_right(change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("quick", [change])


def test_unknown_recipes_suggest_the_near_one() -> None:
    with pytest.raises(ConfigError, match="Did you mean quick"):
        load_recipe("quik")


def test_a_recipe_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('arch = "unet-scratch"\nwidths = [8, 16]\nsize = 32\n')
    assert load_recipe(str(path)).widths == (8, 16)
    path.write_text("arch = ")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_recipe(str(path))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(str(tmp_path / "gone.toml"))


def test_every_setting_is_described() -> None:
    described = set(re.findall(r"``(\w+)``", Recipe.__doc__ or ""))
    assert {field.name for field in dataclasses.fields(Recipe)} <= described


LITE2 = ("encoder=tu-tf_efficientnet_lite2", "encoder_weights=package")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ((), "imagenet"),
        (("encoder_weights=imagenet",), "imagenet"),
        (LITE2, "inception"),
        ((*LITE2, "normalise=auto"), "inception"),
        ((*LITE2, "normalise=imagenet"), "imagenet"),
        (("normalise=inception",), "inception"),
    ],
)
def test_normalisation_is_that_of_the_weights_unless_it_is_named(changes: tuple[str, ...], expected: str) -> None:
    assert load_recipe("quick", changes).normalise == expected


def test_an_encoder_without_a_package_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"no weights for the encoder mobilenet_v2; expected one of .*lite0, "):
        load_recipe("quick", ["encoder=mobilenet_v2", "encoder_weights=package"])
