"""The fields of the contract, and their conversion to and from a file's metadata."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from export.contract.values import CHECKS
from export.errors import ContractError

FORMAT_VERSION = 3
"""2: several classes, ensembles, hair removal inside the graph, fp16. 3: networks that give probabilities, take BGR, or
have several classes of which one is the lesion; bound to the graph by a digest.
"""
PREFIX = "seglab."

COLOUR_SPACE = "sRGB"
"""The colour space in which photographs are read (:mod:`seglab.images.reader`), for training and for masks."""
HAIRLESS = "filled"
"""The output tensor of the hair removal stage, which the networks read."""
INPUT = "image"
PROB = "prob"
MASK = "mask"
SUITABLE = "suitable"
"""An optional output, float ``(batch,)``: how much an image looks like the network's training images."""
DIMENSIONS = ("batch", "height", "width")
"""Names of the input's dynamic axes: ``image`` is uint8 ``(batch, height, width, 3)``."""

LONGEST_SHOWN = 80
MAKE_ONE = "Make one with `seg-export onnx CKPT --out M.onnx`"


@dataclass(frozen=True)
class Contract:
    """The description of a model that is stored in its file.

    - ``arch``, ``encoder``, ``options``: the network.
    - ``size``: its input's side length S in pixels.
    - ``mean``, ``std``: per RGB channel on the scale 0-1, applied inside the graph.
    - ``colour_space``: of the photographs it was trained on and is fed.
    - ``threshold``: the lowest probability that counts as lesion.
    - ``class_names``: one name for a single class; of several, the first is the background, and the mask holds their
      numbers.
    - ``tta``: ``flips`` if the graph averages over mirror images, ``symmetries`` over all eight of the square.
    - ``hair_removal``: whether a stage of the graph removes hairs.
    - ``ensemble``: the networks whose probabilities are averaged, if there are several; the other fields are then those
      of the first one.
    - ``output``: what the network itself gives, ``logits`` or ``probabilities``.
    - ``channels``: the order in which the network takes them, ``rgb`` or ``bgr``; images, mean and std are always RGB.
    - ``lesion_class``: in a network of several classes, the one whose probability is ``prob``.
    - ``precision``: of weights and activations, see :mod:`export.tolerances`.
    - ``quantisation``: how an int8 or fp16 model was made, and which layers stayed in fp32.
    - ``adopted``: for a foreign ONNX network, its file, input and output, see :mod:`export.adoption`.
    - ``training``: data and scores.
    - ``suitable``: for the output of that name, empty if there is none: the ``threshold`` below which an image does not
      look like the training images, the number of ``images`` it was computed from, how many others it was
      ``calibrated_on``, and the share of these that is ``flagged``.
    - ``parity``: figures against the original.
    - ``tools``: versions that made the file.
    - ``graph_sha256``: of the file without its metadata.
    """

    arch: str
    encoder: str | None
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    threshold: float
    opset: int
    checkpoint_sha256: str
    hair_removal: bool = False
    tta: str = "none"
    output: str = "logits"
    channels: str = "rgb"
    lesion_class: int | None = None
    ensemble: tuple[dict[str, Any], ...] = ()
    precision: str = "fp32"
    class_names: tuple[str, ...] = ("lesion",)
    quantisation: dict[str, Any] = field(default_factory=dict)
    adopted: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict, repr=False)
    parity: dict[str, Any] = field(default_factory=dict, repr=False)
    tools: dict[str, str] = field(default_factory=dict)
    suitable: dict[str, Any] = field(default_factory=dict)
    licence: str = "not stated"
    colour_space: str = COLOUR_SPACE
    format_version: int = FORMAT_VERSION
    graph_sha256: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, (holds, expected) in CHECKS.items():
            value = getattr(self, name)
            if not holds(value):
                shown = repr(value)
                shown = shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}..."
                raise ContractError(f"The contract's {name} is {shown}; expected {expected}. {MAKE_ONE} again.")
        if self.lesion_class is not None and self.classes > 1:
            raise ContractError(
                f"The contract has lesion class {self.lesion_class} and a mask of {self.classes} classes; expected "
                f"only one of the two. {MAKE_ONE} again."
            )

    @property
    def classes(self) -> int:
        """Return the number of probabilities per pixel: 1 for a single class."""
        return len(self.class_names)

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Return the SHA-256 of every checkpoint that went into the model."""
        return tuple(member["checkpoint_sha256"] for member in self.ensemble) or (self.checkpoint_sha256,)

    def to_metadata(self) -> dict[str, str]:
        """Return the contract as ONNX metadata entries."""
        return {PREFIX + name: json.dumps(value, sort_keys=True) for name, value in dataclasses.asdict(self).items()}

    def to_json(self) -> str:
        """Return all fields as one JSON object."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], source: str = "The model") -> Contract:
        """Return the contract from ONNX metadata entries; other entries are ignored.

        ``source``: the model's name for messages. Raises :class:`ContractError` if there is no contract, or if it has a
        newer format or is damaged.
        """
        version = _format_version(metadata, source)
        if version > FORMAT_VERSION:
            raise ContractError(
                f"{source} has contract format {version}; this version reads up to {FORMAT_VERSION}. "
                "Install a newer seglab, or export the checkpoint again with this one."
            )
        values: dict[str, Any] = {}
        try:
            for entry in dataclasses.fields(cls):
                if PREFIX + entry.name in metadata:
                    values[entry.name] = json.loads(metadata[PREFIX + entry.name])
            for name in ("mean", "std", "class_names", "ensemble"):
                if name in values:
                    values[name] = tuple(values[name])
            return cls(**values)
        except ContractError as error:
            raise ContractError(f"{source} carries a damaged contract. {error}") from error
        except (ValueError, TypeError, KeyError) as error:
            raise ContractError(
                f"{source} carries a damaged contract ({type(error).__name__}: {error}); expected the entries that "
                f"`seg-export onnx` writes. {MAKE_ONE} again."
            ) from error


def _format_version(metadata: Mapping[str, str], source: str) -> int:
    text = metadata.get(PREFIX + "format_version")
    if text is None:
        raise ContractError(
            f"{source} is an ONNX model without a contract; expected one that says how to feed it. Make one from it "
            "with `seg-export adopt NET.onnx --out M.onnx`, or from a checkpoint with `seg-export onnx`."
        )
    try:
        return int(json.loads(text))
    except (ValueError, TypeError) as error:
        raise ContractError(
            f"{source} has contract format {text!r}; expected a whole number. {MAKE_ONE} again."
        ) from error
