"""``cuda`` and ``tensorrt``: onnxruntime's providers for NVIDIA GPUs."""

from __future__ import annotations

import dataclasses
from importlib import metadata
from typing import Any

from export.errors import DeviceError
from export.runtime import cache
from export.runtime.devices.nvidia_driver import NoGpuError, list_gpus, load_cuda_libraries
from export.runtime.plan import ONNXRUNTIME, REFERENCE, Plan

CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

NEEDED = "It needs an NVIDIA GPU with a driver for CUDA 13 (580 or newer). Use --device auto."
INSTALL_LIBRARIES = 'Install its libraries: pip install "onnxruntime-gpu[cuda,cudnn]". Or use --device auto.'
OLD_DRIVER = "Its libraries are installed; update the driver (580 or newer), or use --device auto."
INSTALL_TENSORRT = "It needs TensorRT 10 for CUDA 13, its libraries on the loader's path. Or use --device cuda."


def plans(device: str) -> list[Plan]:
    """Return the only plan for ``cuda``, ``cuda:K`` or ``tensorrt``. Raises :class:`DeviceError`."""
    import onnxruntime

    kind, _, number = device.partition(":")
    provider = CUDA if kind == "cuda" else TENSORRT
    if provider not in onnxruntime.get_available_providers():
        reason = f"this onnxruntime was built without {provider}"
        raise DeviceError(device, reason, "onnxruntime-gpu has it, on Linux and Windows x86-64. Use --device auto.")
    try:
        gpus = list_gpus()
    except NoGpuError as error:
        raise DeviceError(device, str(error), NEEDED) from error
    index = int(number or 0)
    if index >= len(gpus):
        reason = f"there are {len(gpus)} GPU(s), numbered from 0"
        raise DeviceError(device, reason, f"Use cuda:0 to cuda:{len(gpus) - 1}.")
    return [_plan(kind, provider, index, gpus[index].name)]


def keeping_engines(plan: Plan, model_sha256: str, fixed: object) -> Plan:
    """Return a TensorRT plan that caches its engines, which take minutes to build; any other plan unchanged.

    Engines are valid for one model, one GPU and one shape, which TensorRT does not check.
    """
    if plan.provider != TENSORRT:
        return plan
    folder = cache.subfolder(f"tensorrt-{cache.key(model_sha256, plan.label, plan.detail, fixed)}")
    if folder is None:
        return plan
    (name, options), *others = plan.providers
    kept = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder)}
    return dataclasses.replace(plan, providers=((name, {**options, **kept}), *others))


def _plan(kind: str, provider: str, index: int, name: str) -> Plan:
    import onnxruntime

    complaints = load_cuda_libraries()
    # The default search tries every algorithm for every new shape. TF32 keeps 11 bits of every operand, so it is off.
    cuda = {"device_id": str(index), "cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
    providers: list[Any] = [(CUDA, cuda), REFERENCE]
    if provider == TENSORRT:
        providers.insert(0, (TENSORRT, {"device_id": str(index)}))
    return Plan(
        device=f"{kind}:{index}" if kind == "cuda" else kind,
        engine=ONNXRUNTIME,
        version=onnxruntime.__version__,
        provider=provider,
        compute="fp32",
        precision="fp32",
        detail=name,
        hint=INSTALL_TENSORRT if kind == "tensorrt" else _hint(),
        providers=tuple(providers),
        complaints=complaints,
    )


def _hint() -> str:
    try:
        metadata.version("nvidia-cudnn-cu13")
    except metadata.PackageNotFoundError:
        return INSTALL_LIBRARIES
    return OLD_DRIVER
