"""How text fits a terminal: widths of characters, broken lines, and files, whose lines are never broken."""

from __future__ import annotations

import io

import click
import pytest
from click.testing import CliRunner

from seglab import cli_support
from seglab.errors import DataError
from seglab.terminal import NARROWEST, aligned, columns_of, cut, fitted, padded, shortened, width_of, wrapped

CHINESE, KOREAN, DECOMPOSED, FAMILY = "皮肤镜", "사진", "e\u0301te\u0301", "\U0001f468\u200d\U0001f469\u200d\U0001f467"
SENTENCE = "word " * 30
PATH = "/archive" * 15


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


@pytest.mark.parametrize(
    ("text", "width"), [("photo", 5), (CHINESE, 6), (KOREAN, 4), (DECOMPOSED, 3), (FAMILY, 2), ("", 0)]
)
def test_columns_are_counted_not_characters(text: str, width: int) -> None:
    assert width_of(text) == width
    assert width_of(padded(text, 12)) == 12
    assert padded(text, 12, right=True).endswith(text)


@pytest.mark.parametrize(
    "text",
    [CHINESE * 30, KOREAN * 30, DECOMPOSED * 30, FAMILY * 30, "plain" * 30],
    ids=["Chinese", "Korean", "combining", "emoji", "Latin"],
)
@pytest.mark.parametrize("width", [14, 15, 40])
def test_long_names_of_any_script_are_shortened_to_columns(text: str, width: int) -> None:
    for short in (shortened(text, width), cut(text, width)):
        assert width - 2 <= width_of(short) <= width
        assert "..." in short
    assert shortened(text, width).partition("...")[2][0] != "\u0301"  # of a letter that is left out


def test_tables_are_straight_with_wide_names() -> None:
    lines = aligned([["name", "Dice"], [CHINESE, "0.9"], [DECOMPOSED, "0.91"]], right=(1,))
    assert [width_of(line) for line in lines] == [12, 12, 12]


def test_a_line_is_broken_between_words_and_a_path_is_not() -> None:
    lines = wrapped(f"Error: {SENTENCE}{PATH} {SENTENCE}".rstrip(), 80)
    assert all(width_of(line) <= 80 or line.strip() == PATH for line in lines)
    assert " ".join(line.strip() for line in lines) == f"Error: {SENTENCE}{PATH} {SENTENCE}".rstrip()
    assert all(line.startswith("    ") for line in lines[1:])


def test_wide_characters_are_broken_by_columns() -> None:
    lines = wrapped(f"failed: {' '.join([CHINESE * 5] * 6)}", 80)
    assert len(lines) == 3
    assert all(width_of(line) <= 80 for line in lines)


def test_what_goes_on_stands_below_the_second_column() -> None:
    lines = wrapped(f"  openvino  works: {SENTENCE}".rstrip(), 60)
    assert {line[:12] for line in lines[1:]} == {" " * 12}
    assert wrapped(f"{' ' * 12}{SENTENCE}".rstrip(), 60)[1].startswith(" " * 12 + "word")


def test_only_a_terminal_has_columns(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (columns_of(terminal), columns_of(io.StringIO())) == (80, None)
    monkeypatch.setenv("COLUMNS", "9")
    assert columns_of(terminal) == NARROWEST
    monkeypatch.setenv("TERM", "dumb")
    assert columns_of(terminal) is None


def test_what_scripts_look_for_stays_one_line_in_a_file(terminal: Terminal) -> None:
    assert fitted(SENTENCE, io.StringIO()) == SENTENCE
    assert len(fitted(SENTENCE, terminal).split("\n")) == 2


@click.group(cls=cli_support.CommandGroup)
def main() -> None:
    """Do nothing."""


@main.command()
@click.option("--number", type=int)
@cli_support.command_errors
def refuse(number: int | None) -> None:
    """Be refused."""
    if number:
        raise click.UsageError(SENTENCE)
    raise DataError(f"{SENTENCE}\n{SENTENCE}")


@pytest.mark.parametrize("words", [["refuse"], ["refuse", "--number", "1"], ["refuse", "--number", "x" * 60]])
def test_errors_fit_a_terminal_and_stay_whole_in_a_file(
    words: list[str], terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_a_file = CliRunner().invoke(main, words)
    assert in_a_file.exit_code in (1, 2)
    assert any(len(line) > 100 for line in in_a_file.stderr.splitlines())
    monkeypatch.setattr("seglab.terminal.is_live", lambda stream: True)
    shown = CliRunner().invoke(main, words)
    assert shown.exit_code == in_a_file.exit_code
    assert all(len(line) <= 80 for line in shown.stderr.splitlines()), shown.stderr
    assert shown.stderr.split() == in_a_file.stderr.split()


def test_the_help_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Usage: main" in CliRunner().invoke(main, []).output
