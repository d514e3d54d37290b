"""Checks of calls to the Python functions: a wrong call raises an error of this package before any work."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, ParamSpec, TypeVar

from seglab.errors import ConfigError
from seglab.option_names import PythonTerms

P = ParamSpec("P")
R = TypeVar("R")


def for_python(
    command: str,
    *,
    options: Mapping[str, Any] | None = None,
    settings: Collection[str] = (),
    renamed: Mapping[str, str] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator for Python functions: messages name arguments instead of the options of a command.

    ``command``: the command that does the same. ``options``: arguments that the function takes by ``**``, with their
    defaults. ``settings``: arguments that the command takes by ``--set``. ``renamed``: arguments by option name, if the
    two differ. A call with wrong arguments raises :class:`ConfigError`.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        named = [
            entry for entry in inspect.signature(function).parameters.values() if entry.kind is not entry.VAR_KEYWORD
        ]
        defaults = {entry.name: entry.default for entry in named} | dict(options or {})
        terms = PythonTerms(command, defaults, settings, renamed)
        known = [*defaults, *settings]

        @functools.wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            _require_call(function.__name__, named, known, len(args), kwargs)
            with terms.errors():
                return function(*args, **kwargs)

        return wrapped

    return decorate


def _require_call(
    function: str, named: Collection[inspect.Parameter], known: Collection[str], given: int, keywords: Collection[str]
) -> None:
    """Raise :class:`ConfigError` for a call for which Python would raise :class:`TypeError`."""
    for name in keywords:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}."
            raise ConfigError(f"{function}() has no argument {name!r}. {hint}")
    by_place = [entry for entry in named if entry.kind is entry.POSITIONAL_OR_KEYWORD]
    names = ", ".join(entry.name for entry in by_place)
    if given > len(by_place):
        raise ConfigError(f"{function}() got {given} positional arguments; expected {names}. Pass the others by name.")
    for place, entry in enumerate(by_place):
        if place < given and entry.name in keywords:
            raise ConfigError(f"{entry.name} is given twice; expected it once, by position or by name.")
        if place >= given and entry.default is entry.empty and entry.name not in keywords:
            raise ConfigError(f"{entry.name} is missing; expected {function}({names}).")
