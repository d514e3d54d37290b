"""The documents stay true: command reference, commands, columns, settings, and links between files and headings."""

from __future__ import annotations

import dataclasses
import functools
import re
import shlex
from pathlib import Path

import click
import pytest

from batch.cli import main as seg_batch
from batch.reporting.ledger_table import COLUMNS
from docs.tools.cli_page import COMMAND, TARGET, reference
from export.cli import main as seg_export
from seglab.cli import main as seglab
from seglab.recipes.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent
PLACES = ("*.md", "docs/**/*.md", "export/models/*.md", "benchmarks/**/*.md")
DOCUMENTS = sorted({path for place in PLACES for path in ROOT.glob(place)})
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(#[^)\s]+)?[^)]*\)")
PROGRAMS: dict[str, click.Group] = {"seglab": seglab, "seg-export": seg_export, "seg-batch": seg_batch}


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
    for target, anchor in LINK.findall(document.read_text(encoding="utf-8")):
        file = document.parent / target if target else document
        assert file.exists(), target
        assert not anchor or anchor[1:] in anchors(file.resolve()), target + anchor


@functools.cache
def anchors(page: Path) -> frozenset[str]:
    """Return the names under which GitHub and MyST link to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)


def shown_commands(document: Path) -> list[list[str]]:
    """Return the commands of ours that a page shows behind a prompt, each as words."""
    text = document.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [part for line in re.findall(r"^\$ (.*)$", text, re.MULTILINE) for part in line.split(" | ")]
    return [words for words in map(shlex.split, lines) if words[0] in PROGRAMS]


@pytest.mark.parametrize(
    "document", [page for page in DOCUMENTS if shown_commands(page)], ids=lambda path: str(path.relative_to(ROOT))
)
def test_commands_and_options_that_a_page_shows_exist(document: Path) -> None:
    for program, *words in shown_commands(document):
        command: click.Command = PROGRAMS[program]
        while isinstance(command, click.Group):
            assert words[0] in command.commands, (program, words)
            command = command.commands[words.pop(0)]
        command.make_parser(click.Context(command)).parse_args(words)


def first_cells(page: str) -> list[tuple[str, str]]:
    """Return the first two cells of each row of all tables on a page."""
    text = (ROOT / "docs" / "reference" / page).read_text(encoding="utf-8")
    return re.findall(r"^\| (`.*?) \| (.*?) ?\| ", text, re.MULTILINE)


def test_the_page_of_columns_has_those_of_the_table() -> None:
    names = [name for cell, _ in first_cells("columns.md") for name in re.findall(r"`(\w+)`", cell)]
    assert tuple(names) == COLUMNS


def test_the_page_of_settings_has_all_with_their_defaults() -> None:
    def as_written(value: object) -> str:
        if value in ("", ()):
            return ""
        return str(value).replace(" ", "").replace("(", "[").replace(")", "]").replace("False", "false")

    written = {name.strip("`"): default.strip("`") for name, default in first_cells("settings.md")}
    assert written == {field.name: as_written(field.default) for field in dataclasses.fields(Recipe)}


def test_tests_that_the_table_of_faults_names_are_there() -> None:
    page = (ROOT / "docs" / "reference" / "faults.md").read_text(encoding="utf-8")
    _, _, section = page.partition("## What happens when a process crashes, hangs or is killed\n")
    rows = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| ")][2:]
    there = {name: ROOT / "tests" / "contract" / name for name in re.findall(r"`(test_\w+\.py)`", "".join(rows))}
    sources = [path.read_text(encoding="utf-8") for path in there.values()]
    sources.append((ROOT / "tests" / "benchmarks" / "test_fuzz_run.py").read_text(encoding="utf-8"))
    named = [name for row in rows for name in re.findall(r"`([a-z_]{12,})`", row.rstrip(" |").rpartition("|")[2])]
    assert len(named) > 15
    for name in named:
        assert any(f"def test_{name}(" in source for source in sources), name
