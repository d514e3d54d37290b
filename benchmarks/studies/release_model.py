"""Make the package's network again, from the data folder to the released files and their card.

``python -m benchmarks.studies.release_model --out WORK [--hours H] [--stage NAME] [--plan NAME] [--install]``: in
stages, each of which ends in files below WORK and is not done again. What is stopped, by ``--hours`` or by Ctrl-C, goes
on with the same command. ``WORK/release`` has the models, the checkpoint, the worst images, ``release.json`` and the
card.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.support.places import CHECKPOINT, DATA, ROOT
from benchmarks.support.release.card import card_text
from benchmarks.support.release.plan import LICENCE, PLANS, Plan, Training
from benchmarks.support.release.scoring import RELEASE, figures, make_scores, scored_sets
from benchmarks.support.release.sets import SETS, link_set
from benchmarks.support.release.soft_masks import make_soft_masks
from benchmarks.support.release.training import QUANTISED, train_quantised, train_student, train_teacher
from benchmarks.support.release.work import BEFORE, Stage, Work
from benchmarks.support.release.worst import draw_worst
from export.runtime.bundled import FP32, INT8
from seglab.files import write_text

FILE = click.Path(path_type=Path)
REPORT, CARD, PICTURE, ORIGINAL = "release.json", "MODEL_CARD.md", "worst.png", "lesion.pt"
PRECISIONS = {FP32: "fp32", INT8: "int8"}
SHIPPED = {
    FP32: "export/models/lesion.onnx",
    CARD: "export/models/MODEL_CARD.md",
    INT8: "export/models/lesion-int8.onnx",
    ORIGINAL: "benchmarks/models/lesion.pt",
    REPORT: "benchmarks/results/release.json",
    PICTURE: "docs/worst.png",
}
"""Where each file of ``WORK/release`` belongs in the repository."""


@click.command()
@click.option("--out", type=FILE, required=True, help="Folder of the release.")
@click.option("--data", type=FILE, default=DATA, help="Folder of the data sets.")
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), help="Start no further work after this time.")
@click.option("--stage", "only", help="Only this stage (a wrong name lists them); what it needs must be there.")
@click.option("--plan", default="shipped", help=f"What is trained: {', '.join(PLANS)} (see support/release/plan.py).")
@click.option("--student", type=FILE, help="A checkpoint to go on from with int8's rounding, instead of training one.")
@click.option("--device", default="auto", show_default=True, help="For soft masks and scores, as of seg-batch.")
@click.option("--install", is_flag=True, help="At last, copy the files to their places in the repository.")
def main(
    out: Path, data: Path, hours: float | None, only: str | None, plan: str, student: Path | None, device: str,
    install: bool,
) -> None:  # fmt: skip
    """Do the stages of a release that are not done yet."""
    until = math.inf if hours is None else time.monotonic() + 3600 * hours
    if plan not in PLANS:
        raise click.ClickException(f"There is no plan {plan!r}; expected one of {', '.join(PLANS)}.")
    work = Work(data.resolve(), out.resolve(), PLANS[plan], device, until, student)
    for stage in _chosen(stages(work.plan), only):
        require_same_plan(stage, work)
        if stage.is_finished(work.out):
            continue
        click.echo(f"--- {stage.name}", err=True)
        if work.hours_left <= 0 or not stage.do(work):
            click.echo(f"{stage.name} is not finished within --hours; the same command goes on with it.", err=True)
            return
    if install:
        for name, place in SHIPPED.items():
            shutil.copyfile(work.out / RELEASE / name, ROOT / place)
    click.echo(str(work.out / RELEASE))


def stages(plan: Plan) -> list[Stage]:
    """Return all stages of a plan, in their order."""
    return [
        Stage("sets", make_sets),
        *(Stage(f"teacher-{each.name}", _teacher(each)) for each in plan.teachers),
        *([Stage("soft-masks", make_soft_masks)] if plan.teachers else []),
        Stage("student", train_student),
        Stage("quantised", train_quantised),
        Stage("export", export),
        Stage("scores", make_scores),
        Stage("card", write_card),
    ]


def _teacher(each: Training) -> Any:
    return lambda work: train_teacher(work, each)


def _chosen(known: list[Stage], only: str | None) -> list[Stage]:
    found = [stage for stage in known if only in (None, stage.name)]
    if not found:
        names = ", ".join(stage.name for stage in known)
        raise click.ClickException(f"There is no stage {only!r}; expected one of {names}.")
    return found


def require_same_plan(stage: Stage, work: Work) -> None:
    """Raise :class:`click.ClickException` for a folder in which another plan was begun."""
    before = stage.state(work.out).get("plan", work.plan.name)
    if before != work.plan.name:
        raise click.ClickException(
            f"{work.out} holds a release by the plan {before!r}, and this is {work.plan.name!r}; expected one plan in "
            "a folder. Name another --out, or the --plan as before."
        )


def make_sets(work: Work) -> bool:
    """Keep the network before, and link the images of the sets that decide."""
    (work.out / BEFORE).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / SHIPPED[FP32], work.out / BEFORE / FP32)
    shutil.copyfile(CHECKPOINT, work.out / BEFORE / CHECKPOINT.name)
    for name, each in SETS.items():
        count = link_set(each, work.data, work.out / "sets" / name)
        click.echo(f"{name}: {count} images", err=True)
    return True


def export(work: Work) -> bool:
    """Export the network in both precisions, each compared with PyTorch on originals before it is there."""
    release = work.out / RELEASE
    release.mkdir(exist_ok=True)
    for name, precision in PRECISIONS.items():
        if not (release / name).exists():
            words = ("--precision", precision, "--out", release / name, "--licence", LICENCE)
            parity = ("--parity", work.data / "originals", "--parity-images", str(work.plan.parity))
            work.call("seg-export", "onnx", work.out / QUANTISED / "best.pt", *words, *parity)
    shutil.copyfile(work.out / QUANTISED / "best.pt", release / ORIGINAL)
    return True


def write_card(work: Work) -> bool:
    """Write the sheet of the worst images, the report and the card."""
    release = work.out / RELEASE
    bad = draw_worst(work, release / PICTURE)
    done = [stage.state(work.out) for stage in stages(work.plan) if stage.is_finished(work.out)]
    report = {
        "format_version": 1, "plan": work.plan.name, "sets": scored_sets(work), "stages": done,
        "network": _network(work),
        "files": {name: (release / name).stat().st_size for name in PRECISIONS}, "parity": _parity(release),
        **figures(work), "worst": [vars(each) for each in bad], "picture": f"../../{SHIPPED[PICTURE]}",
    }  # fmt: skip
    write_text(release / REPORT, json.dumps(report, indent=1) + "\n")
    write_text(release / CARD, card_text(report))
    return True


def _network(work: Work) -> dict[str, Any]:
    from export.contract import read_contract
    from seglab.training.run_folder import read_run

    contract = read_contract(work.out / RELEASE / INT8)
    about = read_run(work.out / QUANTISED).about
    counts = {name: about["data"][name] for name in ("training_images", "validation_images")}
    return {
        "arch": contract.arch, "encoder": contract.encoder, "size": contract.size, "licence": contract.licence,
        "weights": about["parameters"], **counts,
    }  # fmt: skip


def _parity(release: Path) -> dict[str, Any]:
    found = {}
    for name in PRECISIONS:
        report = json.loads((release / name).with_suffix(".parity.json").read_text())
        whole = report["figures"]["whole"]
        found[name] = {"images": report["images"], **{key: whole[key] for key in ("mean_dice", "worst_dice")}}
    return found


if __name__ == "__main__":
    main()
