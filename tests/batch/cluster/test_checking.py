"""Cleaning a job while its units are done again: what counts by then stays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from batch.cluster import checking
from batch.cluster.files.job import OpenJob, open_job
from batch.cluster.files.names import UnitName
from batch.cluster.files.parts import Summary
from batch.cluster.units import summaries
from tests.support.archive import seg_batch
from tests.support.cluster_jobs import key_folder, masks_of, plan, run_words
from tests.support.faults import healthy, write_images


@pytest.mark.slow
def test_a_unit_that_is_done_again_meanwhile_keeps_its_masks(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tmp_path / "job"
    plan(write_images(tmp_path / "in", healthy(3)), job, model_file)
    assert seg_batch(*run_words(job)).returncode == 0
    masks = masks_of(job)

    def and_done_again(opened: OpenJob, units: Iterable[UnitName]) -> Iterator[Summary]:
        found = list(summaries(opened, units))
        (tar,) = (key_folder(job) / "masks").glob("*.tar")
        tar.write_bytes(b"damaged")
        assert seg_batch("cluster", "verify", job, "--redo").returncode == 3
        assert seg_batch(*run_words(job)).returncode == 0
        return iter(found)

    monkeypatch.setattr(checking, "summaries", and_done_again)
    for removed in (0, 1):
        assert checking.clean(open_job(str(job))).tars == removed
        monkeypatch.undo()
        assert masks_of(job) == masks
