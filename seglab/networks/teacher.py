"""Teacher networks: another network learns from their probabilities for the same pixels."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from seglab.errors import ConfigError
from seglab.networks.build import restore_network
from seglab.networks.checkpoints import load_checkpoint


class Teacher:
    """The network of a checkpoint of ``seglab train``, on ``device``, with its own normalisation and size.

    ``hair``: how hairs are removed from its input. Raises :class:`ConfigError` where the checkpoint was trained with
    another setting or has several classes, :class:`CheckpointError` where it cannot be read.
    """

    def __init__(self, path: Path, device: torch.device, hair: str) -> None:
        checkpoint = load_checkpoint(path)
        if checkpoint.network.classes != 1 or checkpoint.output != "logits" or checkpoint.channels != "rgb":
            raise ConfigError(
                f"teacher: {path} is a network of {checkpoint.network.classes} classes that takes "
                f"{checkpoint.channels} and gives {checkpoint.output}; expected a checkpoint of `seglab train`."
            )
        if checkpoint.hair != hair:
            raise ConfigError(
                f"teacher: {path} was trained with hair={checkpoint.hair}, but the recipe says hair={hair}; expected "
                f"the same. Add --set hair={checkpoint.hair}, or name another teacher."
            )
        self.size = checkpoint.size
        network = restore_network(checkpoint).requires_grad_(False)
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._mean = torch.tensor(checkpoint.mean, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(checkpoint.std, device=device).view(1, 3, 1, 1)

    @torch.no_grad()
    def prob(self, pixels: Tensor) -> Tensor:
        """Return the probabilities ``(N, 1, S, S)`` for images ``(N, 3, S, S)``, RGB, 0-255."""
        seen = pixels.float()
        if pixels.shape[-1] != self.size:
            seen = functional.interpolate(seen, (self.size,) * 2, mode="bilinear", antialias=True, align_corners=False)
        prob: Tensor = self.network((seen / 255 - self._mean) / self._std).float().sigmoid()
        if pixels.shape[-1] != self.size:
            prob = functional.interpolate(prob, pixels.shape[-2:], mode="bilinear", align_corners=False)
        return prob
