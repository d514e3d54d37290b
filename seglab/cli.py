"""``seglab``: make synthetic images, train, validate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seglab import __version__
from seglab.cli_support import CONTEXT, command_errors, progress, stop_on_sigterm
from seglab.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seglab.layouts import Pair
    from seglab.metrics import Scores
    from seglab.training import Epoch

FOLDER = click.Path(path_type=Path)


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, prog_name="seglab")
def main() -> None:
    """Train and validate networks that outline lesions on dermoscopy images."""
    stop_on_sigterm()


@main.command()
@click.option("--out", type=FOLDER, required=True, help="Folder that gets images/ and masks/.")
@click.option("--count", type=click.IntRange(min=1), default=8, help="Number of images.")
@click.option(
    "--size", "sizes", multiple=True, default=("600x450",), metavar="WxH",
    help="Width x height in pixels; several are taken in turn.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, help="The same seed gives the same bytes.")
@command_errors
def synth(out: Path, count: int, sizes: tuple[str, ...], seed: int) -> None:
    """Write synthetic dermoscopy images with their masks.

    Example: seglab synth --out demo --count 100 --size 600x450 --size 1024x768
    """
    from seglab.synth import write_set

    written = write_set(out, count, [_parse_size(size) for size in sizes], seed)
    click.echo(f"{len(written)} images in {out / 'images'}, their masks in {out / 'masks'}.")


@main.command()
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
    training, validation = split(_pairs(data), excluded)
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


@main.command()
@click.argument("checkpoint", type=FOLDER, metavar="CKPT")
@click.option("--data", type=FOLDER, multiple=True, required=True, help="Data set folder; several may be given.")
@click.option(
    "--part", type=click.Choice(["validation", "all"]), default="validation",
    help="The fixed validation fifth of the ids, or every pair.",
)  # fmt: skip
@click.option("--json", "json_file", type=FOLDER, help="Write the figures as JSON; - for stdout.")
@click.option("--csv", "csv_file", type=FOLDER, help="Write a row per image.")
@click.option("--figures", type=FOLDER, help="Folder for overlays: the mask in cyan, the truth in amber.")
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:K.")
@command_errors
def validate(
    checkpoint: Path,
    data: tuple[Path, ...],
    part: str,
    json_file: Path | None,
    csv_file: Path | None,
    figures: Path | None,
    device: str,
) -> None:
    """Score a checkpoint against the annotators' masks, at the images' original sizes.

    Example: seglab validate runs/quick/best.pt --data isic2018 --csv scores.csv --figures pictures
    """
    from seglab.checkpoints import load_checkpoint
    from seglab.figures import overlay, write_image
    from seglab.files import write_text
    from seglab.metrics import Scores
    from seglab.precision import choose_device
    from seglab.predict import Predictor
    from seglab.runs import write_csv
    from seglab.splits import validates
    from seglab.validation import judge

    predictor = Predictor(load_checkpoint(checkpoint), str(choose_device(device)))
    pairs = [pair for pair in _pairs(data) if part == "all" or validates(pair.id)]
    scores = Scores()
    with progress(len(pairs), "validation", "image") as bar:
        for judged in judge(predictor, pairs):
            scores.add(judged.pair.id, judged.counts)
            if figures:
                name = f"dice{judged.counts.dice:.3f}_{judged.pair.id}.jpg"  # sorts from worst to best
                write_image(figures / name, overlay(judged.image, judged.mask, judged.truth))
            bar.update()
    report = {
        "format_version": 1,
        "checkpoint": {"file": checkpoint.name, "sha256": predictor.checkpoint.sha256},
        "data": [path.resolve().name for path in data],
        "part": part,
        "scores": scores.summary(),
    }
    if csv_file:
        write_csv(csv_file, scores.rows())
    if json_file and str(json_file) != "-":
        write_text(json_file, json.dumps(report, indent=2) + "\n")
    click.echo(json.dumps(report, indent=2) if str(json_file) == "-" else _score_table(scores))


@main.command()
@command_errors
def recipes() -> None:
    """List the recipes that come with the package, with their settings.

    Example: seglab recipes
    """
    from seglab.settings import load_recipe, recipe_names

    for name in recipe_names():
        recipe = load_recipe(name)
        settings = " ".join(f"{key}={value}" for key, value in vars(recipe).items() if value != "")
        click.echo(f"{name}: {settings}")


def _pairs(data: Iterable[Path]) -> list[Pair]:
    from seglab.layouts import find_pairs

    return [pair for root in data for pair in find_pairs(root)]


def _parse_size(text: str) -> tuple[int, int]:
    """Read ``WxH`` into ``(height, width)``."""
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise ConfigError(f"--size is {text!r}; expected width x height in pixels, as 600x450.")
    return int(height), int(width)


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


def _score_table(scores: Scores) -> str:
    summary = scores.summary()
    tp, fp, fn, tn = (int(summary.pop(key)) for key in ("tp", "fp", "fn", "tn"))
    lines = [f"{key.replace('_', ' '):<20} {value:.4f}" for key, value in summary.items() if key != "count"]
    return "\n".join(
        [
            f"{'images':<20} {summary['count']:.0f}",
            *lines,
            "",
            f"{'pixels':<20} {'mask: lesion':>16} {'mask: skin':>16}",
            f"{'truth: lesion':<20} {tp:>16} {fn:>16}",
            f"{'truth: skin':<20} {fp:>16} {tn:>16}",
        ]
    )


if __name__ == "__main__":
    main()
