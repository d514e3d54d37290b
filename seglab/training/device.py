"""Devices, mixed precision and processes by name; reuse of freed memory."""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import torch

from seglab.errors import ConfigError

if TYPE_CHECKING:
    from lightning.fabric import Fabric

FABRIC_NAMES: dict[str, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}
# <malloc.h> of glibc: numbers of the parameters of mallopt(3).
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
LARGEST_INT = 2**31 - 1

WORTH = 0.9
"""Share of fp32's time that bf16 may take; if it takes more, its rounding is not worth it."""

NEGLIGIBLE = 0.05
"""Seconds: shorter steps on a CPU are too noisy to decide by, and equal runs must choose the same."""


def choose_device(name: str) -> torch.device:
    """Return the torch device for ``auto``, ``cpu``, ``cuda`` or ``cuda:K``.

    Raises :class:`ConfigError` for a device that does not exist.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name != "cpu" and not (name == "cuda" or (name.startswith("cuda:") and name[5:].isdigit())):
        raise ConfigError(f"--device is {name!r}; expected auto, cpu, cuda or cuda:K.")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"--device {name}: torch finds {torch.cuda.device_count()} CUDA devices here. Check the driver with "
            "nvidia-smi, or use --device cpu."
        )
    return device


def choose_precision(
    name: str, device: torch.device, measure: Callable[[Sequence[str]], Mapping[str, float]] | None = None
) -> str:
    """Return ``fp32``, ``bf16`` or ``fp16``; ``auto`` is bf16 where the hardware has it and runs faster in it.

    ``measure``: returns the seconds of a step in each of the precisions; without it, bf16 counts as faster.
    Raises :class:`ConfigError` for fp16 on a CPU.
    """
    if name == "fp16" and device.type == "cpu":
        raise ConfigError("precision fp16 is for CUDA devices; expected fp32, bf16 or auto on a CPU.")
    if name != "auto":
        return name
    native = torch.cuda.is_bf16_supported() if device.type == "cuda" else _cpu_has_bf16()
    if not native or measure is None:
        return "bf16" if native else "fp32"
    seconds = measure(("fp32", "bf16"))
    if device.type == "cpu" and seconds["fp32"] < NEGLIGIBLE:
        return "fp32"
    return "bf16" if seconds["bf16"] < WORTH * seconds["fp32"] else "fp32"


def _cpu_has_bf16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def require_compiler() -> None:
    """Raise :class:`ConfigError` where torch.compile would find no C++ compiler."""
    if not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "c++", "clang++", "cl")):
        raise ConfigError(
            "compile = true needs a C++ compiler, and none is on the PATH; expected g++ or clang++. Install one, or "
            "leave compile out."
        )


def make_fabric(device: torch.device, precision: str, devices: int = 1, nodes: int = 1) -> Fabric:
    """Return Lightning Fabric for ``devices`` processes on each of ``nodes`` machines.

    With several, :func:`seglab.training.processes.together` starts the others with this process's own command line.
    Raises :class:`ConfigError` for more GPUs than there are, and where machines have no meeting point.
    """
    from lightning.fabric import Fabric

    from seglab.training.processes import require_meeting_place

    if device.type == "cuda" and devices > torch.cuda.device_count():
        raise ConfigError(f"--devices {devices}: torch finds {torch.cuda.device_count()} CUDA devices here. Use fewer.")
    if device.index is not None and devices > 1:
        raise ConfigError(f"--device {device} names one device, but --devices asks for {devices}. Use --device cuda.")
    for talker in ("fabric.utilities.distributed", "fabric.utilities.rank_zero", "pytorch.utilities.rank_zero"):
        logging.getLogger(f"lightning.{talker}").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The `srun` command is available")  # harmless on a login node
        fabric = Fabric(
            accelerator=device.type,
            devices=[device.index] if device.index is not None else devices,
            num_nodes=nodes,
            strategy="ddp" if devices * nodes > 1 else "auto",
            precision=FABRIC_NAMES[precision],
        )
    if nodes > 1:
        require_meeting_place(fabric)
    return fabric


def keep_freed_memory() -> None:
    """Let the process keep freed memory, instead of returning it to the system and fetching it again each step.

    Training on a CPU allocates the same activations in every step. By default glibc maps and unmaps each large one, and
    the kernel fills it with zeros, which takes much of a step's time. It has no effect without glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, LARGEST_INT)
        mallopt(TOP_PAD, 2**28)
