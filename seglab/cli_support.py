"""What the three command lines share: help settings, error handling, progress bars."""

from __future__ import annotations

import errno
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

SAID_OF_STOPS, IS_STOPPED = "seglab.said-of-stops", "seglab.is-stopped"
"""Where the context of a command line keeps what is said of Ctrl-C, and that it came."""
GO_ON = "Interrupted; run the same command again to go on (seglab train: with --resume)."

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
        except (Exception, KeyboardInterrupt) as error:
            context = click.get_current_context(silent=True)
            meta = context.meta if context else {}
            # Libraries that are interrupted as they load raise errors of their own instead.
            if isinstance(error, KeyboardInterrupt) or meta.get(IS_STOPPED):
                click.echo(meta.get(SAID_OF_STOPS, GO_ON), err=True)
                sys.exit(INTERRUPTED)
            if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
                click.echo(
                    f"Error: {printable(str(error.filename))}: the name is too long; expected a shorter one.", err=True
                )
                sys.exit(1)
            if not isinstance(error, SeglabError):
                raise
            click.echo(f"Error: {_printable_lines(str(error))}", err=True)
            sys.exit(error.exit_code)

    return wrapped


def begin_command(said_of_stops: str = GO_ON) -> None:
    """Treat SIGTERM as Ctrl-C, so that a scheduler's stop ends in the same orderly way; open closed standard streams.

    A file that was opened under the number of a closed one would be written to by whatever reports an error.
    ``said_of_stops``: the message of commands that were stopped.
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
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as it is in the background
        signal.signal(signal.SIGINT, interrupt)


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
