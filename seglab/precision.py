"""Mixed precision by name, on the device that computes."""

from __future__ import annotations

import torch

from seglab.errors import ConfigError

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """Return the torch device for ``auto``, ``cpu``, ``cuda`` or ``cuda:K``.

    Raises :class:`ConfigError` where a device was asked for that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name != "cpu" and not (name == "cuda" or (name.startswith("cuda:") and name[5:].isdigit())):
        raise ConfigError(f"--device is {name!r}; expected auto, cpu, cuda or cuda:K.")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"--device {name}: torch sees {torch.cuda.device_count()} CUDA devices here. "
            "Check the driver with nvidia-smi, or use --device cpu."
        )
    return device


def choose_precision(name: str, device: torch.device) -> str:
    """Return ``fp32``, ``bf16`` or ``fp16``; ``auto`` is bf16 where the hardware computes in it, else fp32.

    Raises :class:`ConfigError` for fp16 on a CPU, which has no use for it.
    """
    if name == "fp16" and device.type == "cpu":
        raise ConfigError("precision fp16 is for CUDA devices; expected fp32, bf16 or auto on a CPU.")
    if name != "auto":
        return name
    native = torch.cuda.is_bf16_supported() if device.type == "cuda" else _cpu_has_bf16()
    return "bf16" if native else "fp32"


def _cpu_has_bf16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
