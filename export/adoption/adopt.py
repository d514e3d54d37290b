"""Adopt a network that somebody else exported: the fused graph is built around it, without torch.

How its input takes images and what its output gives is found out by running the untouched file. How pixels must be
normalised cannot be found out and must be given.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from export.adoption.batches import with_free_batch
from export.adoption.entry import GREY, Entry, find_entry
from export.adoption.head import Head, find_head
from export.adoption.options import name_and_kind, require_classes, require_feeding
from export.adoption.plausibility import feeding_note
from export.adoption.reading import read_network
from export.adoption.reference import Reference, given_planes, normalised
from export.adoption.surgery import fitting_network
from export.adoption.untouched import Untouched
from export.adoption.values import Kind, find_kind
from export.adoption.wrapping import Wrapping
from export.contract import Contract
from export.errors import ContractError, DeviceError
from export.graph.stages import OPSET, Member, Stages, fuse
from export.graph.writing import tool_versions, write_model
from export.proof.gate import CHUNK, ParityReport, check
from export.proof.sealing import seal
from export.runtime.opening import open_model
from export.runtime.probes.verify import probe_images
from export.samples import Sample, SampleSet
from seglab.files import replacing, sha256
from seglab.networks.normalisation import PRESETS

if TYPE_CHECKING:
    from onnx import ModelProto

ARCH = "adopted"
ADVICE = (
    "Check how the network is fed (--mean, --channels) and what it gives (--output). If that is right, report it "
    "with the output of --json."
)


@dataclass(frozen=True)
class Foreign:
    """A foreign network, open: how its input takes images, and the output and its kind if the user names them."""

    untouched: Untouched
    entry: Entry
    output_name: str | None = None
    output_kind: str | None = None


def open_foreign(source: str | Path, size: int | None = None, output: Sequence[str] = ()) -> Foreign:
    """Read a foreign network and find out how it takes images.

    ``size``: S, if the file does not state it. ``output``: the name of an output or of a tensor inside, and ``logits``
    or ``probabilities``, each optional; one of several outputs may itself have such a name. Raises
    :class:`ContractError` for a file that cannot be adopted, :class:`seglab.errors.ConfigError` for options that do not
    fit it.
    """
    source = Path(source)
    model = read_network(source)
    name, kind = name_and_kind(model, output)
    untouched = Untouched(source, model, name)
    return Foreign(untouched, find_entry(untouched, size), name, kind)


def adopt(
    foreign: Foreign,
    out: str | Path,
    wrapping: Wrapping,
    samples: SampleSet,
    *,
    licence: str = "not stated",
    track: Callable[[Iterable[Sample]], Iterable[Sample]] = iter,
    say: Callable[[str], None] = lambda _: None,
) -> ParityReport:
    """Wrap a foreign network and write it to ``out`` if it passes the parity gate on the CPU provider.

    The original of the gate is the untouched file, fed by Pillow and resized by OpenCV. ``say`` is called with each
    finding, a sentence. Raises :class:`ContractError` for a network that cannot be wrapped,
    :class:`export.errors.ParityError` if the gate fails.
    """
    untouched, entry = foreign.untouched, foreign.entry
    require_feeding(untouched.source, entry, wrapping)
    head, remark = find_head(untouched, entry, foreign.output_name)
    _require_same_twice(foreign, head, wrapping)
    seen = ((each.name, given_planes(untouched, entry, head, wrapping, each.image)) for each in samples)
    kind, found = find_kind(untouched, head, seen, foreign.output_kind)
    for sentence in (_taken(entry, wrapping), remark, f"Output {head.name!r}: {head.describe(entry.size)}.", found):
        if sentence:
            say(sentence)
    require_classes(untouched.source, head, kind, wrapping)
    note = feeding_note(untouched, entry, head, kind, wrapping, samples)
    if note:
        say(note)
    network = _network(foreign, head, kind, wrapping)
    contract = _contract(foreign, head, kind, wrapping, licence)
    with replacing(Path(out)) as temporary:
        _write(untouched.source, _fused(network, entry, kind, wrapping), contract, temporary)
        report = _measure(
            temporary, Reference(untouched, entry, head, wrapping, kind), samples, untouched.source, track
        )
        report.require_passed()
        seal(temporary, dataclasses.replace(contract, parity=report.summary()))
        return dataclasses.replace(report, about={**report.about, "model_sha256": sha256(temporary)})


def _taken(entry: Entry, wrapping: Wrapping) -> str:
    fed = "pixels 0-255, not normalised"
    if not entry.takes_pixels:
        mean, std = (" ".join(f"{value:.6g}" for value in values) for values in (wrapping.mean, wrapping.std))
        fed = f"pixels 0-1 minus {mean}, divided by {std}"
        named = [name for name, preset in PRESETS.items() if (preset.mean, preset.std) == (wrapping.mean, wrapping.std)]
        fed += f" ({named[0]})" if named else ""
    order = f", {wrapping.channels.upper()}" if entry.channels != GREY else ""
    return f"Input {entry.name!r}: {entry.describe()}{order}; fed {fed}."


def _require_same_twice(foreign: Foreign, head: Head, wrapping: Wrapping) -> None:
    """Raise :class:`ContractError` if a network gives two results for one image."""
    image = probe_images(foreign.entry.size, foreign.entry.size, count=1)[0]
    first, again = (given_planes(foreign.untouched, foreign.entry, head, wrapping, image) for _ in range(2))
    if not np.array_equal(first, again, equal_nan=True):
        raise ContractError(
            f"{foreign.untouched.source} gives different values each time for the same image. It was exported in "
            "training mode (Dropout): call model.eval() and export it again."
        )


def _network(foreign: Foreign, head: Head, kind: Kind, wrapping: Wrapping) -> ModelProto:
    source, entry = foreign.untouched.source, foreign.entry
    network = fitting_network(source, foreign.untouched.model, entry, head, kind.scale)
    images = probe_images(entry.size, entry.size, count=3)
    planes = np.stack([normalised(image, entry, wrapping)[0] for image in images])
    return with_free_batch(source, network, entry.batch, planes)


def _fused(network: ModelProto, entry: Entry, kind: Kind, wrapping: Wrapping) -> ModelProto:
    member = Member(network, wrapping.mean, wrapping.std, kind.output, wrapping.channels, wrapping.lesion_class)
    return fuse([member], Stages(entry.size, wrapping.threshold, len(wrapping.class_names), hair=wrapping.hair))


def _write(source: Path, model: ModelProto, contract: Contract, path: Path) -> None:
    try:
        write_model(model, contract, path)
    except OSError:
        raise
    except Exception as error:  # onnx's and protobuf's errors have no common base class
        reason = str(error).strip().splitlines()[0]
        raise ContractError(
            f"{source} cannot be made into one valid graph ({reason}). Export it again with opset_version=18."
        ) from error


def _measure(
    path: Path,
    original: Reference,
    samples: SampleSet,
    source: Path,
    track: Callable[[Iterable[Sample]], Iterable[Sample]],
) -> ParityReport:
    try:
        model = open_model(path, "cpu", batch=CHUNK)
        return check(
            model, original, samples, source=samples.source, track=track, original_name=str(source), advice=ADVICE
        )
    except DeviceError as error:
        raise ContractError(
            f"{source} does not run on batches of {CHUNK} images ({error.reason}); expected a network whose batch axis "
            "is free. Export it with dynamic_axes for the batch."
        ) from error


def _contract(foreign: Foreign, head: Head, kind: Kind, wrapping: Wrapping, licence: str) -> Contract:
    source = foreign.untouched.source
    digest = sha256(source)
    return Contract(
        arch=ARCH,
        encoder=None,
        size=foreign.entry.size,
        mean=wrapping.mean,
        std=wrapping.std,
        threshold=wrapping.threshold,
        opset=OPSET,  # write_model replaces this and the precision by the graph's own
        class_names=wrapping.class_names,
        hair_removal=wrapping.hair != "none",
        output=kind.output,
        channels=wrapping.channels,
        lesion_class=wrapping.lesion_class,
        adopted={
            "from": source.name,
            "sha256": digest,
            "input": dataclasses.asdict(foreign.entry),
            "output": dataclasses.asdict(head),
            "scale": kind.scale,
        },
        training={"adopted_from": source.name},
        checkpoint_sha256=digest,
        tools=tool_versions(),
        licence=licence,
    )
