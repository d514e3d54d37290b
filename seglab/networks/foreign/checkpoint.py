"""Making a checkpoint from a foreign file and what the user says about it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from seglab.errors import CheckpointError, ConfigError
from seglab.files import sha256
from seglab.networks.build import require_size_fits, restore_network
from seglab.networks.checkpoints import Checkpoint, NetworkSpec
from seglab.networks.foreign.found import FOLDER, PROGRAMS, Found, Settings
from seglab.networks.foreign.guessing import Fit, Misfit, description, fit
from seglab.networks.foreign.kinds import THROUGH_ONNX
from seglab.networks.foreign.programs import main_output, open_program, own_size
from seglab.networks.foreign.reading import description_of_keys
from seglab.networks.normalisation import Normalisation
from seglab.recipes.recipe import ARCHITECTURES

SINGLE_CLASS, SEVERAL_CLASSES = ("sigmoid",), ("softmax", "softmax2d", "logsoftmax")
"""Last activations that the exported graph applies anyway; they are removed from the network."""


@dataclass(frozen=True)
class Wanted:
    """What a user says about a foreign network; None where nothing is said.

    ``arch``, ``encoder``, ``classes``: the network. ``size``: S. ``normalisation``: of its input. ``output``:
    ``logits`` or ``probabilities``. ``lesion_class``: the number of the lesion's class. ``options``: of the network's
    constructor.
    """

    arch: str | None = None
    encoder: str | None = None
    classes: int | None = None
    size: int | None = None
    normalisation: Normalisation | None = None
    output: str | None = None
    lesion_class: int | None = None
    threshold: float | None = None
    class_names: tuple[str, ...] | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Network:
    """A recognised network: its spec and weights, how it was recognised, and S where its file says it."""

    found: Found
    spec: NetworkSpec
    state: dict[str, Tensor]
    notes: tuple[str, ...]
    guessed: bool
    size: int | None = None

    def __str__(self) -> str:
        """Return a description of the network, and how it is known."""
        if self.found.kind in PROGRAMS:
            return f"{self.found}, run as it is"
        how = "guessed from their names and shapes" if self.guessed else "as stated"
        return f"{self.found}; {description(self.spec)}: {how}"


def recognise(found: Found, wanted: Wanted) -> Network | None:
    """Return the network in a file; None where it is not recognised and the user says nothing.

    The number of classes of a program is unknown until it runs. Raises :class:`CheckpointError` where tensors do not
    fit what the user said (the message names them), :class:`ConfigError` for unknown names.
    """
    if found.kind in PROGRAMS:
        if wanted.arch or wanted.encoder:
            raise ConfigError(f"{found.path} is {found}, which is run as it is. Leave --arch and --encoder out.")
        size = own_size(found.path) if found.kind == PROGRAMS[1] else None
        if size and wanted.size not in (None, size):
            raise ConfigError(
                f"{found.path} takes only {size} x {size} pixels, but --size is {wanted.size}. Leave --size out."
            )
        return Network(found, NetworkSpec(found.kind), {}, found.notes, False, size)
    if wanted.arch is not None and wanted.arch not in ARCHITECTURES:
        raise ConfigError(f"arch is {wanted.arch!r}; expected one of {', '.join(ARCHITECTURES)}.")
    result = fit(found, Settings(wanted.arch, wanted.encoder, wanted.classes, options=wanted.options))
    if isinstance(result, Misfit):
        raise _does_not_fit(found, wanted, result)
    if result is None:
        return None
    said = bool(wanted.arch and (wanted.encoder or result.spec.encoder is None)) or found.kind == FOLDER
    return Network(
        found, _with_activation(result, found.settings), result.state, (*found.notes, *result.notes), not said
    )


def checkpoint_of(network: Network, wanted: Wanted) -> tuple[Checkpoint, tuple[str, ...], bool]:
    """Return the checkpoint of a completely described network, further notes, and whether its output kind is known.

    An unknown output kind (logits or probabilities) has to be decided by the values. Raises :class:`ConfigError` for a
    size or a class that the network does not have, :class:`CheckpointError` where it does not run.
    """
    size = wanted.size or network.size
    if size is None or wanted.normalisation is None:
        raise ConfigError(f"{network.found.path} does not state its input; expected a size and a normalisation.")
    spec, notes = network.spec, tuple[str, ...]()
    if network.found.kind in PROGRAMS:
        program = open_program(network.found.path, network.found.kind)
        way, classes, notes = main_output(program, network.found.path, size)
        if wanted.classes not in (None, classes):
            raise ConfigError(f"{network.found.path} gives {classes} classes, but --classes is {wanted.classes}.")
        spec = NetworkSpec(spec.arch, None, classes, {"output": list(way)} if way else {})
    _require_class(network.found.path, spec.classes, wanted.lesion_class)
    made = Checkpoint(
        spec,
        size,
        network.state,
        wanted.normalisation.mean,
        wanted.normalisation.std,
        threshold=wanted.threshold or 0.5,
        class_names=_class_names(network.found.path, spec, wanted),
        channels=wanted.normalisation.channels,
        output=wanted.output or "logits",
        lesion_class=wanted.lesion_class,
        training=_origin(network.found),
        path=network.found.file,
        sha256=sha256(network.found.file),
    )
    if network.found.kind not in PROGRAMS:
        require_size_fits(restore_network(made), spec, size)
    known = wanted.output is not None or not (network.found.kind in PROGRAMS or "activation" in spec.options)
    return made, notes, known


def _origin(found: Found) -> dict[str, Any]:
    origin = {"weights_from": found.path.name, "kind": found.kind}
    return origin if found.name is None else {**origin, "weights_name": found.name}


def unknown(found: Found) -> str:
    """Return the message for tensors whose network is not recognised."""
    return (
        f"{found.path} is {found}, whose names tell no architecture that is known here (first "
        f"{description_of_keys(found.tensors)}). "
        f"If none fits: {THROUGH_ONNX[0].lower()}{THROUGH_ONNX[1:]}."
    )


def _does_not_fit(found: Found, wanted: Wanted, misfit: Misfit) -> CheckpointError:
    if wanted.arch or wanted.encoder or wanted.classes:
        said = description(misfit.spec)
        advice = "Check --arch, --encoder and --classes, or leave them out: they are guessed if possible"
    else:
        said = f"{description(misfit.spec)}, which is the nearest"
        advice = f"Name another with --arch and --encoder. If none fits: {THROUGH_ONNX[0].lower()}{THROUGH_ONNX[1:]}"
    return CheckpointError(f"{found.path} is {found}, and they are not those of {said}: {misfit}. {advice}.")


def _with_activation(result: Fit, settings: Settings) -> NetworkSpec:
    """Return the network with the last activation of its file, unless the exported graph applies the same one."""
    usual = SINGLE_CLASS if result.spec.classes == 1 else SEVERAL_CLASSES
    if settings.activation is None or settings.activation in usual or result.spec.encoder is None:
        return result.spec
    return dataclasses.replace(result.spec, options={**result.spec.options, "activation": settings.activation})


def _require_class(path: Path, classes: int, lesion_class: int | None) -> None:
    if lesion_class is None:
        return
    if classes == 1:
        raise ConfigError(f"{path} gives one class, lesion or not; expected no --lesion-class. Leave it out.")
    if not 0 <= lesion_class < classes:
        raise ConfigError(
            f"{path} has {classes} classes, 0 to {classes - 1}, but --lesion-class is {lesion_class}; expected one "
            "of them."
        )


def _class_names(path: Path, spec: NetworkSpec, wanted: Wanted) -> tuple[str, ...]:
    classes = 1 if wanted.lesion_class is not None else spec.classes
    if wanted.class_names is None:
        if classes > 1:
            raise ConfigError(
                f"{path} has {classes} classes; expected the number of the lesion's (--lesion-class 1, say), whose "
                "probability the model then gives, or --class-names for all of them, the background first."
            )
        return ("lesion",)
    if len(wanted.class_names) != classes:
        raise ConfigError(
            f"{path} gives {classes} class{'es' * (classes > 1)}, and --class-names has {len(wanted.class_names)}; "
            "expected as many."
        )
    return wanted.class_names
