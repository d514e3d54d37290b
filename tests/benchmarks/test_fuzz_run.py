"""The study of whole runs over spoiled files: its files come again, and it sees what is wrong with a run."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.studies import fuzz_run
from benchmarks.support.null_network import null_model
from tests.support.faults import ROOT, SITE, healthy, png, tar_of

GOOD = {"done": 1, "failed": 1, "pending": 0}


@pytest.mark.slow
def test_files_come_again_and_most_differ(tmp_path: Path) -> None:
    first, second = (fuzz_run.write_spoiled(tmp_path / name, 40, 3) for name in ("a.tar", "b.tar"))
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as tar:
        assert len({tar.extractfile(member).read() for member in tar}) > 35  # type: ignore[union-attr]  # files, all


def test_cuts_and_splices_are_among_what_is_done() -> None:
    data, other = bytes(500), b"\1" * 500
    found = [fuzz_run.mutated(data, other, np.random.default_rng(seed)) for seed in range(100)]
    assert any(len(one) < 500 and data.startswith(one) for one in found)
    assert any(one.count(1) > 60 for one in found)


@pytest.mark.parametrize(
    ("ended", "wrong"),
    [
        (fuzz_run.Ended(1.0, 3, GOOD, {"a.png": "Damaged image"}, ""), ""),
        (fuzz_run.Ended(1.0, 3, GOOD, {"a.png": " "}, ""), "a.png failed without a reason"),
        (fuzz_run.Ended(1.0, 3, {**GOOD, "pending": 1}, {"a.png": "Damaged image"}, ""), "'pending': 1} came"),
        (fuzz_run.Ended(1.0, 1, GOOD, {"a.png": "Damaged image"}, "the disk is full"), "the disk is full"),
    ],
)
def test_what_is_wrong_is_said(ended: fuzz_run.Ended, wrong: str) -> None:
    found = ended.faults(2)
    assert bool(found) == bool(wrong)
    assert wrong in "".join(found)


@pytest.mark.slow
def test_files_that_end_a_process_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(SITE), str(ROOT))))
    monkeypatch.setenv("FAULT_STATE", str(tmp_path))
    bad = {f"{fault}.png": png(np.zeros((9, 9, 3), np.uint8), fault) for fault in ("crash", "raise", "hang")}
    source = tmp_path / "images.tar"
    source.write_bytes(tar_of(healthy(4) | bad))
    ended = fuzz_run.run(source, tmp_path / "masks.tar", null_model(tmp_path / "null.onnx"), 3.0)
    assert not ended.faults(7)
    assert set(ended.failures) == set(bad)
    assert fuzz_run.keep_severe(source, ended.failures, tmp_path / "kept") == 3
    assert {path.name: path.read_bytes() for path in (tmp_path / "kept").glob("*.png")} == bad


@pytest.mark.slow
def test_two_thousand_files(tmp_path: Path) -> None:
    options = ["--images", "2000", "--seed", "1", "--keep", str(tmp_path / "kept"), "--json", str(tmp_path / "f.json")]
    ended = CliRunner().invoke(fuzz_run.main, options, catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["done"] + figures["failed"] == 2000
    assert figures["done"] > 100
    assert figures["severe"] == {}, ended.output
