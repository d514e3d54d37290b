"""Recognition of networks: candidates are built without memory and compared with the tensors name by name."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seglab.errors import CheckpointError, ConfigError
from seglab.networks.build import DECODER_CHANNELS, build_network
from seglab.networks.checkpoints import NetworkSpec
from seglab.networks.foreign.architectures import (
    CLASSIFIER,
    architecture,
    class_count,
    modern_name,
    options_of,
)
from seglab.networks.foreign.encoders import encoder_candidates, twin_of
from seglab.networks.foreign.found import Found, Settings
from seglab.networks.foreign.prefixes import levels
from seglab.recipes.recipe import OWN_ARCHITECTURES, SMP_ARCHITECTURES

COUNTER = "num_batches_tracked"
"""Counter of batch normalisation, which is not used in computation; old files lack it."""
MOST_SHOWN = 3
MOST_DIFFERENT = 0.2
"""Where no encoder fits, the nearest is named if at most this share of its tensors differs."""

Shapes = Mapping[str, torch.Size]


@dataclass(frozen=True)
class Fit:
    """A network and tensors that fit it exactly. ``notes``: what was left out, a clause each."""

    spec: NetworkSpec
    state: dict[str, Tensor]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Misfit:
    """The intended network, and the tensors that do not fit it."""

    spec: NetworkSpec
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    shapes: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of tensors that do not fit."""
        return len(self.missing) + len(self.unexpected) + len(self.shapes)

    def __str__(self) -> str:
        """Return a text with the first misfitting tensors of each kind."""
        parts = []
        for what, names in (
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("of another shape", self.shapes),
        ):
            if names:
                more = ", ..." if len(names) > MOST_SHOWN else ""
                parts.append(f"{len(names)} {what} ({', '.join(names[:MOST_SHOWN])}{more})")
        return "; ".join(parts)


def fit(found: Found, wanted: Settings) -> Fit | Misfit | None:
    """Return the network that the tensors belong to.

    ``wanted``: what the user says about it, which is binding; what the file says is only tried. Return None where too
    little is known to build a network, and a :class:`Misfit` where the tensors do not fit the named network.
    Raises :class:`ConfigError` for unknown names, :class:`CheckpointError` for networks that do not take RGB.
    """
    closest: Misfit | None = None
    unbuilt: ConfigError | None = None
    for tensors, notes in levels(found.tensors):
        current, more = _tidied(tensors)
        for settings in _attempts(wanted, found.settings):
            try:
                result = _fit_settings(current, settings)
            except ConfigError as error:  # names may still have a prefix, or the file's settings may be wrong
                unbuilt = error
                continue
            if isinstance(result, NetworkSpec):
                return Fit(result, current, (*notes, *more))
            if result is not None and (closest is None or result.count < closest.count):
                closest = result
    if closest is None and unbuilt is not None and (wanted.arch or wanted.encoder):
        raise unbuilt
    return closest


def description(spec: NetworkSpec) -> str:
    """Return a description of a network for messages: ``Unet with encoder resnet34, 1 class``."""
    classes = f"{spec.classes} class{'es' if spec.classes > 1 else ''}"
    if spec.arch in SMP_ARCHITECTURES:
        return f"{_smp_class(spec.arch).__name__} with encoder {spec.encoder}, {classes}"
    return f"{spec.arch} of widths {'-'.join(map(str, spec.options.get('widths', ())))}, {classes}"


