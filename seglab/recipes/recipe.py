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
from seglab.losses import LOSSES

SMP_ARCHITECTURES = (
    "unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet", "pan", "deeplabv3", "deeplabv3plus", "upernet",
    "segformer", "dpt",
)  # fmt: skip
"""What segmentation-models-pytorch builds by name."""
OWN_ARCHITECTURES = ("unet-scratch", "unet-plain")
"""What ``seglab.networks.build.OWN`` builds: without an encoder, as wide as ``widths`` says."""
ARCHITECTURES = (*SMP_ARCHITECTURES, *OWN_ARCHITECTURES)

CHOICES = {
    "arch": ARCHITECTURES,
    "optimiser": ("adam", "adamw", "sgd"),
    "loss": tuple(LOSSES),
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "normalise": ("imagenet", "unit"),
    "augment": ("none", "flips", "full"),
    "hair": ("none", "dullrazor"),
    "schedule": ("constant", "cosine", "plateau"),
    "monitor": ("val_dice", "val_loss"),
    "tta": ("none", "flips"),
    "split": ("auto", "official", "fifth", "seeded"),
}
POSITIVE = ("size", "epochs", "batch", "lr", "plateau_factor")
NOT_NEGATIVE = (
    "val_batch", "weight_decay", "rotate", "elastic", "jitter", "plateau_patience", "patience", "limit", "test_share",
    "seed",
)  # fmt: skip
SHARES = ("threshold", "val_share")


@dataclass(frozen=True)
class Recipe:
    """A training set-up.

    **Network.** ``arch``: an architecture of smp, ``unet-scratch`` or ``unet-plain``. ``encoder_weights``: a file, a
    name that smp knows, or empty for none. ``init``: a checkpoint whose weights to start from, or empty.
    ``decoder_channels``: empty for the library's own; their number is the depth. ``widths``: channels by level of
    ``unet-scratch`` and ``unet-plain``. ``size``: side length S of the input in pixels. ``normalise``: by ImageNet's
    mean and deviation, or ``unit``: to 0-1.

    **Data.** ``split``: see :func:`seglab.data.splits.make_split`; ``val_share``, ``test_share``: of the lesions, where
    the seed splits. ``limit``: training images at most, drawn by seed (0: all). ``augment``: ``flips`` are the eight
    symmetries of the square, ``full`` adds crops and colour. ``rotate``: degrees either way. ``elastic``: strength of
    the elastic deformation in pixels at size S. ``jitter``: half-width of brightness and contrast. All three: 0 is off.
    ``workers``: processes that read images (-1: by the number of cores).

    **Optimisation.** ``batch``: images a step, over all processes together; ``val_batch``: 0 for the same. ``lr``: the
    highest learning rate. ``schedule``: ``cosine`` warms up over the first twentieth of the steps and falls to a
    hundredth; ``plateau`` multiplies by ``plateau_factor`` after ``plateau_patience`` epochs without a lower validation
    loss. ``monitor``: chooses ``best.pt``, and stops training after ``patience`` epochs without a better value (0:
    never). ``ema``: decay of the weights' exponential moving average, which then validates and is kept (0: off).
    ``compile``: torch.compile for training steps. ``tta``: test-time flips, in validation of the checkpoint and export.
    """

    arch: str = "unet"
    encoder: str = "resnet34"
    encoder_weights: str = ""
    init: str = ""
    decoder_channels: tuple[int, ...] = ()
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    size: int = 256
    normalise: str = "imagenet"
    split: str = "auto"
    val_share: float = 0.2
    test_share: float = 0.0
    limit: int = 0
    augment: str = "full"
    rotate: float = 0.0
    elastic: float = 0.0
    jitter: float = 0.0
    hair: str = "none"
    workers: int = -1
    epochs: int = 10
    batch: int = 16
    val_batch: int = 0
    optimiser: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    loss: str = "bce+dice"
    precision: str = "auto"
    schedule: str = "cosine"
    plateau_patience: int = 3
    plateau_factor: float = 0.1
    monitor: str = "val_dice"
    patience: int = 0
    ema: float = 0.0
    compile: bool = False
    seed: int = 0
    threshold: float = 0.5
    tta: str = "none"

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(allowed)}.")
        for name in POSITIVE:
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected more than 0.")
        for name in NOT_NEGATIVE:
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected 0 or more.")
        self._check_channels()
        self._check_shares()

    def _check_channels(self) -> None:
        for name in ("widths", "decoder_channels"):
            channels = getattr(self, name)
            if any(count <= 0 for count in channels) or (name == "widths" and not channels):
                raise ConfigError(f"{name} is {list(channels)}; expected whole numbers above 0, as [16, 32, 64].")

    def _check_shares(self) -> None:
        if not self.plateau_factor < 1:
            raise ConfigError(f"plateau_factor is {self.plateau_factor}; expected a factor below 1, as 0.1.")
        for name in SHARES:
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected a number between 0 and 1.")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema is {self.ema}; expected 0 (off) or a decay below 1, as 0.999.")
        if self.val_share + self.test_share >= 1:
            raise ConfigError(
                f"val_share {self.val_share} and test_share {self.test_share} leave nothing to train on; "
                "expected a sum below 1."
            )


WANTED = {
    tuple: "a list of whole numbers",
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


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
    if kind is tuple and isinstance(value, list) and all(type(entry) is int for entry in value):
        return tuple(value)
    if type(value) is not kind:
        raise ConfigError(f"{key} is {value!r}; expected {WANTED[kind]}.")
    return value
