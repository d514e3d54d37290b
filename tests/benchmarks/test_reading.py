"""The study of reading, with little of everything, and that what it compares with is what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks.studies import reading
from seglab.synth import synthesise


@pytest.mark.parametrize("shape", [(450, 600), (1536, 2048)])
def test_both_ways_read_alike(tmp_path: Path, shape: tuple[int, int]) -> None:
    Image.fromarray(synthesise(300, 400, seed=1).image).save(tmp_path / "a.png")
    data = reading.photograph(tmp_path / "a.png", *shape)
    before, now = (read(data, 192) for read in reading.WAYS.values())
    assert before.size == now.size == shape
    assert np.abs(before.pixels.astype(np.int16) - now.pixels).mean() < 1


@pytest.mark.slow
@pytest.mark.real
def test_it_prints_speed_and_agreement(data_dir: Path) -> None:
    arguments = ["--data", str(data_dir), "--images", "2", "--rounds", "1"]
    ended = CliRunner().invoke(reading.main, arguments, catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    assert "| 4288x2848 |" in ended.output
    assert "| now | 4 | 0.9" in ended.output
