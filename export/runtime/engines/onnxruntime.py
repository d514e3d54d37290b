"""onnxruntime: its CPU provider (the reference for all devices), CUDA, and TensorRT."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np

from export.contract import DIMENSIONS, INPUT, MASK, PROB, SUITABLE
from export.errors import DeviceError
from export.runtime.engines.failures import OPENING, brief, mapped
from export.runtime.plan import Plan
from export.runtime.session import Images, Probs, Seen, spans

HEAVY = frozenset({"Conv", "ConvInteger", "ConvTranspose", "Gemm", "MatMul", "QLinearConv"})
"""Operators that do the main work; all of them must be on the device (shape arithmetic may stay on the CPU)."""
QUIET, DEFAULT_SEVERITY = 4, 2

Fixed = tuple[int, int, int]
"""Batch, height and width of the input, if they are fixed."""


def load() -> ModuleType:
    """Import onnxruntime, with its telemetry off (see :mod:`export`). Raises :class:`DeviceError` if that fails."""
    try:
        import onnxruntime
    except ImportError as error:
        reason = f"onnxruntime did not load: {brief(error)}"
        raise DeviceError("cpu", reason, "Install seglab again, in an environment of its own.") from error
    found: ModuleType = onnxruntime
    return found


class OrtSession:
    """A model on one provider, for images at S x S and whole images."""

    def __init__(
        self, path: Path, plan: Plan, *, fixed: Fixed | None = None, threads: int | None = None, shared: bool = False
    ) -> None:
        """Open the model, and require that all its main work was placed on the planned provider.

        ``shared``: idle threads sleep (otherwise they spin, which is faster alone). Raises :class:`DeviceError`.
        """
        import onnxruntime

        self._device, self._batch = plan.device, fixed and fixed[0]
        self._only_what_is_asked_for = onnxruntime.RunOptions()
        self._only_what_is_asked_for.only_execute_path_to_fetches = True
        with mapped(plan.device, OPENING, plan.hint), _quiet():
            self._session = onnxruntime.InferenceSession(
                str(path),
                _options(threads, fixed, shared),
                providers=list(plan.providers),
                enable_fallback=0,  # the fallback would print to stdout and return a session on the CPU
            )
        _require_placement(self._session, plan)
        self._more = [SUITABLE] if SUITABLE in (output.name for output in self._session.get_outputs()) else []

    def prob(self, images: Images) -> Probs:
        """Return probabilities ``(N, C, S, S)`` of images uint8 ``(N, S, S, 3)``, N at least 1."""
        return self.seen(images).prob

    def seen(self, images: Images) -> Seen:
        """Return the probabilities as :meth:`prob` and, if the model has it, ``suitable``."""
        with mapped(self._device, f"running the model on {images.shape}"):
            probs: Probs | None = None
            suitable = np.empty(len(images), np.float32) if self._more else None
            for span in spans(len(images), self._batch):
                prob, *more = self._run([PROB, *self._more], self._padded(images[span]))
                if probs is None:  # allocated only now, as the first call shows whether memory suffices
                    probs = np.empty((len(images), *prob.shape[1:]), np.float32)
                probs[span] = prob[: span.stop - span.start]
                if suitable is not None:
                    suitable[span] = more[0][: span.stop - span.start]
        return Seen(cast(Probs, probs), suitable=suitable)

    def prob_and_mask(self, images: Images) -> tuple[Probs, Images]:
        """Return probabilities ``(N, C, S, S)`` and masks ``(N, H, W)`` of images uint8 ``(N, H, W, 3)``."""
        seen = self.seen_whole(images)
        return seen.prob, cast(Images, seen.mask)

    def seen_whole(self, images: Images) -> Seen:
        """Return what :meth:`prob_and_mask` returns and, if the model has it, ``suitable``."""
        with mapped(self._device, f"running the model on {images.shape}"):
            prob, mask, *more = self._run([PROB, MASK, *self._more], images)
        suitable = np.asarray(more[0], np.float32) if more else None
        return Seen(np.asarray(prob, np.float32), np.asarray(mask, np.uint8), suitable)

    def _padded(self, part: Images) -> Images:
        missing = (self._batch or len(part)) - len(part)
        return np.concatenate([part, np.zeros((missing, *part.shape[1:]), np.uint8)]) if missing else part

    def _run(self, outputs: list[str], images: Images) -> list[Any]:
        values: list[Any] = self._session.run(outputs, {INPUT: images}, self._only_what_is_asked_for)
        return values


def _options(threads: int | None, fixed: Fixed | None, shared: bool) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = QUIET
    options.intra_op_num_threads = threads or 0
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0" if shared else "1")
    for name, length in zip(DIMENSIONS, fixed or (), strict=False):
        options.add_free_dimension_override_by_name(name, length)
    return options


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
        reason = f"not all of the network was placed on {plan.provider}: {', '.join(elsewhere)}"
        raise DeviceError(plan.device, reason, "Use another device.", available=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep onnxruntime's log off the terminal: errors are reported once, by us."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(QUIET)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(DEFAULT_SEVERITY)
