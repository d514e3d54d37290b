"""The inspection of pairs before commands use them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from seglab.cli_support import echo, progress
from seglab.errors import printable

if TYPE_CHECKING:
    from seglab.data.collection import Collection
    from seglab.data.splits import Split

NOTES_SHOWN = 5
EACH_IMAGE = "ids"
"""Value of ``lesions`` with which each image counts as a lesion of its own."""


def inspected(collection: Collection, split: Split, mode: str, *, size: int = 0, lesions: str = "known") -> Split:
    """Return the split to train on after inspecting every pair (:func:`seglab.data.checking.inspection.inspect`).

    ``mode``: ``refuse``, ``report``, or ``off``, which only checks that each part has a lesion. ``lesions``: see
    :class:`seglab.recipes.recipe.Recipe`. Raises :class:`DataError` for what the mode does not accept.
    """
    from seglab.data.checking.inspection import inspect, require_lesions, require_sound

    if mode == "off":
        require_lesions(split.parts())
        return split
    total = sum(len(pairs) for pairs in split.parts().values())
    with progress(total, "inspect", "image") as bar:
        findings = inspect(split, collection, size=size, each_image_a_lesion=lesions == EACH_IMAGE, advance=bar.update)
    sound = require_sound(split, findings, mode)
    for line in _shortened(findings.lines()):
        echo(printable(line), err=True)
    return sound


def _shortened(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of findings, but only the first notes."""
    notes = 0
    for line in lines:
        is_note = line.startswith("note: ")
        notes += is_note
        if not is_note or notes <= NOTES_SHOWN:
            yield line
    if notes > NOTES_SHOWN:
        yield f"note: {notes - NOTES_SHOWN} more pairs have notes; seglab inspect lists them"
