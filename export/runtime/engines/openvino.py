"""OpenVINO's own runtime: the fast engine of every CPU, whoever made it."""

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
"""Our words for what float layers are computed in, and OpenVINO's."""
TELEMETRY = "openvino_telemetry"
INSTALL = "Install it: pip install openvino. Or use --device cpu."
OTHERWISE = "Use --device cpu."

_loading = threading.Lock()
_core: Any = None


class OpenVinoSession:
    """A model cut to what it gives at S x S (``prob``, ``suitable``), with one request: for one caller at a time.

    Whole images are not for OpenVINO: its ``Resize`` ignores antialiasing (openvinotoolkit/openvino#35893).
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
        """Return them and, where the model has it, ``suitable``."""
        # Into OpenVINO's own memory and out of it: a request that was given an array once may write into it later.
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
                given.data[: len(part)] = part  # a batch that is not full keeps what was there before
                self._request.infer()
                probs[span] = self._request.get_output_tensor(0).data[: len(part)]
                if suitable is not None:
                    suitable[span] = self._request.get_output_tensor(1).data[: len(part)]
        return Seen(probs, suitable=suitable)


def load() -> ModuleType:
    """Import OpenVINO without its telemetry, which would report the import to a server and write into the user's home.

    Raises :class:`DeviceError` where it cannot be had.
    """
    with _loading:
        hidden = TELEMETRY not in sys.modules
        if hidden:
            sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # an ImportError, which OpenVINO provides for
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
    """Return this process' one ``openvino.Core``; it stays until the process ends. Raises :class:`DeviceError`.

    Every ``Core`` gives its thread another stack for signal handlers. Where two are not deleted in the reverse order,
    the thread is left with a stack that was unmapped, and the next signal (Ctrl-C, a child that ended) kills the
    process (``SigAltStackSetup`` of openvinotoolkit/openvino#11894).
    """
    global _core
    openvino = load()
    with _loading:
        if _core is None:
            _core = openvino.Core()
        return _core


def cut_to_prob(path: Path, shape: list[int], *, more: bool = False) -> Any:
    """Return the part of a model's graph that gives ``prob``, for images of a shape ``[N, S, S, 3]`` (N may be -1).

    ``more``: and ``suitable`` behind it, where the model has that.
    """
    openvino = load()
    reader = openvino.frontend.FrontEndManager().load_by_framework("onnx")  # whatever the file's name ends in
    whole = reader.convert(reader.load(str(path)))
    there = {name for output in whole.outputs for name in output.get_names()}
    outputs = [whole.output(name) for name in (PROB, SUITABLE) if name == PROB or (more and name in there)]
    cut = openvino.Model(outputs, [whole.input(INPUT).get_node()], PROB)
    cut.reshape({INPUT: shape})
    return cut


def _compile(path: Path, plan: Plan, shape: list[int], threads: int | None) -> Any:
    cut = cut_to_prob(path, shape, more=True)
    # Left to itself it computes in bf16 wherever the CPU can, and does not say so.
    how = {"INFERENCE_PRECISION_HINT": HINTS[plan.compute], "NUM_STREAMS": 1}
    if threads:
        how["INFERENCE_NUM_THREADS"] = threads
    compiled = core().compile_model(cut, "CPU", how)
    taken = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if taken != HINTS[plan.compute]:
        reason = f"asked for {plan.compute}, OpenVINO computes in {taken}"
        raise DeviceError(plan.device, reason, OTHERWISE, available=True)
    return compiled
