"""What a run and its forecast prepare in the same way: the sources, and words for the device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from batch.ledger.reader import last_mask_bits
from batch.ledger.records import CLASS_NAMES, RunRecord
from batch.outputs.remote import require_outside
from batch.outputs.spec import Output
from batch.settings import DEFAULT_MASK_BITS, RunSettings
from batch.sources.collect import Sources
from batch.sources.sample import SampledSources
from seglab.images.formats import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from batch.executors.base import Opened
    from export.runtime.device import Device


def sources_of(settings: RunSettings, output: Output) -> Sources:
    """Return the images that the settings name, or a sample of them, without what a run puts out.

    Raises :class:`SourceError`.
    """
    require_outside(settings.source_names, output.name)
    archive = Path(output.name) if output.is_archive else None
    excluded = filter(None, [output.folder, archive, settings.overlays, settings.probs])
    names = (settings.source_names, IMAGE_SUFFIXES, excluded, settings.list_names)
    if settings.sample is not None:
        return SampledSources(settings.sample, settings.seed, *names, settings.zip_encoding)
    return Sources(*names, settings.zip_encoding)


def with_mask_bits(settings: RunSettings, state: Path) -> RunSettings:
    """Return settings that say how many bits masks have: as those of the last run, so that its masks are not redone.

    ``state``: the folder of the ledger, which need not be there. Raises :class:`batch.errors.OutputError`.
    """
    if settings.mask_bits is not None:
        return settings
    return replace(settings, mask_bits=last_mask_bits(state) or DEFAULT_MASK_BITS)


def device_of_masks(settings: RunSettings, model: Opened) -> Device:
    """Return the device that masks are made on."""
    return model.whole_device if settings.exact else model.device


def describe(model: Opened) -> str:
    """Return what a person should know of the device that runs a model."""
    device = model.device
    why_not = "; ".join(f"not {name}: {reason}" for name, reason in device.rejected.items())
    parts = (f"{device.name} ({device.engine}, {device.precision})", device.detail, why_not)
    return "; ".join(part for part in parts if part)


def record_of(settings: RunSettings, model: Opened, tools: dict[str, str]) -> RunRecord:
    """Return what the ledger keeps of a run with these settings. ``tools``: their versions."""
    device = device_of_masks(settings, model)
    return RunRecord(
        key=settings.key(model.sha256, device.precision),
        model=str(model.path),
        model_sha256=model.sha256,
        device=device.name,
        provider=device.provider,
        precision=device.precision,
        settings=settings.to_json() | {CLASS_NAMES: list(model.contract.class_names)},
        tools=tools,
    )
