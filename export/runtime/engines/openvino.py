"""OpenVINO's own runtime, the fast engine for CPUs of every maker."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from export.contract import INPUT, PROB, SUITABLE
from export.errors import DeviceError
from export.runtime.engines.failures import OPENING, brief, mapped
from export.runtime.plan import Plan
from export.runtime.session import Images, Probs, Seen, spans

HINTS = {"fp32": "f32", "bf16": "bf16"}
"""Our names for the arithmetic of float layers, and OpenVINO's."""
TELEMETRY = "openvino_telemetry"
INSTALL = "Install it: pip install openvino. Or use --device cpu."
OTHERWISE = "Use --device cpu."

_loading = threading.Lock()
_core: Any = None


class OpenVinoSession:
    """A model reduced to its outputs at S x S (``prob``, ``suitable``), with one request: for one caller at a time.

    It does not take whole images: OpenVINO's ``Resize`` ignores antialiasing (openvinotoolkit/openvino#35893).
    """

    def __init__(self, path: Path, plan: Plan, *, size: int, batch: int | None, threads: int | None) -> None:
        """Compile for batches of one length (None: any, which is slower). Raises :class:`DeviceError`."""
        self._device, self._batch = plan.device, batch
        with mapped(plan.device, OPENING, plan.hint):
            self._request = _compile(path, plan, [batch or -1, size, size, 3], threads).create_infer_request()

    def prob(self, images: Images) -> Probs:
        """Return probabilities ``(N, C, S, S)`` of images uint8 ``(N, S, S, 3)``."""
        return self.seen(images).prob

    def seen(self, images: Images) -> Seen:
        """Return the probabilities as :meth:`prob` and, if the model has it, ``suitable``."""
        # Copied into and out of OpenVINO's own memory: a request may later write into an array that it was given.
        with mapped(self._device, f"running the model on {images.shape}"):
            _, classes, *plane = self._request.model_outputs[0].get_partial_shape()
            shape = (len(images), *(side.get_length() for side in (classes, *plane)))
            probs = np.empty(shape, np.float32)
            suitable = np.empty(len(images), np.float32) if len(self._request.model_outputs) > 1 else None
            given = self._request.get_input_tensor(0)
            for span in spans(len(images), self._batch):
                part = images[span]
                if self._batch is None:
                    given.shape = part.shape
                given.data[: len(part)] = part  # an incomplete batch keeps the previous contents at its end
                self._request.infer()
                probs[span] = self._request.get_output_tensor(0).data[: len(part)]
                if suitable is not None:
                    suitable[span] = self._request.get_output_tensor(1).data[: len(part)]
        return Seen(probs, suitable=suitable)


def load() -> ModuleType:
    """Import OpenVINO without its telemetry, which would report the import to a server and write into the user's home.

    Raises :class:`DeviceError` if it cannot be imported.
    """
    with _loading:
        hidden = TELEMETRY not in sys.modules
        if hidden:
            sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # raises ImportError, which OpenVINO handles
        try:
            import openvino
        except Exception as error:  # a broken package may raise anything
            if isinstance(error, ModuleNotFoundError) and error.name == "openvino":
                raise DeviceError("openvino", "the package openvino is missing", INSTALL) from error
            raise DeviceError("openvino", f"its library did not load: {brief(error)}", OTHERWISE) from error
        finally:
            if hidden:
                del sys.modules[TELEMETRY]
    found: ModuleType = openvino
    return found


def core() -> Any:
    """Return the one ``openvino.Core`` of this process; it lives until the process ends. Raises :class:`DeviceError`.

    Every ``Core`` gives its thread another stack for signal handlers. If two are not deleted in reverse order, the
    thread is left with an unmapped stack, and the next signal (Ctrl-C, a child that ended) kills the process
    (``SigAltStackSetup`` of openvinotoolkit/openvino#11894).

    Before it is given out, a tensor is read once: where two threads read the first ones at the same time, each may wait
    for the other for ever (pybind11's ``gil_safe_call_once`` for numpy).
    """
    global _core
    openvino = load()
    with _loading:
        if _core is None:
            _ = openvino.Tensor(np.zeros(1, np.float32)).data
            _core = openvino.Core()
        return _core


def cut_to_prob(path: Path, shape: list[int], *, more: bool = False) -> Any:
    """Return the part of a model's graph that computes ``prob``, for images of ``shape`` ``[N, S, S, 3]`` (N may be
    -1).

    ``more``: also ``suitable``, if the model has it.
    """
    openvino = load()
    reader = openvino.frontend.FrontEndManager().load_by_framework("onnx")  # whatever the file's suffix
    whole = reader.convert(reader.load(str(path)))
    there = {name for output in whole.outputs for name in output.get_names()}
    outputs = [whole.output(name) for name in (PROB, SUITABLE) if name == PROB or (more and name in there)]
    cut = openvino.Model(outputs, [whole.input(INPUT).get_node()], PROB)
    cut.reshape({INPUT: shape})
    _leave_out_idle_resizing(cut)
    return cut


def _leave_out_idle_resizing(model: Any) -> None:
    """Remove resizing to the same size, which OpenVINO would compute though it changes nothing."""
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Interpolate":
            source, result = node.input_value(0), node.output(0)
            sides = [list(each.get_partial_shape())[2:] for each in (source, result)]
            if sides[0] == sides[1] and all(side.is_static for side in sides[0]):
                result.replace(source)


def _compile(path: Path, plan: Plan, shape: list[int], threads: int | None) -> Any:
    cut = cut_to_prob(path, shape, more=True)
    # By default it computes in bf16 wherever the CPU can, without saying so.
    how = {"INFERENCE_PRECISION_HINT": HINTS[plan.compute], "NUM_STREAMS": 1}
    if threads:
        how["INFERENCE_NUM_THREADS"] = threads
    compiled = core().compile_model(cut, "CPU", how)
    taken = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if taken != HINTS[plan.compute]:
        reason = f"asked for {plan.compute}, OpenVINO computes in {taken}"
        raise DeviceError(plan.device, reason, OTHERWISE, available=True)
    return compiled
