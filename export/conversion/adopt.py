"""Adopting a network that somebody else exported: the fused graph is built around it, without torch.

What is adopted takes normalised images, float ``(N, 3, S, S)``, and gives logits or probabilities ``(N, C, S, S)``:
what a plain ``torch.onnx.export`` of a segmentation network writes. How its pixels are to be normalised is not in such
a file and has to be said.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.contract import Contract
from export.errors import ContractError, DeviceError
from export.graph.simplify import drop_notes
from export.graph.stages import OPSET, Member, Stages, fuse
from export.graph.writing import tool_versions, write_model
from export.proof.gate import CHUNK, ParityReport, check
from export.proof.sealing import seal
from export.runtime.masks import drop_single_class, enlarge
from export.runtime.opening import open_model
from export.samples import Sample, SampleSet
from seglab.files import replacing, sha256
from seglab.images.hair import remove
from seglab.networks.normalisation import Triple

if TYPE_CHECKING:
    from onnx import ModelProto

ARCH = "adopted"
ADVICE = "See that it is fed as it was trained (--size, --mean, --std) and adopt it again."
ACTIVATIONS = {"Sigmoid", "Softmax"}

Images = NDArray[np.uint8]
Probs = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Wrapping:
    """How a foreign network wants its images, and what its output means.

    ``size``: S. ``mean``, ``std``: per RGB channel on the scale 0-1. ``threshold``: probability from which a pixel is
    lesion. ``class_names``: one for lesion or not, else one per class, the background first. ``hair``: how hairs are
    removed before it, ``none`` or ``dullrazor``.
    """

    size: int
    mean: Triple
    std: Triple
    threshold: float = 0.5
    class_names: tuple[str, ...] = ("lesion",)
    hair: str = "none"


def adopt(
    source: Path,
    out: Path,
    wrapping: Wrapping,
    samples: SampleSet,
    *,
    licence: str = "not stated",
    track: Callable[[Iterable[Sample]], Iterable[Sample]] = iter,
) -> ParityReport:
    """Wrap the network in ``source`` and write it to ``out`` if it passes the parity gate on the CPU provider.

    The original of the gate is the foreign network itself, fed by Pillow and enlarged by OpenCV. Raises
    :class:`ContractError` for a file that cannot be wrapped, :class:`export.errors.ParityError` where the gate fails.
    """
    network = load_network(source)
    stages = Stages(wrapping.size, wrapping.threshold, len(wrapping.class_names), hair=wrapping.hair)
    fused = fuse([Member(network, wrapping.mean, wrapping.std)], stages)
    contract = _contract(source, wrapping, licence, _precision(network))
    with replacing(out) as temporary:
        write_model(fused, contract, temporary)
        try:
            model = open_model(temporary, "cpu", batch=CHUNK)
            original = Foreign(network, wrapping)
            report = check(
                model, original, samples, source=samples.source, track=track, original_name=str(source), advice=ADVICE
            )
        except DeviceError as error:
            raise ContractError(
                f"{source} does not run on batches of {CHUNK} images ({error.reason}); expected a network whose batch "
                "axis is free. Export it with dynamic_axes for the batch."
            ) from error
        report.require_passed()
        seal(temporary, dataclasses.replace(contract, parity=report.summary()))
        return dataclasses.replace(report, about={**report.about, "model_sha256": sha256(temporary)})


class Foreign:
    """The network as it came, with its surroundings done by Pillow and OpenCV: what the wrapped one has to compute."""

    def __init__(self, network: ModelProto, wrapping: Wrapping) -> None:
        from onnx import TensorProto

        from export.precision.calibration import session

        self._session = session(network)
        self._wrapping = wrapping
        self._input = self._session.get_inputs()[0].name
        half = network.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT16
        self._dtype = np.float16 if half else np.float32

    def prob(self, image: Images) -> Probs:
        """Return probabilities ``(S, S)`` of an image ``(H, W, 3)``; ``(C, S, S)`` of several classes."""
        size = (self._wrapping.size, self._wrapping.size)
        planes = [
            # Pillow's BILINEAR is antialiased; in 32 bits it does not round.
            np.asarray(Image.fromarray(plane.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
            for plane in np.moveaxis(image, 2, 0)
        ]
        pixels = self._without_hair(np.stack(planes)) / 255
        mean, std = (np.array(values, np.float32) for values in (self._wrapping.mean, self._wrapping.std))
        x = (pixels - mean[:, None, None]) / std[:, None, None]  # (3, S, S)
        (logits,) = self._session.run(None, {self._input: x[None].astype(self._dtype)})
        prob: Probs = drop_single_class(_activated(logits.astype(np.float64)))[0]
        return prob

    def _without_hair(self, planes: Probs) -> Probs:
        """Remove hairs from pixels ``(3, S, S)`` on 0-255."""
        if self._wrapping.hair == "none":
            return planes
        pixels = np.moveaxis(np.round(planes), 0, 2).astype(np.uint8)
        return np.moveaxis(remove(self._wrapping.hair, pixels), 2, 0).astype(np.float32)

    def prob_and_mask(self, image: Images) -> tuple[Probs, Images]:
        """Return them and the mask ``(H, W)``."""
        prob = self.prob(image)
        return prob, enlarge(prob, (image.shape[0], image.shape[1]), self._wrapping.threshold)


def load_network(source: Path) -> ModelProto:
    """Read a foreign network and bring it to our operator set: one graph, logits out, the batch axis free.

    A sigmoid or softmax at its end is taken off; the fused graph has its own. Raises :class:`ContractError`.
    """
    import onnx
    from onnx import inliner

    try:
        model = onnx.load(source)
        onnx.checker.check_model(model)
    except FileNotFoundError as error:
        raise ContractError(f"{source} does not exist; expected an ONNX file. Check the path.") from error
    except Exception as error:  # protobuf's and onnx's errors have no common base
        raise ContractError(f"{source} cannot be read as ONNX ({error}); expected an exported network.") from error
    if any(entry.key.startswith("seglab.") for entry in model.metadata_props):
        raise ContractError(
            f"{source} is a model with a contract already; use it as it is, or adopt the plain network."
        )
    model = inliner.inline_local_functions(model)
    model = _converted(source, model)
    _constants_are_no_inputs(model)
    _take_off_activation(model)
    _free_batch(model)
    drop_notes(model)
    return model


def _converted(source: Path, model: ModelProto) -> ModelProto:
    from onnx import version_converter

    version = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if version >= OPSET:
        return model
    try:
        converted: ModelProto = version_converter.convert_version(model, OPSET)
    except Exception as error:  # it raises RuntimeError and ConvertError, without a common base
        raise ContractError(
            f"{source} is of opset {version} and cannot be brought to {OPSET} ({error}). Export it with "
            f"opset_version={OPSET}."
        ) from error
    return converted


def _constants_are_no_inputs(model: ModelProto) -> None:
    """Old exporters list weights among the inputs, too."""
    weights = {entry.name for entry in model.graph.initializer}
    inputs = [entry for entry in model.graph.input if entry.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)


def _take_off_activation(model: ModelProto) -> None:
    last = next((node for node in model.graph.node if model.graph.output[0].name in node.output), None)
    if last is not None and last.op_type in ACTIVATIONS:
        model.graph.output[0].name = last.input[0]
        model.graph.node.remove(last)


def _free_batch(model: ModelProto) -> None:
    """Let the batch axis be of any length, and forget shapes that were worked out for another."""
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]


def _precision(network: ModelProto) -> str:
    """Return what the network computes in, by its operators and its input."""
    from onnx import TensorProto

    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in network.graph.node):
        return "int8"
    half = network.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT16
    return "fp16" if half else "fp32"


def _contract(source: Path, wrapping: Wrapping, licence: str, precision: str) -> Contract:
    return Contract(
        arch=ARCH,
        encoder=None,
        size=wrapping.size,
        mean=wrapping.mean,
        std=wrapping.std,
        threshold=wrapping.threshold,
        opset=OPSET,
        class_names=wrapping.class_names,
        precision=precision,
        hair_removal=wrapping.hair != "none",
        training={"adopted_from": source.name},
        checkpoint_sha256=sha256(source),
        tools=tool_versions(),
        licence=licence,
    )


def _activated(logits: NDArray[Any]) -> NDArray[Any]:
    """Return the sigmoid of ``(N, 1, S, S)``, the softmax over classes of ``(N, C, S, S)``."""
    if logits.shape[1] == 1:
        return np.asarray(1 / (1 + np.exp(-logits)))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
