"""Very many JPEGs with spoiled headers: each is read or refused; nothing crashes, hangs, or raises anything else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LONGEST = 20
"""Seconds for one of 4 million pixels, on a machine that has much else to do."""


@pytest.mark.parametrize(
    ("seed", "count"), [(1, 150), *(pytest.param(seed, 1500, marks=pytest.mark.slow) for seed in range(2, 6))]
)
def test_spoiled_headers_are_read_or_refused(seed: int, count: int) -> None:
    command = [sys.executable, "-m", "tests.support.jpeg_mutations", str(seed), str(count)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    found = json.loads(ended.stdout)
    assert sum(found["counts"].values()) == 2 * count
    assert "wrong" not in found["counts"]
    assert min(found["counts"][kind] for kind in ("read", "damaged", "refused")) > 0
    assert found["slowest"] < LONGEST
