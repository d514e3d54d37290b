"""From the name of a device to an onnxruntime session on it, or to the reason why there is none.

``get_available_providers()`` only says what the library was built with. Here, what a device needs is asked for one by
one, and the session that comes out is asked where its nodes were placed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from export.contract import DIMENSIONS
from export.errors import DeviceError
from export.runtime.cache import Fixed, GraphCache, keeping_compiled
from export.runtime.nvidia import NoGpuError, list_gpus, load_cuda_libraries
from seglab.errors import ConfigError
from seglab.files import replacing

CPU = "CPUExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

DEVICES = "auto|cpu|openvino|cuda|cuda:K|tensorrt"
BY_SPEED = ("cuda", "openvino", "cpu")
"""What ``auto`` tries, in this order."""

HEAVY = frozenset({"Conv", "ConvInteger", "ConvTranspose", "Gemm", "MatMul", "QLinearConv"})
"""Operators that hold the work; all of them must be on the device (shape arithmetic may stay on the CPU)."""

INSTALL_GPU = (
    "It needs an NVIDIA GPU with a driver for CUDA 13 (580 or newer), and these libraries: "
    'pip install "onnxruntime-gpu[cuda,cudnn]".'
)
INSTALL_OPENVINO = "Install it: pip install onnxruntime-ep-openvino (Linux and Windows on x86-64)."
INSTALL_TENSORRT = f"{INSTALL_GPU} And TensorRT 10 for CUDA 13, its libraries on the loader's path."
QUIET, DEFAULT_SEVERITY = 4, 2

NO_MEMORY = re.compile(
    r"failed to allocate memory|out of memory|OUT_OF_MEMORY|ALLOC_FAILED|bad_alloc|bad allocation|"
    r"Available memory of \d+ is smaller",
    re.IGNORECASE,
)
"""What onnxruntime's arenas, CUDA, cuBLAS, cuDNN and C++ say when memory runs out."""

_registering = threading.Lock()


@dataclass(frozen=True)
class Plan:
    """How a device is opened.

    ``providers``: for the session's constructor. ``plugin``: a plugin provider's device, with ``options`` for it.
    ``precision``: what it computes in. ``antialias``: it honours that attribute of ``Resize``.
    """

    device: str
    provider: str
    precision: str
    detail: str
    providers: tuple[Any, ...] = ()
    plugin: Any = None
    options: dict[str, str] = field(default_factory=dict)
    antialias: bool = True
    hint: str = ""
    complaints: str = ""


def check_name(device: str) -> None:
    """Raise :class:`ConfigError` for a name that no device has."""
    if not re.fullmatch(r"auto|cpu|openvino|tensorrt|cuda(:\d+)?", device):
        raise ConfigError(f"There is no device {device!r}; expected {DEVICES}.")


def plans_for(device: str, threads: int | None, precision: str = "fp32", compute: str | None = None) -> list[Plan]:
    """Find out how to open ``device``: one plan per precision it can compute in, the fastest first.

    ``precision``: of the model. An int8 or fp16 one has one plan: what is not in that precision is computed in fp32.
    ``compute``: only the plan that computes in this.
    Raises :class:`DeviceError` with the reason where it cannot be had.
    """
    if device == "cpu":
        plans = [cpu_plan()]
    elif device == "openvino":
        plans = _plan_openvino(threads)
    else:
        plans = [_plan_nvidia(device)]
    if compute:
        offered = ", ".join(plan.precision for plan in plans)
        plans = [plan for plan in plans if plan.precision == compute]
        if not plans:
            raise DeviceError(device, f"here it computes in {offered}, not in {compute}", "Ask for another.")
    if precision in ("int8", "fp16"):
        return [_in_the_files_precision(plans[-1], precision)]
    return [_storing(plan, precision) for plan in plans]


def _in_the_files_precision(plan: Plan, precision: str) -> Plan:
    native = (CPU, OPENVINO) if precision == "int8" else (CUDA, TENSORRT)
    about = precision if plan.provider in native else f"{precision} model, computed in fp32: an fp32 one is faster"
    return dataclasses.replace(plan, precision=precision, detail=f"{plan.detail.removesuffix(', fp32')}, {about}")


def _storing(plan: Plan, precision: str) -> Plan:
    """Return the plan of a float model: where it computes in fp32, the weights' precision is what counts."""
    return dataclasses.replace(plan, precision=precision if plan.precision == "fp32" else plan.precision)


