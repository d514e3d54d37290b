"""A scheduler's stop, which reaches every process of a training at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seglab.synth import write_set

SETTINGS = [
    "arch=unet-scratch",
    "decoder_channels=[]",
    "widths=[4,8]",
    "size=32",
    "batch=2",
    "workers=2",
    "epochs=5000",
]


@pytest.mark.slow
def test_a_stop_of_all_processes_ends_in_good_order(tmp_path: Path) -> None:
    write_set(tmp_path / "data", 24, [(60, 80)], seed=5)
    words = [word for change in (*SETTINGS, "split=seeded", "precision=fp32") for word in ("--set", change)]
    command = [sys.executable, "-m", "seglab.cli", "train", "--data", str(tmp_path / "data"), "--device", "cpu"]
    run = tmp_path / "run"
    with subprocess.Popen(
        [*command, "--out", str(run), *words], start_new_session=True, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 240
        while not (run / "last.pt").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("Interrupted after epoch ")
