"""Probability maps beside the masks, at the images' own sizes, for other thresholds and ensembles."""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.files import has_content, write_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FULL = 65535


@dataclass(frozen=True)
class ProbFiles:
    """Files below ``folder``, in the tree of the masks.

    ``kind``: ``png`` (greyscale, 16 bits, 65535 is 1) or ``npy`` (float16), ``(H, W)``.
    """

    folder: Path
    kind: str

    def where(self, mask: str) -> Path:
        """Return the path of a mask's probability map."""
        return (self.folder / mask).with_suffix(f".{self.kind}")

    def present(self, masks: Collection[str]) -> set[str]:
        """Return the masks whose probability maps exist and are not empty."""
        return {mask for mask in masks if has_content(self.where(mask))}

    def write(self, mask: str, prob: NDArray[np.float32], size: tuple[int, int]) -> None:
        """Resize ``(S, S)`` probabilities to ``size`` (H, W), bilinear, and write them."""
        import cv2

        height, width = size
        whole = cv2.resize(prob, (width, height), interpolation=cv2.INTER_LINEAR)  # (H, W)
        write_bytes(self.where(mask), _png(whole) if self.kind == "png" else _npy(whole), self.folder)


def _png(prob: NDArray[Any]) -> bytes:
    import cv2
    import numpy as np

    samples = np.rint(np.clip(prob, 0, 1) * FULL).astype(np.uint16)
    return bytes(cv2.imencode(".png", samples, (cv2.IMWRITE_PNG_COMPRESSION, 1))[1])


def _npy(prob: NDArray[Any]) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, prob.astype(np.float16))
    return buffer.getvalue()
