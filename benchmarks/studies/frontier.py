"""Dice against speed: the package's networks, and smp's usual ones, in one plot.

``python -m benchmarks.studies.frontier [--model NAME=M.onnx ...] [--scores NAME=SCORES.json ...]`` measures images a
second from files to files (``seg-batch``, 600x450), writes ``benchmarks/results/frontier.json`` and draws
``docs/frontier.png``; ``--draw`` only draws what is in the JSON file. A Dice is never guessed: it is read from what
``seglab validate --json`` or ``seg-batch score --json`` wrote of the network, or from ``release.json``. smp's networks
have random weights: they have a speed and no Dice.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from batch.settings import RunSettings
from benchmarks.support.parts import run_rate
from benchmarks.support.places import RESULTS, ROOT, machine
from export.runtime.bundled import FP32, INT8, bundled_model
from seglab.cli_support import begin_command
from seglab.files import replacing, write_text
from seglab.synth import write_set

FILE = click.Path(path_type=Path)
POINTS, RELEASE, PICTURE = RESULTS / "frontier.json", RESULTS / "release.json", ROOT / "docs" / "frontier.png"
SET = "fifth"
SHAPE = (450, 600)
USUAL = (
    ("unet", "resnet34", 256), ("unetplusplus", "resnet34", 256), ("deeplabv3plus", "resnet50", 256),
    ("fpn", "efficientnet-b0", 256), ("segformer", "mit_b0", 256),
)  # fmt: skip
"""Common networks of segmentation-models-pytorch, and their sizes."""


@dataclass(frozen=True)
class Point:
    """A network as it runs here. ``dice``: if it was measured. ``trained``: whether its weights are trained."""

    name: str
    precision: str
    device: str
    images_per_second: float
    dice: float | None = None
    trained: bool = True


@click.command()
@click.option("--model", "named", multiple=True, metavar="NAME=M.onnx", help="More model files to measure.")
@click.option("--scores", multiple=True, metavar="NAME=SCORES.json", help=f"Scores of one of them on the {SET}.")
@click.option("--usual/--no-usual", default=True, show_default=True, help="Also time smp's, with random weights.")
@click.option("--images", default=256, show_default=True, help="Photographs per round.")
@click.option("--rounds", default=5, show_default=True, help="Rounds; all networks take turns in each.")
@click.option("--device", default="auto", show_default=True)
@click.option("--points", type=FILE, default=POINTS, help="The figures.")
@click.option("--picture", type=FILE, default=PICTURE, help="The plot.")
@click.option("--draw", is_flag=True, help="Only draw existing figures, without measuring.")
def main(
    named: Sequence[str], scores: Sequence[str], usual: bool, images: int, rounds: int, device: str, points: Path,
    picture: Path, draw: bool,
) -> None:  # fmt: skip
    """Measure, write the figures, and draw them."""
    begin_command()
    if not draw:
        models = {name: bundled_model(name) for name in (FP32, INT8)} | dict(_named(named))
        dice = {**released_dice(RELEASE), **{name: dice_of(path) for name, path in _named(scores)}}
        with tempfile.TemporaryDirectory() as folder:
            random = dict(_random(Path(folder))) if usual else {}
            rates = measured({**models, **random}, Path(folder), images, rounds, device)
        found = [
            Point(name, precision, where, rate, dice.get(name), trained=name in models)
            for name, (rate, where, precision) in rates.items()
        ]
        write_points(points, found)
    draw_points(picture, read_points(points))
    click.echo(str(picture))


def measured(
    models: dict[str, Path], folder: Path, images: int, rounds: int, device: str
) -> dict[str, tuple[float, str, str]]:
    """Return for each model the median images per second from files to files, the device and the precision."""
    write_set(folder / "photos", images, [SHAPE], seed=0)
    rates: dict[str, list[float]] = {name: [] for name in models}
    where: dict[str, tuple[str, str]] = {}
    for number in range(rounds):
        for name, path in models.items():
            out = folder / f"{number}-{len(where)}-{name.replace('/', '-')}"
            settings = RunSettings(folder / "photos" / "images", out, model=path, device=device)
            rates[name].append(run_rate(settings))
            where[name] = _ran_on(out)
    return {name: (round(statistics.median(values), 2), *where[name]) for name, values in rates.items()}


def _ran_on(out: Path) -> tuple[str, str]:
    from batch.ledger.reader import LedgerReader

    with LedgerReader(out) as ledger:
        run = ledger.last_run()
    return (run.device, run.precision) if run else ("", "")


def _random(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield smp's networks with random weights as model files; they only have to run."""
    import torch

    from export.conversion.build import contract_for, segmenter
    from export.graph.writing import write_model
    from seglab.networks.build import build_network
    from seglab.networks.checkpoints import Checkpoint, NetworkSpec

    for arch, encoder, size in USUAL:
        torch.manual_seed(0)
        spec = NetworkSpec(arch, encoder)
        checkpoint = Checkpoint(spec, size, build_network(spec).state_dict())
        path = folder / f"{arch}-{encoder}.onnx"
        write_model(segmenter([checkpoint]), contract_for([checkpoint]), path)
        yield f"{arch}, {encoder}, {size}", path


