"""Texts of pages: of bounded length, so that the page is, too."""

from __future__ import annotations

from collections.abc import Callable

from batch.errors import printable
from batch.ledger.reader import LedgerReader
from batch.pseudonyms import pseudonym_of
from batch.reporting.shown_paths import ShownPaths
from batch.sources.image_ref import Origin

LONGEST_PATH = 100
LONGEST = 300


def short_text(text: str, longest: int = LONGEST) -> str:
    """Return a text as one printable line, cut at its end."""
    line = printable(text)
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def short_path(path: str) -> str:
    """Return a path as one printable line, cut at its beginning."""
    line = printable(path)
    return line if len(line) <= LONGEST_PATH else f"…{line[1 - LONGEST_PATH :]}"


def image_texts(ledger: LedgerReader) -> Callable[[str], str]:
    """Return a function that formats paths of images: as pseudonyms if masks are named so, else below their source, and
    short.
    """
    if ledger.is_pseudonymous:
        return lambda path: pseudonym_of(ledger.mask_of(path) or "")
    paths = ShownPaths([Origin(root, root) for root in ledger.roots()])
    return lambda path: short_path(paths.of(path))


def percent(share: float) -> str:
    """Return a share of 1 in percent, with more digits if it is small."""
    return f"{100 * share:.1f} %" if share >= 0.01 or not share else f"{100 * share:.2g} %"
