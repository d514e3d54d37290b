"""Train and score whole suites of networks: ``python -m benchmarks.lab recipes|networks|hair [--scale cpu|full]``.

Each experiment is a run of ``seglab train`` and ``seglab validate``, both as commands, under ``runs/lab``. What is
finished is not done again; what was interrupted goes on. The figures go to ``benchmarks/results/lab-SUITE-SCALE.json``,
which ``python -m benchmarks.lab_report`` turns into ``docs/recipes.md`` and ``docs/results.md``.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from seglab.files import write_text

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DATA = Path(os.environ.get("SEGLAB_DATA", ROOT.parent / "shared" / "data"))
SCALES = ("cpu", "full")
SCORES, DONE = "scores.json", "finished"
PRETRAINED = ("encoder=mobilenet_v2", "encoder_weights=$DATA/weights/mobilenet_v2_imagenet.pth")
SMALL_DECODER = "decoder_channels=[48, 48, 32, 24, 16]"
NARROW = "widths=[16, 32, 64, 128, 256]"


@dataclass(frozen=True)
class Experiment:
    """One run: a recipe on data sets (folders below ``SEGLAB_DATA``), changed in ``cpu`` where the scale is cpu.

    ``part``: of the split, that is scored at the images' own sizes; empty where the log's figures are enough.
    """

    name: str
    recipe: str
    data: tuple[str, ...]
    always: tuple[str, ...] = ()
    cpu: tuple[str, ...] = ()
    part: str = "validation"

    def changes(self, scale: str) -> tuple[str, ...]:
        """Return the ``key=value`` changes of the recipe at a scale."""
        return self.always + (self.cpu if scale == "cpu" else ())


_HAM = ("size=128", "limit=300", "epochs=2", "lr=1e-3", "patience=0", *PRETRAINED)
_SCRATCH = ("size=128", NARROW, "lr=1e-3")
_NETWORK_CPU = ("size=128", "limit=300", "epochs=3", "lr=1e-3", "schedule=cosine")
ARCHITECTURES = ("unet", "unetplusplus", "deeplabv3plus", "fpn", "linknet", "pan")
ENCODERS = ("resnet18", "efficientnet-b0", "mit_b0")

SUITES: dict[str, tuple[Experiment, ...]] = {
    "recipes": (
        Experiment("ham10000-smp U-Net", "ham10000-smp", ("ham10000",), cpu=(*_HAM, SMALL_DECODER)),
        Experiment(
            "ham10000-smp U-Net++", "ham10000-smp", ("ham10000",), ("arch=unetplusplus",), (*_HAM, SMALL_DECODER)
        ),
        Experiment("ham10000-smp DeepLabV3+", "ham10000-smp", ("ham10000",), ("arch=deeplabv3plus",), _HAM),
        Experiment("isic2018-scratch", "isic2018-scratch", ("isic2018",), ("split=fifth",), (*_SCRATCH, "limit=800")),
        Experiment(
            "isic2016-resnet34, plain", "isic2016-resnet34", ("isic2017",),
            ("arch=unet-scratch", "encoder_weights="), (*_SCRATCH, "epochs=3", "limit=800"),
        ),
        Experiment(
            "isic2016-resnet34, pretrained", "isic2016-resnet34", ("isic2017",),
            cpu=("size=128", "epochs=3", "limit=800", "lr=1e-3", SMALL_DECODER, *PRETRAINED),
        ),
        Experiment(
            "isic2024-unet", "isic2024-unet", ("isic2018",), ("split=fifth",),
            ("size=128", "epochs=3", "limit=800", "lr=1e-3", SMALL_DECODER, *PRETRAINED),
        ),
        Experiment(
            "isic2018-task1", "isic2018-task1", ("isic2018",), (), (*_SCRATCH, "epochs=4", "limit=800"), part="test"
        ),
    ),
    "networks": (
        *(
            Experiment(
                f"{arch}, mobilenet_v2 (pretrained)", "quick", ("isic2018",),
                (f"arch={arch}", "decoder_channels=[]", *PRETRAINED), _NETWORK_CPU, part="",
            )
            for arch in ARCHITECTURES
        ),
        *(
            Experiment(
                f"unet, {encoder} (random weights)", "quick", ("isic2018",),
                (f"encoder={encoder}", "decoder_channels=[]"), _NETWORK_CPU, part="",
            )
            for encoder in ENCODERS
        ),
    ),
    "hair": tuple(
        Experiment(
            f"hair={hair}, seed={seed}", "quick", ("isic2018",),
            (f"hair={hair}", f"seed={seed}", *PRETRAINED), _NETWORK_CPU,
        )
        for seed in (0, 1)
        for hair in ("none", "dullrazor")
    ),
}  # fmt: skip


@click.command()
@click.argument("suite", type=click.Choice(list(SUITES)))
@click.option(
    "--scale", type=click.Choice(SCALES), default="cpu", show_default=True, help="Reduced, or as the recipe says."
)
@click.option("--only", default="", help="Only the experiments whose name holds this.")
def main(suite: str, scale: str, only: str) -> None:
    """Run the experiments of a suite that are not finished yet, and write their figures."""
    for experiment in SUITES[suite]:
        if only in experiment.name:
            run(experiment, suite, scale)
    write_results(suite, scale)


def run(experiment: Experiment, suite: str, scale: str) -> None:
    """Train and score one experiment, unless that was done."""
    out = run_folder(experiment, suite, scale)
    scores = out / SCORES
    if not (out / DONE).exists():
        resume = ["--resume"] if (out / "last.pt").exists() else []
        _seglab(*train_arguments(experiment, scale), "--out", str(out), *resume)
        (out / DONE).touch()
    if experiment.part and not scores.exists():
        data = [word for name in experiment.data for word in ("--data", str(DATA / name))]
        _seglab("validate", str(out / "best.pt"), *data, "--part", experiment.part, "--json", str(scores))


def train_arguments(experiment: Experiment, scale: str) -> list[str]:
    """Return the words after ``seglab`` that train an experiment, without ``--out``."""
    words = ["train", "--recipe", experiment.recipe]
    words += [word for name in experiment.data for word in ("--data", str(DATA / name))]
    changes = (change.replace("$DATA", str(DATA)) for change in experiment.changes(scale))
    return words + [word for change in changes for word in ("--set", change)]


def run_folder(experiment: Experiment, suite: str, scale: str) -> Path:
    """Return where an experiment's run lies."""
    name = "".join(letter if letter.isalnum() else "-" for letter in experiment.name.replace("+", "plus")).strip("-")
    return ROOT / "runs" / "lab" / f"{suite}-{scale}" / name


