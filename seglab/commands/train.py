"""``seglab train``: train a recipe on data sets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seglab.cli_support import command_errors, progress
from seglab.commands.common import FOLDER, find_all_pairs
from seglab.errors import ConfigError

if TYPE_CHECKING:
    from seglab.training import Epoch


@click.command()
@click.option("--data", type=FOLDER, multiple=True, required=True, help="Data set folder; several may be given.")
@click.option("--recipe", default="quick", help="Name of a recipe (see `seglab recipes`), or a .toml file.")
@click.option("--out", type=FOLDER, required=True, help="Folder of the run: checkpoints, log, curves.")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a setting of the recipe.")
@click.option(
    "--exclude", type=FOLDER, multiple=True,
    help="Leave out these ids: a text file with one a line, or a folder of images.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on from last.pt in --out.")
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:K.")
@command_errors
def train(
    data: tuple[Path, ...],
    recipe: str,
    out: Path,
    changes: tuple[str, ...],
    exclude: tuple[Path, ...],
    resume: bool,
    device: str,
) -> None:
    """Train a network; the fixed fifth of the ids validates.

    Example: seglab train --data isic2018 --recipe quick --out runs/quick --set epochs=8
    """
    from seglab.settings import load_recipe

    settings = load_recipe(recipe, changes)
    last = out / "last.pt"
    if last.exists() and not resume:
        raise ConfigError(f"{out} holds a run already (last.pt). Add --resume to go on, or name another --out.")
    if resume and not last.exists():
        raise ConfigError(f"--resume: {last} does not exist. Leave --resume out to begin, or check --out.")

    from seglab.runs import draw_curves, write_log, write_split
    from seglab.splits import read_ids, split
    from seglab.training import Trainer

    excluded = {id for source in exclude for id in read_ids(source)}
    training, validation = split(find_all_pairs(data), excluded)
    about: dict[str, Any] = {
        "sets": sorted(path.resolve().name for path in data),
        "split": "ids with sha256(id) mod 5 == 0 validate",
        "excluded_ids": len(excluded),
        "training_images": len(training),
        "validation_images": len(validation),
    }
    trainer = Trainer(settings, training, validation, device=device, about_data=about)
    if resume:
        trainer.resume(last)
    write_split(out / "split.json", (pair.id for pair in training), (pair.id for pair in validation))
    click.echo(
        f"{len(training)} images train, {len(validation)} validate; {trainer.device}, {trainer.precision}.", err=True
    )
    for epoch in trainer.run(out, _track):
        write_log(out / "log.csv", trainer.history)
        draw_curves(out / "curves.png", trainer.history)
        click.echo(_epoch_line(epoch, settings.epochs), err=True)
    best = trainer.best()
    click.echo(f"{out / 'best.pt'}: epoch {best.epoch}, validation Dice {best.val_dice:.4f}, IoU {best.val_iou:.4f}")


def _track(batches: Iterable[Any], description: str) -> Iterable[Any]:
    with progress(len(batches), description, "batch") as bar:  # type: ignore[arg-type]
        for batch in batches:
            yield batch
            bar.update()


def _epoch_line(epoch: Epoch, epochs: int) -> str:
    return (
        f"epoch {epoch.epoch}/{epochs}: loss {epoch.train_loss:.4f}, validation loss {epoch.val_loss:.4f}, "
        f"Dice {epoch.val_dice:.4f}, IoU {epoch.val_iou:.4f}, {epoch.images_per_second:.1f} images/s"
    )
