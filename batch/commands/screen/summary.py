"""The summary of a run: counts, failures and their reasons, masks to look at, where the masks are, what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from batch.commands.screen.highlights import Highlights, look_lines
from batch.commands.screen.paper import Paper
from batch.errors import printable
from batch.output_mark import LEDGER_SUFFIX
from batch.reporting.shown_paths import ShownPaths
from batch.running.forecast import in_time
from batch.running.source_lines import left_out, named_anyway, other_files, passed_over, sample_line
from batch.running.timing import stage_table
from seglab.cli_support import SOME_FAILED
from seglab.progress_log import rate_text
from seglab.terminal import cut
from seglab.words import counted

if TYPE_CHECKING:
    from batch.running.report import RunReport
    from batch.settings import RunSettings

REMARKS_SHOWN = 3
LONGEST_REMARK = 70


@dataclass(frozen=True)
class Summary:
    """The summary of a run that has ended. ``with_timing``: with the table of stages. ``others_were_said``: whether the
    line at the start of the run already counted the files that are not images. ``page``: of the run, if one was
    written.
    """

    report: RunReport
    settings: RunSettings
    highlights: Highlights
    paths: ShownPaths
    paper: Paper
    with_timing: bool = False
    others_were_said: bool = False
    page: Path | None = None

    def lines(self) -> Iterator[str]:
        """Yield the lines."""
        yield from self.warnings()
        if self._is_unchanged:
            yield self._unchanged()
        else:
            yield from self._sources()
            yield ""
            yield self._counts()
            yield from self._failures()
            yield from self._looks()
            yield from self._remarks()
            yield ""
            yield from self._places()
        if self.with_timing:
            yield from ["", *stage_table(self.report.stages)]
        yield from self._exit_code()

    def warnings(self) -> Iterator[str]:
        """Yield a line for each part of the sources that should have rows and has none."""
        for line in left_out(self.report.sources, self.paths.of):
            yield from self._filled(line, fg="red")

    @property
    def _is_unchanged(self) -> bool:
        report = self.report
        has_worked = report.done or report.failed or self.highlights.drawn_again
        return bool(report.skipped) and not (has_worked or report.interrupted)

    def _unchanged(self) -> str:
        masks = counted(self.report.skipped, "mask")
        return self.paper.styled(f"{masks} unchanged in {self._masks}. Nothing to do.", bold=True)

    def _counts(self) -> str:
        report = self.report
        if not report.total:
            return self.paper.styled("Nothing was done." if report.interrupted else "No images found.", bold=True)
        failed = f"{report.failed:,} failed"
        counts = (counted(report.done, "mask"), failed, f"{report.skipped:,} unchanged")
        seconds = f"{report.seconds:.1f} s" if report.seconds < 10 else in_time(report.seconds)
        rate = f" ({rate_text(report.rate)} images/s)" if report.done + report.failed else ""
        again = (
            f"; {counted(self.highlights.drawn_again, 'overlay')} drawn again" if self.highlights.drawn_again else ""
        )
        return self.paper.styled(f"{', '.join(counts)}{again} in {seconds}{rate}", bold=True)

    def _failures(self) -> Iterator[str]:
        if not self.report.failed:
            return
        yield ""
        yield self.paper.styled(f"Failed ({self.report.failed:,})", fg="red", bold=True)
        yield from self._table(self.highlights.failures)
        more, reasons = self.highlights.more_failures()
        if more:
            line = f"  {more:,} more: " + ", ".join(f"{count:,} {reason}" for reason, count in reasons)
            yield line if self.paper.width is None else cut(line, self.paper.width)

    def _looks(self) -> Iterator[str]:
        if lines := list(look_lines(self.highlights.looks(), self.paths, self.paper)):
            yield from ["", *lines]

    def _sources(self) -> Iterator[str]:
        """Yield the lines about a sample and about files that were passed over."""
        report = self.report
        yield from sample_line(report.sources)
        said = other_files(report.sources) if self.others_were_said else []
        if parts := [part for part in passed_over(report.sources, report.repeated) if part not in said]:
            yield from self._filled(f"passed over: {', '.join(parts)}")
        for line in named_anyway(report.sources):
            yield from self._filled(line)

    def _remarks(self) -> Iterator[str]:
        """Yield the remarks on images and the notes on the run."""
        report, lines = self.report, []
        for text, count in report.remarks.most_common(REMARKS_SHOWN):
            remark = text if self.paper.width is None else cut(text, LONGEST_REMARK)
            lines.append(f"remark on {counted(count, 'image')}: {remark}")
        if len(report.remarks) > REMARKS_SHOWN:
            lines.append("other remarks: see the column remark of `seg-batch table`")
        lines += [f"note: {note}" for note in report.notes]
        if lines:
            yield ""
        for line in lines:
            yield from self._filled(line)

    def _places(self) -> Iterator[str]:
        report, paper = self.report, self.paper
        if report.done or report.skipped:
            yield from paper.labelled("Masks", self._masks, f"record of every image: seg-batch status {self._name}")
        if self.page is not None:
            yield from paper.labelled("Report", printable(str(self.page)), "open it in a browser")
        pictures = (("Overlays", self.settings.overlays), ("Maps", self.settings.probs))
        for label, folder in pictures:
            if folder is not None:
                yield from paper.labelled(label, f"{printable(str(folder))}/")
        if report.device_in_short:
            hint = "why not another: seg-batch doctor" if self.settings.device == "auto" else ""
            yield from paper.labelled("Device", report.device_in_short, hint)
        if not report.interrupted:
            yield from paper.labelled("Next", *self._next())

    def _next(self) -> Sequence[str]:
        if self.report.failed:
            return f"seg-batch status {self._name} --all", "all failures, and what to do"
        if not self.report.total:
            return "seg-batch run --help", "what can be a source"
        return f"seg-batch table {self._name} lesions.csv", "area, box and confidence of each lesion"

    def _exit_code(self) -> Iterator[str]:
        report = self.report
        if report.is_complete or report.interrupted:
            return
        reasons = ["some images failed"] if report.failed else []
        if not report.sources.is_complete:
            has_unread = report.sources.unreadable or report.sources.left_out
            reasons.append("some sources not read" if has_unread else "some sources have no images")
        yield self.paper.styled(f"Exit code {SOME_FAILED}: {'; '.join(reasons)}", fg="red")

    @property
    def _masks(self) -> str:
        name = printable(self.report.masks)
        return name if name.endswith((".zip", ".tar", "/")) or "://" in name else f"{name}/"

    @property
    def _name(self) -> str:
        """The output as an argument of other commands."""
        masks, ledger = self.report.masks, self.report.ledger
        name = printable(masks if ledger in (masks, masks + LEDGER_SUFFIX) else ledger)
        return shlex.quote(f"./{name}" if name.startswith("-") else name)

    def _table(self, rows: Sequence[tuple[str, str]]) -> Iterator[str]:
        return self.paper.table([(self.paths.of(path), text) for path, text in rows])

    def _filled(self, line: str, **style: object) -> Iterator[str]:
        """Yield a line that begins with a label, broken to the width; the label is styled."""
        label = line.partition(":")[0]
        for number, part in enumerate(self.paper.filled(line)):
            yield self.paper.styled(label, **style) + part[len(label) :] if not number and style else part
