"""``--dry-run``: what a run would find, and how long it would take, without writing anything.

The time is measured: a sample, drawn uniformly from all images to do, goes through the pipeline of one process, and its
masks are discarded. A run with several processes may be faster.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from batch.errors import printable
from batch.executors.base import Executor
from batch.executors.choice import executor_for
from batch.ledger.opening import last_run
from batch.ledger.reader import LedgerReader
from batch.ledger.schema import ledger_path
from batch.outputs.spec import Output
from batch.running.label_maps import fit_to_classes
from batch.running.setup import as_last_run, describe, describe_in_short, device_of_masks, sources_of
from batch.running.source_lines import drawn_json, left_out, named_anyway, passed_over, sample_line
from batch.settings import RunSettings
from batch.sources.checksum import with_checksums
from batch.sources.collect import Sources
from batch.sources.image_ref import ImageRef, SourceReport
from batch.sources.sample import drawn
from batch.steps.task import Task
from seglab.words import counted

if TYPE_CHECKING:
    from export.runtime.model import Model

FORMAT_VERSION = 1
SAMPLE = 48


@dataclass
class Forecast:
    """What a run would find. ``bytes``: of all images. ``done``: by earlier runs, and unchanged. For the sample:
    ``sizes`` (H, W) of readable images, ``failed`` with the reasons, ``seconds`` that it took, ``mask_bytes`` of its
    masks.
    """

    images: int = 0
    bytes: int = 0
    done: int = 0
    sampled: int = 0
    sizes: list[tuple[int, int]] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    mask_bytes: int = 0
    device: str = ""
    device_in_short: str = ""
    sources: SourceReport = field(default_factory=SourceReport)

    @property
    def to_do(self) -> int:
        """Return how many images a run would do."""
        return self.images - self.done

    @property
    def rate(self) -> float:
        """Return images per second."""
        return self.sampled / self.seconds if self.seconds else 0.0

    @property
    def estimated_seconds(self) -> float:
        """Return how long the run would take in seconds."""
        return self.to_do / self.rate if self.rate else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with a format version."""
        return {
            "format_version": FORMAT_VERSION,
            "images": self.images,
            "bytes": self.bytes,
            "done": self.done,
            "to_do": self.to_do,
            "device": self.device,
            "drawn": drawn_json(self.sources),
            "sample": {
                "images": self.sampled,
                "sizes": self.sizes,
                "failed": {printable(path): printable(reason) for path, reason in self.failed.items()},
                "images_per_second": round(self.rate, 2),
            },
            "estimated_seconds": round(self.estimated_seconds, 1),
            "estimated_mask_bytes": self._all_mask_bytes(),
        }

    def lines(self) -> Iterator[str]:
        """Yield the report for a person."""
        yield from sample_line(self.sources)
        images = counted(self.images, "image")
        yield f"{images}, {in_bytes(self.bytes)}; {self.done:,} already done, {self.to_do:,} to do"
        yield from left_out(self.sources)
        yield from (f"passed over: {part}" for part in passed_over(self.sources))
        yield from named_anyway(self.sources)
        if not self.sampled:
            return
        yield f"device: {self.device_in_short}"
        if self.sizes:
            by_area = sorted(self.sizes, key=lambda size: size[0] * size[1])
            low, middle, high = (by_area[round(share * (len(by_area) - 1))] for share in (0, 0.5, 1))
            yield f"sizes (of {self.sampled} sampled): {_side(low)} to {_side(high)}, median {_side(middle)}"
        for path, reason in self.failed.items():
            yield f"would fail: {printable(path)}: {printable(reason)}"
        yield (
            f"estimate: {in_time(self.estimated_seconds)} at {self.rate:.1f} images/s; masks of "
            f"{in_bytes(self._all_mask_bytes())}"
        )

    def _all_mask_bytes(self) -> int:
        return round(self.mask_bytes * self.to_do / self.sampled) if self.sampled else 0


def forecast(settings: RunSettings, model: Model | None = None) -> Forecast:
    """Find out what a run would do, without writing. Raises as :class:`~batch.running.runner.Runner`."""
    output = Output.of(settings.out, settings.ledger)
    sources = sources_of(settings, output)
    asked, settings = settings, as_last_run(settings, last_run(output.state), is_open=model is not None)
    plain = replace(settings, overlays=None, probs=None, out=output.name, ledger=output.state)
    with contextlib.closing(executor_for(plain, model, None, are_few=lambda: True)) as executor:
        opened = executor.open()
        settings = fit_to_classes(settings, asked, opened)
        found = Forecast(device=describe(opened), device_in_short=describe_in_short(opened), sources=sources.report)
        key = settings.key(opened.sha256, device_of_masks(settings, opened).precision)
        to_do = _to_do(sources, output, key, found, checksum=settings.checksum)
        sample, _ = drawn(to_do, min(SAMPLE, settings.limit or SAMPLE))
        if sample:
            _measure(sample, executor, found)
    return found


def _to_do(sources: Sources, output: Output, key: str, found: Forecast, *, checksum: bool) -> Iterator[ImageRef]:
    """Yield the images to do; count all images."""
    ledger = LedgerReader(output.state) if ledger_path(output.state).exists() else None
    seen_bytes = 0
    try:
        for item in with_checksums(sources) if checksum else sources:
            found.images += 1
            seen_bytes += max(0, item.bytes)
            if ledger is not None and ledger.is_done(item, key):
                found.done += 1
            else:
                yield item
    finally:
        found.bytes = seen_bytes
        if ledger is not None:
            ledger.close()


def _measure(sample: Sequence[ImageRef], executor: Executor, found: Forecast) -> None:
    tasks = [Task(row, item.path, f"{row}.png", item.content) for row, item in enumerate(sample, 1)]
    start = time.perf_counter()
    for turn in executor.run(iter([tasks])):
        for outcome in turn.outcomes:
            finish = outcome.finish
            if finish is None or finish.figures is None:
                reason = "" if finish is None else finish.error or ""
                found.failed[tasks[outcome.row - 1].path] = reason
            else:
                found.sizes.append((finish.figures.height, finish.figures.width))
                found.mask_bytes += len(outcome.mask or b"")
    found.seconds = time.perf_counter() - start
    found.sampled = len(sample)


def in_bytes(count: float) -> str:
    """Return a number of bytes for a person, with its unit."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.0f} TB"


def in_time(seconds: float) -> str:
    """Return a time for a person, with its unit."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def _side(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
