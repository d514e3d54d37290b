"""Files of recipes: those of the package by name, others by path."""

from __future__ import annotations

import difflib
import importlib.resources
from pathlib import Path

from seglab.errors import ConfigError


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    folder = importlib.resources.files("seglab.recipes")
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def recipe_text(name: str) -> str:
    """Return the TOML text of a recipe of the package, or of a file. Raises :class:`ConfigError` if there is none."""
    if name.endswith(".toml"):
        try:
            return Path(name).read_text()
        except OSError as error:
            raise ConfigError(f"{name} cannot be read ({error.strerror}); expected a recipe file.") from error
    if name not in recipe_names():
        near = difflib.get_close_matches(name, recipe_names(), n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"There is no recipe {name!r}; expected one of {', '.join(recipe_names())}, or a .toml file.{hint}"
        )
    return (importlib.resources.files("seglab.recipes") / f"{name}.toml").read_text()


def recipe_purpose(name: str) -> str:
    """Return what a recipe is for: the comment in the first line of its file."""
    return recipe_text(name).partition("\n")[0].removeprefix("#").strip()
