"""Foreign checkpoints: the options that describe them, and how they are opened."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from export.commands.feeding import PRESET_NAMES, THRESHOLD, feeding_options, normalisation
from seglab.cli_support import echo

if TYPE_CHECKING:
    from export.contract import Contract
    from export.samples import Sample
    from seglab.networks.checkpoints import Checkpoint
    from seglab.networks.foreign.checkpoint import Network, Wanted

EXAMPLE_SIZE, EXAMPLE_MEAN = 256, "imagenet"
UNNAMED = {"arch": "ARCH", "encoder": "ENCODER"}
OPTIONS = (
    click.option("--arch", help="Architecture of a foreign network.  [default: guessed from its tensors]"),
    click.option("--encoder", help="Its encoder, as smp names it.  [default: guessed from its tensors]"),
    click.option(
        "--classes", type=click.IntRange(min=1), help="How many classes it has.  [default: taken from its tensors]"
    ),
    click.option("--weights", metavar="NAME", help="The dictionary of weights to use, if the file has several."),
    click.option(
        "--output",
        type=click.Choice(["logits", "probabilities"]),
        help="What the network itself outputs.  [default: decided by its values on the images of the gate]",
    ),
    click.option(
        "--threshold",
        type=THRESHOLD,
        help="Lowest probability that counts as lesion.  [default: what the checkpoint says, or 0.5]",
    ),
    click.option("--class-names", metavar="A,B,...", help="Names of several classes, the background first."),
)


def foreign_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that describe a foreign network."""
    for option in reversed(OPTIONS):
        function = option(function)
    return feeding_options(function)


@dataclasses.dataclass(frozen=True)
class Description:
    """What the options say, None for those that are not given; named as on the command line."""

    arch: str | None = None
    encoder: str | None = None
    classes: int | None = None
    weights: str | None = None
    output: str | None = None
    threshold: float | None = None
    class_names: str | None = None
    size: int | None = None
    mean: str | None = None
    std: str | None = None
    input_range: str | None = None
    channels: str | None = None
    lesion_class: int | None = None

    def wanted(self) -> Wanted:
        """Return the description for the library. Raises :class:`click.UsageError` for contradictory options."""
        from seglab.networks.foreign.checkpoint import Wanted
        from seglab.networks.foreign.settings import known_arch

        feed = normalisation(self.mean, self.std, self.input_range, self.channels)
        names = tuple(name.strip() for name in self.class_names.split(",")) if self.class_names else None
        return Wanted(
            arch=known_arch(self.arch) or self.arch,
            encoder=self.encoder,
            classes=self.classes,
            size=self.size,
            normalisation=feed,
            output=self.output,
            lesion_class=self.lesion_class,
            threshold=self.threshold,
            class_names=names,
        )


def open_checkpoint(path: Path, said: Description, samples: Iterable[Sample]) -> Checkpoint:
    """Open a checkpoint of seglab, or a file or folder of a foreign network as described by ``said``.

    Guesses are printed. Raises :class:`click.UsageError` if options are missing, naming all of them at once, or if they
    contradict a checkpoint of seglab.
    """
    from seglab.networks.checkpoints import Checkpoint
    from seglab.networks.foreign.checkpoint import recognise
    from seglab.networks.foreign.reading import read

    wanted = said.wanted()
    found = read(path, said.weights)
    if isinstance(found, Checkpoint):
        return _agreeing(found, said, wanted)
    network = recognise(found, wanted)
    if network is None:
        from seglab.networks.foreign.checkpoint import unknown

        raise click.UsageError(f"{unknown(found)} {_missing(path, said, wanted, None)}")
    echo(f"{path} is {network}.", err=True)
    _say(path, network.notes)
    if wanted.normalisation is None or not (wanted.size or network.size) or _needs_class(network, wanted):
        raise click.UsageError(f"{path} lacks some of what is needed. {_missing(path, said, wanted, network)}")
    return _decided(network, wanted, samples)


def reopen(path: Path, contract: Contract, index: int, samples: Iterable[Sample]) -> Checkpoint:
    """Open the checkpoint that a model was exported from; for a foreign one, the contract says how."""
    from seglab.networks.checkpoints import Checkpoint
    from seglab.networks.foreign.checkpoint import Wanted, checkpoint_of, recognise, unknown
    from seglab.networks.foreign.reading import read
    from seglab.networks.normalisation import Normalisation

    name = contract.training.get("weights_name")
    found = read(path, name if isinstance(name, str) else None)
    if isinstance(found, Checkpoint):
        return found
    of_network = contract.ensemble[index] if index < len(contract.ensemble) else dataclasses.asdict(contract)
    is_program = of_network["arch"] == found.kind
    wanted = Wanted(
        arch=None if is_program else of_network["arch"],
        encoder=of_network["encoder"],
        size=contract.size,
        normalisation=Normalisation(
            tuple(of_network["mean"]), tuple(of_network["std"]), of_network.get("channels", "rgb")
        ),
        output=of_network.get("output", "logits"),
        lesion_class=of_network.get("lesion_class"),
        threshold=contract.threshold,
        class_names=contract.class_names,
        options={} if is_program else of_network.get("options") or {},
    )
    network = recognise(found, wanted)
    if network is None:
        raise click.UsageError(unknown(found))
    return dataclasses.replace(checkpoint_of(network, wanted)[0], tta=contract.tta)


