"""Opening a model on a device that was verified, and running it."""

from __future__ import annotations

import dataclasses
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from export.contract import INPUT, MASK, PROB, Contract, read_contract
from export.errors import DeviceError
from export.runtime.cache import Fixed, GraphCache
from export.runtime.device import Device
from export.runtime.masks import drop_single_class
from export.runtime.probe import probe_images, require_same
from export.runtime.session import (
    BY_SPEED,
    CPU,
    DEVICES,
    Plan,
    brief,
    check_name,
    cpu_plan,
    create_session,
    is_out_of_memory,
    plans_for,
)
from seglab.files import sha256

if TYPE_CHECKING:
    from export.runtime.cache import Proof

__all__ = ["DEVICES", "Device", "DeviceReport", "Model", "inspect_devices", "open_model"]

INSPECTED = ("cpu", "openvino", "cuda", "tensorrt")
INSPECTION_BATCH, INSPECTION_RUNS = 4, 5

Images = NDArray[np.uint8]
Probs = NDArray[np.float32]


@dataclass(frozen=True)
class DeviceReport:
    """What :func:`inspect_devices` found: ``images_per_second`` is 0 where the device did not verify."""

    name: str
    available: bool
    verified: bool
    images_per_second: float
    precision: str
    reason: str
    install: str


@dataclass(frozen=True)
class Opening:
    """A model's file and how it is to be opened: what :func:`open_model` was asked for."""

    path: Path
    contract: Contract
    sha256: str
    threads: int | None = None
    batch: int | None = None
    compute: str | None = None
    cache: GraphCache | None = None
    shared: bool = False

    def session(self, plan: Plan, fixed: Fixed = None) -> Any:
        """Open a session. Raises :class:`DeviceError`."""
        return create_session(self.path, plan, self.threads, fixed, self.cache, shared=self.shared)

    def reference(self) -> Any:
        """Open a session on the CPU provider, which all others have to agree with."""
        return self.session(cpu_plan())


class Model:
    """An opened model on a verified device.

    For one caller at a time: give each thread its own, or take turns. ``whole_on`` names the device that
    :meth:`mask` uses: the same one, or ``cpu`` where the device cannot resize with antialiasing.
    """

    def __init__(self, opening: Opening, plan: Plan, rejected: dict[str, str]) -> None:
        self.path = opening.path
        self.contract = opening.contract
        self.sha256 = opening.sha256
        self.device = Device(plan.device, plan.provider, plan.precision, plan.detail, rejected)
        self.batch = opening.batch
        self.whole_on = plan.device if plan.antialias else "cpu"
        self._opening = opening
        self._plan = plan
        self._session: Any = None
        self._whole: Any = None

    def prob(self, batch: Images) -> Probs:
        """Return probabilities ``(N, S, S)``, 0-1, of images already at the network's size; ``(N, C, S, S)`` of several
        classes.

        ``batch``: uint8 ``(N, S, S, 3)``, RGB. A model opened for a fixed batch runs it in batches of that length,
        the last one padded. Raises :class:`ValueError` for another shape or type, :class:`DeviceError` where the
        device fails (out of memory).
        """
        size = self.contract.size
        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[1:] != (size, size, 3):
            raise ValueError(f"The batch is {batch.dtype} {batch.shape}; expected uint8 (N, {size}, {size}, 3).")
        if self.batch is None:
            return self._run(batch)
        parts = [self._run_padded(batch[start : start + self.batch]) for start in range(0, len(batch), self.batch)]
        return np.concatenate(parts) if parts else self._no_probs()

    def mask(self, images: Images) -> Images:
        """Return masks ``(N, H, W)``, 0 or 255 (of several classes: their numbers), of images uint8 ``(N, H, W, 3)`` of
        any H and W: the exact path.
        """
        return self.prob_and_mask(images)[1]

    def prob_and_mask(self, images: Images) -> tuple[Probs, Images]:
        """Return probabilities ``(N, S, S)`` and masks ``(N, H, W)`` of images uint8 ``(N, H, W, 3)``."""
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(f"The images are {images.dtype} {images.shape}; expected uint8 (N, H, W, 3).")
        prob, mask = self._call(self._whole_session(), [PROB, MASK], images)
        return drop_single_class(prob), np.asarray(mask, np.uint8)

    def use_batch(self, batch: int) -> None:
        """Open the model again on the same device for another batch length, after giving back the memory of this one.

        Raises :class:`DeviceError`.
        """
        self._session = self._whole = None
        self._opening = dataclasses.replace(self._opening, batch=batch)
        self.batch = batch
        self._open()

    def _run(self, batch: Images) -> Probs:
        (prob,) = self._call(self._session, [PROB], batch)
        return drop_single_class(prob)

    def _call(self, session: Any, outputs: list[str], images: Images) -> list[NDArray[Any]]:
        try:
            values: list[NDArray[Any]] = session.run(outputs, {INPUT: images})
        except Exception as error:  # onnxruntime's errors have no base of their own
            reason = f"running the model on {images.shape} failed: {brief(error)}"
            hint = "Use smaller batches, or another device."
            less = is_out_of_memory(error)
            raise DeviceError(self.device.name, reason, hint, available=True, out_of_memory=less) from error
        return values

    def _no_probs(self) -> Probs:
        size, classes = self.contract.size, self.contract.classes
        return np.empty((0, size, size) if classes == 1 else (0, classes, size, size), np.float32)

    def _run_padded(self, part: Images) -> Probs:
        missing = (self.batch or 0) - len(part)
        if missing:
            part = np.concatenate([part, np.zeros((missing, *part.shape[1:]), np.uint8)])
        return self._run(part)[: len(part) - missing]

    def _open(self) -> None:
        """Open the session for :meth:`prob` and verify it."""
        size = self.contract.size
        self._session = self._opening.session(self._plan, None if self.batch is None else (self.batch, size, size))
        if self._plan.provider == CPU:  # the reference itself
            return
        cache = self._opening.cache
        probe, expected = cache.proof(self._prove) if cache else self._prove()
        self._require_same(self.prob(probe), drop_single_class(expected))

    def _prove(self) -> Proof:
        probe = probe_images(self.contract.size, self.contract.size)
        return probe, self._call(self._opening.reference(), [PROB], probe)[0]

    def _whole_session(self) -> Any:
        if self._whole is None:
            if self.whole_on == "cpu":
                reusable = self._plan.provider == CPU and self.batch is None
                self._whole = self._session if reusable else self._opening.reference()
            else:
                self._whole = self._open_whole()
        return self._whole

    def _open_whole(self) -> Any:
        size = self.contract.size
        session = self._session if self.batch is None else self._opening.session(self._plan)
        probe = probe_images(2 * size + 37, 3 * size + 11, count=1)
        expected = self._call(self._opening.reference(), [PROB], probe)[0]
        given = self._call(session, [PROB], probe)[0]
        self._require_same(drop_single_class(given), drop_single_class(expected))
        return session

    def _require_same(self, prob: Probs, expected: Probs) -> None:
        device, threshold = self.device, self.contract.threshold
        require_same(prob, expected, device=device.name, precision=device.precision, threshold=threshold)


