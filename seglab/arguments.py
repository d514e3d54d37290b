"""Checks for the keyword arguments of the Python functions; an error suggests the nearest name."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

from seglab.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")


def unknown_argument(function: str, name: str, known: Iterable[str]) -> ConfigError:
    """Return the error for a keyword ``name`` that ``function`` does not have."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(names)}."
    return ConfigError(f"{function}() has no argument {name!r}. {hint}")


def known_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """Return ``function`` wrapped to raise :class:`ConfigError`, with the nearest name, for an unknown keyword."""
    names = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in names:
                raise unknown_argument(function.__name__, name, names)
        return function(*args, **kwargs)

    return wrapped
