"""A run into an output that has masks goes on as the last one: by the same of the package's files."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from batch import Runner, RunSettings
from batch.executors import opening
from batch.ledger.opening import last_run
from batch.ledger.reader import LedgerReader
from export.runtime import bundled
from export.runtime.opening import open_model
from seglab.files import sha256
from tests.support.archive import save, save_many, spot
from tests.support.artefact import tiny_twins


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Let two tiny files be the package's, and the run be in this process."""
    int8, fp32 = tiny_twins(tmp_path)

    def models(compute: str | None = None, *, exact: bool = False) -> list[Path]:
        return [int8] if compute == "int8" else [fp32] if compute or exact else [int8, fp32]

    monkeypatch.setenv("SEGLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.platform", "win32")
    for module in (opening, bundled):
        monkeypatch.setattr(module, "bundled_models", models)
    return int8, fp32


def run(tmp_path: Path, compute: str | None = None) -> tuple[dict[str, int], list[str]]:
    """Return how many images have which status, and what is said."""
    runner = Runner(RunSettings(sources=(str(tmp_path / "in"),), out=tmp_path / "out", device="cpu", compute=compute))
    found = Counter(result.status.value for result in runner)
    return dict(found), runner.report.notes


@pytest.mark.parametrize("compute", ["fp32", "int8"])
def test_it_goes_on_with_the_file_of_the_last_run(tmp_path: Path, files: tuple[Path, Path], compute: str) -> None:
    save_many(tmp_path / "in", 3)
    assert run(tmp_path, compute)[0] == {"done": 3}
    save(tmp_path / "in" / "new.png", spot(60, 80))
    found, said = run(tmp_path)
    assert found == {"skipped": 3, "done": 1}
    assert any(f"computed in {compute}, like the last run" in line for line in said) is (compute == "fp32")
    last = last_run(tmp_path / "out")
    assert last is not None
    assert last.model_sha256 == sha256(files[["int8", "fp32"].index(compute)])


def test_a_run_that_makes_all_again_does_not_say_that_it_goes_on(tmp_path: Path, files: tuple[Path, Path]) -> None:
    save_many(tmp_path / "in", 3)
    settings = RunSettings(sources=(str(tmp_path / "in"),), out=tmp_path / "out", device="cpu")
    list(Runner(dataclasses.replace(settings, compute="fp32", exact=True)))
    runner = Runner(settings)
    assert [result.status.value for result in runner] == ["done"] * 3
    assert not [line for line in runner.report.notes if "like the last run" in line]


def test_a_model_that_is_open_is_the_one_that_counts(tmp_path: Path, files: tuple[Path, Path]) -> None:
    save_many(tmp_path / "in", 3)
    settings = RunSettings(sources=(str(tmp_path / "in"),), out=tmp_path / "out", device="cpu")
    list(Runner(dataclasses.replace(settings, compute="int8")))
    runner = Runner(settings, open_model(files[1], "cpu"))
    assert [result.status.value for result in runner] == ["done"] * 3
    assert not [line for line in runner.report.notes if "like the last run" in line]
    with LedgerReader(tmp_path / "out") as ledger:
        last = ledger.last_run()
    assert last is not None
    assert last.settings["model"] is None


def test_another_arithmetic_that_is_asked_for_makes_all_again(tmp_path: Path, files: tuple[Path, Path]) -> None:
    save_many(tmp_path / "in", 3)
    run(tmp_path, "fp32")
    assert run(tmp_path, "int8")[0] == {"done": 3}
    assert run(tmp_path)[0] == {"skipped": 3}
