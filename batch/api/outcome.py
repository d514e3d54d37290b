"""The result of ``seglab.segment``: counts of the run, and lists of images from the ledger of its output."""

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
    """An image without a mask: its absolute ``path``, and the ``reason``."""

    path: str
    reason: str


class SegmentRun:
    """A run that has ended.

    ``done``, ``failed``, ``unchanged``: numbers of images of this run; unchanged ones had a mask from an earlier run.
    ``seconds``: of work, without loading the model. ``device``: what ran the model. ``out``: where the masks are.
    ``ledger``: the folder of ``ledger.sqlite``. ``not_read``: a line for each part of the sources that has no row,
    because it could not be read, was not opened or has no images. ``notes``: other lines for the user.

    The methods and properties below read the ledger at each call. They cover all images of the output, including those
    of earlier runs, and raise :class:`batch.errors.OutputError` if the ledger no longer exists.
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
        self._output = replace(output, name=name, state=self.ledger)  # absolute: the working folder may change

    is_complete: bool
    """Whether every photograph of the sources has a mask now."""

    @property
    def failures(self) -> list[Failure]:
        """The images that failed, by path."""
        with TERMS.errors(), reading(self._output) as (_, ledger):
            return [Failure(entry.path, TERMS.say(entry.error or "")) for entry in ledger.entries("failed")]

    def least_certain(self, count: int = 10) -> list[SegmentedImage]:
        """Return the ``count`` images with the lowest confidence, among those with a lesion, the lowest first."""
        if not is_count(count) or count < 1:
            raise ConfigError(f"count is {count!r}; expected a whole number, 1 or more.")
        return self._images(lambda ledger: findings.least_certain(ledger, int(count)))

    @property
    def without_lesion(self) -> list[SegmentedImage]:
        """The images in which no lesion was found, by path."""
        return self._images(findings.without_lesion)

    @property
    def unlike_dermoscopy(self) -> list[SegmentedImage]:
        """The images that do not look like the model's training images, the least similar first."""
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