def released_dice(report: Path) -> dict[str, float]:
    """Return the Dice of the package's files by their names, as the last release measured them; none without one."""
    if not report.exists():
        return {}
    scores = json.loads(report.read_text())["scores"]
    return {name: sets[SET]["dice"] for name, sets in scores.items() if SET in sets}


def dice_of(path: Path) -> float:
    """Return the mean Dice in a report of ``seglab validate --json`` or ``seg-batch score --json``.

    Raises :class:`click.ClickException` for another file.
    """
    try:
        report: dict[str, Any] = json.loads(path.read_text())
        return float((report.get("scores") or report["summary"])["dice"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise click.ClickException(
            f"{path} has no scores ({error}); expected what `seglab validate --json` or `seg-batch score --json` "
            "wrote. Score the network again."
        ) from error


def write_points(path: Path, points: Iterable[Point]) -> None:
    """Write the figures as JSON."""
    report = {"format_version": 1, "machine": machine(), "images": f"{SHAPE[1]}x{SHAPE[0]}", "set": SET,
              "points": [asdict(point) for point in points]}  # fmt: skip
    write_text(path, json.dumps(report, indent=1) + "\n")


def read_points(path: Path) -> list[Point]:
    """Return the figures. Raises :class:`click.ClickException` where there are none."""
    try:
        return [Point(**entry) for entry in json.loads(path.read_text())["points"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise click.ClickException(
            f"{path} has no points ({error}); expected what this script wrote. Run it without --draw first."
        ) from error


def draw_points(path: Path, points: Sequence[Point]) -> None:
    """Draw Dice against images a second; those without a Dice as lines at their speed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    scored = [(point, point.dice) for point in points if point.dice is not None]
    for point, dice in scored:
        axes.plot(point.images_per_second, dice, "o", color="tab:blue")
        axes.annotate(
            f"{point.name}\n{point.precision}, {point.device}", (point.images_per_second, dice),
            xytext=(8, -4), textcoords="offset points", fontsize=9, va="top",
        )  # fmt: skip
    for point in points:
        if point.dice is None:
            axes.axvline(point.images_per_second, color="tab:orange" if point.trained else "0.6", linestyle=":")
            weights = "Dice not measured" if point.trained else "random weights"
            axes.annotate(
                f"{point.name} ({weights})", (point.images_per_second, 0.02), xycoords=axes.get_xaxis_transform(),
                xytext=(2, 0), textcoords="offset points", rotation=90, fontsize=8, color="0.35", va="bottom",
            )  # fmt: skip
    low = min((dice for _, dice in scored), default=0.9)
    high = max((dice for _, dice in scored), default=0.92)
    room = max(0.004, high - low)
    axes.set(
        xlabel="images/s, from files to files (600x450, all cores)", ylabel="Dice on the fixed fifth of ISIC 2018",
        xlim=(0, 1.35 * max(point.images_per_second for point in points)), ylim=(low - 1.5 * room, high + 0.5 * room),
    )  # fmt: skip
    axes.grid(alpha=0.3)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _named(texts: Iterable[str]) -> Iterator[tuple[str, Path]]:
    for text in texts:
        name, separator, path = text.partition("=")
        if not separator:
            raise click.ClickException(f"{text!r} has no '='; expected NAME=FILE.")
        yield name, Path(path)


if __name__ == "__main__":
    main()
