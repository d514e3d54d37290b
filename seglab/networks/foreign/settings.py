"""Settings of the network in files, beside the tensors: hyper-parameters of Lightning, the config of smp."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from seglab.networks.foreign.found import Settings
from seglab.networks.foreign.pickles import attributes_of
from seglab.recipes.recipe import ARCHITECTURES

LIGHTNING = ("hyper_parameters", "hparams", "config", "cfg", "args", "opt", "model_config", "model_params", "params")
"""Names under which training loops save their settings."""
ARCH = (
    "arch",
    "architecture",
    "model_arch",
    "model_name",
    "model",
    "arch_name",
    "decoder",
    "model_type",
    "_model_class",
    "name",
)
ENCODER = ("encoder_name", "encoder", "backbone", "encoder_type", "backbone_name")
CLASSES = ("classes", "num_classes", "n_classes", "out_channels", "out_classes", "nb_classes")
CHANNELS = ("in_channels", "n_channels", "input_channels", "num_channels")
OPTIONS = (
    "decoder_channels", "decoder_attention_type", "decoder_use_norm", "decoder_use_batchnorm", "encoder_depth",
    "decoder_pab_channels", "decoder_pyramid_channels", "decoder_segmentation_channels", "decoder_merge_policy",
    "psp_out_channels", "psp_use_batchnorm", "encoder_output_stride", "decoder_atrous_rates", "decoder_aspp_separable",
    "decoder_interpolation", "upsampling",
)  # fmt: skip
"""Options of smp's constructors that change the result; some do not show in the tensors."""
ACTIVATIONS = ("sigmoid", "softmax", "softmax2d", "logsoftmax", "tanh")
DEEPEST = 4


def settings_in(values: Any) -> Settings:
    """Return the settings in a training loop's checkpoint; other entries are ignored."""
    if not isinstance(values, Mapping):
        return Settings()
    given = [values[name] for name in LIGHTNING if name in values]
    return settings_of(given)


def settings_of(given: Any) -> Settings:
    """Return the settings of the network in (nested) values."""
    entries: dict[str, list[Any]] = {}
    for key, value in _entries(given, 0):
        entries.setdefault(key, []).append(value)
    arch = next((name for key in ARCH for value in entries.get(key, []) if (name := known_arch(value))), None)
    activation = _first(entries, ("activation",), lambda value: isinstance(value, str) and value.lower() in ACTIVATIONS)
    options = {
        key: _plain(value)
        for key in OPTIONS
        for value in entries.get(key, [])[:1]
        if value is not None and _is_plain(value)
    }
    return Settings(
        arch=arch,
        encoder=_first(entries, ENCODER, lambda value: isinstance(value, str) and bool(value)),
        classes=_first(entries, CLASSES, _is_count),
        in_channels=_first(entries, CHANNELS, _is_count),
        activation=activation.lower() if activation else None,
        options=options,
    )


def known_arch(name: object) -> str | None:
    """Return the architecture for a name such as ``UNet++`` or ``smp.DeepLabV3Plus``, or None."""
    if not isinstance(name, str):
        return None
    plain = name.rpartition(".")[2].lower().replace("+", "plus").replace("-", "").replace("_", "").replace(" ", "")
    return next((arch for arch in ARCHITECTURES if arch.replace("-", "") == plain), None)


def without_given(settings: Settings, arch: str | None, encoder: str | None, classes: int | None) -> Settings:
    """Return ``settings`` of a file with the user's values in place of the file's."""
    return dataclasses.replace(
        settings,
        arch=arch or settings.arch,
        encoder=encoder or settings.encoder,
        classes=classes or settings.classes,
    )


def _entries(given: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield settings with their names, top-level ones first."""
    if isinstance(given, list | tuple):
        for each in given:
            yield from _entries(each, depth)
        return
    held = {**attributes_of(given), **(given if isinstance(given, Mapping) else {})}
    yield from ((str(key).lower(), value) for key, value in held.items())
    if depth < DEEPEST:
        for value in held.values():
            if isinstance(value, Mapping) or attributes_of(value):
                yield from _entries(value, depth + 1)


def _first(entries: Mapping[str, list[Any]], names: tuple[str, ...], fits: Any) -> Any:
    return next((value for name in names for value in entries.get(name, []) if fits(value)), None)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10000


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(entry) for entry in value)
    return isinstance(value, str | int | float | bool)


def _plain(value: Any) -> Any:
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value
