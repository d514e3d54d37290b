"""Checkpoints: files of tensors and plain values that load with ``weights_only=True``."""

from __future__ import annotations

import dataclasses
import io
import os
import pickle
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seglab.errors import CheckpointError
from seglab.files import sha256, write_bytes
from seglab.networks.normalisation import IMAGENET_MEAN, IMAGENET_STD
from seglab.networks.run_weights import weights_file

FORMAT_VERSION = 1
KIND = "seglab checkpoint"


@dataclass(frozen=True)
class NetworkSpec:
    """A network to build: ``arch`` (such as ``unet`` or ``unet-scratch``), encoder, classes, constructor options.

    ``ranges``: ranges of tensors if it was trained with the rounding of int8 (:mod:`seglab.networks.quantised`).
    """

    arch: str
    encoder: str | None = None
    classes: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    ranges: tuple[tuple[float, int], ...] = ()

    def plain(self) -> dict[str, Any]:
        """Return plain values for checkpoints; ``ranges`` only if there are some, because old versions know none."""
        values = dataclasses.asdict(self)
        if not self.ranges:
            del values["ranges"]
        return values


@dataclass
class Checkpoint:
    """A trained network with everything that is needed to run it.

    ``size``: side length S of the network's input. ``mean``, ``std``: per channel in the order RGB, on the scale 0-1.
    ``threshold``: pixels with at least this probability are lesion. ``hair``: how hairs were removed from its training
    images, ``none`` or ``dullrazor``. ``tta``: ``flips`` for the mean over mirror images, ``symmetries`` for all eight,
    or ``none``. ``training``: plain values on how it was trained. ``output``: what the network gives, ``logits`` or
    ``probabilities``. ``channels``: order of its input, ``rgb`` or ``bgr``. ``lesion_class``: the class whose
    probability is the lesion's; None for one class, or for all. ``suitable``: data of the score of that name
    (:mod:`seglab.networks.encoder_features`), or empty. ``state``: the network's weights. ``resume``: optimiser and
    counters, in ``last.pt`` only.
    """

    network: NetworkSpec
    size: int
    state: dict[str, Tensor]
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    threshold: float = 0.5
    class_names: tuple[str, ...] = ("lesion",)
    hair: str = "none"
    tta: str = "none"
    output: str = "logits"
    channels: str = "rgb"
    lesion_class: int | None = None
    suitable: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    resume: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None
    sha256: str = ""

    @property
    def classes(self) -> int:
        """Number of probabilities per pixel: 1 for lesion or not."""
        return self.network.classes if self.lesion_class is None else 1


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write ``checkpoint`` to ``path`` atomically; equal content gives equal bytes."""
    values = {
        entry.name: getattr(checkpoint, entry.name)
        for entry in dataclasses.fields(checkpoint)
        if entry.name not in ("network", "path", "sha256") and (entry.name != "suitable" or checkpoint.suitable)
    }  # without `suitable` old versions can read the file
    values["network"] = checkpoint.network.plain()
    buffer = io.BytesIO()  # torch would name a folder in the archive after the temporary file
    torch.save({"kind": KIND, "format_version": FORMAT_VERSION, **_canonical(values)}, buffer)
    write_bytes(path, buffer.getvalue())


def _canonical(value: Any) -> Any:
    """Return plain values with equal texts as one object, because a pickle depends on the identity of objects."""
    if isinstance(value, str):
        return sys.intern(str(value))
    if isinstance(value, dict):
        return type(value)((_canonical(key), _canonical(entry)) for key, entry in value.items())
    if isinstance(value, list | tuple):
        return type(value)(map(_canonical, value))
    return value


def load_checkpoint(path: Path) -> Checkpoint:
    """Return the checkpoint in a file, or the best one in a run's folder, on the CPU.

    Raises :class:`CheckpointError` for any other file.
    """
    path = weights_file(path)
    return checkpoint_of(load_tensors(path), path)


def checkpoint_of(values: dict[str, Any], path: Path) -> Checkpoint:
    """Return the checkpoint with the values of the file ``path``. Raises like :func:`load_checkpoint`."""
    if values.get("kind") != KIND:
        raise CheckpointError(
            f"{path} is not a seglab checkpoint; expected a file that `seglab train` wrote (best.pt, last.pt)."
        )
    if values["format_version"] > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has checkpoint format {values['format_version']}; this seglab reads up to {FORMAT_VERSION}. "
            "Install a newer seglab."
        )
    del values["kind"], values["format_version"]
    _require_known(values, path)
    try:
        network = NetworkSpec(**values.pop("network"))
        checkpoint = Checkpoint(network=network, **values, path=path, sha256=sha256(path))
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path} lacks parts of a checkpoint ({error}); train or copy it again.") from error
    _require_numbers(checkpoint)
    return checkpoint


def _require_known(values: dict[str, Any], path: Path) -> None:
    known = {entry.name for entry in dataclasses.fields(Checkpoint)}
    unknown = sorted(values.keys() - known)
    if unknown:
        raise CheckpointError(
            f"{path} has parts that this seglab does not know ({', '.join(unknown)}): a newer version wrote it. "
            "Install that one."
        )


def _require_numbers(checkpoint: Checkpoint) -> None:
    for name, tensor in checkpoint.state.items():
        if tensor.is_floating_point() and bool(tensor.isnan().any()):
            raise CheckpointError(
                f"{checkpoint.path} has weights that are not numbers (NaN in {name}): its training diverged, and "
                "nothing can be computed with it. Train again with a lower learning rate: --set lr=..."
            )


def require_whole(path: Path) -> None:
    """Raise :class:`CheckpointError` for a zip of ``torch.save`` with a wrong checksum, which torch does not check.

    Other files pass.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        if not zipfile.is_zipfile(path):  # an old format or another kind of file, which the reader reports
            return
        damaged = str(error)
    except (OSError, NotImplementedError, RuntimeError):
        return
    if damaged is not None:
        raise CheckpointError(
            f"{path} is damaged: the checksum of {damaged} in it is wrong. Copy or download it again."
        )


def load_tensors(path: Path) -> dict[str, Any]:
    """Return the dictionary of tensors and plain values in a file; no code in the file is run.

    Raises :class:`CheckpointError` where the file is missing, damaged, or holds something else.
    """
    if os.path.isdir(path):
        raise CheckpointError(
            f"{path} is a folder without best.pt; expected the folder of a run with a finished epoch, or a checkpoint."
        )
    require_whole(path)
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist; expected a file of weights. Check the path.") from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path} cannot be read as weights ({type(error).__name__}); expected a file that torch.save wrote. "
            "Copy or train it again."
        ) from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds a {type(values).__name__}; expected a dictionary of weights.")
    return values