def cpu_plan() -> Plan:
    """Return the plan for onnxruntime's own CPU provider, the reference for all others."""
    return Plan("cpu", CPU, "fp32", "onnxruntime's CPU provider", providers=(CPU,))


def create_session(
    path: Path,
    plan: Plan,
    threads: int | None,
    fixed: Fixed = None,
    cache: GraphCache | None = None,
    *,
    shared: bool = False,
) -> Any:
    """Open a model on the planned device and check that its work was placed there.

    ``fixed``: batch, height and width of the input, where they never change. ``cache``: keeps the optimised graph.
    ``shared``: others want the cores too, so threads without work sleep (else they spin, which is faster alone).
    Raises :class:`DeviceError`.
    """

    def options_for(plan: Plan, fixed: Fixed) -> Any:
        return _options(plan, threads, fixed, shared)

    if cache and plan.plugin:
        return _compiled(path, plan, lambda plan: options_for(plan, fixed), cache.compiled(plan, fixed))
    if cache and plan.provider == CPU:
        return _optimised(path, plan, lambda fixed: options_for(plan, fixed), fixed, cache.graph(plan, fixed))
    if cache and plan.provider == TENSORRT:
        plan = cache.keeping_engines(plan, fixed)
    return _opened(path, plan, options_for(plan, fixed))


def _compiled(path: Path, plan: Plan, options_for: Callable[[Plan], Any], kept: Path) -> Any:
    """Open a model as OpenVINO compiled it, or compile it and keep that.

    Its own cache is not for several processes: one may read what another has not written to its end.
    """
    if kept.is_dir():
        keeping = keeping_compiled(plan, kept)
        with contextlib.suppress(DeviceError):
            return _opened(path, keeping, options_for(keeping))
        shutil.rmtree(kept, ignore_errors=True)
    fresh = kept.with_name(f".{kept.name}.{os.getpid()}-{threading.get_ident()}")
    keeping = keeping_compiled(plan, fresh)
    try:
        session = _opened(path, keeping, options_for(keeping))
        with contextlib.suppress(OSError):  # another process was first
            fresh.rename(kept)
    except DeviceError:
        return _opened(path, plan, options_for(plan))
    else:
        return session
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _optimised(path: Path, plan: Plan, options_for: Callable[[Fixed], Any], fixed: Fixed, graph: Path) -> Any:
    """Open the optimised graph, or the model itself, and keep its optimised graph."""
    import onnxruntime

    if graph.exists():
        options = options_for(None)  # what was fixed is in the graph
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        with contextlib.suppress(DeviceError):
            return _opened(graph, plan, options)
    try:
        with replacing(graph) as temporary:
            options = options_for(fixed)
            options.optimized_model_filepath = str(temporary)
            return _opened(path, plan, options)
    except (OSError, DeviceError):
        return _opened(path, plan, options_for(fixed))


