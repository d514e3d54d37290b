"""Calibration: measure the ranges of a network's tensors on images like those it will see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from export.contract import INPUT, PROB
from export.runtime.masks import drop_single_class
from export.samples import SYNTHETIC_SIZES, sample_files
from seglab.images.pixels.resize import fit
from seglab.images.reader import read_image
from seglab.synth import synthesise
from seglab.words import counted

if TYPE_CHECKING:
    from onnx import ModelProto

DEFAULT_IMAGES = 64
FIRST_SEED = 1000
"""First seed of the synthetic images, so that they differ from those parity is measured on."""
CHUNK = 8

Images = NDArray[np.uint8]
Probs = NDArray[np.float32]


@dataclass(frozen=True)
class Calibration:
    """Images at the network's size, uint8 ``(N, S, S, 3)``; ``source`` says where they come from."""

    source: str
    images: Images


@dataclass(frozen=True)
class Range:
    """A tensor's smallest and largest value, and its mean per channel (axis 1), over all images."""

    low: float
    high: float
    mean: NDArray[np.float64]


def calibration_set(folder: Path | None, limit: int, size: int) -> Calibration:
    """Return at most ``limit`` images of a folder, evenly spaced, or ``limit`` synthetic ones, at the network's size.

    Raises :class:`seglab.errors.DataError` if there are none, :class:`seglab.errors.ImageError` for a broken one.
    """
    if folder is None:
        images = [_synthetic(index, size) for index in range(limit)]
        return Calibration(f"{counted(limit, 'synthetic image')}", np.stack(images))
    files, total, _ = sample_files(folder, limit)
    images = [fit(read_image(path), size) for path, _ in files]
    return Calibration(f"{len(files):,} of {counted(total, 'image')} of {folder.resolve().name}", np.stack(images))


def measure(model: ModelProto, images: Images, tensors: Sequence[str]) -> dict[str, Range]:
    """Run a float model on images ``(N, S, S, 3)`` and return the ranges of its ``tensors``."""
    from onnx import ModelProto, TensorProto, helper

    opened = ModelProto()
    opened.CopyFrom(model)
    for name in tensors:
        opened.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    run = session(opened, optimise=False)  # optimisation would fuse tensors away
    found: dict[str, list[Range]] = {name: [] for name in tensors}
    for image in images:
        for name, values in zip(tensors, run.run(list(tensors), {INPUT: image[None]}), strict=True):
            channels = values.mean(axis=tuple(axis for axis in range(values.ndim) if axis != 1), dtype=np.float64)
            found[name].append(Range(float(values.min()), float(values.max()), channels))
    return {name: _joined(ranges) for name, ranges in found.items()}


def probabilities(model: ModelProto, images: Images) -> Probs:
    """Return probabilities of images ``(N, S, S, 3)``, computed by the CPU provider: ``(N, S, S)``, or ``(N, C, S, S)``
    for several classes.
    """
    run = session(model)
    parts = [run.run([PROB], {INPUT: images[start : start + CHUNK]})[0] for start in range(0, len(images), CHUNK)]
    return drop_single_class(np.concatenate(parts))


def session(model: ModelProto, *, optimise: bool = True) -> Any:
    """Open a model in memory on the CPU provider."""
    import onnxruntime

    from export.runtime.engines.onnxruntime import QUIET
    from export.runtime.plan import REFERENCE

    options = onnxruntime.SessionOptions()
    options.log_severity_level = QUIET
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=[REFERENCE])


def _synthetic(index: int, size: int) -> Images:
    height, width = SYNTHETIC_SIZES[index % len(SYNTHETIC_SIZES)]
    return fit(synthesise(height, width, FIRST_SEED + index).image, size)


def _joined(ranges: Iterable[Range]) -> Range:
    parts = list(ranges)
    means = np.mean([part.mean for part in parts], axis=0)
    return Range(min(part.low for part in parts), max(part.high for part in parts), means)