def open_model(
    path: Path,
    device: str = "auto",
    *,
    threads: int | None = None,
    batch: int | None = None,
    compute: str | None = None,
    cache: Path | None = None,
    shared: bool = False,
) -> Model:
    """Open a model on a device and verify it there.

    ``device``: one of ``auto|cpu|openvino|cuda|cuda:K|tensorrt``; ``auto`` takes the first of cuda, openvino and cpu
    that verifies. ``threads``: for the CPU (None: the libraries' own choice). ``batch``: fixes the batch length of
    :meth:`Model.prob`, which is faster. Verified means: the session has the provider, all convolutions were placed
    on it, and probe images give the CPU provider's probabilities within the precision's tolerance. OpenVINO computes in
    bf16 where the processor does and that verifies, else in fp32; ``Device.precision`` says which, and ``compute``
    (``fp32`` or ``bf16``) asks for one of them. ``cache``: a folder for optimised graphs, so that the next time is
    quicker. ``shared``: other work runs beside the model, which leaves the cores to it while it waits. Raises
    :class:`ContractError`, :class:`DeviceError`, and :class:`seglab.errors.ConfigError` for an unknown
    name.
    """
    check_name(device)
    contract, digest = read_contract(path), sha256(path)
    kept = GraphCache(cache, digest) if cache else None
    opening = Opening(path, contract, digest, threads, batch, compute, kept, shared)
    if device != "auto":
        return _open(opening, device, {})
    rejected: dict[str, str] = {}
    for name in BY_SPEED[:-1]:
        try:
            return _open(opening, name, rejected)
        except DeviceError as error:
            rejected[name] = error.reason
    return _open(opening, BY_SPEED[-1], rejected)


def inspect_devices(path: Path, threads: int | None = None) -> list[DeviceReport]:
    """Try every device on a model: which are there, which verify, how fast they are, what to install for the others."""
    opening = Opening(path, read_contract(path), sha256(path), threads, INSPECTION_BATCH)
    return [_inspect(opening, name) for name in INSPECTED]


def _open(opening: Opening, device: str, rejected: dict[str, str]) -> Model:
    """Open on the first plan that verifies; a device may have a fast one and an exact one."""
    note = ""
    for plan in (plans := plans_for(device, opening.threads, opening.contract.precision, opening.compute)):
        model = Model(opening, dataclasses.replace(plan, detail=plan.detail + note), dict(rejected))
        try:
            model._open()
        except DeviceError as error:
            if plan is plans[-1] or not error.available:
                raise
            note = f" ({error.reason})"
        else:
            return model
    raise DeviceError(device, "there is no way to open it")  # not reached: plans are never empty


def _inspect(opening: Opening, device: str) -> DeviceReport:
    try:
        model = _open(opening, device, {})
    except DeviceError as error:
        return DeviceReport(device, error.available, False, 0.0, "", error.reason, error.hint)
    size = opening.contract.size
    images = probe_images(size, size, INSPECTION_BATCH)
    seconds = []
    for _ in range(INSPECTION_RUNS):
        start = time.perf_counter()
        model.prob(images)
        seconds.append(time.perf_counter() - start)
    rate = INSPECTION_BATCH / statistics.median(seconds)
    return DeviceReport(model.device.name, True, True, rate, model.device.precision, model.device.detail, "")
