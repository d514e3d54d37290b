"""``seg-batch score``: masks against the annotators' truth, matched by id."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batch.cores import cores
from batch.errors import printable
from batch.ledger.reader import LedgerReader
from batch.ledger.schema import ledger_path
from batch.outputs.base import FolderStore, Store, stored_mask
from batch.outputs.spec import Output
from seglab.data.layouts import find_truths, truth_id
from seglab.errors import DataError, ImageError
from seglab.files import write_text
from seglab.images.reader import read_mask
from seglab.metrics.overlap import Confusion, Scores, confusion

FORMAT_VERSION = 1
NAMED = 5
"""So many names of a kind are shown to a person; JSON has all."""

METRICS = {
    "dice": "Dice",
    "iou": "IoU",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "thresholded_jaccard": "thresholded Jaccard",
    "pooled_dice": "pooled Dice",
    "pooled_iou": "pooled IoU",
    "worst_dice": "worst Dice",
}


@dataclass(frozen=True)
class MaskEntry:
    """A mask to be scored: ``name`` of its file below the output."""

    id: str
    name: str


@dataclass
class ScoreReport:
    """Scores, and by name all that could not be scored.

    ``failed``: masks that do not fit their truth or cannot be read, with the reason. ``images_failed``: images that
    failed in the run, with the reason. The means are over the masks that were scored.
    """

    masks: str
    truth: str
    scores: Scores = field(default_factory=Scores)
    failed: dict[str, str] = field(default_factory=dict)
    images_failed: dict[str, str] = field(default_factory=dict)
    images_pending: int = 0
    masks_without_truth: list[str] = field(default_factory=list)
    truths_without_mask: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Was there a score for every image that has a truth and was taken on?"""
        return not (self.failed or self.images_failed or self.images_pending)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with a format version."""
        named = {name: value for name, value in vars(self).items() if name != "scores"}
        return {"format_version": FORMAT_VERSION, "summary": self.scores.summary(), **named}

    def to_csv(self) -> str:
        """Return a row per scored image."""
        rows = self.scores.rows()
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()

    def lines(self) -> Iterator[str]:
        """Yield the table that a person reads, and what is not in it."""
        summary = self.scores.summary()
        yield f"{'images scored':<22}{summary['count']:>8}"
        for key, title in METRICS.items():
            yield f"{title:<22}{summary[key]:>8.4f}"
        yield f"{'pixels':<22}TP {summary['tp']}  FP {summary['fp']}  FN {summary['fn']}  TN {summary['tn']}"
        yield from _named("masks that could not be scored", [f"{name}: {why}" for name, why in self.failed.items()])
        yield from _named(
            "images that failed in the run", [f"{name}: {why}" for name, why in self.images_failed.items()]
        )
        yield from _named("masks without truth", self.masks_without_truth)
        yield from _named("truths without mask", self.truths_without_mask)
        if self.images_pending:
            yield f"images still to be done: {self.images_pending} (run `seg-batch run` again)"


def score(out: Path, truth: Path, advance: Callable[[int], object] = lambda total: None) -> ScoreReport:
    """Score the masks of an output folder, or of any folder of masks, against a data set or a folder of truth masks.

    ``advance`` is called after each mask with their number. Raises :class:`DataError` where nothing can be matched.
    """
    report = ScoreReport(printable(str(out)), printable(str(truth)))
    truths = find_truths(truth)
    with _opened(out) as (store, state):
        masks, failed_ids = _masks_of_folder(out) if state is None else _masks_of_run(state, report)
        pairs = [(entry, truths[entry.id]) for entry in masks if entry.id in truths]
        _score_pairs(store, pairs, report, advance)
    report.masks_without_truth = [printable(entry.name) for entry in masks if entry.id not in truths]
    report.truths_without_mask = sorted(truths.keys() - {entry.id for entry in masks} - failed_ids)
    if not report.scores.counts:
        raise DataError(_nothing_scored(report, masks, truths))
    return report


def write_csv(report: ScoreReport, path: Path) -> None:
    """Write a row per scored image."""
    write_text(path, report.to_csv())


@contextlib.contextmanager
def _opened(out: Path) -> Iterator[tuple[Store, Path | None]]:
    """Yield the store of the masks, and where its ledger is; None for a folder of masks that has none."""
    output = Output.of(out)
    if ledger_path(output.state).exists():
        with output.reading() as store:
            yield store, output.state
    elif out.is_dir():
        yield FolderStore(out), None
    else:
        raise DataError(
            f"{printable(str(out))} is not a folder; expected masks, or the output of a run. Check the path."
        )


def _masks_of_folder(folder: Path) -> tuple[list[MaskEntry], set[str]]:
    """Return the masks that are there."""
    return [MaskEntry(id, path.relative_to(folder).as_posix()) for id, path in find_truths(folder).items()], set()


def _masks_of_run(state: Path, report: ScoreReport) -> tuple[list[MaskEntry], set[str]]:
    """Return the masks that were made, and the ids of images that have none because they failed."""
    with LedgerReader(state) as ledger:
        report.images_pending = ledger.counts()["pending"]
        failed = list(ledger.entries("failed"))
        report.images_failed = {printable(entry.path): printable(entry.error or "") for entry in failed}
        done = [MaskEntry(truth_id(Path(entry.path)), entry.mask) for entry in ledger.entries("done")]
    return done, {truth_id(Path(entry.path)) for entry in failed}


def _score_pairs(
    store: Store, pairs: list[tuple[MaskEntry, Path]], report: ScoreReport, advance: Callable[[int], object]
) -> None:
    with ThreadPoolExecutor(cores()) as pool:
        results = pool.map(lambda pair: _compare(store, pair[0].name, pair[1]), pairs)
        for (entry, _), result in zip(pairs, results, strict=True):
            if isinstance(result, Confusion):
                report.scores.add(printable(entry.name), result)
            else:
                report.failed[printable(entry.name)] = result
            advance(len(pairs))


def _compare(store: Store, mask: str, truth: Path) -> Confusion | str:
    """Return the pixel counts, or why there are none."""
    try:
        return confusion(stored_mask(store, mask), read_mask(truth))
    except (DataError, ImageError) as error:
        return str(error)


def _nothing_scored(report: ScoreReport, masks: list[MaskEntry], truths: dict[str, Path]) -> str:
    if report.failed:
        name, why = next(iter(report.failed.items()))
        return f"None of {len(report.failed)} masks could be scored, the first ({name}) because: {why}"
    some_masks = ", ".join(entry.id for entry in masks[:3]) or "none"
    return (
        f"No mask below {report.masks} (ids: {some_masks}) has a truth below {report.truth} (ids: "
        f"{', '.join(sorted(truths)[:3])}); expected the same ids. Check that the two belong together."
    )


def _named(what: str, names: list[str]) -> Iterator[str]:
    if names:
        yield f"{what}: {len(names)}"
        yield from (f"  {name}" for name in names[:NAMED])
    if len(names) > NAMED:
        yield f"  and {len(names) - NAMED} more"
