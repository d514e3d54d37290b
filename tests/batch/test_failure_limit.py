"""A run that gives up where too many images fail."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from batch.errors import TooManyFailuresError
from batch.failure_limit import FailureLimit
from batch.ledger.reader import LedgerReader
from batch.running.runner import Runner
from batch.settings import RunSettings
from seglab.errors import ConfigError
from tests.support.archive import StandIn, as_model, run_with_report, save_many, seg_batch


def broken(folder: Path, count: int) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        (folder / f"broken{number:03}.png").write_bytes(b"no image")


@pytest.mark.parametrize(("text", "done", "failed"), [("3", 0, 4), ("0", 9, 1), ("5%", 94, 6), ("0%", 99, 1)])
def test_too_many(text: str, done: int, failed: int) -> None:
    with pytest.raises(TooManyFailuresError, match=f"{failed} of {done + failed} images failed"):
        FailureLimit.of(text).require(done, failed)


@pytest.mark.parametrize(("text", "done", "failed"), [("3", 0, 3), ("0", 9, 0), ("5%", 95, 5), ("5%", 0, 99)])
def test_not_too_many(text: str, done: int, failed: int) -> None:
    FailureLimit.of(text).require(done, failed)


@pytest.mark.parametrize("text", ["-1", "x", "", "101%", "-5%", "nan%", "2.5"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a failure limit"):
        RunSettings(("x",), Path("y"), max_failures=text)


def test_a_run_gives_up_settles_what_is_under_way_and_can_go_on(tmp_path: Path) -> None:
    broken(tmp_path / "in", 5)
    save_many(tmp_path / "in" / "good", 200)
    runner = Runner(RunSettings((str(tmp_path / "in"),), tmp_path / "out", max_failures="4"), as_model(StandIn()))
    with pytest.raises(TooManyFailuresError):
        list(runner)
    with LedgerReader(tmp_path / "out") as ledger:
        counts = ledger.counts()
    assert counts["failed"] == 5
    assert counts["done"] < 200
    _, runner = run_with_report(tmp_path / "in", tmp_path / "out")
    assert (runner.report.done + runner.report.skipped, runner.report.failed) == (200, 5)


def test_the_command_says_so(tmp_path: Path) -> None:
    broken(tmp_path / "in", 3)
    done = seg_batch("run", tmp_path / "in", "--out", tmp_path / "out", "--device", "cpu", "--max-failures", "1")
    assert done.returncode == 1
    assert "expected at most 1 (--max-failures)" in done.stderr
    assert len(re.findall(r"^  broken00[012]\.png  not an image", done.stderr, re.MULTILINE)) >= 2
