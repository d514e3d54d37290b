"""The PyTorch reference: parity compares exported models with its masks."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from seglab.images.hair import remove
from seglab.networks.build import restore_network
from seglab.networks.checkpoints import Checkpoint
from seglab.networks.encoder_features import Watched, channels_of, from_plain, pooled
from seglab.networks.quantised import Quantised
from seglab.networks.suitability import Values

MIRRORS: tuple[tuple[int, ...], ...] = ((), (3,), (2,), (2, 3))
"""Axes of ``(N, C, H, W)`` to flip for test-time flips: none, left to right, top to bottom, both."""
UPRIGHT = tuple((axes, False) for axes in MIRRORS)
VIEWS = {
    "none": UPRIGHT[:1],
    "flips": UPRIGHT,
    "symmetries": (*UPRIGHT, *((axes, True) for axes in MIRRORS)),
}
"""Views of an image by the name of the test-time augmentation: axes to flip, and whether it is then transposed."""


class Predictor:
    """A checkpoint ready to predict, in fp32 on ``device`` (a torch device name), or several as an ensemble.

    ``tta``: ``flips`` for the mean probability over the image and its mirror images, ``symmetries`` for all eight,
    ``none``, or None for what the checkpoint says. Hairs are removed where the checkpoint was trained without them. An
    ensemble's probability is the mean over its networks; size, classes, threshold and test-time augmentation are those
    of the first. ``simulates``: networks that were trained with the rounding of int8 round like int8; otherwise they
    only clip. ``exact``: numbers of the tensors that are not rounded even then, counted through all networks.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *others: Checkpoint,
        device: str = "cpu",
        tta: str | None = None,
        simulates: bool = False,
        exact: Collection[int] = (),
    ) -> None:
        self.checkpoint = checkpoint
        self.classes = checkpoint.classes
        self.device = torch.device(device)
        self.tta = checkpoint.tta if tta is None else tta
        self.networks = [_Network(each, self.device, self.tta) for each in (checkpoint, *others)]
        self._suitability = from_plain(checkpoint.suitable)
        first = 0
        for network in self.networks:
            if isinstance(network.network, Quantised):
                network.network.simulates = simulates
                numbers = range(len(network.network.ranges))
                network.network.exact = frozenset(number for number in numbers if number + first in exact)
                first += len(numbers)

    def prob(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the probabilities ``(S, S)``, 0-1, of an RGB image, uint8 ``(H, W, 3)``; ``(C, S, S)`` for classes."""
        return self._plain(self._prob(image))

    def mask(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the mask ``(H, W)`` of an RGB image, uint8 ``(H, W, 3)``: 0 or 255, or numbers of classes from 0."""
        return self.prob_and_mask(image)[1]

    def prob_and_mask(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return :meth:`prob` and :meth:`mask` from one forward pass."""
        prob = self._prob(image)
        height, width = image.shape[:2]
        full = functional.interpolate(prob, (height, width), mode="bilinear", align_corners=False)
        if self.classes > 1:
            return self._plain(prob), full[0].argmax(dim=0).to(torch.uint8).cpu().numpy()
        lesion = (full[0, 0] >= self.checkpoint.threshold).cpu().numpy()  # (H, W)
        return self._plain(prob), np.where(lesion, np.uint8(255), np.uint8(0))

    def _plain(self, prob: Tensor) -> NDArray[np.float32]:
        return np.asarray((prob[0] if self.classes > 1 else prob[0, 0]).cpu().numpy(), np.float32)

    @torch.inference_mode()
    def given(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the raw output ``(C, S, S)`` of the first network: logits or probabilities."""
        first = self.networks[0]
        return np.asarray(first.network(first.fed(self._pixels(image)))[0].cpu().numpy(), np.float32)

    def suitable(self, image: NDArray[np.uint8]) -> float | None:
        """Return how much an image looks like the training images of the first network, 0 to 1.

        Mirror images are not used. None where the checkpoint has no such score.
        """
        if self._suitability is None:
            return None
        return float(self._suitability.scores(self.points([image]))[0])

    @torch.inference_mode()
    def feature_channels(self) -> tuple[int, ...]:
        """Channels of each feature map that :meth:`points` pools. Raises like :meth:`points`."""
        size = self.checkpoint.size
        return channels_of(self.networks[0].network, torch.zeros(1, 3, size, size, device=self.device))

    @torch.inference_mode()
    def points(self, images: Sequence[NDArray[np.uint8]]) -> Values:
        """Return the pooled features ``(N, D)`` of the first network's encoder for RGB images ``(H, W, 3)``.

        Raises :class:`seglab.errors.CheckpointError` where it has no encoder.
        """
        first = self.networks[0]
        with Watched(first.network) as watched:
            watched(torch.cat([first.fed(self._pixels(image)) for image in images]))
            return np.asarray(pooled(watched.given).cpu().numpy(), np.float32)

    @torch.inference_mode()
    def _prob(self, image: NDArray[np.uint8]) -> Tensor:
        x = self._pixels(image)
        probs = [network(x) for network in self.networks]
        return torch.stack(probs).mean(dim=0) if len(probs) > 1 else probs[0]  # (1, C, S, S)

    def _pixels(self, image: NDArray[np.uint8]) -> Tensor:
        """Return an image at the network's input size: float ``(1, 3, S, S)``, 0-255."""
        size = self.checkpoint.size
        pixels = torch.from_numpy(np.array(image)).to(self.device)
        x = pixels.permute(2, 0, 1).unsqueeze(0).float()  # (1, 3, H, W)
        return functional.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)


class _Network:
    """One network with its normalisation: pixels ``(1, 3, S, S)``, 0-255, to probabilities ``(1, C, S, S)``."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, tta: str) -> None:
        self._hair, self._output, self._lesion_class = checkpoint.hair, checkpoint.output, checkpoint.lesion_class
        self._order = [2, 1, 0] if checkpoint.channels == "bgr" else [0, 1, 2]
        self._views = VIEWS[tta]
        self.network = restore_network(checkpoint).to(device)
        self._mean = torch.tensor(checkpoint.mean, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(checkpoint.std, device=device).view(1, 3, 1, 1)

    def __call__(self, pixels: Tensor) -> Tensor:
        x = self.fed(pixels)
        seen = [self._seen(x, axes, across) for axes, across in self._views]
        return torch.stack(seen).mean(dim=0) if len(seen) > 1 else seen[0]

    def _seen(self, x: Tensor, axes: tuple[int, ...], across: bool) -> Tensor:
        """Return the probabilities for one view, transformed back."""
        view = x.flip(axes).mT if across else x.flip(axes)
        prob = self._activate(self.network(view))
        return (prob.mT if across else prob).flip(axes)

    def fed(self, pixels: Tensor) -> Tensor:
        """Return the network's input: hairs removed if asked for, normalised, in its order of channels."""
        return ((self._without_hair(pixels) / 255 - self._mean) / self._std)[:, self._order]

    def _activate(self, given: Tensor) -> Tensor:
        if self._output == "logits":
            given = torch.sigmoid(given) if given.shape[1] == 1 else torch.softmax(given, dim=1)
        return given if self._lesion_class is None else given[:, self._lesion_class, None]

    def _without_hair(self, x: Tensor) -> Tensor:
        if self._hair == "none":
            return x
        pixels = x[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu().numpy()  # (S, S, 3)
        cleaned = remove(self._hair, pixels)
        return torch.from_numpy(cleaned).to(x.device).permute(2, 0, 1).unsqueeze(0).float()  # (1, 3, S, S)
