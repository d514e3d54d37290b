"""Reading foreign network files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from seglab.errors import CheckpointError, MissingDependencyError
from seglab.networks.checkpoints import KIND, Checkpoint, checkpoint_of, require_whole
from seglab.networks.foreign import found, kinds
from seglab.networks.foreign.dictionaries import weights_in
from seglab.networks.foreign.found import Found
from seglab.networks.foreign.pickles import read_pickle
from seglab.networks.foreign.settings import settings_in, settings_of

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Names of weights files in a folder that ``save_pretrained`` wrote."""


def read(path: Path, weights: str | None = None) -> Found | Checkpoint:
    """Return the content of ``path``, a file or a folder; for a checkpoint of seglab a :class:`Checkpoint`.

    ``weights``: name of the dictionary to take, where there are several. No code in a weights file is run.
    Raises :class:`CheckpointError` for a file without weights; the message says what it is and what to do.
    """
    kind = kinds.kind_of_file(path)
    if kind not in (kinds.FOLDER, kinds.SAFETENSORS):
        require_whole(path)
    if kind == kinds.FOLDER:
        return _folder(path)
    if kind == kinds.TORCHSCRIPT:
        return Found(path, found.SCRIPT, path)
    if kind == kinds.EXPORTED:
        return Found(path, found.PROGRAM, path)
    if kind == kinds.SAFETENSORS:
        return Found(path, found.SAFETENSORS, path, _safetensors(path))
    values = read_pickle(path)
    if isinstance(values, dict) and values.get("kind") == KIND:
        return checkpoint_of(values, path)
    tensors, notes = weights_in(path, values, weights)
    lightning = isinstance(values, Mapping) and "pytorch-lightning_version" in values
    return Found(
        path, found.LIGHTNING if lightning else found.STATE, path, tensors, settings_in(values), notes, weights
    )


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"{path} is a safetensors file, which needs the package safetensors. Install it: pip install safetensors."
        ) from error
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is a damaged safetensors file ({error}); expected a whole one. Copy or download it again."
        ) from error
    if not tensors:
        raise CheckpointError(f"{path} is a safetensors file without tensors; expected the weights of a network.")
    return {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}


def _folder(path: Path) -> Found:
    config = path / "config.json"
    file = next((path / name for name in WEIGHTS if (path / name).is_file()), None)
    if not config.is_file() or file is None:
        missing = "config.json" if not config.is_file() else " or ".join(WEIGHTS)
        raise CheckpointError(
            f"{path} is a folder without {missing}; expected one that smp's save_pretrained wrote. Name the file of "
            "weights in it, or a checkpoint."
        )
    values: dict[str, Any] = kinds.read_json(config)
    if "architectures" in values or "model_type" in values:
        raise CheckpointError(
            f"{path} is a model of Hugging Face transformers ({values.get('model_type', 'of its own kind')}), which "
            "is not "
            f"built here; expected one of smp. {kinds.THROUGH_ONNX}."
        )
    if file.suffix == ".safetensors":
        tensors = _safetensors(file)
    else:
        tensors, _ = weights_in(file, read_pickle(file))
    return Found(path, found.FOLDER, file, tensors, settings_of(values))


def description_of_keys(tensors: Mapping[str, Tensor]) -> str:
    """Return the first names of tensors with their shapes, for messages."""
    shown = [f"{key} {'x'.join(map(str, value.shape)) or 'scalar'}" for key, value in list(tensors.items())[:3]]
    return ", ".join(shown) + (", ..." if len(tensors) > 3 else "")
