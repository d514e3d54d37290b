"""The commands of ours in the files are those that the program has, and pods that run them do the whole job."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from batch.cli import main as seg_batch
from seglab.synth import write_set

COMMAND = re.compile(r"seg-batch (cluster [^\n\"'|]*)")
JOB = "s3://YOUR-BUCKET/job"


@pytest.fixture
def folder(repo_root: Path) -> Path:
    return repo_root / "deploy"


def commands(folder: Path) -> list[list[str]]:
    """Return the arguments of all calls of ``seg-batch cluster``."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    found = [shlex.split(line) for path in files for line in COMMAND.findall(path.read_text(encoding="utf-8"))]
    return [*found, container(folder)["args"]]


def container(folder: Path) -> Any:
    """Return the container of the Indexed Job's pods."""
    job = yaml.safe_load((folder / "kubernetes" / "indexed-job.yaml").read_text(encoding="utf-8"))
    (only,) = job["spec"]["template"]["spec"]["containers"]
    return only


def test_the_program_has_the_commands_and_options_that_the_files_use(folder: Path) -> None:
    found = commands(folder)
    assert len(found) >= 5
    for words in found:
        group, name, *rest = words
        cluster = seg_batch.commands[group]
        assert isinstance(cluster, click.Group)
        cluster.commands[name].make_parser(click.Context(cluster.commands[name])).parse_args(rest)


def test_what_is_to_be_filled_in_is_a_bucket_and_a_registry(folder: Path) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.is_file())
    assert set(re.findall(r"YOUR-\w+", text)) == {"YOUR-BUCKET", "YOUR-REGISTRY"}
    assert not re.findall(r"AKIA\w+|SECRET_ACCESS_KEY[=:] *(?!\.\.\.)\S", text)


@pytest.mark.slow
def test_pods_of_the_indexed_job_do_the_whole_job(repo_root: Path, folder: Path, s3: Any, tmp_path: Path) -> None:
    write_set(tmp_path / "set", 5, [(60, 80)], seed=5)
    for photo in (tmp_path / "set" / "images").iterdir():
        s3.put_file(str(photo), f"photos/{photo.name}")
    program = [str(Path(sys.executable).parent / "seg-batch"), "cluster"]
    environment = os.environ | {"PYTHONPATH": str(repo_root)}
    plan = [*program, "plan", "s3://photos", "--job", "s3://masks/job", "--unit", "1"]
    subprocess.run(plan, env=environment, check=True)
    pod = container(folder)
    for index in range(2):
        told = {one["name"]: one["value"].replace("16", "2") for one in pod["env"]}
        told |= {"JOB_COMPLETION_INDEX": str(index)}
        arguments = [word.replace(JOB, "s3://masks/job") for word in pod["args"]]
        ended = subprocess.run(
            [program[0], *arguments], env=environment | told, capture_output=True, text=True, check=True
        )
        assert f"{3 - index} units to do in shard {index + 1}/2" in ended.stderr
    status = subprocess.run([*program, "status", "s3://masks/job"], env=environment, capture_output=True, text=True)
    assert "5 of 5 units done" in status.stdout
