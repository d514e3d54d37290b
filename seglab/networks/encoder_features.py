"""Features of a network's encoder: recorded while the network runs, pooled, and stored in a checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from seglab.errors import CheckpointError
from seglab.networks.suitability import Suitability

DEPTHS = slice(2, 5)
"""Indices in an encoder's list of features (the image is 0): those at 1/4, 1/8 and 1/16 of its side."""
NO_ENCODER = (
    "{network} has no encoder whose features can be taken; expected a network of smp, which has one. It has no score "
    "`suitable`."
)
ARRAYS = ("mean", "scale", "axes", "weights")


def encoder_of(network: nn.Module) -> nn.Module | None:
    """Return the encoder of a network of smp; None where there is none whose features can be recorded."""
    encoder = getattr(network, "encoder", None)
    return encoder if isinstance(encoder, nn.Module) else None


class _Kept:
    """Holds the recorded features outside the module, because torch's exporter would include them in it."""

    features: Sequence[Tensor] = ()


class Watched(nn.Module):
    """A network that also returns the features of its encoder.

    As a context manager it restores the encoder at the end. Features are recorded in the forward pass, so the input of
    the encoder is the same as in normal use.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        encoder = encoder_of(network)
        if encoder is None:
            raise CheckpointError(NO_ENCODER.format(network=type(network).__name__))
        self.network = network
        self._kept = _Kept()
        self._handle = encoder.register_forward_hook(self._keep)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the network's output for images ``(N, 3, S, S)``, followed by the features."""
        self._kept.features = ()
        return self.network(x), *self.given

    @property
    def given(self) -> list[Tensor]:
        """Features ``(N, C, h, w)`` of the last call that are pooled; empty where the encoder returns no list."""
        found = self._kept.features[DEPTHS]
        return [each for each in found if isinstance(each, Tensor) and each.ndim == 4 and each.shape[1]]

    def _keep(self, _encoder: nn.Module, _inputs: Any, features: Any) -> None:
        self._kept.features = features if isinstance(features, list | tuple) else ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._handle.remove()


def channels_of(network: nn.Module, image: Tensor) -> tuple[int, ...]:
    """Return the number of channels of each pooled feature map, found by running an image ``(1, 3, S, S)``.

    Raises :class:`CheckpointError` where the network has no encoder that returns a list of features.
    """
    with Watched(network) as watched:
        watched(image)
    if not watched.given:
        raise CheckpointError(NO_ENCODER.format(network=type(network).__name__))
    return tuple(each.shape[1] for each in watched.given)


def pooled(features: list[Tensor]) -> Tensor:
    """Return the means of the features over their pixels, concatenated: ``(N, D)``."""
    return torch.cat([each.float().mean(dim=(2, 3)) for each in features], dim=1)


def to_plain(suitability: Suitability) -> dict[str, Any]:
    """Return tensors and numbers for a checkpoint."""
    values = {each.name: getattr(suitability, each.name) for each in dataclasses.fields(suitability)}
    return {name: torch.from_numpy(value) if name in ARRAYS else value for name, value in values.items()}


def from_plain(values: Mapping[str, Any]) -> Suitability | None:
    """Return the score's data from a checkpoint; None where it has none. Raises :class:`CheckpointError` if damaged."""
    if not values:
        return None
    try:
        plain = {name: value.numpy() if name in ARRAYS else value for name, value in values.items()}
        return Suitability(**{**plain, "channels": tuple(plain["channels"])})
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"The checkpoint's data for the score `suitable` are damaged ({error}). Make them again with `seglab "
            "suitable`."
        ) from error
