"""The Dockerfile: a linter finds nothing, it runs as a user without privileges, and has the Ray of the other files."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement


@pytest.fixture
def folder(repo_root: Path) -> Path:
    return repo_root / "deploy" / "docker"


def lint(text: str) -> str:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or "hadolint"
    return subprocess.run([program, "-"], input=text, capture_output=True, text=True, check=False).stdout


def test_hadolint_finds_nothing(folder: Path) -> None:
    text = (folder / "Dockerfile").read_text(encoding="utf-8")
    assert lint(text) == ""
    assert "DL3009" in lint(text.replace("    && rm -rf /var/lib/apt/lists/*\n", "").replace("wget \\", "wget"))


def test_it_runs_as_a_user_whose_number_kubernetes_can_check(folder: Path) -> None:
    text = (folder / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["1000"]


def test_what_goes_to_docker_is_what_the_package_is_built_from(repo_root: Path, folder: Path) -> None:
    lines = (folder / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    project = tomllib.loads((repo_root / "pyproject.toml").read_text(encoding="utf-8"))
    built_from = {
        "pyproject.toml", project["project"]["readme"], *project["project"]["license-files"],
        *project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"],
    }  # fmt: skip
    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == built_from


def test_all_files_name_the_same_version_of_ray_and_the_cluster_extra_takes_it(repo_root: Path) -> None:
    found = {
        name: re.findall(pattern, (repo_root / "deploy" / name).read_text(encoding="utf-8"), re.MULTILINE)
        for name, pattern in {
            "docker/Dockerfile": r"^ARG RAY=(.*)$",
            "ray/cluster.yaml": r'"ray\[default\]==([^"]*)"',
            "ray/rayjob.yaml": r"rayVersion: (\S+)",
        }.items()
    }
    versions = {version for versions in found.values() for version in versions}
    assert all(found.values())
    assert len(versions) == 1, found
    project = tomllib.loads((repo_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = [Requirement(line) for line in project["optional-dependencies"]["cluster"]]
    (ray,) = (one for one in extra if one.name == "ray")
    assert versions.pop() in ray.specifier
