"""Ask the NVIDIA driver directly for GPUs: onnxruntime lists CUDA even on machines without a GPU."""

from __future__ import annotations

import contextlib
import ctypes
import io
import sys
from dataclasses import dataclass

NAME_LENGTH = 100


@dataclass(frozen=True)
class Gpu:
    """A CUDA device, by the name that its driver gives it."""

    name: str


class NoGpuError(Exception):
    """There is no driver, or it shows no GPU; the text is a clause that says why."""


def list_gpus() -> list[Gpu]:
    """Return the GPUs that the driver shows to this process, respecting ``CUDA_VISIBLE_DEVICES``.

    Raises :class:`NoGpuError` if there is none.
    """
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(library)
    except OSError as error:
        raise NoGpuError(f"there is no NVIDIA driver on this machine ({library} cannot be loaded)") from error
    status = driver.cuInit(0)
    if status != 0:
        raise NoGpuError(f"the NVIDIA driver found no usable GPU (cuInit returned {status})")
    count = ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(count))
    if count.value == 0:
        raise NoGpuError("the NVIDIA driver shows no GPU to this process")
    return [_describe(driver, index) for index in range(count.value)]


def load_cuda_libraries() -> str:
    """Let onnxruntime load the CUDA libraries that pip installed; return its error messages, empty if none."""
    import onnxruntime

    said = io.StringIO()
    with contextlib.redirect_stdout(said):  # it prints to stdout, where data goes
        onnxruntime.preload_dlls()
    return "; ".join(line.strip() for line in said.getvalue().splitlines() if line.startswith("Failed"))


def _describe(driver: ctypes.CDLL, index: int) -> Gpu:
    device = ctypes.c_int()
    name = ctypes.create_string_buffer(NAME_LENGTH)
    driver.cuDeviceGet(ctypes.byref(device), index)
    driver.cuDeviceGetName(name, NAME_LENGTH, device)
    return Gpu(name.value.decode(errors="replace"))
