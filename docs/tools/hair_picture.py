"""Write ``docs/hair_removal.jpg``, before and after: ``python -m docs.tools.hair_picture DATA/isic2018``."""

from __future__ import annotations

from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "docs" / "hair_removal.jpg"
SIZE = 192
EVERY = 9
"""Of the images, one in so many is looked at."""
PLACES = (3, 12, 40)
"""The images shown, by their rank in the share of hair: very hairy, hairy, some."""


@click.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path))
def main(data: Path) -> None:
    """Write the picture from a data set of CC-0 images."""
    from seglab.data.finding.layouts import find_pairs
    from seglab.images.hair import hair_figure, hairiest
    from seglab.images.pixels.resize import fit

    images = (fit(pair.photo(at_least=2 * SIZE).pixels, SIZE) for pair in find_pairs(data)[::EVERY])
    ranked = hairiest(images, max(PLACES) + 1)
    hair_figure(TARGET, [ranked[place] for place in PLACES])


if __name__ == "__main__":
    main()