def _options(plan: Plan, threads: int | None, fixed: Fixed, shared: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = QUIET
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    # With OpenVINO the work runs in its own threads (see the plan's options).
    options.intra_op_num_threads = 1 if plan.plugin else threads or 0
    options.add_session_config_entry("session.intra_op.allow_spinning", "0" if shared else "1")
    for name, length in zip(DIMENSIONS, fixed or (), strict=False):
        options.add_free_dimension_override_by_name(name, length)
    if plan.plugin:
        options.add_provider_for_devices([plan.plugin], plan.options)
    return options


def _opened(path: Path, plan: Plan, options: Any) -> Any:
    import onnxruntime

    try:
        with _quiet():
            # Without the fallback: it would print to stdout and hand out a session on the CPU.
            session = onnxruntime.InferenceSession(
                str(path), options, providers=list(plan.providers) or None, enable_fallback=0
            )
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise DeviceError(plan.device, f"opening the model on it failed: {brief(error)}", plan.hint) from error
    _require_placement(session, plan)
    return session


def _require_placement(session: Any, plan: Plan) -> None:
    if plan.provider not in session.get_providers():
        because = plan.complaints or "onnxruntime gave no reason"
        raise DeviceError(plan.device, f"{plan.provider} did not load ({because})", plan.hint)
    elsewhere = sorted(
        {
            f"{node.op_type} on {subgraph.ep_name}"
            for subgraph in session.get_provider_graph_assignment_info()
            for node in subgraph.get_nodes()
            if node.op_type in HEAVY and subgraph.ep_name != plan.provider
        }
    )
    if elsewhere:
        reason = f"not all of the network was placed on {plan.provider}, but {', '.join(elsewhere)}"
        raise DeviceError(plan.device, reason, "Use another device.", available=True)


def _plan_openvino(threads: int | None) -> list[Plan]:
    found = _find_openvino()
    about = found.ep_metadata
    # Left to itself it computes in bf16 wherever the processor can, and does not say so. Here it is told, and recorded.
    native = about.get("OPTIMIZATION_CAPABILITIES", "").split()
    precisions = ["bf16", "fp32"] if "BF16" in native else ["fp32"]
    name = f"OpenVINO {about.get('version', '').partition('+')[0]} on {about.get('FULL_DEVICE_NAME', 'the CPU')}"
    return [
        Plan(
            "openvino",
            OPENVINO,
            precision,
            f"{name}, {precision}",
            plugin=found,
            options={"load_config": _openvino_config(precision, threads)},
            # https://github.com/openvinotoolkit/openvino/issues/35893
            antialias=False,
            hint="Use --device cpu.",
        )
        for precision in precisions
    ]


def _openvino_config(precision: str, threads: int | None) -> str:
    """Return the provider's option ``load_config``; its options ``precision`` and ``num_of_threads`` bind nothing."""
    config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": {"bf16": "bf16", "fp32": "f32"}[precision]}
    if threads:
        config["INFERENCE_NUM_THREADS"] = threads
    return json.dumps({"CPU": config})


def _find_openvino() -> Any:
    """Register the plugin once per process and return its CPU device."""
    import onnxruntime

    try:
        import onnxruntime_ep_openvino as package
    except ImportError as error:
        raise DeviceError("openvino", "the package onnxruntime-ep-openvino is missing", INSTALL_OPENVINO) from error
    try:
        with _registering, _quiet():
            if not _openvino_devices():
                onnxruntime.register_execution_provider_library("seglab-openvino", package.get_library_path())
            found = [entry for entry in _openvino_devices() if entry.ep_metadata.get("ov_device") == "CPU"]
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise DeviceError("openvino", f"its library did not load: {brief(error)}", INSTALL_OPENVINO) from error
    if not found:
        raise DeviceError("openvino", "OpenVINO does not support this processor", "Use --device cpu.")
    return found[0]


def _openvino_devices() -> list[Any]:
    import onnxruntime

    return [entry for entry in onnxruntime.get_ep_devices() if entry.ep_name == OPENVINO]


def _plan_nvidia(device: str) -> Plan:
    import onnxruntime

    kind, _, number = device.partition(":")
    provider = CUDA if kind == "cuda" else TENSORRT
    hint = INSTALL_GPU if kind == "cuda" else INSTALL_TENSORRT
    if provider not in onnxruntime.get_available_providers():
        raise DeviceError(device, f"this onnxruntime was built without {provider}", f"{hint} Or use --device auto.")
    try:
        gpus = list_gpus()
    except NoGpuError as error:
        raise DeviceError(device, str(error), f"{hint} Or use --device auto.") from error
    index = int(number or 0)
    if index >= len(gpus):
        reason = f"there are {len(gpus)} GPU(s), numbered from 0"
        raise DeviceError(device, reason, f"Use cuda:0 to cuda:{len(gpus) - 1}.")
    complaints = load_cuda_libraries()
    # The default search tries every algorithm for every new shape. TF32 keeps 11 bits of every operand: not fp32.
    options = {"device_id": str(index), "cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
    first = () if kind == "cuda" else ((TENSORRT, {"device_id": str(index)}),)
    return Plan(
        f"{kind}:{index}" if kind == "cuda" else kind,
        provider,
        "fp32",
        f"{gpus[index].name}, fp32",
        providers=(*first, (CUDA, options), CPU),
        hint=hint,
        complaints=complaints,
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep onnxruntime's own log off the terminal: what went wrong is said once, by us."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(QUIET)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(DEFAULT_SEVERITY)


def is_out_of_memory(error: BaseException) -> bool:
    """Does a foreign error say that memory ran out?"""
    return isinstance(error, MemoryError) or NO_MEMORY.search(str(error)) is not None


def brief(error: Exception) -> str:
    """Return the first line of a foreign error's text; and the next, where it ends in a colon: OpenVINO's say where."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = next(iter(lines), type(error).__name__)
    for line in lines[1:]:
        if not said.endswith(":"):
            break
        said = f"{said} {line}"
    return said
