"""Probe images stored in a model file, with the CPU provider's results from when the file was proved.

With them every machine can check that it computes what was proved, including its CPU provider. They are small: images
of at most 128 x 128 pixels, enlarged by whole steps, and probabilities of 16 bits at some of the pixels.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.contract import MAKE_ONE, PREFIX, Contract
from export.errors import ContractError
from export.runtime.session import Images, Probs
from seglab.synth import MIN_SIDE, synthesise

KEY = f"{PREFIX}probes"
"""Key of the metadata entry."""
FIRST_FORMAT = 3
"""First contract format in which proved models have probes."""
COUNT = 2
MOST_SIDE = 128
MOST_VALUES = 1 << 17
LEVELS = 65535


@dataclass(frozen=True)
class FileProbes:
    """``images``: uint8 ``(N, S, S, 3)``. ``expected``: probabilities ``(N, C, s, s)``, at every ``step``-th pixel."""

    images: Images
    expected: Probs
    step: int

    def seen(self, prob: Probs) -> Probs:
        """Return the part of probabilities ``(N, C, S, S)`` that is compared: the same pixels, rounded alike."""
        return _levels(prob, self.step) / np.float32(LEVELS)


def entry_for(contract: Contract, prob: Callable[[Images], Probs]) -> str:
    """Return the metadata entry for a model file: probes, and what ``prob`` returns for each of them."""
    side = min(contract.size, MOST_SIDE)
    larger = max(side, MIN_SIDE)
    small = np.stack([synthesise(larger, larger, seed).image[:side, :side] for seed in range(COUNT)])
    probs = [prob(image[None]) for image in _enlarged(small, contract.size)]
    step = math.ceil(math.sqrt(COUNT * contract.classes / MOST_VALUES) * contract.size)
    values = np.nan_to_num(_levels(np.concatenate(probs), step)).astype("<u2")
    return json.dumps({"side": side, "step": step, "images": _packed(small), "prob": _packed(_bytes_apart(values))})


def read(metadata: Mapping[str, str], contract: Contract, source: str) -> FileProbes | None:
    """Return the probes in a file's metadata; None if an older version wrote it.

    Raises :class:`ContractError` if they are damaged.
    """
    if KEY not in metadata:
        return None
    try:
        entry = json.loads(metadata[KEY])
        side, step = int(entry["side"]), int(entry["step"])
        small = np.frombuffer(_unpacked(entry["images"]), np.uint8).reshape(COUNT, side, side, 3)
        rows = len(range(0, contract.size, step))
        apart = np.frombuffer(_unpacked(entry["prob"]), np.uint8).reshape(2, -1)
        values = np.ascontiguousarray(apart.T).view("<u2").reshape(COUNT, contract.classes, rows, rows)
    except (ValueError, TypeError, KeyError, zlib.error) as error:
        raise ContractError(
            f"{source} carries damaged probe images ({error}); expected those that `seg-export onnx` wrote. Copy it "
            f"again. {MAKE_ONE}."
        ) from error
    return FileProbes(_enlarged(small, contract.size), values.astype(np.float32) / np.float32(LEVELS), step)


def _enlarged(small: Images, size: int) -> Images:
    """Enlarge images ``(N, s, s, 3)`` to ``(N, size, size, 3)`` by repeating pixels, which is exact on any machine."""
    index = np.arange(size) * small.shape[1] // size
    return np.ascontiguousarray(small[:, index][:, :, index])


def _levels(prob: Probs, step: int) -> Probs:
    """Return every ``step``-th pixel of ``(N, C, S, S)`` rounded to 16 bits; NaN stays NaN."""
    return np.asarray(np.round(prob[:, :, ::step, ::step].clip(0, 1) * LEVELS), np.float32)


def _bytes_apart(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return all low bytes, then all high bytes, which compress better."""
    return np.ascontiguousarray(values.view(np.uint8).reshape(-1, 2).T)


def _packed(values: NDArray[np.uint8]) -> str:
    return base64.b64encode(zlib.compress(values.tobytes(), 9)).decode()


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text, validate=True))
