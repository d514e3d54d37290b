"""Choosing threads and batch sizes for the cores and the device that are there, and building the pipeline."""

from __future__ import annotations

from pathlib import Path

from batch.cores import cores
from batch.executors.base import Bound, bound_for
from batch.executors.placement import is_gpu, may_be_gpu
from batch.executors.serial import SerialPipeline
from batch.executors.threads import Pipeline
from batch.executors.trace import Trace
from batch.mounts import is_far
from batch.outputs.base import MaskFiles
from batch.outputs.probabilities import ProbFiles
from batch.settings import RunSettings
from batch.steps.stages import Decoder, Inference, Sink, Workshop
from export.errors import ContractError
from export.runtime.bundled import bundled_model
from export.runtime.model import Model
from export.runtime.opening import open_model

CPU_BATCH = 8
ONE_CORE_BATCH = 2
"""Longer ones are hardly faster there, and a last one that is not full costs as much as a full one."""
GPU_BATCH = 64
MOST_WORKERS = 32
REMOTE_WORKERS = 16
"""Threads that wait for storage far away most of the time."""


def open_for(settings: RunSettings, *, threads: int | None = None) -> Model:
    """Open the model that the settings name; ``threads``: of a CPU.

    Raises ContractError and DeviceError.
    """
    path = settings.model if settings.model is not None else bundled_model()
    batch = None if settings.exact else _batch_for(settings)
    model = open_model(path, settings.device, batch=batch, compute=settings.compute, shared=True, threads=threads)
    if model.contract.classes > 1:
        raise ContractError(
            f"{path} tells {model.contract.classes} classes apart ({', '.join(model.contract.class_names)}); expected "
            "one: archives are run for masks of lesion or not. Use export.Segmenter, which gives label maps."
        )
    return model


def set_up(
    settings: RunSettings,
    model: Model,
    store: MaskFiles,
    probs: ProbFiles | None = None,
    trace: Trace | None = None,
    lock_folder: Path | None = None,
) -> tuple[Pipeline | SerialPipeline, Bound]:
    """Return the pipeline for a run whose masks go to ``store``, and how much may be in flight.

    ``lock_folder``: see :class:`batch.steps.stages.Decoder`.
    """
    batch = 1 if settings.exact else model.batch or _batch_for(settings)
    workshop = Workshop(
        decoder=Decoder(
            model.contract.size,
            settings.exact,
            settings.max_pixels,
            lock_folder,
            settings.checksum,
            settings.any_dicom,
        ),
        inference=Inference(model, device=model.device.name, exact=settings.exact),
        sink=Sink(store, model.contract.threshold, settings.bits, settings.overlays, settings.postprocess, probs),
        batch=batch,
    )
    bound = bound_for(batch, exact=settings.exact)
    from_far, to_far = any(map(is_far, settings.source_names)), is_far(str(settings.out))
    if cores() == 1 and settings.workers is None and not (from_far or to_far or is_gpu(model.device.name)):
        return SerialPipeline(workshop, trace), bound
    decoders, sinks = (settings.workers or _threads(far=far) for far in (from_far, to_far))
    return Pipeline(workshop, decoders, sinks, trace), bound


def _threads(*, far: bool) -> int:
    return max(REMOTE_WORKERS if far else 1, min(cores(), MOST_WORKERS))


def _batch_for(settings: RunSettings) -> int:
    if settings.batch is not None:
        return settings.batch
    if may_be_gpu(settings.device):
        return GPU_BATCH
    return ONE_CORE_BATCH if cores() == 1 else CPU_BATCH
