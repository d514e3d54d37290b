"""``seg-batch forget``: remove images, and everything that runs made of them, from an output."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from batch.errors import OutputError, printable
from batch.ledger.forgetting import ChosenImage, Forgetting, overwrite_free_pages
from batch.ledger.reader import LedgerReader
from batch.ledger.redaction import redact
from batch.ledger.schema import ledger_path
from batch.outputs.archive import INDEX_NAME
from batch.outputs.reading import output_of
from batch.outputs.spec import Output
from batch.reporting.made_files import MAPS, MASKS, OVERLAYS, KeptError, MadeFiles, Pictures, made_files, pictures_of
from batch.reporting.pages.page_file import remove_report
from batch.reporting.spellings import spellings
from batch.review.decisions import REVIEW_NAME, Decisions
from seglab.words import counted, noun

SHOWN = 20
DECISIONS = "decisions"
NOT_KNOWN = "not an image of this output"
STILL_NAMED = (
    "tables, COCO files, traces and pages (--to, --report) of this output may still name them: write those again"
)
REPORT_REMOVED = "report.html may have shown them and is removed; `seg-batch report` writes it again"


@dataclass(frozen=True)
class ForgetRequest:
    """What to forget. ``names``: paths of images; ``below``: also all images below these paths. ``purge``: leave no
    trace of them in the output's files. ``overlays``, ``probs``: the present places of these folders;
    ``ignore_missing``: continue if one is missing.
    """

    out: Path
    names: Iterable[str]
    below: bool = False
    purge: bool = False
    overlays: Path | None = None
    probs: Path | None = None
    ignore_missing: bool = False


@dataclass
class ForgetReport:
    """What was done. ``forgotten``: images; ``removed``: files of each kind. ``kept``: images that stay because one of
    their files does; ``unknown``: names of no image. ``first``: the first of each kind. ``notes``: what prevents a
    complete purge. ``lost_report``: whether a page that may have shown them was removed.
    """

    forgotten: int = 0
    removed: Counter[str] = field(default_factory=Counter)
    kept: int = 0
    unknown: int = 0
    purged: bool = False
    lost_report: bool = False
    notes: list[str] = field(default_factory=list)
    first: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_of_nothing(self) -> bool:
        """Return whether images were named and none of them is known."""
        return bool(self.unknown) and not (self.forgotten or self.kept)

    @property
    def is_complete(self) -> bool:
        """Return whether everything that was named is forgotten."""
        return not (self.kept or self.unknown or self.notes)

    def name(self, what: str, line: str) -> None:
        """Record an image's line, if it is one of the first of its kind."""
        lines = self.first.setdefault(what, [])
        if len(lines) < SHOWN:
            lines.append(line)

    def lines(self) -> Iterator[str]:
        """Yield the report for a person."""
        kinds = [MASKS, OVERLAYS, MAPS, *([DECISIONS] if self.removed[DECISIONS] else [])]
        removed = ", ".join(counted(self.removed[what], what.removesuffix("s")) for what in kinds)
        yield f"{counted(self.forgotten, 'image')} forgotten; removed: {removed}"
        for what, count in (("forgotten", self.forgotten), ("kept", self.kept), ("not known", self.unknown)):
            lines = self.first.get(what, [])
            yield from (f"{what}: {line}" for line in lines)
            if count > len(lines):
                yield f"and {count - len(lines):,} more {what}"
        yield from self.notes
        if self.lost_report:
            yield REPORT_REMOVED
        if self.purged:
            yield f"purged: free pages are overwritten, and run records no longer name these images; {STILL_NAMED}"
        if self.forgotten:
            yield "the next run takes images that are still in their sources as new"


def forget(request: ForgetRequest, advance: Callable[[int], object] = lambda total: None) -> ForgetReport:
    """Remove images from an output: row, mask, overlay, probability map, and what reviewers decided. ``advance`` is
    called after each image with the number of all images.

    An image is kept if one of its files is, as that may be somebody else's, see :class:`KeptError`. Raises
    :class:`OutputError` if there is no ledger, a run is writing, or masks or pictures are not where they were.
    """
    output = output_of(request.out)
    with LedgerReader(output.state) as reader:
        classes = reader.classes()
    if not request.ignore_missing:
        _require_masks(output)
    report = ForgetReport(purged=request.purge)
    with output.hold():
        with Forgetting(output.state, purge=request.purge) as ledger, _decisions(output) as decisions:
            names = _choose(request, ledger, report)
            pictures = _pictures(request, output, ledger) if ledger.count else []
            if ledger.count or request.purge:
                report.lost_report = remove_report(output)
            if request.purge:
                redact(ledger, names)
                if decisions is not None:
                    report.removed[DECISIONS] += decisions.forget(names, purge=True)
            if ledger.count:
                _remove_chosen(made_files(output, pictures, classes), ledger, decisions, report, advance)
                report.lost_report |= remove_report(output)  # written meanwhile, from rows that were still there
        if request.purge:
            _overwrite(output, report)
    return report


