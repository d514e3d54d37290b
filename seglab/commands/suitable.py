"""``seglab suitable``: add the score `suitable` to a checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seglab.cli_support import command_errors, echo, progress, require_packages
from seglab.commands.common import FOLDER, DataNamed, data_options
from seglab.commands.places import Kind, require_outputs
from seglab.commands.runs.request import data_of_run
from seglab.errors import SeglabError
from seglab.words import counted

if TYPE_CHECKING:
    from seglab.data.pairs import Pair
    from seglab.networks.checkpoints import Checkpoint


def _is_checkpoint(path: Path) -> bool:
    from seglab.networks.checkpoints import load_checkpoint

    try:
        load_checkpoint(path)
    except SeglabError:
        return False
    return True


@click.command()
@click.argument("checkpoint", type=FOLDER, metavar="CKPT")
@data_options(required=False)
@click.option(
    "--split", "split_file", type=FOLDER,
    help="split.json of a run.  [default: the split in the checkpoint, else the split.json beside it]",
)  # fmt: skip
@click.option("--out", type=FOLDER, help="Checkpoint to write.  [default: CKPT itself]")
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:K.")
@command_errors
def suitable(checkpoint: Path, named: DataNamed, split_file: Path | None, out: Path | None, device: str) -> None:
    """Add the score `suitable` to an older checkpoint.

    The score says whether an image looks like the network's training images. `seglab train` measures it at the end of a
    run. This command adds it to checkpoints that lack it.

    It takes statistics of the encoder's features over the training images (2000 at most), and calibrates the score
    so that 1 % of the validation images get less than 0.5. Models exported from CKPT then give the score, and
    `seg-batch run` lists the images below 0.5. Without --data, the data of the run are used.

    Example: seglab suitable runs/quick
    """
    require_packages(("torch",), "This command runs the network in PyTorch")
    from seglab.evaluation.scored import known_split, scored
    from seglab.networks.checkpoints import load_checkpoint, save_checkpoint
    from seglab.networks.run_weights import weights_file
    from seglab.training.device import choose_device

    source = weights_file(checkpoint)
    target = out or source
    require_outputs({"--out": (target, Kind(_is_checkpoint, "a checkpoint that seglab wrote"))})
    loaded = load_checkpoint(source)
    collection = data_of_run(source.parent, named).collect()
    split = known_split(loaded, split_file)
    training, validation = (scored(collection, part, split).pairs for part in ("training", "validation"))
    echo(f"{counted(len(training), 'training image')}, {counted(len(validation), 'validation image')}", err=True)
    made = with_suitability(loaded, training, validation, str(choose_device(device)))
    save_checkpoint(made, target)
    click.echo(str(target))


def with_suitability(
    checkpoint: Checkpoint, training: Sequence[Pair], validation: Sequence[Pair], device: str
) -> Checkpoint:
    """Return the checkpoint with the score, measured on these images.

    Raises like :func:`seglab.evaluation.suitability.measure`.
    """
    from seglab.evaluation.original import Predictor
    from seglab.evaluation.suitability import chosen, measure
    from seglab.networks.encoder_features import to_plain

    predictor = Predictor(checkpoint, device=device)
    with progress(len(chosen(training)) + len(chosen(validation)), "suitable", "image") as bar:
        found = measure(predictor, training, validation, bar.update)
    return dataclasses.replace(checkpoint, suitable=to_plain(found))
