"""The documents stay true: the generated command reference, and links between files."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from docs.tools.cli_page import COMMAND, TARGET, reference

ROOT = Path(__file__).resolve().parent.parent
PLACES = ("*.md", "docs/**/*.md", "export/models/*.md", "benchmarks/**/*.md")
DOCUMENTS = sorted({path for place in PLACES for path in ROOT.glob(place)})
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)[^)]*\)")


def commands(command: click.Command, path: str) -> list[str]:
    found = [path]
    for name, child in getattr(command, "commands", {}).items():
        found += commands(child, f"{path} {name}")
    return found


def test_the_command_reference_is_up_to_date() -> None:
    written = TARGET.read_text(encoding="utf-8")
    assert written == reference(), f"docs/cli.md is outdated; run: {COMMAND}"


@pytest.mark.parametrize(("script", "module"), [("seglab", "seglab"), ("seg-export", "export"), ("seg-batch", "batch")])
def test_the_command_reference_covers_every_command(script: str, module: str) -> None:
    group = __import__(f"{module}.cli", fromlist=["main"]).main
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for path in commands(group, script):
        assert re.search(rf"^##+ {re.escape(path)}$", text, re.MULTILINE), path


@pytest.mark.parametrize(("script", "module"), [("seglab", "seglab"), ("seg-export", "export"), ("seg-batch", "batch")])
def test_every_option_has_help(script: str, module: str) -> None:
    def without_help(command: click.Command, path: str) -> list[str]:
        missing = [
            f"{path} {option.opts[0]}"
            for option in command.params
            if isinstance(option, click.Option) and not option.help and not option.hidden
        ]
        children: dict[str, click.Command] = getattr(command, "commands", {})
        return missing + [name for key, child in children.items() for name in without_help(child, f"{path} {key}")]

    assert without_help(__import__(f"{module}.cli", fromlist=["main"]).main, script) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(document: Path) -> None:
    targets = LINK.findall(document.read_text(encoding="utf-8"))
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_tests_that_the_table_of_faults_names_are_there() -> None:
    page = (ROOT / "docs" / "archives.md").read_text(encoding="utf-8")
    _, _, section = page.partition("## What happens when a process crashes, hangs or is killed\n")
    rows = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| ")][2:]
    there = {name: ROOT / "tests" / "contract" / name for name in re.findall(r"`(test_\w+\.py)`", "".join(rows))}
    sources = [path.read_text(encoding="utf-8") for path in there.values()]
    sources.append((ROOT / "tests" / "benchmarks" / "test_fuzz_run.py").read_text(encoding="utf-8"))
    named = [name for row in rows for name in re.findall(r"`([a-z_]{12,})`", row.rstrip(" |").rpartition("|")[2])]
    assert len(named) > 15
    for name in named:
        assert any(f"def test_{name}(" in source for source in sources), name
