"""The description of a device; available without loading its engine."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from seglab.errors import ConfigError

DEVICES = "auto|cpu|openvino|cuda|cuda:K|tensorrt"
COMPUTES = ("fp32", "bf16", "int8")
"""Arithmetic that can be asked for: float layers in fp32 or bf16; int8 for a model in int8."""


@dataclass(frozen=True)
class Device:
    """Where a model runs.

    ``name``: ``cpu``, ``openvino``, ``cuda:0``, ``tensorrt``. ``engine``: the library, with its version. ``provider``:
    onnxruntime's name for what it uses; ``OpenVINO`` if that is the engine. ``precision``: what it computes in
    (``fp32``, ``bf16``; ``int8`` for an int8 model). ``detail``: for people. ``rejected``: devices that were not used,
    and why.
    """

    name: str
    engine: str
    provider: str
    precision: str
    detail: str
    rejected: dict[str, str] = field(default_factory=dict)


def check_asked(device: str, compute: str | None = None) -> None:
    """Raise :class:`ConfigError` for an unknown device name or arithmetic."""
    if not re.fullmatch(r"auto|cpu|openvino|tensorrt|cuda(:\d+)?", device):
        raise ConfigError(f"There is no device {device!r}; expected {DEVICES}.")
    if compute not in (None, *COMPUTES):
        raise ConfigError(f"There is no arithmetic {compute!r}; expected one of {', '.join(COMPUTES)}.")
