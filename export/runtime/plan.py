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

    ``threads``: for the CPU (None: the engine's own choice). ``batch``: the length to which batches at S x S are padded
    (None: any). ``compute``: the only arithmetic allowed, ``fp32``, ``bf16`` or ``int8`` (None: the fastest that passes
    its gate). ``shared``: other work needs the cores, too (onnxruntime then waits without spinning; OpenVINO always
    does). ``probes``: those in the file.
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

    ``device``: its name, numbered if there may be several. ``engine``: :data:`ONNXRUNTIME` or :data:`OPENVINO`, and its
    ``version``. ``compute``: the arithmetic of float layers. ``precision``: by which the device is judged and recorded:
    ``compute``, or the file's own. ``antialias``: whether its ``Resize`` supports antialiasing, so that it can take
    whole images. ``hint``: what to do if it cannot be opened. ``provider``: its name in ledgers, for onnxruntime that
    of its provider; for onnxruntime's sessions also ``providers``, and ``complaints`` from loading their libraries.
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
        """Return whether it is the plan that the others are compared with."""
        return self.provider == REFERENCE

    @property
    def label(self) -> str:
        """Return the text that distinguishes the plans of one request."""
        return f"{self.device} {self.precision}"
