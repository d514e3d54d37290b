"""The result of comparing a model with its original: figures, those beyond their limits, a row per image."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from export.errors import ParityError
from export.tolerances import Tolerance, tolerance_for
from seglab.words import counted

FORMAT_VERSION = 1
ORIGINAL = "the PyTorch original"
ADVICE = "Export the checkpoint again; if it fails again, report it with the output of --json."


@dataclass(frozen=True)
class Difference:
    """How one image, fed one way, differs: probabilities (largest, mean), mask pixels that flip, Dice of the masks."""

    max_prob: float
    mean_prob: float
    flipped: int
    pixels: int
    dice: float


@dataclass(frozen=True)
class Row:
    """One image's figures.

    ``host_dice``: None for edge cases. ``marked``: share of the pixels that the original marks as lesion (with several
    classes: not as background). ``truth``: Dice and IoU of the model's and the original's mask if there is truth (data
    sets have one class, so there is none for several). ``suitable``: how far the score of that name is off, on the
    whole image and in a batch; None if there is none.
    """

    image: str
    size: tuple[int, int]
    whole: Difference
    batch: Difference
    host_dice: float | None
    truth: dict[str, float] | None
    marked: float = 0.5
    suitable: tuple[float, float] | None = None


@dataclass(frozen=True)
class Failure:
    """A figure beyond its limit, and the image on which it is worst."""

    figure: str
    value: float
    limit: float
    image: str

    def __str__(self) -> str:
        side = "at least" if self.figure.endswith(("_dice", "lowest_dice_difference")) else "at most"
        return f"{self.figure} is {self.value:.6g}, {side} {self.limit:g} allowed (worst image: {self.image})"


@dataclass(frozen=True)
class ParityReport:
    """The outcome: figures over all images, failures, a row per image.

    ``original``: what the model was compared with, for messages; ``advice``: what to do if it failed. ``unproved``: why
    the images could not show a difference, a sentence (empty: they could).
    """

    device: str
    precision: str
    whole_on: str
    whole_precision: str
    source: str
    figures: dict[str, dict[str, float]]
    failures: tuple[Failure, ...]
    rows: tuple[Row, ...]
    about: dict[str, Any] = field(default_factory=dict)
    original: str = ORIGINAL
    advice: str = ADVICE
    unproved: str = ""

    @property
    def passed(self) -> bool:
        """Return whether no figure is beyond its limit, on images that could show a difference."""
        return not self.failures and not self.unproved

    def summary(self) -> dict[str, Any]:
        """Return what goes into the contract: everything but the rows."""
        return {
            "passed": self.passed,
            "source": self.source,
            "images": len(self.rows),
            "device": self.device,
            "precision": self.precision,
            "whole_on": self.whole_on,
            "whole_precision": self.whole_precision,
            "figures": self.figures,
            "unproved": self.unproved,
        }

    def to_json(self) -> str:
        """Return the report as JSON, with a format version."""
        values = {
            "kind": "seglab parity",
            "format_version": FORMAT_VERSION,
            **self.about,
            **self.summary(),
            "tolerances": [asdict(entry) for entry in self.tolerances()],
            "failures": [asdict(entry) for entry in self.failures],
            "rows": [asdict(entry) for entry in self.rows],
        }
        return json.dumps(values, indent=2)

    def tolerances(self) -> list[Tolerance]:
        """Return the limits that were used."""
        return [tolerance_for(name) for name in sorted({self.precision, self.whole_precision})]

    def require_passed(self) -> None:
        """Raise :class:`ParityError`, naming each figure and image, unless everything passed."""
        if self.failures:
            listed = "".join(f"\n  {failure}" for failure in self.failures)
            raise ParityError(
                f"The model does not match {self.original} on {self.device} ({self.precision}), measured on "
                f"{counted(len(self.rows), 'image')} ({self.source}):{listed}\nDo not use it. {self.advice}",
                self,
            )
        if self.unproved:
            raise ParityError(self.unproved, self)
