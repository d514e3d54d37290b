"""Shared by the three command lines: help settings, groups of options, errors, progress, and silence for Python."""

from __future__ import annotations

import contextlib
import contextvars
import errno
import functools
import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import click

from seglab.errors import INTERRUPTED, MissingDependencyError, SeglabError, printable
from seglab.progress_log import ProgressLog
from seglab.terminal import fitted, is_live

SOME_FAILED = 3
"""Exit code of a command that finished, but not for all images."""
CONTEXT: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "show_default": True,
    "max_content_width": 110,
}

ERROR = "Error: "
"""The beginning of a message that ends a command; click's own errors begin in the same way."""

SAID_OF_STOPS, IS_STOPPED = "seglab.said-of-stops", "seglab.is-stopped"
"""Keys in a click context: the message after Ctrl-C, and whether the command was stopped."""
GO_ON = "Interrupted; run the same command again to continue."

_SPACE = "expected more. Make room, then run the command again (seglab train: with --resume, if an epoch was saved)."
SAID_OF_FILES = {
    errno.ENAMETOOLONG: "the name is too long; expected a shorter one.",
    errno.ENOSPC: f"no space is left on its disk; {_SPACE}",
    errno.EDQUOT: f"your disk quota is used up; {_SPACE}",
    errno.EFBIG: f"the file would be larger than this process may write (ulimit -f); {_SPACE}",
    errno.EACCES: "permission denied; expected to read or write it. Change its permissions, or name another one.",
    errno.EPERM: "not permitted; expected to read or write it. Change its permissions, or name another one.",
    errno.EROFS: "its disk is read-only; expected a writable one. Name another place.",
    errno.ENOTDIR: "a part of this path is a file; expected folders. Name another one.",
    errno.EISDIR: "is a folder; expected the name of a file. Name another one.",
    errno.EEXIST: "exists and is not a folder; expected a folder. Name another one.",
    errno.EIO: "its disk cannot be read or written; copy it to another one.",
}
"""The message for an error of the operating system, after the name of the file."""

_IS_QUIET = contextvars.ContextVar("is_quiet", default=False)


class NamedPath(click.Path):
    """A path. An empty string, which would mean the working folder, is refused."""

    name = "path"

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if value == "":
            self.fail("expected a path, got an empty string. Is a shell variable unset? '.' is the current folder.")
        return super().convert(value, param, ctx)


class NamedText(click.types.StringParamType):
    """A path or a URL. An empty string is refused."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text."""
        NamedPath().convert(value, param, ctx)
        return str(value)


class FittedUsageError(click.UsageError):
    """A usage error whose message fits the terminal."""

    def __init__(self, error: click.UsageError) -> None:
        super().__init__(error.format_message(), error.ctx)

    def format_message(self) -> str:
        """Return the message, which is printed after :data:`ERROR`."""
        return fitted(f"{ERROR}{self.message}", sys.stderr).removeprefix(ERROR)


class CommandGroup(click.Group):
    """Commands in the order in which they were added, which is the order of use, not alphabetical."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the command line."""
        with _in_words():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was named."""
        with _in_words():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(self.commands)


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    """End a command that was stopped before it began, or called wrongly, with a message that fits the terminal."""
    try:
        yield
    except KeyboardInterrupt:
        _say(GO_ON)
        sys.exit(INTERRUPTED)
    except click.UsageError as error:
        if type(error).show is not click.UsageError.show:  # the help, which is shown if no command was named
            raise
        raise FittedUsageError(error) from error


P = ParamSpec("P")
R = TypeVar("R")


class GroupedCommand(click.Command):
    """A command whose help shows its options in groups. ``groups``: a heading, and the names of the options as the
    command's function takes them. Options in no group come last.
    """

    def __init__(self, *args: Any, groups: dict[str, tuple[str, ...]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._groups = groups

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options group by group, all with the same column width."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        shown = {param.name: record for param in options if (record := param.get_help_record(ctx))}
        width = max((len(option) for option, _ in shown.values()), default=0)
        for heading, names in self._groups.items():
            records = [shown.pop(name) for name in names]
            with formatter.section(heading):
                formatter.write_dl([(option.ljust(width), text) for option, text in records], col_max=width)
        with formatter.section("Other"):
            formatter.write_dl([(option.ljust(width), text) for option, text in shown.values()], col_max=width)


class PlainOption(click.Option):
    """An option whose help leaves out the range of numbers, which its error message gives."""

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Return the additions to the help text: the default, but not the range."""
        return {name: value for name, value in super().get_help_extra(ctx).items() if name != "range"}


