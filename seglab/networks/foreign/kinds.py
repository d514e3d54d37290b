"""Kinds of weights files, recognised by their bytes, and advice for other files."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from pathlib import Path

from seglab.errors import CheckpointError
from seglab.images.kinds import kind_of
from seglab.words import counted

PICKLE, SAFETENSORS, TORCHSCRIPT, EXPORTED, FOLDER = "pickle", "safetensors", "torchscript", "torch.export", "folder"
BEGINNING = 512
TORCH_MAGIC = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""First bytes of torch files from before 2020, which are not zips."""
EXPECTED = (
    "expected a checkpoint, a state dictionary (.pt, .pth, .ckpt, .safetensors), a folder of smp's save_pretrained, a "
    "TorchScript or a torch.export file"
)
ADOPT = "seg-export adopt"
THROUGH_ONNX = f"Export the network to ONNX where its code is, and take that with `{ADOPT} NET.onnx`"
KERAS = f"a Keras model; {EXPECTED}. Convert it with tf2onnx, and take the result with `{ADOPT} NET.onnx`."
ADVICE = {
    "a web page or XML": "It may be a server's answer instead of the file: download it again.",
    "JSON": "It may be a server's answer, or the settings that belong to the weights: name the file with the weights.",
    "a Git LFS pointer": "Get the file itself with: git lfs pull.",
    "an HDF5 file": f"If it is a Keras model, convert it with tf2onnx, and take the result with `{ADOPT} NET.onnx`.",
    "a NumPy array": THROUGH_ONNX + ".",
}


def kind_of_file(path: Path) -> str:
    """Return the kind of the file at ``path``. Raises :class:`CheckpointError` for any other file."""
    if path.is_dir():
        return FOLDER
    beginning, size = _beginning(path)
    if beginning.startswith(b"PK"):
        return _zip_kind(path)
    if _is_safetensors(beginning, size):
        return SAFETENSORS
    if beginning.startswith(b"\x80") and TORCH_MAGIC in beginning[:64]:
        return PICKLE
    raise CheckpointError(_no_weights(path, beginning, size))


def _beginning(path: Path) -> tuple[bytes, int]:
    try:
        with path.open("rb") as file:
            return file.read(BEGINNING), os.fstat(file.fileno()).st_size
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist; expected a file of weights. Check the path.") from error
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}); expected a file of weights. Check the path and its permissions."
        ) from error


def _zip_kind(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CheckpointError(
            f"{path} cannot be read as weights: it begins as torch.save writes and has no end; expected a whole file. "
            "Its copy or download broke off: get it again."
        ) from error
    inner = {name.partition("/")[2] for name in names} | set(names)
    if "serialized_exported_program.json" in inner or any(name.startswith("models/") for name in inner):
        return EXPORTED
    if "data.pkl" in inner:
        return TORCHSCRIPT if any(name.startswith("code/") for name in inner) else PICKLE
    if "model.weights.h5" in inner:
        raise CheckpointError(f"{path} is {KERAS}")
    if names and all(name.endswith(".npy") for name in names):
        raise CheckpointError(f"{path} is a file of NumPy arrays (.npz); {EXPECTED}. {THROUGH_ONNX}.")
    raise CheckpointError(
        f"{path} is a zip of {counted(len(names), 'file')} without weights of torch; {EXPECTED}. Unpack it, and name "
        "the file of weights in it."
    )


def _is_safetensors(beginning: bytes, size: int) -> bool:
    if len(beginning) < 10:
        return False
    (length,) = struct.unpack_from("<Q", beginning)
    return (
        beginning[8:9] == b"{"
        and 2 <= length < 2**27
        and (size <= 8 + length or beginning[8:10] in (b'{"', b"{ ", b"{}"))
    )


def _no_weights(path: Path, beginning: bytes, size: int) -> str:
    """Return the message for a file without weights of torch."""
    if not size:
        return f"{path} is empty; {EXPECTED}. Its copy or download failed: get it again."
    if not beginning.strip(b"\0"):
        return f"{path} has only zeros; {EXPECTED}. Its copy or download failed: get it again."
    if _is_onnx(path, beginning):
        return f"{path} is an ONNX file, no checkpoint. Take it with `{ADOPT} {path}`, which makes a model of it."
    if beginning.startswith(b"\x80"):
        return (
            f"{path} is a pickle that torch.save did not write; opening it would run code from the file, so it is not. "
            f"{EXPECTED[0].upper()}{EXPECTED[1:]}: where it came from, torch.save(model.state_dict(), 'weights.pth')."
        )
    what = kind_of(beginning) or ("a text file" if _is_text(beginning) else None)
    if path.suffix.lower() in (".h5", ".keras", ".hdf5") and what == "an HDF5 file":
        return f"{path} is {KERAS}"
    if what is None:
        what = f"no file of weights (its {size} bytes begin with {beginning[:8].hex(' ')})"
    return f"{path} is {what}; {EXPECTED}. {ADVICE.get(what, 'Name the file with the weights.')}"


def _is_onnx(path: Path, beginning: bytes) -> bool:
    """Return whether a file begins like ONNX: format version, then the name of the producer or a similar field."""
    begins = (
        beginning[:1] == b"\x08"
        and len(beginning) > 2
        and 0 < beginning[1] < 32
        and beginning[2] in b"\x12\x1a\x3a\x42"
    )
    return path.suffix.lower() == ".onnx" or begins


def _is_text(beginning: bytes) -> bool:
    try:
        text = beginning.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(beginning) - 4:
            return False
        text = beginning[: error.start].decode("utf-8")
    return all(letter.isprintable() or letter.isspace() for letter in text)


def read_json(path: Path) -> dict[str, object]:
    """Return the JSON object in a file. Raises :class:`CheckpointError` where there is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read as JSON ({error}); expected what save_pretrained wrote."
        ) from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds a {type(values).__name__}; expected an object, as save_pretrained writes.")
    return values
