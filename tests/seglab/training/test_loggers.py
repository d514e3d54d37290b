"""Experiment trackers: each epoch is told once, over a kill and a resume, to the real packages where they are."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from seglab.synth import write_set

TINY = [
    "size=16", "batch=4", "workers=0", "split=fifth", "arch=unet-scratch", "widths=[4]", "decoder_channels=[]",
    "precision=fp32",
]  # fmt: skip


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archive")
    write_set(root, 12, [(24, 32)], seed=5)
    return root


def train(*options: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: trackers leave threads, handlers of signals and services behind them."""
    words = [word for change in TINY for word in ("--set", change)] if "--resume" not in options else []
    command = [sys.executable, "-c", "from seglab.cli import main; main()", "train", *options, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_said_with_its_extra(archive: Path, tmp_path: Path, name: str) -> None:
    if importlib.util.find_spec(name):
        pytest.skip(f"{name} is installed")
    result = train("--data", str(archive), "--out", str(tmp_path / "run"), "--logger", name)
    assert result.returncode == 1
    assert f"pip install 'seglab[{name}]'" in result.stderr
    assert not (tmp_path / "run" / "last.pt").exists()


@pytest.mark.slow
def test_mlflow_has_every_epoch_once(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    uri = f"file:{tmp_path / 'mlruns'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    run = tmp_path / "run"
    first = train("--data", str(archive), "--out", str(run), "--logger", "mlflow", "--set", "epochs=2")
    assert first.returncode == 0, first.stderr
    again = train("--resume", str(run), "--set", "epochs=4")
    assert again.returncode == 0, again.stderr
    kept = json.loads((run / "loggers.json").read_text())["mlflow"]
    assert kept["epochs"] == 4
    client = MlflowClient(uri)
    assert [entry.step for entry in client.get_metric_history(kept["run"], "val_dice")] == [1, 2, 3, 4]
    found = client.get_run(kept["run"])
    assert found.data.params["arch"] == "unet-scratch"
    assert len(client.search_runs([found.info.experiment_id])) == 1
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://")
    failed = train("--resume", str(run), "--set", "epochs=5")
    assert failed.returncode == 1
    assert "--logger mlflow failed" in failed.stderr
    assert "continue with --resume" in failed.stderr


@pytest.mark.slow
def test_wandb_writes_offline(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = tmp_path / "run"
    result = train("--data", str(archive), "--out", str(run), "--logger", "wandb", "--set", "epochs=2")
    assert result.returncode == 0, result.stderr
    kept = json.loads((run / "loggers.json").read_text())["wandb"]
    assert kept["epochs"] == 2
    assert list(run.rglob(f"*{kept['run']}*.wandb"))
