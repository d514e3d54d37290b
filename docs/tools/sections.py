"""Tables that commands put into pages of the documentation, between two marks."""

from __future__ import annotations

from pathlib import Path

from benchmarks.support.places import ROOT
from seglab.files import write_text

PRECISION_PAGE = ROOT / "docs" / "explanation" / "precision.md"
FAULTS_PAGE = ROOT / "docs" / "explanation" / "planted_faults.md"
NETWORKS_PAGE = ROOT / "docs" / "reference" / "networks.md"
SPEED_PAGE = ROOT / "docs" / "explanation" / "speed.md"


def put(page: Path, section: str, text: str) -> None:
    """Replace what stands between ``<!-- SECTION: begin -->`` and ``<!-- SECTION: end -->`` on a page."""
    begin, end = (f"<!-- {section}: {which} -->" for which in ("begin", "end"))
    before, found, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{page} has no section {section!r}; expected {begin} and {end}.")
    write_text(page, f"{before}{begin}\n{text.strip()}\n{end}{after}")
