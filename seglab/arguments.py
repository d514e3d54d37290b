"""Calls of the functions for Python: what was called wrongly is said before any work, in this package's own errors."""

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
    """Make a function one for Python: its errors are this package's, and name arguments where a command has options.

    ``command``: that does the same. ``options``: arguments that the function takes by ``**``, with their defaults;
    ``settings``: those of them that the command takes by ``--set``. ``renamed``: arguments by the name of their option,
    where that is another one. A call that fits no argument raises :class:`ConfigError`.
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
    """Raise :class:`ConfigError` for a call that Python would answer with a :class:`TypeError`."""
    for name in keywords:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}."
            raise ConfigError(f"{function}() has no argument {name!r}. {hint}")
    by_place = [entry for entry in named if entry.kind is entry.POSITIONAL_OR_KEYWORD]
    names = ", ".join(entry.name for entry in by_place)
    if given > len(by_place):
        raise ConfigError(f"{function}() got {given} values without a name; expected {names}. Name the others.")
    for place, entry in enumerate(by_place):
        if place < given and entry.name in keywords:
            raise ConfigError(f"{entry.name} is given twice; expected it once, by its place or by its name.")
        if place >= given and entry.default is entry.empty and entry.name not in keywords:
            raise ConfigError(f"{entry.name} is missing; expected {function}({names}).")
