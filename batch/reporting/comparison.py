"""The result of comparing two outputs, for a person and as JSON."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batch.errors import encodable, printable
from batch.ledger.images import Image
from batch.ledger.records import RunRecord
from batch.reporting.mask_change import Change, DiceFigures, Found, OtherSize
from seglab.words import counted

FORMAT_VERSION = 1
SHOWN = 20
PICTURED = 12
"""How many of the worst images are kept for a page, whatever number is listed."""
LOW = 0.05
"""The quantile reported as low Dice: the 5th percentile."""


@dataclass(frozen=True)
class Side:
    """One of the two outputs, with its last run."""

    out: Path
    run: RunRecord | None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        names = ("model", "model_sha256", "precision", "device")
        about = {name: None if self.run is None else getattr(self.run, name) for name in names}
        return {"out": encodable(str(self.out)), **about}

    @property
    def model(self) -> str:
        """Return what made its last masks, without a path."""
        return "not known" if self.run is None else f"model {self.run.model_sha256[:12]}, {self.run.precision}"

    def __str__(self) -> str:
        if self.run is None:
            return printable(str(self.out))
        run = self.run
        return f"{printable(str(self.out))} ({printable(run.model)}, sha256 {run.model_sha256[:12]}, {run.precision})"


@dataclass
class Named:
    """Images with a remark each: their number, and the first ones."""

    count: int = 0
    first: list[tuple[str, str]] = field(default_factory=list)

    def add(self, path: str, remark: object) -> None:
        """Add an image with its remark."""
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append((path, str(remark)))

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        first = [{"path": encodable(path), "reason": encodable(remark)} for path, remark in self.first]
        return {"count": self.count, "first": first}

    def lines(self, what: str) -> Iterator[str]:
        """Yield a line for each of the first images, and how many more there are."""
        yield from (f"{what}: {printable(path)}: {printable(remark)}" for path, remark in self.first)
        if self.count > len(self.first):
            yield f"and {self.count - len(self.first)} more; --table lists all"


@dataclass(frozen=True, slots=True)
class WorstPair:
    """An image by its path in A, whose masks differ. ``mask_a``, ``mask_b``: below the outputs."""

    path: str
    change: Change
    mask_a: str
    mask_b: str
    pixels: int


@dataclass
class Comparison:
    """Counts over all images, and figures of those that are done in both outputs, ``a`` and ``b``.

    ``both``: images in both. ``failed_a``, ``failed_b``: of these, failed in one and done in the other; ``open``: not
    done in both for another reason. ``changed_images``: done in both, with different sizes in bytes. ``other_sizes``:
    masks of different sizes; ``unusable``: masks that are missing or damaged. ``worst``: how many images to list.
    """

    a: Side
    b: Side
    worst: int = 10
    notes: list[str] = field(default_factory=list)
    both: int = 0
    only_a: int = 0
    only_b: int = 0
    failed_a: int = 0
    failed_b: int = 0
    open: int = 0
    identical: int = 0
    newly_empty: int = 0
    newly_not_empty: int = 0
    gained: int = 0
    lost: int = 0
    changed_images: int = 0
    dice: DiceFigures = field(default_factory=DiceFigures)
    other_sizes: Named = field(default_factory=Named)
    unusable: Named = field(default_factory=Named)
    _worst: list[tuple[float, int, WorstPair]] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Return whether all masks that are done in both could be compared."""
        return not (self.unusable.count or self.other_sizes.count)

    def add(self, first: Image | None, second: Image | None, found: Found | None) -> str:
        """Add an image; return its result in one or a few words. ``found``: for an image that is done in both."""
        if first is None or second is None:
            self.only_a += second is None
            self.only_b += first is None
            return "only in A" if second is None else "only in B"
        self.both += 1
        if found is None:
            return self._add_undone(first.status, second.status)
        self.changed_images += first.bytes != second.bytes
        if isinstance(found, Change):
            return self._add_change(first, second, found)
        if isinstance(found, OtherSize):
            self.other_sizes.add(first.path, found)
            return "other size"
        self.unusable.add(first.path, found)
        return "unusable"

    def _add_undone(self, first: str, second: str) -> str:
        match first, second:
            case "failed", "done":
                self.failed_a += 1
                return "failed in A"
            case "done", "failed":
                self.failed_b += 1
                return "failed in B"
        self.open += 1
        return "failed in both" if first == second == "failed" else "not done"

    def _add_change(self, first: Image, second: Image, change: Change) -> str:
        self.dice.add(change.dice)
        self.gained += change.gained
        self.lost += change.lost
        if change.is_none:
            self.identical += 1
            return "identical"
        pixels = 0 if first.entry is None else first.entry.height * first.entry.width
        pair = WorstPair(first.path, change, first.mask, second.mask, pixels)
        entry = (-change.dice, -self.dice.count, pair)  # of equal ones, the first are kept
        if len(self._worst) < max(self.worst, PICTURED):
            heapq.heappush(self._worst, entry)
        else:
            heapq.heappushpop(self._worst, entry)
        self.newly_empty += change.is_newly_empty
        self.newly_not_empty += change.is_newly_not_empty
        if change.is_newly_empty or change.is_newly_not_empty:
            return "newly empty" if change.is_newly_empty else "newly not empty"
        return "changed"

    def worst_images(self) -> list[tuple[str, Change]]:
        """Return the images whose masks differ most, the worst first, without identical ones."""
        return [(pair.path, pair.change) for pair in self._sorted()[: self.worst]]

    def pictured(self) -> list[WorstPair]:
        """Return the images for a page, the worst first, without identical ones."""
        return self._sorted()[:PICTURED]

    def _sorted(self) -> list[WorstPair]:
        return [pair for _, _, pair in sorted(self._worst, reverse=True)]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object with a format version; ``dice`` is null if nothing could be compared."""
        names = (
            "both", "only_a", "only_b", "failed_a", "failed_b", "open", "identical", "newly_empty", "newly_not_empty",
            "gained", "lost", "changed_images", "notes",
        )  # fmt: skip
        return {
            "format_version": FORMAT_VERSION,
            "a": self.a.to_json(),
            "b": self.b.to_json(),
            "compared": self.dice.count,
            **{name: getattr(self, name) for name in names},
            "dice": {"mean": self.dice.mean, **self._quantiles()} if self.dice.count else None,
            "worst": [
                {"path": encodable(path), "dice": change.dice, "gained": change.gained, "lost": change.lost}
                for path, change in self.worst_images()
            ],
            "other_sizes": self.other_sizes.to_json(),
            "unusable": self.unusable.to_json(),
        }

    def lines(self) -> Iterator[str]:
        """Yield the report for a person."""
        yield f"A: {self.a}"
        yield f"B: {self.b}"
        yield f"{counted(self.both, 'image')} in both, {self.only_a:,} only in A, {self.only_b:,} only in B"
        yield f"failed in A only: {self.failed_a}; failed in B only: {self.failed_b}; not done otherwise: {self.open}"
        yield from self._figures()
        if self.changed_images:
            yield f"images that changed between the runs (different size in bytes): {self.changed_images}"
        for path, change in self.worst_images():
            yield f"Dice {change.dice:.4f}, gained {change.gained}, lost {change.lost}: {printable(path)}"
        yield from self.other_sizes.lines("different size")
        yield from self.unusable.lines("not compared")

    def _figures(self) -> Iterator[str]:
        yield f"compared: {counted(self.dice.count, 'pair')} of masks, {self.identical:,} identical"
        if self.dice.count:
            median, low = self._quantiles().values()
            yield f"Dice: mean {self.dice.mean:.4f}, median {median:.4f}, 5th percentile {low:.4f}"
        yield f"newly empty: {self.newly_empty}; newly not empty: {self.newly_not_empty}"
        yield f"lesion pixels: {self.gained:,} gained, {self.lost:,} lost"

    def _quantiles(self) -> dict[str, float]:
        return {"median": self.dice.quantile(0.5), "p5": self.dice.quantile(LOW)}
