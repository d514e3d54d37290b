"""From checkpoints to a model: the fused graph around their networks, and its contract."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.contract import Contract
from export.errors import ContractError
from export.graph.stages import OPSET, Member, Stages, fuse
from export.graph.trace import trace
from export.graph.writing import tool_versions
from export.precision.half import in_precision
from seglab.networks.build import restore_network
from seglab.networks.checkpoints import Checkpoint
from seglab.networks.encoder_features import from_plain
from seglab.networks.suitability import FLAGGED, THRESHOLD

if TYPE_CHECKING:
    from onnx import ModelProto

SHARED = ("size", "threshold", "class_names", "tta", "hair")
"""Fields that must be equal in all checkpoints of an ensemble."""


def segmenter(checkpoints: Sequence[Checkpoint], precision: str = "fp32") -> ModelProto:
    """Return the fused graph of a checkpoint. For several, it averages their probabilities.

    ``precision``: ``fp32``, ``fp16`` or ``fp16-weights``. Raises :class:`ContractError` if the checkpoints do not match
    each other, or if a network cannot be exported.
    """
    return fused(checkpoints, traced(checkpoints), precision)


def traced(checkpoints: Sequence[Checkpoint]) -> list[ModelProto]:
    """Return the networks of checkpoints as fp32 graphs. Raises the same errors as :func:`segmenter`."""
    require_alike(checkpoints)
    return [
        trace(restore_network(each), each.size, features=bool(each.suitable) and each is checkpoints[0])
        for each in checkpoints
    ]


def fused(
    checkpoints: Sequence[Checkpoint], networks: Sequence[ModelProto], precision: str, float_layers: int = 0
) -> ModelProto:
    """Return the fused graph of traced networks in a precision (see :func:`export.precision.half.in_precision`)."""
    first = checkpoints[0]
    members = [
        Member(
            in_precision(network, precision, float_layers),
            each.mean,
            each.std,
            each.output,
            each.channels,
            each.lesion_class,
            from_plain(each.suitable) if each is first else None,
        )
        for each, network in zip(checkpoints, networks, strict=True)
    ]
    stages = Stages(first.size, first.threshold, first.classes, first.tta, first.hair)
    return fuse(members, stages)


def stages_of(checkpoints: Sequence[Checkpoint]) -> ModelProto:
    """Return the fused graph of checkpoints with empty networks: the stages that a file must have around its networks.

    Raises the same errors as :func:`segmenter`.
    """
    require_alike(checkpoints)
    return fused(checkpoints, [_nothing(each, is_first=each is checkpoints[0]) for each in checkpoints], "fp32")


def _nothing(checkpoint: Checkpoint, *, is_first: bool) -> ModelProto:
    """Return a graph with the inputs and outputs of a checkpoint's network, which computes nothing."""
    from onnx import parser

    size, suitability = checkpoint.size, from_plain(checkpoint.suitable) if is_first else None
    features = dict(enumerate(suitability.channels if suitability else ()))
    outputs = "".join(f", float[N, {count}, h{at}, w{at}] f{at}" for at, count in features.items())
    nodes = "".join(f" f{at} = Identity (x)" for at in features)
    text = f"""<ir_version: 10, opset_import: ["" : {OPSET}]>
    nothing (float[N, 3, {size}, {size}] x) => (float[N, {checkpoint.network.classes}, {size}, {size}] y{outputs})
    {{ y = Identity (x){nodes} }}"""
    return parser.parse_model(text)


def require_alike(checkpoints: Sequence[Checkpoint]) -> None:
    """Raise :class:`ContractError` unless all checkpoints have the same size, threshold, classes and stages."""
    first = checkpoints[0]
    for other in checkpoints[1:]:
        for name in SHARED:
            have, want = getattr(other, name), getattr(first, name)
            if have != want:
                raise ContractError(
                    f"{name} is {have!r} in {other.path} and {want!r} in {first.path}; expected the same in all "
                    "networks of an ensemble. Train them with the same settings, or export them one by one."
                )


def contract_for(checkpoints: Sequence[Checkpoint], licence: str = "not stated") -> Contract:
    """Return the contract of an fp32 export of one checkpoint or an ensemble, without parity figures."""
    first = checkpoints[0]
    return Contract(
        arch=first.network.arch,
        encoder=first.network.encoder,
        options=first.network.options,
        size=first.size,
        mean=first.mean,
        std=first.std,
        threshold=first.threshold,
        opset=OPSET,
        class_names=_class_names(first),
        tta=first.tta,
        output=first.output,
        channels=first.channels,
        lesion_class=first.lesion_class,
        hair_removal=first.hair != "none",
        ensemble=tuple(map(_member, checkpoints)) if len(checkpoints) > 1 else (),
        training=describe_training(first.training),
        suitable=describe_suitability(first),
        checkpoint_sha256=first.sha256,
        tools=tool_versions(),
        licence=licence,
    )


def _class_names(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return a name per class. If the checkpoint does not name them all, the names are numbers."""
    classes = checkpoint.classes
    if len(checkpoint.class_names) == classes:
        return checkpoint.class_names
    return ("background", *(f"class {number}" for number in range(1, classes)))


def _member(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "arch": checkpoint.network.arch,
        "encoder": checkpoint.network.encoder,
        "options": checkpoint.network.options,
        "mean": list(checkpoint.mean),
        "std": list(checkpoint.std),
        "output": checkpoint.output,
        "channels": checkpoint.channels,
        "lesion_class": checkpoint.lesion_class,
        "checkpoint_sha256": checkpoint.sha256,
    }


def describe_suitability(checkpoint: Checkpoint) -> dict[str, float]:
    """Return the contract's entry for the output ``suitable``; empty if the checkpoint has no such score."""
    found = from_plain(checkpoint.suitable)
    if found is None:
        return {}
    return {
        "threshold": THRESHOLD, "images": found.images, "calibrated_on": found.calibrated_on, "flagged": FLAGGED,
    }  # fmt: skip


LEFT_OUT = ("history", "split")
"""Parts of a checkpoint's training record that are too long for a model file."""


def describe_training(training: dict[str, Any]) -> dict[str, Any]:
    """Return the training record for a model file, with the last epoch only, and file names instead of paths."""
    kept = {key: _portable(value) for key, value in training.items() if key not in LEFT_OUT}
    if training.get("history"):
        kept["last_epoch"] = _portable(training["history"][-1])
    return kept


def _portable(value: Any) -> Any:
    """Return ``value`` as JSON types. Absolute paths, which mean nothing on other machines, become file names."""
    if isinstance(value, dict):
        return {str(key): _portable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(entry) for entry in value]
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return value
