"""What a network's encoder gives on the way: watched while the network runs, pooled, and kept with a checkpoint."""

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
"""Of an encoder's list of features, the image first: those at a quarter, an eighth and a sixteenth of its side."""
NO_ENCODER = (
    "{network} has no encoder whose features can be taken; expected a network of smp, which has one. It has no score "
    "`suitable`."
)
ARRAYS = ("mean", "scale", "axes", "weights")


def encoder_of(network: nn.Module) -> nn.Module | None:
    """Return a network's encoder, as those of smp have one; None where it has none that can be watched."""
    encoder = getattr(network, "encoder", None)
    return encoder if isinstance(encoder, nn.Module) else None


class _Kept:
    """What the watched encoder gave: beside the module, since torch's exporter would take it for a part of that."""

    features: Sequence[Tensor] = ()


class Watched(nn.Module):
    """A network whose encoder is watched.

    A context manager: the encoder is left as it was. The features are taken as they come by, so that whatever the
    network does around its encoder is done to them, too.
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
        """Return what the network gives for images ``(N, 3, S, S)``, and the features behind it."""
        self._kept.features = ()
        return self.network(x), *self.given

    @property
    def given(self) -> list[Tensor]:
        """The features ``(N, C, h, w)`` of the last call that are pooled; none where the encoder gives no such list."""
        found = self._kept.features[DEPTHS]
        return [each for each in found if isinstance(each, Tensor) and each.ndim == 4 and each.shape[1]]

    def _keep(self, _encoder: nn.Module, _inputs: Any, features: Any) -> None:
        self._kept.features = features if isinstance(features, list | tuple) else ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._handle.remove()


def channels_of(network: nn.Module, image: Tensor) -> tuple[int, ...]:
    """Return how many channels each of the features has, which a network gives for an image ``(1, 3, S, S)``.

    Raises :class:`CheckpointError` where it has no encoder that gives a list of them.
    """
    with Watched(network) as watched:
        watched(image)
    if not watched.given:
        raise CheckpointError(NO_ENCODER.format(network=type(network).__name__))
    return tuple(each.shape[1] for each in watched.given)


def pooled(features: list[Tensor]) -> Tensor:
    """Return the features' means over their pixels, one behind the other: ``(N, D)``."""
    return torch.cat([each.float().mean(dim=(2, 3)) for each in features], dim=1)


def to_plain(suitability: Suitability) -> dict[str, Any]:
    """Return tensors and numbers, as a checkpoint keeps them."""
    values = {each.name: getattr(suitability, each.name) for each in dataclasses.fields(suitability)}
    return {name: torch.from_numpy(value) if name in ARRAYS else value for name, value in values.items()}


def from_plain(values: Mapping[str, Any]) -> Suitability | None:
    """Return what a checkpoint keeps; None where it has no score. Raises :class:`CheckpointError` for a damaged one."""
    if not values:
        return None
    try:
        plain = {name: value.numpy() if name in ARRAYS else value for name, value in values.items()}
        return Suitability(**{**plain, "channels": tuple(plain["channels"])})
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"What the checkpoint says of the score `suitable` is damaged ({error}); expected what `seglab suitable` "
            "writes. Make it again with that command."
        ) from error