def write_results(suite: str, scale: str) -> None:
    """Write the figures of a suite's finished experiments as JSON."""
    rows = list(_rows(suite, scale))
    report = {"format_version": 1, "suite": suite, "scale": scale, "machine": machine(), "experiments": rows}
    write_text(RESULTS / f"lab-{suite}-{scale}.json", json.dumps(report, indent=1) + "\n")


def machine() -> str:
    """Describe what computed: the GPU, or the processor and its cores."""
    import torch

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return f"{model}, {os.cpu_count()} cores, no GPU"


def _rows(suite: str, scale: str) -> Iterator[dict[str, Any]]:
    from seglab.runs import read_run

    for experiment in SUITES[suite]:
        out = run_folder(experiment, suite, scale)
        if not (out / DONE).exists():
            continue
        finished = read_run(out)
        report = json.loads((out / SCORES).read_text()) if experiment.part else {}
        command = shlex.join(["seglab", *train_arguments(experiment, scale)]).replace(str(DATA), "DATA")
        yield {
            "name": experiment.name,
            "recipe": experiment.recipe,
            "data": list(experiment.data),
            "part": experiment.part,
            "command": command,
            "log": [vars(epoch) for epoch in finished.history],
            "best_epoch": finished.best.epoch,
            "training_images": finished.about["data"]["training_images"],
            "scored_images": finished.about["data"][f"{experiment.part or 'validation'}_images"],
            "split": finished.about["data"]["split"],
            "weights": finished.about["parameters"],
            "scores": report.get("scores"),
            "intervals": report.get("intervals"),
        }


def _seglab(*words: str) -> None:
    click.echo(shlex.join(["seglab", *words]), err=True)
    subprocess.run([sys.executable, "-m", "seglab.cli", *words], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
