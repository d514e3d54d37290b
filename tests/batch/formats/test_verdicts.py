"""Exports of what reviewers accepted."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from batch.ledger.reader import LedgerReader
from batch.review.decisions import Action, Decisions
from tests.support.archive import StandIn, command, masks_below, run_all, save, spot
from tests.support.exports import export

ACCEPT, REJECT = Action.ACCEPT, Action.REJECT


@pytest.mark.parametrize("to", ["png", "coco"])
def test_only_what_reviewers_accepted(tmp_path: Path, to: str) -> None:
    for name in ("a/a.png", "b.png", "c.png", "d.png"):
        save(tmp_path / "in" / name, spot(40, 50))
    out = tmp_path / "out"
    run_all(tmp_path / "in", out, StandIn())
    target = tmp_path / ("to" if to == "png" else "to.json")
    words = ("--format", to, "--to", target, "--verdict", "accepted")
    refused = subprocess.run(command("export", out, *words), capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "Nobody has decided" in refused.stderr
    with LedgerReader(out) as ledger, Decisions(out) as decisions:
        done = {entry.mask: entry for entry in ledger.done_entries()}
        for mask, action in zip(("b.png", "a/a.png", "c.png"), (ACCEPT, REJECT, ACCEPT), strict=True):
            decisions.add(done[mask].path, done[mask].sha256, action, "me")
        decisions.add(done["c.png"].path, "0" * 64, REJECT, "me")  # on an earlier mask
    export(out, *words)
    if to == "png":
        assert set(masks_below(target / "SegmentationClass")) == {"b.png", "c.png"}
    else:
        assert {image["file_name"] for image in json.loads(target.read_text())["images"]} == {"b.png", "c.png"}
