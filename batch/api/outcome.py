"""What ``seglab.segment`` returns: counts of the run, and what the ledger of its output says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from batch.api.options import TERMS, is_count
from batch.ledger import findings
from batch.outputs.reading import reading
from batch.running.source_lines import left_out
from batch.storage import is_url
from batch.urls import public_url
from seglab.errors import ConfigError

if TYPE_CHECKING:
    from batch.ledger.findings import SegmentedImage
    from batch.ledger.reader import LedgerReader
    from batch.outputs.spec import Output
    from batch.running.report import RunReport


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that has no mask: its ``path``, absolute, and the ``reason``."""

    path: str
    reason: str


class SegmentRun:
    """A run that has ended.

    ``done``, ``failed``, ``unchanged``: images of this run; unchanged ones had their mask from an earlier run.
    ``seconds``: of work, without loading the model. ``device``: what ran the model. ``out``: where the masks are.
    ``ledger``: the folder of ``ledger.sqlite``. ``not_read``: what of the sources has no row: not
    readable, not opened, without images; a line each. ``notes``: what else a person should know.

    The methods and properties below read the ledger when they are asked: they speak of all images of the output, those
    of earlier runs included. They raise :class:`batch.errors.OutputError` where the ledger is gone.
    """

    def __init__(self, report: RunReport, output: Output) -> None:
        self.done, self.failed, self.unchanged = report.done, report.failed, report.skipped
        self.seconds, self.device = report.seconds, report.device
        self.is_complete = report.is_complete
        self.not_read = tuple(map(TERMS.say, left_out(report.sources)))
        self.notes = tuple(map(TERMS.say, report.notes))
        self.out = public_url(output.name)
        self.ledger = output.state.absolute()
        name = output.name if is_url(output.name) else str(Path(output.name).absolute())
        self._output = replace(output, name=name, state=self.ledger)  # the working folder may be another one later

    is_complete: bool
    """Has every photograph of the sources a mask now?"""

    @property
    def failures(self) -> list[Failure]:
        """The images that failed, by path."""
        with TERMS.errors(), reading(self._output) as (_, ledger):
            return [Failure(entry.path, TERMS.say(entry.error or "")) for entry in ledger.entries("failed")]

    def least_certain(self, count: int = 10) -> list[SegmentedImage]:
        """Return the images with the lowest confidence of those in which a lesion was found, the lowest first."""
        if not is_count(count) or count < 1:
            raise ConfigError(f"count is {count!r}; expected a whole number, 1 or more.")
        return self._images(lambda ledger: findings.least_certain(ledger, int(count)))

    @property
    def without_lesion(self) -> list[SegmentedImage]:
        """The images in which no lesion was found, by path."""
        return self._images(findings.without_lesion)

    @property
    def unlike_dermoscopy(self) -> list[SegmentedImage]:
        """The images that do not look like those that the model learned from, the least alike first."""
        return self._images(findings.unlike)

    @property
    def images(self) -> list[SegmentedImage]:
        """All images that have a mask, by path."""
        return self._images(findings.done)

    def _images(self, found: Callable[[LedgerReader], Iterable[SegmentedImage]]) -> list[SegmentedImage]:
        with TERMS.errors(), reading(self._output) as (masks, ledger):
            return [replace(image, mask=masks.where(image.mask)) for image in found(ledger)]

    def __repr__(self) -> str:
        counts = f"done={self.done}, failed={self.failed}, unchanged={self.unchanged}"
        return f"SegmentRun({self.out!r}, {counts})"
