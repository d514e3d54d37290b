"""The work of ``seglab validate``: a checkpoint scored against truth masks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.cli_support import echo, progress, require_packages
from seglab.commands.common import DataNamed
from seglab.commands.places import page_with, require_beside, require_own, require_picture_folder
from seglab.commands.runs.request import data_of_run
from seglab.errors import DataError
from seglab.evaluation.pages.files import VALIDATE, mark_of, write_page
from seglab.words import counted, noun

if TYPE_CHECKING:
    from seglab.data.collection import Collection
    from seglab.data.pairs import Pair
    from seglab.evaluation.original import Predictor
    from seglab.evaluation.scored import Scored
    from seglab.evaluation.validate import Failed, Verdict
    from seglab.pages.page import Page

PAGE = page_with(mark_of(VALIDATE), "a page of seglab validate")
SHEET = "best_median_worst.jpg"
REPORT = "report.html"
NOT_SCORED = "could not be scored"
LEAST_LOST = 2
"""Least number of failed images at which scoring is refused: a single failure never is, in however small a set."""


@dataclass(frozen=True)
class Validation:
    """A checkpoint's scores. ``failed``: images that could not be scored. ``unwritten``: the error that stopped the
    writing of pictures, if any.
    """

    checkpoint: Path
    predictor: Predictor
    data: list[str]
    part: str
    pairs: Scored
    verdict: Verdict
    failed: list[Failed]
    unwritten: OSError | None

    def report(self) -> dict[str, Any]:
        """Return the figures for the JSON report."""
        return {
            "format_version": 1,
            "checkpoint": {"file": self.checkpoint.name, "sha256": self.predictor.checkpoint.sha256},
            "data": self.data,
            "part": self.part,
            "split": self.pairs.source,
            "missing": self.pairs.missing,
            "tta": self.predictor.tta,
            "scores": self.verdict.summary(),
            "intervals": self.verdict.intervals(),
            "failed": [
                {"image": each.pair.id, "file": each.pair.source, "reason": each.reason} for each in self.failed
            ],
        }

    def judged(self) -> list[Pair]:
        """Pairs that were scored."""
        without = {each.pair.source for each in self.failed}
        return [pair for pair in self.pairs.pairs if pair.source not in without]


def validate_checkpoint(
    checkpoint: Path,
    named: DataNamed,
    *,
    part: str = "validation",
    split_file: Path | None = None,
    tta: str | None = None,
    boundary: bool = True,
    figures: Path | None = None,
    device: str = "auto",
) -> Validation:
    """Score a checkpoint, or the best one in a run's folder. Arguments and errors are those of ``seglab validate``."""
    require_packages(("torch",), "This command runs the network in PyTorch")
    from seglab.evaluation.original import Predictor
    from seglab.evaluation.validate import Verdict
    from seglab.networks.checkpoints import load_checkpoint
    from seglab.networks.run_weights import weights_file
    from seglab.training.device import choose_device

    checkpoint = weights_file(checkpoint)
    predictor = Predictor(load_checkpoint(checkpoint), device=str(choose_device(device)), tta=tta)
    named = data_of_run(checkpoint.parent, named)
    if figures:
        require_beside("--figures", figures, named)
        require_picture_folder("--figures", figures)
        require_own("--figures", figures / REPORT, PAGE.is_ours, PAGE.words)
    collection, pairs = _pairs(predictor, named, part, split_file)
    verdict = Verdict(outlines=boundary)
    failed, unwritten = _score(predictor, pairs, verdict, figures)
    _say_used(collection, pairs, failed)
    verdict.require_credible()
    return Validation(checkpoint, predictor, named.names, part, pairs, verdict, failed, unwritten)


def draw(found: Validation, figures: Path | None, report: Path | None) -> None:
    """Write the page to ``report``. Into the folder ``figures`` draw sheets of best, median and worst images and the
    confusion matrix, and write the page there, too.
    """
    from seglab.evaluation.scoring import draw_pictures

    files = [report] if report else []
    if figures:
        draw_pictures(figures, found.predictor, found.judged(), found.verdict, SHEET)
        files.append(figures / REPORT)
    if files:
        page = _page(found)
        for file in files:
            write_page(file, page)


def _page(found: Validation) -> Page:
    from seglab.evaluation.pages.machine import machine_facts
    from seglab.evaluation.pages.scored import ScoredImages, predicted
    from seglab.evaluation.pages.validation import validation_page

    pairs, split = found.judged(), found.pairs
    about = {"Data sets": ", ".join(found.data), "Part": found.part, "Split": split.source}
    if split.missing:
        about["Not in the data"] = f"{counted(split.missing, 'image')} of this part"
    about |= {f"Not used, {reason}": counted(len(unused), "image") for reason, unused in split.unused.items()}
    about["Test-time augmentation"] = found.predictor.tta
    scored = ScoredImages(found.verdict, pairs, predicted(found.predictor, pairs), f"Part of the data: {found.part}.")
    machine = machine_facts(str(found.predictor.device))
    return validation_page(scored, found.predictor.checkpoint, about, found.failed, machine)


def _pairs(predictor: Predictor, named: DataNamed, part: str, split_file: Path | None) -> tuple[Collection, Scored]:
    """Return the data, and the pairs to score."""
    from seglab.evaluation.scored import ALL, KnownSplit, known_split, scored

    split = KnownSplit({}, "") if part == ALL else known_split(predictor.checkpoint, split_file)
    collection = named.collect()
    pairs = scored(collection, part, split)
    echo(f"{counted(len(pairs.pairs), 'image')} to score: {part} (split: {pairs.source})", err=True)
    if pairs.missing:
        images = f"{counted(pairs.missing, 'image')} of the {part} part {noun(pairs.missing, 'is', 'are')}"
        echo(f"{images} not in the data.", err=True)
    return collection, pairs


def _say_used(collection: Collection, pairs: Scored, failed: Sequence[Failed]) -> None:
    """Print how much of each set was scored. Raises :class:`DataError` where a tenth or more could not be."""
    from seglab.data.collection import used_lines
    from seglab.data.finding.found import is_too_much

    lost = {each.pair.source for each in failed}
    done = tuple(pair for pair in pairs.pairs if pair.source not in lost)
    unused = {**pairs.unused, NOT_SCORED: tuple(each.pair for each in failed)}
    for line in used_lines(collection, {"scored": done}, unused):
        echo(line, err=True)
    if is_too_much(len(failed), len(pairs.pairs), LEAST_LOST):
        raise DataError(
            f"{len(failed):,} of {counted(len(pairs.pairs), 'image')} could not be scored; expected less than 10 %. "
            f"The first: {failed[0].reason} Correct these images, or remove them from the data."
        )


def _score(
    predictor: Predictor, pairs: Scored, verdict: Verdict, figures: Path | None
) -> tuple[list[Failed], OSError | None]:
    """Score the pairs. Return the images that could not be scored, and the error in writing pictures, if any."""
    from seglab.evaluation.figures import Figures
    from seglab.evaluation.validate import judge

    failed: list[Failed] = []
    started = time.perf_counter()
    pictures = Figures(figures) if figures else None
    with progress(len(pairs.pairs), "validation", "image") as bar:
        for judged in judge(predictor, pairs.pairs, failed.append):
            verdict.add(judged)
            if pictures:
                pictures.add(judged)
            bar.update()
    seconds = time.perf_counter() - started
    echo(f"{seconds:.1f} seconds, {len(pairs.pairs) / seconds:.1f} images per second", err=True)
    for each in failed:
        echo(f"Not scored: {each.reason}", err=True)
    return failed, pictures.error if pictures else None
