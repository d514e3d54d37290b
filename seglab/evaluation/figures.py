"""A folder of overlays, one per image: mask in cyan, truth in amber."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from seglab.evaluation.validate import Judged
from seglab.files import safe_name
from seglab.images.formats import PICTURE_MARK
from seglab.images.outlines import overlay, write_image


@dataclass
class Figures:
    """Writes the overlays. ``error``: the first failure; nothing is written after it, so that scoring can continue."""

    folder: Path
    error: OSError | None = None
    _names: Counter[str] = field(default_factory=Counter)

    def add(self, judged: Judged) -> None:
        """Write the overlay of one image, unless writing failed before."""
        if self.error is None:
            try:
                picture = overlay(judged.image, judged.mask, judged.truth)
                write_image(self.folder / self._name(judged), picture, mark=PICTURE_MARK)
            except OSError as error:
                self.error = error

    def _name(self, judged: Judged) -> str:
        """Return a unique name; names sort from worst to best."""
        name = f"dice{judged.counts.dice:.3f}_{safe_name(judged.pair.id)}"
        self._names[name.lower()] += 1
        times = self._names[name.lower()]
        return f"{name}.jpg" if times == 1 else f"{name}~{times}.jpg"