def _tidied(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the tensors under their current names, without a classifier, and notes."""
    kept = {modern_name(key): value for key, value in tensors.items() if not key.startswith(CLASSIFIER)}
    dropped = len(tensors) - len(kept)
    return kept, (f"the {dropped} tensors of {CLASSIFIER[:-1]} are left out",) if dropped else ()


def _attempts(wanted: Settings, said: Settings) -> list[Settings]:
    """Return settings to try: the user's with the file's, then the user's alone, because a file may be wrong."""
    both = Settings(
        wanted.arch or said.arch,
        wanted.encoder or said.encoder,
        wanted.classes,
        options={**said.options, **wanted.options},
    )
    return [both, wanted] if both != wanted else [wanted]


def _fit_settings(tensors: Mapping[str, Tensor], settings: Settings) -> NetworkSpec | Misfit | None:
    shapes = {key: value.shape for key, value in tensors.items()}
    arch = settings.arch or architecture(shapes)
    if arch is None:
        return None
    classes = settings.classes or class_count(shapes, arch) or 1
    try:
        options = options_of(arch, shapes) if arch == architecture(shapes) else {}
    except (KeyError, IndexError):
        options = {}
    if arch in OWN_ARCHITECTURES:
        return _compared(NetworkSpec(arch, None, classes, options), shapes)
    options = {**_taken(arch, settings.options), **options}
    encoder = settings.encoder or _encoder(shapes, arch, options)
    if encoder is None:
        return None
    return _first_that_fits(arch, encoder, classes, options, shapes)


def _first_that_fits(
    arch: str, encoder: str, classes: int, options: dict[str, Any], shapes: Shapes
) -> NetworkSpec | Misfit:
    """Try smp's depths where the tensors do not show how deep the encoder is."""
    result: Misfit | None = None
    for more in _variants(arch, options):
        try:
            tried = _compared(NetworkSpec(arch, encoder, classes, {**options, **more}), shapes)
        except ConfigError:
            if result is None:  # the library's own depth
                raise
            continue
        if isinstance(tried, NetworkSpec):
            return tried
        result = tried if result is None or tried.count < result.count else result
    assert result is not None
    return result


def _variants(arch: str, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "encoder_depth" in options or arch in DECODER_CHANNELS:
        norms = ("layernorm", "instancenorm") if options.get("decoder_use_norm") == "layernorm" else ()
        return [{"decoder_use_norm": norm} for norm in norms] or [{}]
    return [{}, *({"encoder_depth": depth} for depth in (3, 4, 5))]


def _taken(arch: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a file that the architecture takes, under their current names."""
    given = dict(options)
    for old in ("decoder_use_batchnorm", "psp_use_batchnorm"):
        if old in given:
            value = given.pop(old)
            given.setdefault("decoder_use_norm", "batchnorm" if value is True else value)
    known = inspect.signature(_smp_class(arch)).parameters
    return {key: value for key, value in given.items() if key in known}


def _smp_class(arch: str) -> Any:
    import segmentation_models_pytorch as smp

    return smp.MODEL_ARCHITECTURES_MAPPING[arch]


def _encoder(shapes: Shapes, arch: str, options: Mapping[str, Any]) -> str | None:
    """Return the encoder with these tensors, or the nearest one.

    None where there is none, or where two encoders have the same tensors but compute different results.
    """
    prefix = "encoder."
    own = _comparable({key.removeprefix(prefix): shape for key, shape in shapes.items() if key.startswith(prefix)})
    channels = options.get("decoder_channels")
    depth = len(channels) if isinstance(channels, list) else int(options.get("encoder_depth", 5))
    depths = (depth, 3) if arch == "pspnet" else (depth,)

    def differences(name: str) -> int:
        return min(_differences(_encoder_shapes(name, each), own) for each in depths)

    nearest: tuple[float, str | None] = (MOST_DIFFERENT * len(own), None)
    candidates = list(encoder_candidates(own))
    for name in candidates:
        count = differences(name)
        if count == 0:
            twin = twin_of(name)
            return None if twin in candidates and differences(str(twin)) == 0 else name
        nearest = min(nearest, (count, name), key=lambda entry: entry[0])
    return nearest[1]


def _differences(expected: Shapes, given: Shapes) -> int:
    return sum(expected.get(key) != given.get(key) for key in expected.keys() | given.keys())


def _encoder_shapes(name: str, depth: int) -> Shapes:
    from segmentation_models_pytorch.encoders import get_encoder

    def build() -> torch.nn.Module:
        encoder: torch.nn.Module = get_encoder(name, weights=None, depth=depth)
        return encoder

    try:
        return _comparable(_shapes(_without_memory(build)))
    except (RuntimeError, ValueError, KeyError, AttributeError, TypeError):  # the encoder does not support this depth
        return {}


def _without_memory(build: Any) -> torch.nn.Module:
    """Build a network on torch's meta device, or in memory if its constructor needs real values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with torch.device("meta"):
                network: torch.nn.Module = build()
        except (RuntimeError, ConfigError):
            network = build()
    return network


def _compared(spec: NetworkSpec, shapes: Shapes) -> NetworkSpec | Misfit:
    """Return ``spec`` if its network has exactly these tensors, else a :class:`Misfit`."""
    given = _comparable(shapes)
    expected = _comparable(_shapes(_without_memory(lambda: build_network(spec))))
    missing = tuple(key for key in expected if key not in given)
    unexpected = tuple(key for key in given if key not in expected)
    other = tuple(
        f"{key}: {_text(given[key])} for {_text(shape)}"
        for key, shape in expected.items()
        if key in given and given[key] != shape
    )
    if _is_grey(other, given):
        raise CheckpointError(
            f"The network takes images of {_input_channels(given)} channels ({other[0]}); expected one that takes "
            "RGB. Export "
            "it to ONNX where its code is, and take that with `seg-export adopt NET.onnx`, which makes grey of RGB."
        )
    return Misfit(spec, missing, unexpected, other) if missing or unexpected or other else spec


def _is_grey(other: tuple[str, ...], given: Shapes) -> bool:
    """Return whether the only difference is the number of input channels of the first convolution."""
    return len(other) == 1 and _input_channels(given) not in (3, 0) and other[0].startswith(next(iter(given)))


def _input_channels(given: Shapes) -> int:
    first = next(iter(given.values()), torch.Size())
    return int(first[1]) if len(first) == 4 else 0


def _shapes(network: torch.nn.Module) -> Shapes:
    return {key: value.shape for key, value in network.state_dict().items()}


def _comparable(shapes: Shapes) -> Shapes:
    return {key: shape for key, shape in shapes.items() if not key.endswith(COUNTER)}


def _text(shape: torch.Size) -> str:
    return "x".join(map(str, shape)) or "scalar"
