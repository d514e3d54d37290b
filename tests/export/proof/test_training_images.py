"""Whether a model's images are those that it was trained on is asked of its checkpoint first."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.proof.training_images import told_apart
from export.samples import sample_set
from seglab.data.finding.layouts import find_pairs
from seglab.data.splits import Split, write_split


@pytest.mark.parametrize("prefix", ["", "synth/"])
def test_the_checkpoints_own_split_counts_before_the_file_beside_it(
    synth_root: Path, tmp_path: Path, prefix: str
) -> None:
    pairs = tuple(find_pairs(synth_root))
    samples = sample_set(synth_root, 4)
    write_split(tmp_path / "split.json", Split("seeded", 0, pairs[1:], pairs[:1]))
    beside = told_apart(samples, {}, tmp_path / "best.pt")
    assert "(3 of them from the training set)" in beside.source
    kept = {"split": {"training": [f"{prefix}{pairs[0].id}"], "validation": []}}
    assert "(1 of them from the training set)" in told_apart(samples, kept, tmp_path / "best.pt").source
    assert told_apart(samples, {"split": {"training": []}}, tmp_path / "best.pt").source == samples.source
