"""Train and score suites: ``python -m benchmarks.studies.lab recipes|networks|hair|larger [--scale cpu|full]``.

Each experiment is a run of ``seglab train`` and ``seglab validate``, both as commands, under ``runs/lab``. What is
finished is not done again; what was interrupted goes on. The figures go to ``benchmarks/results/lab-SUITE-SCALE.json``,
which ``python -m docs.tools.lab_pages`` turns into ``docs/reference/recipes.md`` and ``docs/explanation/results.md``.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.support.places import DATA, RESULTS, ROOT, machine
from seglab.files import write_text

SCALES = ("cpu", "full")
SCORES, BESIDE, DONE = "part-scores.json", "beside.json", "finished"
PRETRAINED = ("encoder=mobilenet_v2", "encoder_weights=$DATA/weights/mobilenet_v2_imagenet.pth")
SMALL_DECODER = "decoder_channels=[48, 48, 32, 24, 16]"
NARROW = "widths=[16, 32, 64, 128, 256]"
PACKAGE = "benchmarks/models/lesion.pt"


@dataclass(frozen=True)
class Experiment:
    """One run: a recipe on data sets (folders below ``SEGLAB_DATA``), changed in ``cpu`` where the scale is cpu.

    ``part``: of the split, that is scored at the images' own sizes; empty where the log's figures are enough.
    ``scored``: the data sets that part is scored on; all of ``data`` where empty. ``exclude``: folders whose images
    take part in nothing. ``beside``: a checkpoint (a path in the repository) that is scored on the same images.
    """

    name: str
    recipe: str
    data: tuple[str, ...]
    always: tuple[str, ...] = ()
    cpu: tuple[str, ...] = ()
    part: str = "validation"
    scored: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    beside: str = ""

    def changes(self, scale: str) -> tuple[str, ...]:
        """Return the ``key=value`` changes of the recipe at a scale."""
        return self.always + (self.cpu if scale == "cpu" else ())


_PLAIN = ("size=128", NARROW, "lr=1e-3", "schedule=cosine")
_MOBILENET = ("size=128", "lr=1e-3", "schedule=cosine", *PRETRAINED)
_HAM = (*_MOBILENET, "limit=500", "epochs=3", "patience=0")
_NETWORK_CPU = ("size=128", "limit=400", "epochs=3", "lr=1e-3", "schedule=cosine")
_ISIC2016_IMAGES = "limit=810"  # as many training images as MedSegBench's ISIC 2016 has
ARCHITECTURES = ("unet", "unetplusplus", "deeplabv3plus", "fpn", "segformer", "upernet")
ENCODERS = ("resnet18", "efficientnet-b0", "mit_b0")

SUITES: dict[str, tuple[Experiment, ...]] = {
    "recipes": (
        Experiment("ham10000-smp U-Net", "ham10000-smp", ("ham10000",), cpu=(*_HAM, SMALL_DECODER)),
        Experiment(
            "ham10000-smp U-Net++", "ham10000-smp", ("ham10000",), ("arch=unetplusplus",), (*_HAM, SMALL_DECODER)
        ),
        Experiment("ham10000-smp DeepLabV3+", "ham10000-smp", ("ham10000",), ("arch=deeplabv3plus",), _HAM),
        Experiment("isic2018-scratch", "isic2018-scratch", ("isic2018",), ("split=fifth",), (*_PLAIN, "epochs=8")),
        Experiment(
            "isic2016-resnet34, plain", "isic2016-resnet34", ("isic2017",),
            ("arch=unet-scratch", "encoder_weights=", _ISIC2016_IMAGES), (*_PLAIN, "epochs=12"),
        ),
        Experiment(
            "isic2016-resnet34, pretrained", "isic2016-resnet34", ("isic2017",),
            (_ISIC2016_IMAGES,), (*_MOBILENET, "epochs=8", SMALL_DECODER),
        ),
        Experiment(
            "isic2024-unet", "isic2024-unet", ("isic2018",), ("split=fifth",),
            (*_MOBILENET, "epochs=4", SMALL_DECODER),
        ),
        Experiment("isic2018-task1", "isic2018-task1", ("isic2018",), (), (*_PLAIN, "epochs=4"), part="test"),
    ),
    "networks": (
        *(
            Experiment(
                f"{arch}, mobilenet_v2 (pretrained)", "quick", ("isic2018",),
                ("split=fifth", f"arch={arch}", "decoder_channels=[]", *PRETRAINED), _NETWORK_CPU, part="",
            )
            for arch in ARCHITECTURES
        ),
        *(
            Experiment(
                f"unet, {encoder} (random weights)", "quick", ("isic2018",),
                ("split=fifth", f"encoder={encoder}", "decoder_channels=[]"), _NETWORK_CPU, part="",
            )
            for encoder in ENCODERS
        ),
    ),
    "hair": tuple(
        Experiment(
            f"hair={hair}, seed={seed}", "quick", ("isic2018",),
            ("split=fifth", f"hair={hair}", f"seed={seed}", *PRETRAINED), _NETWORK_CPU,
        )
        for seed in (0, 1)
        for hair in ("none", "dullrazor")
    ),
    "larger": (
        Experiment(
            "the package's network, 256 x 256", "package", ("isic2018", "isic2017"),
            ("size=256", f"init={ROOT / PACKAGE}", "encoder_weights=", "lr=5e-4",
             "ema=0.998", "epochs=5", "compile=true"),
            scored=("isic2018",), exclude=("originals/images", "isic2017/ISIC-2017_Validation_Data"), beside=PACKAGE,
        ),
    ),
}  # fmt: skip


@click.command()
@click.argument("suite", type=click.Choice(list(SUITES)))
@click.option(
    "--scale", type=click.Choice(SCALES), default="cpu", show_default=True, help="Reduced, or as the recipe says."
)
@click.option("--only", default="", help="Only experiments with this text in their names.")
@click.option(
    "--hours", type=float, help="For each training, as `seglab train --hours`; what is left goes on next time."
)
def main(suite: str, scale: str, only: str, hours: float | None) -> None:
    """Run the experiments of a suite that are not finished yet, and write their figures."""
    for experiment in SUITES[suite]:
        if only in experiment.name:
            run(experiment, suite, scale, hours)
    write_results(suite, scale)


def run(experiment: Experiment, suite: str, scale: str, hours: float | None = None) -> None:
    """Train and score one experiment, unless that was done; one whose ``hours`` were over is scored once it is done."""
    from seglab.training.run_folder import read_run

    out = run_folder(experiment, suite, scale)
    if not (out / DONE).exists():
        limit = [] if hours is None else ["--hours", str(hours)]
        begun = ["train", "--resume", str(out)] if (out / "last.pt").exists() else []
        _seglab(*(begun or [*train_arguments(experiment, scale), "--out", str(out)]), *limit)
        if not read_run(out).finished:
            return
        (out / DONE).touch()
    if experiment.part:
        score(experiment, out / "best.pt", out, SCORES)
    if experiment.beside:
        score(experiment, ROOT / experiment.beside, out, BESIDE)


def score(experiment: Experiment, checkpoint: Path, out: Path, name: str) -> None:
    """Score a checkpoint on the part of the run in ``out`` that the experiment names, unless that was done."""
    if not (out / name).exists():
        data = _folders("--data", experiment.scored or experiment.data)
        split = ("--split", str(out / "split.json"), "--part", experiment.part)
        _seglab("validate", str(checkpoint), *data, *split, "--json", str(out / name))


def train_arguments(experiment: Experiment, scale: str) -> list[str]:
    """Return the words after ``seglab`` that train an experiment, without ``--out``."""
    words = ["train", "--recipe", experiment.recipe]
    words += [*_folders("--data", experiment.data), *_folders("--exclude", experiment.exclude)]
    changes = (change.replace("$DATA", str(DATA)) for change in experiment.changes(scale))
    return words + [word for change in changes for word in ("--set", change)]


def _folders(option: str, names: tuple[str, ...]) -> list[str]:
    return [word for name in names for word in (option, str(DATA / name))]


def run_folder(experiment: Experiment, suite: str, scale: str) -> Path:
    """Return where an experiment's run lies."""
    name = "".join(letter if letter.isalnum() else "-" for letter in experiment.name.replace("+", "plus")).strip("-")
    return ROOT / "runs" / "lab" / f"{suite}-{scale}" / name


