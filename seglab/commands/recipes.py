"""``seglab recipes``: list what can be trained by name."""

from __future__ import annotations

import click

from seglab.cli_support import command_errors


@click.command()
@command_errors
def recipes() -> None:
    """List the recipes that come with the package, with their settings.

    Example: seglab recipes
    """
    from seglab.recipes.recipe import load_recipe, recipe_names

    for name in recipe_names():
        recipe = load_recipe(name)
        settings = " ".join(f"{key}={value}" for key, value in vars(recipe).items() if value != "")
        click.echo(f"{name}: {settings}")