def _choose(request: ForgetRequest, ledger: Forgetting, report: ForgetReport) -> list[str]:
    """Select the named images; return names to be purged that are not paths of selected images."""
    choose = ledger.choose_below if request.below else ledger.choose
    names: list[str] = []
    for name in request.names:
        paths = list(spellings(name))
        path = next((path for path in paths if choose(path)), None)
        if request.purge and (path is None or request.below):
            names += paths if path is None else [name, path]
        if path is None:
            report.unknown += 1
            below = max(map(ledger.count_below, paths))
            images = f"{counted(below, 'image')} {noun(below, 'is', 'are')} below it"
            why = f"{images}; add --below to forget {noun(below, 'it', 'them')}" if below else NOT_KNOWN
            report.name("not known", f"{printable(name)}: {why}")
    ledger.commit()
    return names


def _pictures(request: ForgetRequest, output: Output, ledger: Forgetting) -> list[Pictures]:
    bases = [Path.cwd(), output.state.absolute().parent, output.state.absolute()]
    places = (bases, request.overlays, request.probs)
    return pictures_of(ledger, *places, ignore_missing=request.ignore_missing)


def _remove_chosen(
    opened: AbstractContextManager[MadeFiles],
    ledger: Forgetting,
    decisions: Decisions | None,
    report: ForgetReport,
    advance: Callable[[int], object],
) -> None:
    """Remove files first and rows after them, so that a killed command can be repeated."""
    total, paths = ledger.count, list[str]()
    with opened as files:
        for page in ledger.pages():
            gone = list(_removed(files, page, report, lambda: advance(total)))
            if decisions is not None:
                paths += (image.entry.path for image in gone)
                report.removed[DECISIONS] += decisions.forget(paths[-len(gone) :] if gone else (), purge=report.purged)
            ledger.note(gone)
            if not files.output.is_archive:  # its masks are removed when it is closed
                ledger.delete()
    ledger.delete()
    if decisions is not None:
        decisions.note_forgotten()
        decisions.forget(paths, purge=report.purged)  # made meanwhile on a page that was open
    if report.purged:
        ledger.delete_empty_sources()


@contextlib.contextmanager
def _decisions(output: Output) -> Iterator[Decisions | None]:
    """Yield what reviewers decided; None if nobody did."""
    with Decisions.present(output.state) or contextlib.nullcontext() as decisions:
        yield decisions


def _removed(
    files: MadeFiles, images: list[ChosenImage], report: ForgetReport, advance: Callable[[], object]
) -> list[ChosenImage]:
    """Remove the files of images; return the images of which no file is left."""
    if report.purged:
        files.remove_leftovers(images)
    gone = []
    for image in images:
        try:
            report.removed.update(files.remove(image))
        except KeptError as error:
            report.kept += 1
            report.name("kept", f"{printable(image.entry.path)}: {error}")
        else:
            report.forgotten += 1
            report.name("forgotten", printable(image.entry.path))
            gone.append(image)
        advance()
    return gone


def _overwrite(output: Output, report: ForgetReport) -> None:
    """Overwrite deleted data in the databases of an output."""
    for path in (ledger_path(output.state), output.state / INDEX_NAME, output.state / REVIEW_NAME):
        if path.exists() and not overwrite_free_pages(path):
            report.notes.append(
                f"{printable(str(path))} is being read by another program, which keeps deleted rows in its log; close "
                "that program, and purge again"
            )


def _require_masks(output: Output) -> None:
    """Raise :class:`OutputError` if the masks are not where the ledger says."""
    path = Path(output.name) if output.is_archive else output.folder
    if path is None or path.exists() or path.with_name(f"{path.name}.part").exists():
        return
    raise OutputError(
        f"The masks are not at {printable(str(path))}, where the ledger says they are. Bring them back, or, if they "
        "are gone for good, continue with --ignore-missing."
    )
