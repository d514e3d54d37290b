"""What the NVIDIA driver says, asked directly: onnxruntime lists CUDA on machines that have no GPU."""

from __future__ import annotations

import contextlib
import ctypes
import io
import sys
from dataclasses import dataclass

NAME_LENGTH = 100


@dataclass(frozen=True)
class Gpu:
    """A CUDA device, by the name its driver gives it."""

    name: str


class NoGpuError(Exception):
    """The driver is not there, or has nothing to offer; the text is a clause that says why."""


def list_gpus() -> list[Gpu]:
    """Return the GPUs that the driver shows to this process (``CUDA_VISIBLE_DEVICES`` counts).

    Raises :class:`NoGpuError` where there is none.
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
    """Let onnxruntime load the CUDA libraries that pip installed; return its complaints, empty if it had none."""
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