def _decided(network: Network, wanted: Wanted, samples: Iterable[Sample]) -> Checkpoint:
    from seglab.networks.foreign.checkpoint import checkpoint_of

    checkpoint, notes, known = checkpoint_of(network, wanted)
    _say(network.found.path, notes)
    if known:
        return checkpoint
    from export.conversion.output_kind import output_kind

    kind = output_kind(checkpoint, samples)
    within = "all" if kind == "probabilities" else "not all"
    echo(f"{checkpoint.path} gives {kind}: {within} values on the images are within 0-1 (--output says it).", err=True)
    return dataclasses.replace(checkpoint, output=kind)


def _say(path: Path, notes: Iterable[str]) -> None:
    for note in notes:
        echo(f"{path}: {note}.", err=True)


def _needs_class(network: Network, wanted: Wanted) -> bool:
    return network.spec.classes > 1 and wanted.lesion_class is None and wanted.class_names is None


def _missing(path: Path, said: Description, wanted: Wanted, network: Network | None) -> str:
    """Return which options are missing, with the complete command."""
    missing = []
    if network is None:
        missing += [f"--{name}" for name in UNNAMED if getattr(wanted, name) is None]
    if not (wanted.size or (network and network.size)):
        missing.append("--size")
    if wanted.normalisation is None:
        missing.append("--mean")
    if network is not None and _needs_class(network, wanted):
        missing.append("--lesion-class (or --class-names)")
    command = shlex.join(["seg-export", "onnx", str(path), *_arguments(said, wanted, network)])
    presets = f" --mean is one of {PRESET_NAMES}, or R,G,B with --std." if wanted.normalisation is None else ""
    return f"Missing: {', '.join(missing)}. Give the training's values, as in: {command}{presets and '.'}{presets}"


def _arguments(said: Description, wanted: Wanted, network: Network | None) -> list[str]:
    """Return the arguments of the complete command: given values, guesses, and examples for the rest."""
    values = {key: value for key, value in dataclasses.asdict(said).items() if value is not None}
    if network is None:
        values = {**UNNAMED, **values}
    elif network.state:
        spec = network.spec
        values |= {"arch": spec.arch, **({"encoder": spec.encoder} if spec.encoder else {}), "classes": spec.classes}
        if _needs_class(network, wanted):
            values["lesion_class"] = 1
    if not (network and network.size):
        values.setdefault("size", EXAMPLE_SIZE)
    if wanted.normalisation is None:
        values["mean"] = EXAMPLE_MEAN
    return [text for key, value in values.items() for text in (f"--{key.replace('_', '-')}", str(value))]


def _agreeing(checkpoint: Checkpoint, said: Description, wanted: Wanted) -> Checkpoint:
    """Return a checkpoint of seglab, which itself says what its network is and how it is fed."""
    feed = wanted.normalisation
    has = {
        "arch": (wanted.arch, checkpoint.network.arch),
        "encoder": (wanted.encoder, checkpoint.network.encoder),
        "classes": (wanted.classes, checkpoint.network.classes),
        "size": (wanted.size, checkpoint.size),
        "output": (wanted.output, checkpoint.output),
        "mean": (feed and tuple(round(value, 6) for value in feed.mean), tuple(round(v, 6) for v in checkpoint.mean)),
        "std": (feed and tuple(round(value, 6) for value in feed.std), tuple(round(v, 6) for v in checkpoint.std)),
        "channels": (said.channels, checkpoint.channels),
        "lesion-class": (wanted.lesion_class, checkpoint.lesion_class),
        "class-names": (wanted.class_names, checkpoint.class_names),
        "threshold": (wanted.threshold, checkpoint.threshold),
    }
    for option, (value, own) in has.items():
        if value is not None and value != own:
            raise click.UsageError(
                f"--{option} is {_shown(value)}, and the checkpoint {checkpoint.path} has {_shown(own)}; a checkpoint "
                "of seglab "
                f"says itself how it is fed. Leave out --{option}."
            )
    if said.weights:
        raise click.UsageError(f"{checkpoint.path} is a checkpoint of seglab, with one network. Leave out --weights.")
    return checkpoint


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)
