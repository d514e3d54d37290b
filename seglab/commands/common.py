"""What the subcommands share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from seglab.data.pairs import Pair

FOLDER = click.Path(path_type=Path)


def find_all_pairs(data: Iterable[Path]) -> list[Pair]:
    """Return the pairs of every data set, one set after another."""
    from seglab.data.layouts import find_pairs

    return [pair for root in data for pair in find_pairs(root)]
