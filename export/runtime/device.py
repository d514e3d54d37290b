"""Where a model runs, in words; known without loading what runs it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Device:
    """Where a model runs.

    ``name``: ``cpu``, ``openvino``, ``cuda:0``, ``tensorrt``. ``provider``: onnxruntime's word for it. ``precision``:
    what it computes in (``fp32``, ``bf16``; ``int8`` for an int8 model). ``detail``: for people. ``rejected``: what
    ``auto`` passed over, and why.
    """

    name: str
    provider: str
    precision: str
    detail: str
    rejected: dict[str, str] = field(default_factory=dict)
