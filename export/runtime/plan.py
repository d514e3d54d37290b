"""What is asked for (a request), and how one device would serve it (a plan)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.contract import Contract

if TYPE_CHECKING:
    from export.runtime.probes.in_file import FileProbes

ONNXRUNTIME = "onnxruntime"
OPENVINO = "openvino"
REFERENCE = "CPUExecutionProvider"
"""The provider that all others are compared with."""


@dataclass(frozen=True)
class Request:
    """What :func:`export.runtime.opening.open_model` was asked for, and what the model's file says.

    ``threads``: for the CPU (None: the engine's own choice). ``batch``: the length that batches at S x S are brought
    to (None: any). ``compute``: the only arithmetic allowed, ``fp32`` or ``bf16`` (None: the best that
    passes its gate). ``shared``: other work wants the cores, too
    (onnxruntime then waits without spinning; OpenVINO always does). ``probes``: those in the file.
    """

    path: Path
    contract: Contract
    sha256: str
    threads: int | None = None
    batch: int | None = None
    compute: str | None = None
    shared: bool = False
    probes: FileProbes | None = None


@dataclass(frozen=True)
class Plan:
    """How a device is opened.

    ``device``: its name, numbered where there may be several. ``engine``: :data:`ONNXRUNTIME` or :data:`OPENVINO`, and
    its ``version``. ``compute``: the arithmetic of float layers. ``precision``: what the device is judged by and
    recorded with: that, or the file's own. ``antialias``: its ``Resize`` honours that attribute, so that it can take
    whole images. ``hint``: what to do where it cannot be opened. ``provider``: what ledgers call it, of onnxruntime its
    provider; for onnxruntime's sessions also ``providers``, and ``complaints`` from loading their libraries.
    """

    device: str
    engine: str
    version: str
    provider: str
    compute: str
    precision: str
    detail: str
    antialias: bool = True
    hint: str = ""
    providers: tuple[Any, ...] = ()
    complaints: str = ""

    @property
    def is_reference(self) -> bool:
        """Is it what the others are compared with?"""
        return self.provider == REFERENCE

    @property
    def label(self) -> str:
        """What tells plans of one request apart."""
        return f"{self.device} {self.precision}"