def require_packages(names: Iterable[str], what: str) -> None:
    """Raise :class:`MissingDependencyError` if packages are missing; ``what`` says what they are for."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"{what}; missing: {', '.join(missing)}. Install them: pip install 'seglab[train]'."
        )


def command_errors(function: Callable[P, R]) -> Callable[P, R]:
    """End a command with a message and an exit code instead of a traceback, for errors that a user can cause."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (Exception, KeyboardInterrupt) as error:
            context = click.get_current_context(silent=True)
            meta = context.meta if context else {}
            # A library that is interrupted while it loads may raise an error of its own instead.
            if isinstance(error, KeyboardInterrupt) or meta.get(IS_STOPPED):
                said = meta.get(SAID_OF_STOPS, GO_ON)
                _say(said() if callable(said) else said)
                sys.exit(INTERRUPTED)
            if isinstance(error, OSError) and (text := said_of(error)):
                _say(f"Error: {text}")
                sys.exit(1)
            if not isinstance(error, SeglabError):
                raise
            _say(f"Error: {_printable_lines(str(error))}")
            sys.exit(error.exit_code)

    return wrapped


def said_of(error: OSError) -> str | None:
    """Return the message for an error of the operating system; None for one that a user cannot have caused."""
    if error.errno not in SAID_OF_FILES:
        return None
    where = printable(os.fsdecode(error.filename)) if error.filename else "A file of this command"
    return f"{where}: {SAID_OF_FILES[error.errno]}"


def say_of_stops(text: str | Callable[[], str]) -> None:
    """Set the message, or a function that returns it, with which this command ends after Ctrl-C or SIGTERM."""
    context = click.get_current_context(silent=True)
    if context:
        context.meta[SAID_OF_STOPS] = text


def begin_command(said_of_stops: str = GO_ON) -> None:
    """Treat SIGTERM as Ctrl-C, so that a scheduler stops the command in the same orderly way. Reopen closed standard
    streams: otherwise a file could get the number of a closed stream, and error reports would be written into it.

    ``said_of_stops``: the message of a command that was stopped.
    """
    meta = click.get_current_context().meta
    meta[SAID_OF_STOPS] = said_of_stops
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            nothing = os.open(os.devnull, os.O_RDWR)
            if nothing != number:
                os.dup2(nothing, number)
                os.close(nothing)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))

    def interrupt(_number: int, _frame: object) -> NoReturn:
        meta[IS_STOPPED] = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # it is ignored in the background
        signal.signal(signal.SIGINT, interrupt)


@contextlib.contextmanager
def quiet(is_quiet: bool = True) -> Iterator[None]:
    """Let :func:`echo` and :func:`progress` print nothing, for the Python functions, which share code with commands."""
    before = _IS_QUIET.set(is_quiet)
    try:
        yield
    finally:
        _IS_QUIET.reset(before)


def echo(text: str, *, err: bool = False, whole: bool = False) -> None:
    """Print ``text`` to standard output or standard error, unless it is to be :func:`quiet`.

    Its lines are broken to fit a terminal: see :mod:`seglab.terminal`. ``whole``: never break lines, as in commands to
    copy.
    """
    if not _IS_QUIET.get():
        click.echo(text if whole else fitted(text, sys.stderr if err else sys.stdout), err=err)


def progress(total: int | None, desc: str, unit: str) -> Any:
    """Return a tqdm bar on stderr with rate and time left.

    If stderr is not a terminal, it is a :class:`ProgressLog`. It shows nothing if it is to be :func:`quiet`.
    """
    is_quiet = _IS_QUIET.get()
    if not is_quiet and not is_live(sys.stderr):
        return ProgressLog(total, desc, unit)
    from tqdm import tqdm

    return tqdm(total=total, desc=desc, unit=unit, file=sys.stderr, disable=is_quiet, smoothing=0.1)


def echo_lines(lines: Iterable[str]) -> None:
    """Print lines to standard output, broken to fit if it is a terminal."""
    for line in lines:
        click.echo(fitted(_printable_lines(line), sys.stdout))


def _say(text: str) -> None:
    """Print the last message of a command to standard error, also if it is to be :func:`quiet`."""
    click.echo(fitted(text, sys.stderr), err=True)


def _printable_lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))
