"""``seg-batch score``: compare masks with the annotators' truth."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batch.cores import cores
from batch.errors import cannot_write, encodable, printable
from batch.ledger.reader import LedgerReader
from batch.ledger.records import in_words
from batch.ledger.schema import ledger_path
from batch.outputs.base import FolderStore
from batch.outputs.reading import StoredMasks, output_of, reading, stored_mask
from batch.reporting.makers import Makers
from batch.reporting.matching import MaskEntry, TruthEntry, match
from batch.reporting.pages.page_file import SCORE, require_page, write_page
from batch.reporting.pages.scored_image import ScoredImage
from batch.reporting.result_file import begins_with, csv_writer, require_replaceable
from seglab.data.finding.truth_folders import truth_files
from seglab.errors import ConfigError, DataError, ImageError
from seglab.files import write_text
from seglab.images.masks import read_mask
from seglab.metrics.overlap import MEANS, Confusion, Scores, confusion
from seglab.words import counted

FORMAT_VERSION = 1
NAMED = 5
"""Names of one kind that are shown to a person; JSON has all."""
LOWEST = 3
"""How many masks with the lowest Dice are named."""

METRICS = {
    "dice": "Dice",
    "iou": "IoU",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "thresholded_jaccard": "thresholded Jaccard",
    "pooled_dice": "pooled Dice",
    "pooled_iou": "pooled IoU",
}


@dataclass
class ScoreReport:
    """Scores, and the names of everything that could not be scored. Means are over the scored masks.

    ``images``: the scored ones, with their files, for the page. ``failed``: masks that do not fit their truth or cannot
    be read, with the reason. ``images_failed``: images that failed in the run, with the reason. ``warnings``: for
    example of masks made by several models.
    """

    masks: str
    truth: str
    scores: Scores = field(default_factory=Scores)
    images: list[ScoredImage] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    images_failed: dict[str, str] = field(default_factory=dict)
    images_pending: int = 0
    masks_without_truth: list[str] = field(default_factory=list)
    truths_without_mask: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Return whether every truth was scored, and no image failed or is pending."""
        return not (self.failed or self.images_failed or self.images_pending or self.truths_without_mask)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with a format version."""
        named = {name: value for name, value in vars(self).items() if name not in ("scores", "images")}
        return {"format_version": FORMAT_VERSION, "summary": self.scores.summary(), **named}

    def to_csv(self) -> str:
        """Return CSV text with a row per scored image."""
        rows = self.scores.rows()
        text = io.StringIO()
        csv_writer(text, list(rows[0])).writerows(rows)
        return text.getvalue()

    def lines(self) -> Iterator[str]:
        """Yield the report for a person: a table of scores, and what was not scored."""
        summary = self.scores.summary()
        yield f"{'images scored':<22}{summary['count']:>8}"
        for key, title in METRICS.items():
            yield f"{title:<22}{summary[key]:>8.4f}"
        for place, (name, dice) in enumerate(self.scores.lowest(LOWEST)):
            yield f"{'' if place else 'lowest Dice':<22}{dice:>8.4f}  {printable(name)}"
        yield f"{'pixels':<22}TP {summary['tp']}  FP {summary['fp']}  FN {summary['fn']}  TN {summary['tn']}"
        yield from _named("masks that could not be scored", [f"{name}: {why}" for name, why in self.failed.items()])
        yield from _named(
            "images that failed in the run", [f"{name}: {why}" for name, why in self.images_failed.items()]
        )
        yield from _named("masks without a truth", self.masks_without_truth)
        yield from _named("truths without a mask", self.truths_without_mask)
        if self.images_pending:
            yield f"images without a mask yet: {self.images_pending:,} (run `seg-batch run` again)"


def score(
    out: Path, truth: Path, advance: Callable[[int], object] = lambda total: None, page: Path | None = None
) -> ScoreReport:
    """Score the masks of an output, or of any folder of masks, against a data set or a folder of truth masks.

    ``page``: a file for the page of the scores. ``advance`` is called after each mask with the number of all masks.
    Raises :class:`DataError` if no mask matches a truth, or if it is ambiguous which mask belongs to which truth.
    """
    report = ScoreReport(encodable(str(out)), encodable(str(truth)))
    truths = [TruthEntry(path, path.relative_to(truth).as_posix()) for path in truth_files(truth)]
    with _opened(out) as (masks, ledger):
        entries = _masks_of_folder(out) if ledger is None else _masks_of_run(ledger, report)
        found = match(entries, truths)
        pairs = [(mask, truth) for mask, truth in found.pairs if mask.is_done]
        _score_pairs(masks, pairs, report, advance)
        report.warnings += _doubts(report.scores)
        report.masks_without_truth = [mask.shown for mask in found.masks if mask.is_done]
        report.truths_without_mask = sorted(_names(found.truths, truths))
        if not report.scores.counts:
            raise DataError(_nothing_scored(report, [mask.id for mask in entries if mask.is_done], truths))
        if page is not None:
            _write_page(page, report, masks, ledger)
    return report


def _write_page(path: Path, report: ScoreReport, masks: StoredMasks, ledger: LedgerReader | None) -> None:
    from batch.reporting.pages.score_page import ScorePage  # with OpenCV

    run = None if ledger is None else ledger.last_run()
    summary = report.scores.summary()
    page = ScorePage(
        report.masks,
        report.truth,
        report.images,
        {title: f"{summary[key]:.4f}" for key, title in METRICS.items()},
        {
            "masks that could not be scored": [f"{name}: {why}" for name, why in report.failed.items()],
            "images that failed in the run": [f"{name}: {why}" for name, why in report.images_failed.items()],
            "masks without a truth": report.masks_without_truth,
            "truths without a mask": report.truths_without_mask,
        },
        report.warnings,
    )
    write_page(path, page.page(masks, None if run is None else run.settings.get("zip_encoding")), SCORE)


def require_writable(json_to: Path | None, csv_to: Path | None, page: Path | None = None) -> None:
    """Check the files to write, before the work.

    Raises :class:`ConfigError` for suffixes other than .json, .csv and .html, and :class:`OutputError` if a file exists
    that is not a report of scores.
    """
    if json_to is not None:
        ours = begins_with('{\n  "format_version": ')
        require_replaceable(json_to, (".json",), "a report of scores", ours)
    if csv_to is not None:
        require_replaceable(csv_to, (".csv",), "a table of scores", begins_with(f"image,{MEANS[0]},{MEANS[1]},"))
    if page is not None:
        require_page(page, SCORE)


def write_csv(report: ScoreReport, path: Path) -> None:
    """Write a row per scored image. Raises :class:`OutputError` if the file cannot be written."""
    try:
        write_text(path, report.to_csv())
    except OSError as error:
        raise cannot_write(str(path), error) from error


@contextlib.contextmanager
def _opened(out: Path) -> Iterator[tuple[StoredMasks, LedgerReader | None]]:
    """Yield the masks and their ledger, which is None for a plain folder of masks."""
    output = output_of(out)
    if ledger_path(output.state).exists():
        with reading(output) as (masks, ledger):
            yield masks, ledger
    elif out.is_dir():
        yield FolderStore(out), None
    else:
        raise DataError(
            f"{printable(str(out))} is not a folder; expected one with masks, or the output of a run. Check the path."
        )


def _masks_of_folder(folder: Path) -> list[MaskEntry]:
    """Return the masks below a folder."""
    return [MaskEntry(path.relative_to(folder).as_posix()) for path in truth_files(folder)]


def _masks_of_run(ledger: LedgerReader, report: ScoreReport) -> list[MaskEntry]:
    """Return all images of a run, with and without masks. Put its failures and warnings into the report."""
    with ledger.snapshot():
        makers = Makers.of(ledger)
        _require_lesions(makers, report)
        report.warnings = makers.warnings()
        report.images_pending = ledger.counts()["pending"]
        report.images_failed = {
            encodable(entry.path): encodable(entry.error or "") for entry in ledger.entries("failed")
        }
        return [MaskEntry(mask, path, status == "done") for path, mask, status in ledger.places()]


def _require_lesions(makers: Makers, report: ScoreReport) -> None:
    """Raise :class:`ConfigError` for label maps of more than two classes (background and lesion)."""
    for maker in makers.all:
        if len(maker.class_names) > 2:
            raise ConfigError(
                f"{printable(report.masks)} holds label maps ({in_words(maker.class_names)}); expected masks of one "
                "class, because score compares lesion with background. Name the output of a model of one class."
            )


def _names(some: Iterable[TruthEntry], truths: Iterable[TruthEntry]) -> Iterator[str]:
    """Yield the ids of truths, or their paths if several truths have the same id."""
    times = Counter(truth.id for truth in truths)
    for truth in some:
        yield encodable(truth.id if times[truth.id] == 1 else truth.relative)


def _score_pairs(
    masks: StoredMasks,
    pairs: list[tuple[MaskEntry, TruthEntry]],
    report: ScoreReport,
    advance: Callable[[int], object],
) -> None:
    with ThreadPoolExecutor(cores()) as pool:
        results = pool.map(lambda pair: _compare(masks, pair[0].relative, pair[1].path), pairs)
        for (mask, truth), result in zip(pairs, results, strict=True):
            if isinstance(result, Confusion):
                name = encodable(mask.relative)
                report.scores.add(name, result)
                report.images.append(ScoredImage(name, mask.relative, mask.image, truth.path, result))
            else:
                report.failed[encodable(mask.relative)] = result
            advance(len(pairs))


def _compare(masks: StoredMasks, mask: str, truth: Path) -> Confusion | str:
    """Return the pixel counts, or the reason why there are none."""
    try:
        expected = read_mask(truth)
    except ImageError as error:
        return f"its truth {truth.name}: {error}"
    try:
        return confusion(stored_mask(masks, mask), expected)
    except (DataError, ImageError) as error:
        return str(error)


def _doubts(scores: Scores) -> list[str]:
    """Return a warning if all truths are empty although masks have lesions, which makes all scores doubtful."""
    counts = scores.counts
    if any(count.tp + count.fn for count in counts) or not any(count.fp for count in counts):
        return []
    which = f"all {len(counts):,} truths are" if len(counts) > 1 else "the only truth is"
    return [f"{which} empty, but masks are not; check that these are the right truths"]


def _nothing_scored(report: ScoreReport, masks: Sequence[str], truths: Sequence[TruthEntry]) -> str:
    if report.failed:
        name, why = next(iter(report.failed.items()))
        return f"None of {counted(len(report.failed), 'mask')} could be scored. The first, {name}: {why}"
    some_masks = ", ".join(map(printable, masks[:3])) or "none"
    some_truths = ", ".join(printable(truth.id) for truth in truths[:3])
    return (
        f"No mask below {report.masks} (ids: {some_masks}) has a truth below {report.truth} (ids: "
        f"{some_truths}); expected the same ids. Check that masks and truths are of the same images."
    )


def _named(what: str, names: list[str]) -> Iterator[str]:
    if names:
        yield f"{what}: {len(names):,}"
        yield from (f"  {printable(name)}" for name in names[:NAMED])
    if len(names) > NAMED:
        yield f"  and {len(names) - NAMED:,} more"
