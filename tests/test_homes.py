"""The files by which the project lives elsewhere: workflows, citation, the packages as programs, completion."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

COMMANDS = {"seglab": "seglab", "seg-export": "export", "seg-batch": "batch"}
WORKFLOWS = ("ci.yml", "release.yml")
MAKE = re.compile(r"\bmake ([a-z-]+)")


def workflow(root: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((root / ".github" / "workflows" / name).read_text())
    return content


def runs(content: dict[str, Any], job: str) -> list[str]:
    """Return the commands of a job's steps."""
    return [step["run"] for step in content["jobs"][job]["steps"] if "run" in step]


@pytest.mark.parametrize(
    ("schema", "file"),
    [*(("vendor.github-workflows", f".github/workflows/{name}") for name in WORKFLOWS)]
    + [("custom.github-workflows-require-timeout", f".github/workflows/{name}") for name in WORKFLOWS]
    + [("vendor.citation-file-format", "CITATION.cff")],
)
def test_files_follow_their_schemas(repo_root: Path, tmp_path: Path, schema: str, file: str) -> None:
    checker = shutil.which("check-jsonschema", path=str(Path(sys.executable).parent))
    if checker is None:
        pytest.skip("no check-jsonschema beside this Python")

    def checked(path: Path) -> subprocess.CompletedProcess[str]:
        command = [checker, "--builtin-schema", schema, str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert checked(repo_root / file).returncode == 0, checked(repo_root / file).stdout
    spoiled = yaml.safe_load((repo_root / file).read_text())
    for job in spoiled.get("jobs", {}).values():
        job.pop("timeout-minutes")
        job["runs_on"] = job.pop("runs-on")
    spoiled.pop("authors", None)
    (tmp_path / "spoiled.yml").write_text(yaml.safe_dump(spoiled))
    assert checked(tmp_path / "spoiled.yml").returncode == 1


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_make_target_of_a_workflow_exists(repo_root: Path, name: str) -> None:
    content = workflow(repo_root, name)
    targets = {target for job in content["jobs"] for line in runs(content, job) for target in MAKE.findall(line)}
    assert targets
    for target in targets:
        ended = subprocess.run(["make", "-n", target], cwd=repo_root, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
    made = subprocess.run(["make", "-n", "no-such"], cwd=repo_root, capture_output=True, text=True, check=False)
    assert made.returncode != 0


def test_linux_runs_all_of_ci_run_and_macos_the_fast_tests(repo_root: Path) -> None:
    loop = re.search(r"for target in (.*); do", (repo_root / ".ci" / "run").read_text())
    assert loop is not None
    content = workflow(repo_root, "ci.yml")
    by_make = [MAKE.fullmatch(line) for line in runs(content, "linux")]
    assert [found[1] for found in by_make if found] == shlex.split(loop[1])
    assert content["jobs"]["linux"]["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    assert runs(content, "macos") == ["make test"]


def test_only_the_job_that_attaches_may_write(repo_root: Path) -> None:
    for name in WORKFLOWS:
        content = workflow(repo_root, name)
        assert content["permissions"] == {"contents": "read"}
        allowed = {job for job, steps in content["jobs"].items() if "permissions" in steps}
        assert allowed == ({"attach"} if name == "release.yml" else set())
        for job in content["jobs"]:  # what others choose, as the name of a tag, never becomes part of a script
            assert not any("${{" in line for line in runs(content, job))


def test_the_citation_names_this_version(repo_root: Path) -> None:
    project = tomllib.loads((repo_root / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((repo_root / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])


@pytest.mark.parametrize("command", COMMANDS)
def test_a_package_is_its_command(repo_root: Path, command: str) -> None:
    for arguments in (["--version"], ["no-such-command"]):
        line = [sys.executable, "-m", COMMANDS[command], *arguments]
        ended = subprocess.run(line, cwd=repo_root, capture_output=True, text=True, check=False)
        said = ended.stdout if arguments == ["--version"] else ended.stderr
        assert command in said.splitlines()[0]
        assert ended.returncode == (0 if arguments == ["--version"] else 2)


@pytest.mark.parametrize(
    ("command", "typed", "expected"),
    [
        ("seg-batch", "ver", {"verify"}),
        ("seg-batch", "export masks --format c", {"coco"}),
        ("seg-batch", "run --dry", {"--dry-run"}),
        ("seglab", "tr", {"train"}),
        ("seg-export", "ad", {"adopt"}),
    ],
)
def test_bash_completes(repo_root: Path, tmp_path: Path, command: str, typed: str, expected: set[str]) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    program = tmp_path / "bin" / command
    program.parent.mkdir()
    program.write_text(
        f"#!{bash}\nPYTHONPATH={shlex.quote(str(repo_root))} exec {shlex.quote(sys.executable)} "
        f'-m {COMMANDS[command]} "$@"\n'
    )
    program.chmod(0o755)
    variable = f"_{command.upper().replace('-', '_')}_COMPLETE"
    words = [command, *typed.split()]
    script = (
        f'eval "$({variable}=bash_source {command})"; function=$(complete -p {command} | sed "s/.*-F //; s/ .*//"); '
        f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; "
        f'"$function" {command}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    environment = {"PATH": f"{program.parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
    ended = subprocess.run([bash, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert set(ended.stdout.split()) == expected, ended.stderr
