"""What a run and its forecast prepare in the same way: the sources, the settings, and descriptions of the device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batch.errors import printable
from batch.ledger.records import CLASS_NAMES, CONFIDENCE_BY, CONTRACT, RunRecord, in_words
from batch.naming import NameTemplate, Naming
from batch.outputs.remote import require_outside
from batch.outputs.spec import Output
from batch.pseudonyms import KEY_NAME, PseudonymNaming, key_of
from batch.settings import DEFAULT_MASK_BITS, RunSettings
from batch.sources.collect import Sources
from batch.sources.sample import SampledSources
from seglab.files import sha256
from seglab.images.formats import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from batch.executors.base import Opened
    from batch.ledger.opening import LastRun
    from export.contract import Contract
    from export.runtime.device import Device

OF_CONTRACT = (
    "arch", "encoder", "size", "threshold", "hair_removal", "tta", "opset", "licence", "checkpoint_sha256", "parity",
)  # fmt: skip
"""Fields of the contract that the ledger keeps."""


def sources_of(settings: RunSettings, output: Output) -> Sources:
    """Return the images that the settings name, or a sample of them, without the files that a run writes.

    Raises :class:`SourceError`.
    """
    require_outside(settings.source_names, output.name)
    archive = Path(output.name) if output.is_archive else None
    excluded = filter(None, [output.folder, archive, settings.overlays, settings.probs])
    names = (settings.source_names, IMAGE_SUFFIXES, excluded, settings.list_names)
    if settings.sample is not None:
        return SampledSources(settings.sample, settings.seed, *names, settings.zip_encoding)
    return Sources(*names, settings.zip_encoding)


def as_last_run(settings: RunSettings, last: LastRun | None, *, is_open: bool = False) -> RunSettings:
    """Return settings completed from the last run, so that its masks are not redone: the bits of masks, and which of
    the package's model files is used.

    ``last``: None if there was none. ``is_open``: whether the model is open already.
    """
    bits = settings.mask_bits or (last and last.mask_bits) or DEFAULT_MASK_BITS
    model = settings.model
    if last and not is_open and model is None and settings.compute is None and not settings.exact:
        from export.runtime.bundled import bundled_models

        model = next((path for path in bundled_models() if sha256(path) == last.model_sha256), None)
    return replace(settings, mask_bits=bits, model=model)


def naming_of(settings: RunSettings, state: Path) -> Naming:
    """Return how masks are named. ``state``: the folder of the ledger, which has the key of pseudonyms.

    Raises :class:`batch.errors.OutputError` if the key cannot be read or written.
    """
    return PseudonymNaming(key_of(state)) if settings.pseudonymise else NameTemplate(settings.name)


def device_of_masks(settings: RunSettings, model: Opened) -> Device:
    """Return the device that masks are made on."""
    return model.whole_device if settings.exact else model.device


def describe(model: Opened) -> str:
    """Return a description of the device that runs a model, with the devices that were rejected and why."""
    device = model.device
    why_not = "; ".join(f"not {name}: {reason}" for name, reason in device.rejected.items())
    parts = (f"{device.name} ({device.engine}, {device.precision})", device.detail, why_not)
    return "; ".join(part for part in parts if part)


def describe_in_short(model: Opened) -> str:
    """Return in about six words what runs a model."""
    name, engine = model.device.name, model.device.engine.partition(" ")[0]
    known = {"openvino": "OpenVINO on the CPU", "tensorrt": "TensorRT on the GPU"}
    place = "the CPU" if name == "cpu" else name
    return f"{known.get(name, f'{engine} on {place}')}, {model.device.precision}"


def notes_on_masks(settings: RunSettings, asked: RunSettings, model: Opened, last: LastRun | None) -> list[str]:
    """Return notes on masks that are not as ``asked`` because of the last run's settings, or are label maps."""
    notes: list[str] = []
    if settings.pseudonymise and settings.ledger is not None:
        notes += _notes_on_pseudonyms(Path(settings.out), settings.ledger, is_new=last is None)
    key = settings.key(model.sha256, device_of_masks(settings, model).precision)
    is_kept = asked.model is None and settings.model is not None and last is not None and last.key == key
    if is_kept and model.device.precision != "int8":  # what a new output would most likely be made in
        notes.append(f"computed in {model.device.precision}, like the last run; another --compute redoes all masks")
    if model.contract.classes > 1:
        notes.append(f"masks are label maps: {in_words(model.contract.class_names)}")
    elif asked.mask_bits is None and settings.bits != DEFAULT_MASK_BITS:
        notes.append(
            f"masks have {settings.bits} bit per pixel, like those of the last run into this output; --mask-bits "
            f"{DEFAULT_MASK_BITS} makes all of them again"
        )
    return notes


def _notes_on_pseudonyms(out: Path, state: Path, *, is_new: bool) -> Iterator[str]:
    if state.resolve().is_relative_to(out.resolve()):
        yield (
            f"the ledger, {KEY_NAME} and decisions beside the masks tell the photographs: do not hand them on "
            "(--ledger keeps them apart)"
        )
    if not is_new and not (state / KEY_NAME).exists():
        yield f"{KEY_NAME} is gone from {printable(str(state))}: new images get pseudonyms by a new key"


def record_of(settings: RunSettings, model: Opened, tools: dict[str, str]) -> RunRecord:
    """Return the ledger's record of a run with these settings. ``tools``: versions of packages."""
    from export.runtime.masks import CONFIDENCE  # with numpy and OpenCV, which are there by now

    device = device_of_masks(settings, model)
    of_model = {
        CLASS_NAMES: list(model.contract.class_names), CONFIDENCE_BY: CONFIDENCE, CONTRACT: _kept_of(model.contract),
    }  # fmt: skip
    return RunRecord(
        key=settings.key(model.sha256, device.precision),
        model=str(model.path),
        model_sha256=model.sha256,
        device=device.name,
        provider=device.provider,
        precision=device.precision,
        settings=settings.to_json() | of_model,
        tools=tools,
    )


def _kept_of(contract: Contract) -> dict[str, Any]:
    """Return what the ledger keeps of a contract: enough to say later what the model is and how well it was proved."""
    kept: dict[str, Any] = {name: getattr(contract, name) for name in OF_CONTRACT}
    trained_on = contract.training.get("data")
    if isinstance(trained_on, dict):
        kept["trained_on"] = {name: value for name, value in trained_on.items() if name != "fingerprint"}
    return kept | {"networks": len(contract.checkpoints)}
