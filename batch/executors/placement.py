"""Which processes serve a run, on which devices and which cores."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from batch.cores import available_cores, cores
from batch.settings import RunSettings
from export.runtime.devices.nvidia_driver import NoGpuError, list_gpus
from seglab.errors import ConfigError

MOST_PROCESSES = 128
CAN_BIND = hasattr(os, "sched_setaffinity")


@dataclass(frozen=True)
class Share:
    """The share of one process: its ``device``, and the ``cores`` that it is bound to; empty: not bound.

    ``threads``: of a model on a CPU; None: the engine's own choice.
    """

    device: str
    cores: tuple[int, ...] = ()
    threads: int | None = None


def share_out(settings: RunSettings, *, few: bool) -> list[Share]:
    """Return the shares of a run's processes, each on its device and bound to its part of the cores.

    Processes are not bound if a container may use only part of the machine's cores: other containers would bind to the
    same ones.
    """
    usable = cores()
    on_gpu = len(settings.devices) > 1 or may_be_gpu(settings.device)
    alone = on_gpu or few or settings.exact or not CAN_BIND
    each = settings.processes or (1 if alone else min(usable, MOST_PROCESSES))
    devices = [device for device in settings.devices for _ in range(each)]
    if len(devices) == 1:
        return [Share(devices[0], threads=usable if usable < available_cores() else None)]
    if sys.platform == "win32":
        raise ConfigError(
            f"{len(devices)} processes were asked for; expected 1 on Windows. Leave out --processes, and name one "
            "device."
        )
    if not CAN_BIND or usable < available_cores():
        return [Share(device, threads=max(1, usable // len(devices))) for device in devices]
    numbers = sorted(os.sched_getaffinity(0))
    parts = [tuple(_part(numbers, index, len(devices))) for index in range(len(devices))]
    return [Share(device, part, len(part)) for device, part in zip(devices, parts, strict=True)]


def _part(cores: Sequence[int], index: int, count: int) -> Sequence[int]:
    """Return one of ``count`` shares of the cores; all of them if there are fewer cores than shares."""
    return cores[len(cores) * index // count : len(cores) * (index + 1) // count] or cores


def may_be_gpu(device: str) -> bool:
    """Return whether the device is a GPU, or, for ``auto``, whether there is one."""
    if device != "auto":
        return is_gpu(device)
    try:
        return bool(list_gpus())
    except NoGpuError:
        return False


def is_gpu(device: str) -> bool:
    """Return whether the device is a GPU, by its name."""
    return device not in ("cpu", "openvino")
