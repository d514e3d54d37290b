"""The array job of ``deploy/slurm``, as it is, on a real Slurm of one node."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seglab.synth import write_set
from tests.support.slurm import one_node, why_not

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]
LIMIT_SECONDS = 300
Command = Callable[..., str]


@pytest.fixture(scope="module")
def slurm() -> Iterator[dict[str, str]]:
    with one_node() as environment:
        yield environment


@pytest.fixture
def command(slurm: dict[str, str], repo_root: Path, tmp_path: Path) -> Command:
    """Run a command in the folder of the job, with ``seg-batch`` on the path; return what it prints."""
    path = os.pathsep.join([str(Path(sys.executable).parent), slurm["PATH"]])
    environment = slurm | {"PATH": path, "PYTHONPATH": str(repo_root)}

    def run(*words: str | Path, expected: int = 0) -> str:
        ended = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
        )
        assert ended.returncode == expected, (words, ended.stdout, ended.stderr)
        return ended.stdout

    return run


@pytest.fixture
def script(repo_root: Path) -> Path:
    return repo_root / "deploy" / "slurm" / "seg-batch.sbatch"


def plan(command: Command, folder: Path, images: int) -> None:
    write_set(folder / "set", images, [(60, 80)], seed=4)
    command("seg-batch", "cluster", "plan", "set/images", "--job", "job", "--unit", "1")


def started(log: Path) -> int:
    """Return how often a task has begun to work."""
    return log.read_text().count(" to do in shard ") if log.exists() else 0


def wait_until(is_so: Callable[[], object]) -> None:
    until = time.monotonic() + LIMIT_SECONDS
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.2)


def test_the_tasks_of_an_array_do_the_whole_job_whatever_their_first_number_is(
    command: Command, script: Path, tmp_path: Path
) -> None:
    plan(command, tmp_path, 7)
    command("sbatch", "--wait", "--array=5-7", script, "job")
    assert "7 of 7 units done" in command("seg-batch", "cluster", "status", "job")
    logs = {path.name.partition("_")[2]: path.read_text() for path in tmp_path.glob("seg-batch-*.log")}
    shards = {name: re.findall(r"(\d) units to do in shard (\S+)", text) for name, text in logs.items()}
    assert shards == {"5.log": [("3", "1/3")], "6.log": [("2", "2/3")], "7.log": [("2", "3/3")]}


def test_a_task_that_slurm_takes_the_machine_from_starts_again_and_goes_on(
    command: Command, script: Path, tmp_path: Path
) -> None:
    plan(command, tmp_path, 40)
    job = command("sbatch", "--parsable", "--array=0-0", script, "job").strip()
    log = tmp_path / f"seg-batch-{job}_0.log"
    wait_until(lambda: list(tmp_path.glob("job/*/ledger/*.parquet")))
    command("scontrol", "requeue", f"{job}_0")
    wait_until(lambda: started(log) == 2)
    wait_until(lambda: "COMPLETED" in command("scontrol", "show", "job", f"{job}_0"))
    assert "40 of 40 units done" in command("seg-batch", "cluster", "status", "job")
    first, second = (int(found) for found in re.findall(r"(\d+) units to do in shard", log.read_text()))
    assert first == 40 > second
    assert not [path for path in tmp_path.glob("job/*/attempts/*/*") if path.is_file()]  # it ended in good order


def test_a_failed_image_shows_in_the_exit_code_of_the_task(command: Command, script: Path, tmp_path: Path) -> None:
    write_set(tmp_path / "set", 1, [(60, 80)], seed=4)
    (tmp_path / "set" / "images" / "broken.jpg").write_text("not an image")
    command("seg-batch", "cluster", "plan", "set/images", "--job", "job")
    command("sbatch", "--wait", "--array=0-0", script, "job", expected=3)
