"""Lesion segmentation on dermoscopy images.

>>> import seglab
>>> model = seglab.load()  # doctest: +SKIP
>>> model("photo.jpg").overlay().save("overlay.png")  # doctest: +SKIP
>>> run = seglab.segment("photos", out="masks")  # doctest: +SKIP
>>> run = seglab.train("isic2018", out="runs/quick")  # doctest: +SKIP
>>> seglab.validate(run.best, "isic2018").dice  # doctest: +SKIP

The errors that these functions raise are in :mod:`seglab.errors`.
"""

from __future__ import annotations

import importlib
from typing import Any

from seglab import errors

__all__ = ["__version__", "errors", "load", "segment", "train", "validate"]
__version__ = "0.1.0"

_HOMES = {
    "load": "export.segmenter.loading",
    "segment": "batch.api.segmenting",
    "train": "seglab.api.training",
    "validate": "seglab.api.validation",
}
"""Module of each function, imported on first use: this package must not import the other two. Types are in the stub."""


def __getattr__(name: str) -> Any:
    if name in _HOMES:  # on first use, because nearly every module imports this package
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
