"""The networks of a release, each an ordinary run of ``seglab train``."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.support.release.plan import DATA_SETS, KEPT_OUT, Training
from benchmarks.support.release.work import Work
from seglab.training.run_folder import BEST

STUDENT, QUANTISED, TEACHERS, SOFT = "student", "quantised", "teachers", "soft"


def train_teacher(work: Work, teacher: Training) -> bool:
    """Train or resume a teacher. Return whether it is finished."""
    return _train(work, work.out / TEACHERS / teacher.name, teacher.settings)


def train_student(work: Work) -> bool:
    """Train the released network on truth and soft masks, or take the given one."""
    if work.student is None:
        return _train(work, work.out / STUDENT, work.plan.student, _soft(work))
    (work.out / STUDENT).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(work.student, work.out / STUDENT / BEST)
    return True


def train_quantised(work: Work) -> bool:
    """Train the student further with the rounding of int8."""
    from seglab.networks.checkpoints import load_checkpoint

    student = work.out / STUDENT / BEST
    normalise = load_checkpoint(student).training["recipe"]["normalise"]
    own = [setting.replace("$STUDENT", f'"{student}"') for setting in work.plan.quantised]
    fixed = ("encoder_weights=", f'init="{student}"', f"normalise={normalise}")
    return _train(work, work.out / QUANTISED, (*_network(work.plan.student), *own, *fixed), _soft(work))


def _soft(work: Work) -> Path | None:
    return work.out / SOFT if work.plan.teachers else None


def _network(settings: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the student's settings that say what the network is; its weights come from the student."""
    kept = ("encoder=", "decoder_channels=", "size=", "arch=")
    return tuple(setting for setting in settings if setting.startswith(kept))


def _train(work: Work, out: Path, settings: tuple[str, ...], soft: Path | None = None) -> bool:
    from seglab.training.run_folder import LAST, SCORES_JSON, read_run

    if (out / SCORES_JSON).exists() and read_run(out).finished:
        return True
    if work.hours_left <= 0:
        return False
    limit = ["--hours", f"{work.hours_left:.3f}"] if work.hours_left < float("inf") else []
    if (out / LAST).exists():
        work.call("seglab", "train", "--resume", out, *limit)
    else:
        words = ["train", "--recipe", "package", "--inspect", "report", "--out", str(out), *limit]
        words += [word for name in DATA_SETS for word in ("--data", str(work.data / name))]
        words += [word for name in KEPT_OUT for word in ("--exclude", str(work.data / name))]
        words += [word for setting in settings for word in ("--set", setting.replace("$DATA", str(work.data)))]
        work.call("seglab", *words, *(["--soft-masks", str(soft)] if soft else []))
    return read_run(out).finished
