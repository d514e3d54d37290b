"""The script of the array job: a linter finds nothing, and it says what it expects."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Slurm runs on Linux")


@pytest.fixture
def script(repo_root: Path) -> Path:
    return repo_root / "deploy" / "slurm" / "seg-batch.sbatch"


def test_shellcheck_finds_nothing(script: Path) -> None:
    program = shutil.which("shellcheck", path=str(Path(sys.executable).parent)) or "shellcheck"
    ended = subprocess.run([program, script], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")
    spoiled = script.read_text(encoding="utf-8").replace('"$@"', "$@")
    ended = subprocess.run([program, "-"], input=spoiled, capture_output=True, text=True, check=False)
    assert "SC2068" in ended.stdout


def test_it_runs_the_job_with_the_options_that_it_gets(script: Path, tmp_path: Path) -> None:
    program = tmp_path / "seg-batch"
    program.write_text('#!/bin/sh\nprintf "%s|" "$@"\nexit 3\n')
    program.chmod(0o755)
    command = ["bash", str(script), "s3://bucket/the job", "--timeout", "60"]
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    ended = subprocess.run(command, env=path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (3, "cluster|run|s3://bucket/the job|--timeout|60|")


def test_without_a_job_it_says_what_to_do(script: Path) -> None:
    ended = subprocess.run(["bash", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("No job was named; expected a folder or s3:// prefix")


def test_tasks_are_counted_without_gaps(script: Path) -> None:
    (array,) = (line for line in script.read_text(encoding="utf-8").splitlines() if line.startswith("#SBATCH --array"))
    assert array == "#SBATCH --array=0-15"
