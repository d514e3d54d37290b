"""Options that say how a foreign network is fed, which its file does not say."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import click

from seglab.networks.normalisation import BYTE, CHANNEL_ORDERS, PRESETS, Normalisation, Triple

RANGES = ("0-1", "0-255")
"""Scales of pixels that ``--mean`` and ``--std`` can be on."""
PRESET_NAMES = ", ".join(PRESETS)


class _Share(click.FloatRange):
    """A number between 0 and 1; click's own range accepts "nan"."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value} is not a number; expected one between 0 and 1.", param, ctx)
        return number


THRESHOLD = _Share(0, 1, min_open=True, max_open=True)
SIZE = click.option("--size", type=click.IntRange(min=8), help="Height and width of the network's input.")
MEAN = click.option(
    "--mean",
    metavar="PRESET|R,G,B",
    help=f"How pixels are normalised: {PRESET_NAMES}; or what is subtracted from red, green, blue (one number: from "
    "all three), with --std.",
)
STD = click.option("--std", metavar="R,G,B", help="What red, green, blue are then divided by (one number: all three).")
INPUT_RANGE = click.option(
    "--input-range",
    type=click.Choice(RANGES),
    help="Scale of the network's pixels, and of --mean and --std.  [default: 0-1]",
)
CHANNELS = click.option(
    "--channels", type=click.Choice(CHANNEL_ORDERS), help="bgr: the network takes blue first.  [default: rgb]"
)
LESION_CLASS = click.option(
    "--lesion-class",
    type=click.IntRange(min=0),
    help="For a network of several classes: the number of the lesion's class. The model gives only its probability.",
)


def feeding_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how a foreign network is fed."""
    for option in (LESION_CLASS, CHANNELS, INPUT_RANGE, STD, MEAN, SIZE):
        function = option(function)
    return function


def normalisation(
    mean: str | None, std: str | None, input_range: str | None, channels: str | None
) -> Normalisation | None:
    """Return what the options say; None if they say nothing, because it cannot be guessed.

    Raises :class:`click.UsageError` for contradictory or impossible options.
    """
    if mean in PRESETS:
        if std not in (None, mean):
            raise click.UsageError(f"--mean {mean} is a preset with its own --std. Leave out --std.")
        if input_range:
            raise click.UsageError(f"--mean {mean} is a preset with its own --input-range. Leave out --input-range.")
        preset = PRESETS[str(mean)]
        if channels == "rgb" and preset.channels == "bgr":
            raise click.UsageError(f"--mean {mean} is a preset for BGR. Leave out --channels rgb.")
        return Normalisation(preset.mean, preset.std, channels or preset.channels)
    if mean is None and std is None:
        if input_range is None:
            return None
        return Normalisation(PRESETS[input_range].mean, PRESETS[input_range].std, channels or "rgb")
    if mean is None or std is None:
        missing = "--mean" if mean is None else "--std"
        raise click.UsageError(f"{missing} is missing; expected both --mean and --std, or --mean with a preset.")
    scale = BYTE if input_range == "0-255" else 1.0
    means, stds = _triple("--mean", mean), _triple("--std", std)
    if scale == 1:
        _require_unit_scale(means, stds, input_range)
    return Normalisation(_divided(means, scale), _divided(stds, scale), channels or "rgb")


def _triple(option: str, text: str) -> Triple:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not numbers; expected 'R,G,B', one number, or for --mean a preset: {PRESET_NAMES}.",
            param_hint=option,
        ) from None
    if len(values) == 1:
        values *= 3
    if len(values) != 3:
        raise click.BadParameter(f"{text!r} has {len(values)} numbers; expected one or three.", param_hint=option)
    if not all(math.isfinite(value) for value in values):
        raise click.BadParameter(
            f"{text!r} has a number that is not finite; expected finite numbers.", param_hint=option
        )
    if option == "--std" and not all(value > 0 for value in values):
        raise click.BadParameter(
            f"{text!r} has a number that is not above 0; expected numbers above 0.", param_hint=option
        )
    return values[0], values[1], values[2]


def _require_unit_scale(means: Triple, stds: Triple, input_range: str | None) -> None:
    """Raise :class:`click.UsageError` for numbers that cannot be on the scale 0-1."""
    if max(*map(abs, means), *stds) <= 1:
        return
    divided = " ".join(
        f"--{name} {','.join(f'{value / BYTE:.6g}' for value in values)}"
        for name, values in (("mean", means), ("std", stds))
    )
    if input_range is not None:
        raise click.UsageError(
            f"--mean and --std have a number above 1, which cannot be on the scale of --input-range 0-1. Divided by "
            f"255 they are {divided}."
        )
    raise click.UsageError(
        "--mean and --std have a number above 1, which cannot be on the scale 0-1. If they are for pixels on 0-255, "
        f"add --input-range 0-255 or divide them by 255: {divided}."
    )


def _divided(values: Triple, by: float) -> Triple:
    return values[0] / by, values[1] / by, values[2] / by
