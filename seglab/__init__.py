"""Lesion segmentation on dermoscopy images.

>>> import seglab
>>> model = seglab.load()  # doctest: +SKIP
>>> model("photo.jpg").overlay().save("overlay.png")  # doctest: +SKIP
>>> run = seglab.segment("photos", out="masks")  # doctest: +SKIP
>>> run = seglab.train("isic2018", out="runs/quick")  # doctest: +SKIP
>>> seglab.validate(run.best, "isic2018").dice  # doctest: +SKIP

Errors that you can cause are in :mod:`seglab.errors`.
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
"""By name, so that this package, which lies below the two others, imports neither of them. Types are in the stub."""


def __getattr__(name: str) -> Any:
    if name in _HOMES:  # loaded when it is asked for: nearly everything imports this package
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
