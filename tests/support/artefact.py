"""A tiny trained network and its model file, made once per test session: for tests of export and batch.

``tiny_checkpoint(path)`` and ``tiny_model(path)`` write copies wherever a test wants them.
"""

from __future__ import annotations

import atexit
import dataclasses
import functools
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from export.conversion.build import contract_for, segmenter
from export.graph.stages import Member, Stages, fuse
from export.graph.trace import trace
from export.graph.writing import write_model
from export.precision.learned import quantise_learned
from seglab.evaluation.original import Predictor
from seglab.networks.build import build_network, restore_network
from seglab.networks.checkpoints import Checkpoint, NetworkSpec, load_checkpoint, save_checkpoint
from seglab.networks.normalisation import IMAGENET_MEAN, IMAGENET_STD, Triple
from seglab.networks.quantised import Quantised, fold_normalisation, measure_ranges
from tests.support.traces import remembering

TINY_SIZE = 64
STEPS, BATCH = 70, 8


def tiny_checkpoint(path: Path, seed: int = 0) -> Checkpoint:
    """Write the checkpoint of a U-Net (S = 64) that finds brown blobs and leaves blue ones; return it loaded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_trained(seed), path)
    return load_checkpoint(path)


def tiny_original(path: Path, seed: int = 0) -> Predictor:
    """Write the same checkpoint and return it as PyTorch runs it: the independent reference."""
    return Predictor(tiny_checkpoint(path, seed))


def tiny_model(path: Path, seed: int = 0) -> Path:
    """Write that network's model file (with contract) and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_exported(seed), path)
    return path


def tiny_model_with(path: Path, change: Callable[[dict[str, torch.Tensor]], object], licence: str = "MIT") -> Path:
    """Write the model file of that network after a change of its weights, and return its path."""
    checkpoint = load_checkpoint(_trained(0))
    change(checkpoint.state)
    write_model(segmenter([checkpoint]), contract_for([checkpoint], licence=licence), path)
    return path


def with_ranges(checkpoint: Checkpoint) -> Checkpoint:
    """Give a trained network ranges, as a run with ``quantise=int8`` begins."""
    network = fold_normalisation(restore_network(checkpoint))
    rng = np.random.default_rng(9)
    pictures = np.stack([blobs(rng, checkpoint.size, checkpoint.size)[0] for _ in range(32)])
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (checkpoint.mean, checkpoint.std))
    ranges = tuple(measure_ranges(network, [(pixels - mean) / std]))
    spec = dataclasses.replace(checkpoint.network, ranges=ranges)
    return dataclasses.replace(checkpoint, network=spec, state=Quantised(network, ranges).state_dict())


def tiny_twins(folder: Path) -> tuple[Path, Path]:
    """Write the tiny network as an int8 file and its fp32 twin, like the package's own network."""
    checkpoint = with_ranges(load_checkpoint(_trained(0)))
    exact, contract = segmenter([checkpoint]), contract_for([checkpoint])
    made = {"layers": 13, "float_layers": [], "calibration": "none"}
    int8, fp32 = folder / "tiny-int8.onnx", folder / "tiny-fp32.onnx"
    write_model(exact, contract, fp32)
    precise = dataclasses.replace(contract, precision="int8", quantisation=made)
    write_model(quantise_learned(exact, checkpoint.network.ranges)[0], precise, int8)
    return int8, fp32


def fused_model(path: Path, network: nn.Module, stages: Stages, mean: Triple, std: Triple) -> Path:
    """Write the model file of any network with these stages, and return its path."""
    model = fuse([Member(remembering(trace)(network.eval(), stages.size), mean, std)], stages)
    checkpoint = Checkpoint(NetworkSpec("unet-scratch", classes=stages.classes), stages.size, {}, mean, std)
    write_model(model, contract_for([dataclasses.replace(checkpoint, threshold=stages.threshold)]), path)
    return path


def label_model(path: Path, network: nn.Module, size: int, classes: int) -> Path:
    """Write the model file of a network of several classes on plain 0-1 pixels, and return its path."""
    return fused_model(path, network, Stages(size, classes=classes), (0, 0, 0), (1, 1, 1))


class _Colours(nn.Module):
    """Tells skin (0), the brown blob (1) and the blue one (2) of :func:`blobs` apart, by weights worked out by hand."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, classes, 1)
        weights, biases = torch.zeros(classes, 3), torch.full((classes,), -100.0)
        known = torch.tensor([[0.0, 0, 0, 0], [-5, 0, -15, 11], [-40, 0, 40, 0]])[:classes]  # red, green, blue, bias
        weights[: len(known)], biases[: len(known)] = known[:, :3], known[:, 3]
        with torch.no_grad():
            self.layer.weight.copy_(weights[..., None, None])
            self.layer.bias.copy_(biases)  # type: ignore[union-attr]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layer(x)
        return logits


def colour_model(path: Path, names: Sequence[str] = ("skin", "brown", "blue")) -> Path:
    """Write the model file of a network (S = 64) that labels :func:`blobs` with classes, and return its path.

    Classes from the fourth of the ``names`` on are never likely.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    label_model(path, _Colours(len(names)), TINY_SIZE, len(names))
    model = onnx.load(path)
    for entry in model.metadata_props:
        if entry.key == "seglab.class_names":
            entry.value = json.dumps(list(names))
    onnx.save(model, path)
    return path


def blobs(rng: np.random.Generator, height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw skin with a brown blob (the lesion), a blue one, and fine noise: RGB ``(H, W, 3)`` and mask ``(H, W)``."""
    image = np.full((height, width, 3), (220, 180, 160), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    for colour, is_lesion in (((60, 90, 160), False), ((130, 80, 50), True)):
        centre = (int(rng.uniform(0.2, 0.8) * width), int(rng.uniform(0.2, 0.8) * height))
        axes = (max(1, int(rng.uniform(0.1, 0.35) * width)), max(1, int(rng.uniform(0.1, 0.35) * height)))
        turn = float(rng.uniform(0, 180))
        cv2.ellipse(image, centre, axes, turn, 0, 360, colour, -1)
        cv2.ellipse(mask, centre, axes, turn, 0, 360, 255 if is_lesion else 0, -1)
    noisy = image + rng.normal(0, 12, image.shape)
    return noisy.clip(0, 255).astype(np.uint8), mask


@functools.cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="seglab-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def _trained(seed: int) -> Path:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    spec = NetworkSpec("unet-scratch", options={"widths": [6, 12, 24]})
    network = build_network(spec)
    mean, std = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(STEPS):
        images, masks = zip(*(blobs(rng, TINY_SIZE, TINY_SIZE) for _ in range(BATCH)), strict=True)
        x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255  # (N, 3, S, S)
        target = torch.from_numpy(np.stack(masks))[:, None] / 255  # (N, 1, S, S)
        loss = functional.binary_cross_entropy_with_logits(network((x - mean) / std), target)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    path = _folder() / f"tiny-{seed}.pt"
    training = {"data": {"name": "blobs"}, "seed": seed, "loss": float(loss.detach())}
    save_checkpoint(Checkpoint(spec, TINY_SIZE, network.state_dict(), training=training), path)
    return path


@functools.cache
def _exported(seed: int) -> Path:
    checkpoint = load_checkpoint(_trained(seed))
    path = _folder() / f"tiny-{seed}.onnx"
    write_model(segmenter([checkpoint]), contract_for([checkpoint], licence="MIT"), path)
    return path
