"""What the three command lines share: help settings, error handling, progress bars."""

from __future__ import annotations

import functools
import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, ParamSpec, TypeVar

import click

from seglab.errors import INTERRUPTED, MissingDependencyError, SeglabError, printable

SOME_FAILED = 3
"""Exit code of what was finished, though not for all images."""
CONTEXT: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "show_default": True,
    "max_content_width": 110,
}

P = ParamSpec("P")
R = TypeVar("R")


def require_packages(names: Iterable[str], what: str) -> None:
    """Raise :class:`MissingDependencyError` where packages are missing; ``what`` says what they are for."""
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"{what}; missing: {', '.join(missing)}. Install them: pip install 'seglab[train]'."
        )


def command_errors(function: Callable[P, R]) -> Callable[P, R]:
    """End a command with a message and an exit code, not a traceback, for what a user can cause."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except SeglabError as error:
            click.echo(f"Error: {_printable_lines(str(error))}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("Interrupted; run the same command again to go on (seglab train: with --resume).", err=True)
            sys.exit(INTERRUPTED)

    return wrapped


def begin_command() -> None:
    """Treat SIGTERM as Ctrl-C, so that a scheduler's stop ends in the same orderly way; open closed standard streams.

    A file that was opened under the number of a closed one would be written to by whatever reports an error.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            nothing = os.open(os.devnull, os.O_RDWR)
            if nothing != number:
                os.dup2(nothing, number)
                os.close(nothing)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))

    def interrupt(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def progress(total: int | None, desc: str, unit: str) -> Any:
    """Return a tqdm bar on stderr with rate and time left; silent where stderr is not a terminal."""
    from tqdm import tqdm

    return tqdm(total=total, desc=desc, unit=unit, file=sys.stderr, disable=not sys.stderr.isatty(), smoothing=0.1)


def echo_lines(lines: Iterable[str]) -> None:
    """Print lines to standard output."""
    for line in lines:
        click.echo(_printable_lines(line))


def _printable_lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))