def write_results(suite: str, scale: str) -> None:
    """Write the figures of a suite's finished experiments as JSON."""
    rows = list(_rows(suite, scale))
    report = {"format_version": 1, "suite": suite, "scale": scale, "machine": machine(), "experiments": rows}
    write_text(RESULTS / f"lab-{suite}-{scale}.json", json.dumps(report, indent=1) + "\n")


def _rows(suite: str, scale: str) -> Iterator[dict[str, Any]]:
    from seglab.training.run_folder import read_run

    for experiment in SUITES[suite]:
        out = run_folder(experiment, suite, scale)
        if not (out / DONE).exists():
            continue
        finished = read_run(out)
        report = json.loads((out / SCORES).read_text()) if experiment.part else {}
        command = (
            shlex.join(["seglab", *train_arguments(experiment, scale)])
            .replace(str(DATA), "DATA")
            .replace(f"{ROOT}/", "")
        )
        yield {
            "name": experiment.name,
            "recipe": experiment.recipe,
            "data": list(experiment.data),
            "part": experiment.part,
            "command": command,
            "log": [vars(epoch) for epoch in finished.history],
            "best_epoch": finished.best.epoch,
            "training_images": finished.about["data"]["training_images"],
            "scored_images": report["scores"]["count"] if report else finished.about["data"]["validation_images"],
            "split": finished.about["data"]["split"],
            "size": finished.recipe.size,
            "weights": finished.about["parameters"],
            "scores": report.get("scores"),
            "intervals": report.get("intervals"),
            **_beside(experiment, out),
        }


def _beside(experiment: Experiment, out: Path) -> dict[str, Any]:
    """Return the figures of the checkpoint that an experiment is compared with, if it has one."""
    if not experiment.beside:
        return {}
    report = json.loads((out / BESIDE).read_text())
    return {"beside": {"name": experiment.beside, "scores": report["scores"], "intervals": report["intervals"]}}


def _seglab(*words: str) -> None:
    click.echo(shlex.join(["seglab", *words]), err=True)
    subprocess.run([sys.executable, "-m", "seglab.cli", *words], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
