"""Recipes: a training set-up as one frozen value, from a TOML file, changed by ``key=value``."""

from __future__ import annotations

import dataclasses
import difflib
import importlib.resources
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seglab.errors import ConfigError

CHOICES = {
    "arch": ("unet", "unet-scratch"),
    "loss": ("bce", "dice", "bce+dice"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "augment": ("none", "flips", "full"),
    "schedule": ("constant", "cosine"),
}
POSITIVE = ("size", "epochs", "batch", "lr")


@dataclass(frozen=True)
class Recipe:
    """A training set-up.

    ``encoder_weights``: a file, a name that smp knows, or empty for none. ``init``: a checkpoint whose weights to
    start from, or empty. ``decoder_channels``: of smp's U-Net; their number is the depth. ``widths``: channels of
    ``unet-scratch`` by level. ``size``: side length S of the input in pixels. ``lr``: learning rate of Adam at its
    highest. ``workers``: processes that read images (-1: by the number of cores). ``schedule``: ``cosine`` warms up
    over the first twentieth of the steps and falls to a hundredth.
    """

    arch: str = "unet"
    encoder: str = "resnet34"
    encoder_weights: str = ""
    init: str = ""
    decoder_channels: tuple[int, ...] = (256, 128, 64, 32, 16)
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    size: int = 256
    epochs: int = 10
    batch: int = 16
    lr: float = 1e-3
    loss: str = "bce+dice"
    precision: str = "auto"
    augment: str = "full"
    schedule: str = "cosine"
    seed: int = 0
    workers: int = -1
    threshold: float = 0.5

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(allowed)}.")
        for name in POSITIVE:
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected more than 0.")
        if not 0 < self.threshold < 1:
            raise ConfigError(f"threshold is {self.threshold}; expected a probability between 0 and 1.")
        step = 2 ** (len(self.decoder_channels) if self.arch == "unet" else len(self.widths) - 1)
        if self.size % step:
            raise ConfigError(f"size is {self.size}; expected a multiple of {step} for a network of this depth.")


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    folder = importlib.resources.files("seglab.recipes")
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_recipe(name: str, changes: Iterable[str] = ()) -> Recipe:
    """Return the recipe called ``name`` (or in the TOML file of that path) with ``key=value`` changes applied.

    Raises :class:`ConfigError` for an unknown recipe or key (suggesting the near one) or a wrong value.
    """
    values = _parse(_recipe_text(name), name)
    for change in changes:
        key, separator, value = change.partition("=")
        if not separator:
            raise ConfigError(f"--set {change} has no '='; expected key=value, as in --set epochs=5.")
        values[key.strip()] = _value(value.strip())
    return make_recipe(values)


def make_recipe(values: dict[str, Any]) -> Recipe:
    """Build a recipe from plain values. Raises :class:`ConfigError` for unknown keys and wrong types."""
    fields = {field.name: field for field in dataclasses.fields(Recipe)}
    checked = {}
    for key, value in values.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(fields)}."
            raise ConfigError(f"There is no setting {key!r} in a recipe. {hint}")
        checked[key] = _typed(key, value, type(fields[key].default))
    return Recipe(**checked)


def _recipe_text(name: str) -> str:
    if name.endswith(".toml"):
        try:
            return Path(name).read_text()
        except OSError as error:
            raise ConfigError(f"{name} cannot be read ({error.strerror}); expected a recipe file.") from error
    if name not in recipe_names():
        near = difflib.get_close_matches(name, recipe_names(), n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"There is no recipe {name!r}; expected one of {', '.join(recipe_names())}, or a .toml file.{hint}"
        )
    return (importlib.resources.files("seglab.recipes") / f"{name}.toml").read_text()


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"Recipe {name} is not valid TOML: {error}.") from error


def _value(text: str) -> Any:
    """Read a command-line value as TOML; what is not TOML (a bare word) is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _typed(key: str, value: Any, kind: type) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is tuple and isinstance(value, list) and value and all(type(entry) is int for entry in value):
        return tuple(value)
    if type(value) is not kind:
        wanted = (
            "a list of whole numbers" if kind is tuple else {str: "text", int: "a whole number"}.get(kind, "a number")
        )
        raise ConfigError(f"{key} is {value!r}; expected {wanted}.")
    return value
