"""``seglab recipes``: list the recipes, or print one."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING

import click

from seglab.cli_support import command_errors, echo, echo_lines
from seglab.commands.runs.request import DEFAULT_RECIPE
from seglab.terminal import aligned

if TYPE_CHECKING:
    from seglab.recipes.recipe import Recipe

HEAD = ("recipe", "network", "size", "epochs", "for")
NUMBERS = (2, 3)
"""Right-aligned columns."""


@click.command()
@click.argument("name", required=False)
@command_errors
def recipes(name: str | None) -> None:
    """List the recipes, or show the settings of one.

    The settings of NAME are printed as TOML. Save them to a file and change them to make a recipe of your own.

    \b
    Example:
      seglab recipes
      seglab recipes quick > mine.toml
    """
    from seglab.recipes.files import recipe_names, recipe_purpose, recipe_text
    from seglab.recipes.recipe import load_recipe

    if name:
        recipe = load_recipe(name)
        text = recipe_text(name)
        click.echo(f"{text.rstrip()}\n\n{_defaults(text, recipe)}")
        return
    rows = [_row(each, load_recipe(each), recipe_purpose(each)) for each in recipe_names()]
    echo_lines(aligned([HEAD, *rows], right=NUMBERS))
    echo("\nShow all settings of one: seglab recipes NAME. Change some: seglab train --set KEY=VALUE", err=True)


def _row(name: str, recipe: Recipe, purpose: str) -> tuple[str, ...]:
    from seglab.recipes.recipe import network_name

    default = " (default)" if name == DEFAULT_RECIPE else ""
    return name, network_name(recipe), str(recipe.size), str(recipe.epochs), purpose + default


def _defaults(text: str, recipe: Recipe) -> str:
    """Return the settings that the recipe's text leaves out, as TOML."""
    named = tomllib.loads(text)
    rest = {key: value for key, value in vars(recipe).items() if key not in named}
    lines = [f"{key} = {json.dumps(list(value) if isinstance(value, tuple) else value)}" for key, value in rest.items()]
    return "\n".join(["# Defaults:", *lines])
