"""Very many spoiled files: every one gets a mask or a reason, and nothing crashes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.support.null_network import null_model
from tests.support.archive import masks_below, seg_batch
from tests.support.spoiled import dicoms, photographs, spoiled


def test_spoiling_changes_files_and_repeats_itself() -> None:
    data = bytes(range(256)) * 4
    files = [spoiled(data, np.random.default_rng(seed)) for seed in range(50)]
    assert files == [spoiled(data, np.random.default_rng(seed)) for seed in range(50)]
    assert sum(found != data for found in files) > 45
    assert all(files)


@pytest.mark.parametrize(
    ("count", "seed"), [(60, 3), *(pytest.param(2500, seed, marks=pytest.mark.slow) for seed in range(4))]
)
def test_every_spoiled_file_gets_a_mask_or_a_reason(tmp_path: Path, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = [*photographs(rng), *dicoms()]
    source, out, table = tmp_path / "in", tmp_path / "out", tmp_path / "table.jsonl"
    source.mkdir()
    for number in range(count):
        suffix, data = whole[int(rng.integers(len(whole)))]
        (source / f"{number:05}{suffix}").write_bytes(spoiled(data, rng))
    ended = seg_batch(
        "run", source, "--out", out, "--model", null_model(tmp_path / "null.onnx"), "--device", "cpu",
        "--max-pixels", "4000000", "--table", table,
    )  # fmt: skip
    assert ended.returncode in (0, 3), ended.stderr
    assert "Traceback" not in ended.stderr
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    assert len(rows) == count
    assert {row["mask"] for row in rows if row["status"] == "done"} == set(masks_below(out))
    assert all(row["error"] for row in rows if row["status"] != "done")
    assert {row["status"] for row in rows} == {"done", "failed"}
