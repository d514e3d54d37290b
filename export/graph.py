"""Writing the artefact: pre-processing, network and post-processing as one ONNX graph."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import platform
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.contract import DIMENSIONS, INPUT, MASK, PROB, Contract
from export.errors import ContractError
from export.simplify import simplify
from seglab.checkpoints import Checkpoint
from seglab.files import replacing
from seglab.networks import restore_network
from seglab.predict import MIRRORS

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18  # the first one whose Resize has `antialias`
TOOLS = ("seglab", "torch", "onnx", "onnxscript", "segmentation-models-pytorch", "timm")
EXAMPLE_SHAPE = (2, 75, 50, 3)
"""Shape the graph is traced with: no two axes alike, so that none is taken for another."""


class FusedSegmenter(nn.Module):
    """A network with everything around it inside.

    In: ``image`` uint8 ``(N, H, W, 3)``, RGB, 0-255. Out: ``prob`` float32 ``(N, 1, S, S)``, 0-1, and ``mask`` uint8
    ``(N, H, W)``, 0 or 255. Constants, all from the checkpoint: S, mean and std (buffers), threshold, and ``flips``:
    whether ``prob`` is the mean over the image and its three mirror images. No step depends on the data.
    """

    offset: Tensor
    scale: Tensor

    def __init__(
        self,
        network: nn.Module,
        size: int,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        threshold: float,
        flips: bool = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.size = size
        self.threshold = threshold
        self.flips = flips
        # mean and std are on the scale 0-1, pixels on 0-255: (pixel / 255 - mean) / std = (pixel - offset) * scale
        self.register_buffer("offset", (torch.tensor(mean) * 255).view(1, 3, 1, 1))
        self.register_buffer("scale", (1 / (torch.tensor(std) * 255)).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``prob`` and ``mask``."""
        prob = self.predict(self.prepare(image))  # (N, 1, S, S)
        return prob, self.to_mask(prob, image.shape[1], image.shape[2])

    def prepare(self, image: Tensor) -> Tensor:
        """Resize and normalise: uint8 ``(N, H, W, 3)`` to float32 ``(N, 3, S, S)``."""
        x = image.permute(0, 3, 1, 2).to(torch.float32)  # (N, 3, H, W)
        x = functional.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False)
        return (x - self.offset) * self.scale  # (N, 3, S, S)

    def predict(self, x: Tensor) -> Tensor:
        """Return probabilities ``(N, 1, S, S)`` of prepared images ``(N, 3, S, S)``."""
        views = MIRRORS if self.flips else ((),)
        seen = [torch.sigmoid(self.network(x.flip(axes) if axes else x)) for axes in views]
        back = [prob.flip(axes) if axes else prob for prob, axes in zip(seen, views, strict=True)]
        return torch.stack(back).mean(dim=0) if self.flips else back[0]

    def to_mask(self, prob: Tensor, height: int, width: int) -> Tensor:
        """Bring probabilities ``(N, 1, S, S)`` to full size and threshold them: uint8 ``(N, H, W)``."""
        full = functional.interpolate(prob, (height, width), mode="bilinear", align_corners=False)
        return (full[:, 0] >= self.threshold).to(torch.uint8) * 255  # (N, H, W)


def fuse(checkpoint: Checkpoint) -> FusedSegmenter:
    """Return the checkpoint's network, fused, in evaluation mode on the CPU."""
    if checkpoint.network.classes != 1:
        raise ContractError(
            f"The checkpoint has {checkpoint.network.classes} classes; expected 1 (lesion or not). "
            "Train a network with one class."
        )
    if checkpoint.hair != "none":
        raise ContractError(
            f"It was trained on images without hairs ({checkpoint.hair}), and a graph has no stage for that "
            "yet; expected a network that takes images as they are. Train with --set hair=none to export."
        )
    network = restore_network(checkpoint)
    flips = checkpoint.tta == "flips"
    return FusedSegmenter(network, checkpoint.size, checkpoint.mean, checkpoint.std, checkpoint.threshold, flips).eval()


def contract_for(checkpoint: Checkpoint, licence: str = "not stated") -> Contract:
    """Return the contract of a checkpoint's fp32 export, without parity figures."""
    return Contract(
        arch=checkpoint.network.arch,
        encoder=checkpoint.network.encoder,
        size=checkpoint.size,
        mean=checkpoint.mean,
        std=checkpoint.std,
        threshold=checkpoint.threshold,
        opset=OPSET,
        class_names=checkpoint.class_names,
        training=describe_training(checkpoint.training),
        checkpoint_sha256=checkpoint.sha256,
        tools=tool_versions(),
        licence=licence,
    )


def describe_training(training: dict[str, Any]) -> dict[str, Any]:
    """Return what a model file says about its training: the last epoch for the whole history, names for paths."""
    kept = {key: _portable(value) for key, value in training.items() if key != "history"}
    if training.get("history"):
        kept["last_epoch"] = _portable(training["history"][-1])
    return kept


def _portable(value: Any) -> Any:
    """Return ``value`` as JSON holds it, without absolute paths: they mean nothing elsewhere, and tell of a machine."""
    if isinstance(value, dict):
        return {str(key): _portable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(entry) for entry in value]
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return value


def tool_versions() -> dict[str, str]:
    """Return the versions of what makes a model file, by distribution name."""
    versions = {"python": platform.python_version()}
    for name in (*TOOLS, "onnxruntime-gpu", "onnxruntime"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def write_graph(fused: FusedSegmenter, contract: Contract, out: Path) -> None:
    """Write ``fused`` with ``contract`` to ``out``, one checked file without external data.

    This does not prove the graph; :func:`export.convert.convert` does, and is what users should call.
    """
    model = simplify(_trace(fused))
    write_model(model, contract, out)


def write_contract(path: Path, contract: Contract) -> None:
    """Replace the contract in a model file."""
    import onnx

    write_model(onnx.load(path), contract, path)


def write_model(model: ModelProto, contract: Contract, out: Path) -> None:
    """Check ``model`` and write it with ``contract``, as a whole or not at all."""
    import onnx

    onnx.helper.set_model_props(model, contract.to_metadata())
    onnx.checker.check_model(model, full_check=True)
    with replacing(out) as temporary:
        onnx.save(model, temporary)


def _trace(fused: FusedSegmenter) -> ModelProto:
    example = torch.zeros(EXAMPLE_SHAPE, dtype=torch.uint8)
    # The exporter reports its progress on stdout, where this program's data goes.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(torch|onnxscript|onnx_ir)\.")
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"(torch|onnxscript|onnx_ir)\.")
        program = torch.onnx.export(
            fused,
            (example,),
            dynamo=True,
            input_names=[INPUT],
            output_names=[PROB, MASK],
            dynamic_shapes={INPUT: dict(enumerate(DIMENSIONS))},
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:  # only without dynamo
        raise ContractError("torch.onnx.export returned nothing; expected a program. Install a newer torch.")
    return program.model_proto
