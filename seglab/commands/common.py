"""Options for data sets, which several subcommands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seglab.cli_support import NamedPath

if TYPE_CHECKING:
    from seglab.data.collection import Collection

FOLDER = NamedPath()
MISSING = "No data was named. Name {data}, or two folders with --images DIR --masks DIR."


@dataclass(frozen=True)
class DataNamed:
    """The data that a command reads: data sets, and a folder of images with its folder of masks.

    ``orientation``: whether masks match the image turned by EXIF (``exif``) or as stored (``stored``); None: not given.
    """

    data: tuple[Path, ...] = ()
    images: Path | None = None
    masks: Path | None = None
    orientation: str | None = None

    def __bool__(self) -> bool:
        return bool(self.data or self.images)

    @property
    def names(self) -> list[str]:
        """Names of the sets for reports, sorted."""
        return sorted(path.resolve().name for path in (*self.data, *([self.images] if self.images else [])))

    def collect(self) -> Collection:
        """Find the pairs. Raises :class:`DataError` for an unknown layout, or where too much of a set would be lost."""
        from seglab.data.collection import collect, oriented

        found = collect(self.data, [(self.images, self.masks)] if self.images and self.masks else [])
        return oriented(found, self.orientation or "exif")


def data_options(
    *, argument: str = "", option: bool = False, required: bool = True
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds ``--images``, ``--masks``, ``--orientation``, and ``argument`` or else ``--data``.

    With ``option`` the command has both ``argument`` and ``--data``, and a call uses one of them. The command receives
    all as one parameter, ``named``, a :class:`DataNamed`.
    """
    what = f"{argument}..." if argument else "--data"

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(
            images: Path | None,
            masks: Path | None,
            orientation: str | None,
            data: tuple[Path, ...] = (),
            data_option: tuple[Path, ...] = (),
            **others: Any,
        ) -> Any:
            if data and data_option and set(data) != set(data_option):
                raise click.UsageError(
                    f"Data sets are named twice: {_listed(data)} and --data {_listed(data_option)}. Name all of them "
                    "in one way."
                )
            if (images is None) != (masks is None):
                raise click.UsageError("One of --images and --masks is missing; expected both or neither.")
            named = DataNamed(data or data_option, images, masks, orientation)
            if required and not named:
                raise click.UsageError(MISSING.format(data=what))
            return function(named=named, **others)

        orientation = click.option(
            "--orientation", type=click.Choice(["exif", "stored"]),
            help="Whether masks match the images as turned by EXIF, or as stored (masks are then turned as "
            "well).  [default: exif]",
        )  # fmt: skip
        masks = click.option("--masks", type=FOLDER, help="Folder with the truth masks of --images.")
        images = click.option("--images", type=FOLDER, help="Folder of images; their truth masks are in --masks.")
        command = images(masks(orientation(wrapped)))
        if option or not argument:
            command = click.option(
                "--data", "data_option", type=FOLDER, multiple=True, help="Data set; several may be given."
            )(command)
        if argument:
            command = click.argument("data", type=FOLDER, nargs=-1, metavar=f"[{argument}...]")(command)
        return command

    return decorate


def _listed(paths: tuple[Path, ...]) -> str:
    return ", ".join(map(str, paths))
