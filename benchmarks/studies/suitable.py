"""How well ``suitable`` detects images that are not dermoscopy, and accepts dermoscopy from other cameras.

``python -m benchmarks.studies.suitable MODEL... --scikit-image DIR`` asks each model file for the score of 200 images
that are none (:mod:`benchmarks.support.no_dermoscopy`), and of dermoscopy that it did not learn from, and writes
``benchmarks/results/suitable-NAME.json`` and a table. ``DIR`` is ``skimage/data`` of scikit-image's wheel: ``pip
download --no-deps scikit-image``, then unzip it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.support.no_dermoscopy.collection import collection
from benchmarks.support.places import DATA, RESULTS, machine
from export.errors import ContractError
from export.runtime.model import Model
from export.runtime.opening import open_model
from seglab.data.collection import collect
from seglab.files import json_text, write_bytes, write_text
from seglab.images.pixels.resize import OVERSAMPLING, fit

FILE = click.Path(path_type=Path)
BATCH = 8
SEED = 2
"""Of the images that are drawn: none that were looked at while the score was made (those were 0 and 1)."""
OTHER_CAMERA = 1200
"""Images of HAM10000, evenly spaced; the other sets are smaller."""
SHEET_SIDE, SHEET_COLUMNS, SHEET_ROWS = 160, 8, 2

Images = NDArray[np.uint8]
Scored = list[tuple[float, Images]]
"""Scores, with the images at S x S."""


@click.command()
@click.argument("models", type=FILE, nargs=-1, required=True)
@click.option("--scikit-image", type=FILE, required=True, help="Folder skimage/data of scikit-image's wheel.")
@click.option("--device", default="cpu", show_default=True, help="As of `seg-batch run`.")
@click.option("--compute", help="fp32 or bf16, where the device computes in both.")
@click.option("--name", default="lesion", show_default=True, help="Of the network, in the name of the result.")
@click.option("--seed", default=SEED, show_default=True, help="Of the images that are drawn.")
@click.option("--limit", default=OTHER_CAMERA, show_default=True, help="Most images of each set of dermoscopy.")
@click.option(
    "--sheet", type=FILE, help="Draw those that are told wrong (.jpg): no dermoscopy above, dermoscopy below."
)
def main(
    models: tuple[Path, ...],
    scikit_image: Path,
    device: str,
    compute: str | None,
    name: str,
    seed: int,
    limit: int,
    sheet: Path | None,
) -> None:
    """Measure, write the figures, and print a table."""
    rows = []
    for path in models:
        model = open_model(path, device, batch=BATCH, compute=compute)
        if not model.contract.suitable:
            raise ContractError(f"{path} has no output `suitable`; expected one. Make it with `seglab suitable CKPT`.")
        others = {
            kind: _scored(model, images) for kind, images in collection(scikit_image, DATA / "formats", seed).items()
        }
        real = {part: _scored(model, images) for part, images in _dermoscopy(model.contract.size, limit)}
        rows.append(_row(model, others, real))
        click.echo(table(rows[-1]))
        if sheet:
            _draw(sheet, others, real)
    report = {"machine": machine(), "seed": seed, "models": rows}
    write_text(RESULTS / f"suitable-{name}.json", json_text(report))


def _dermoscopy(size: int, limit: int) -> Iterator[tuple[str, Iterator[Images]]]:
    """Yield sets of dermoscopy that no network of the package learned from, with their images at S x S."""
    parts: dict[str, tuple[str, Callable[[Any], bool]]] = {
        "ISIC 2018, fixed fifth": ("isic2018", lambda pair: _is_fifth(pair.id)),
        "ISIC 2017, validation": ("isic2017", lambda pair: pair.part == "validation"),
        "originals": ("originals", lambda pair: True),
        "HAM10000": ("ham10000", lambda pair: True),
    }
    for part, (folder, is_in) in parts.items():
        pairs = [pair for pair in collect([DATA / folder], []).pairs if is_in(pair)]
        pairs = [pairs[int(at)] for at in np.linspace(0, len(pairs) - 1, min(limit, len(pairs)))]
        yield part, (fit(pair.photo(at_least=OVERSAMPLING * size).pixels, size) for pair in pairs)


def _is_fifth(id: str) -> bool:
    return int(hashlib.sha256(id.encode()).hexdigest(), 16) % 5 == 0


def _scored(model: Model, images: Iterator[Images] | Sequence[Images]) -> Scored:
    scored: Scored = []
    fitted = [fit(image, model.contract.size) for image in images]
    for start in range(0, len(fitted), BATCH):
        part = fitted[start : start + BATCH]
        found = model.seen(np.stack(part)).suitable
        scored += [] if found is None else zip(map(float, found), part, strict=True)
    return scored


def _row(model: Model, others: dict[str, Scored], real: dict[str, Scored]) -> dict[str, Any]:
    threshold = model.contract.suitable["threshold"]
    return {
        "model": model.path.name,
        "sha256": model.sha256,
        "precision": model.device.precision,
        "device": model.device.name,
        "threshold": threshold,
        "no_dermoscopy": {kind: _flagged(scored, threshold) for kind, scored in others.items()},
        "dermoscopy": {part: _flagged(scored, threshold) for part, scored in real.items()},
    }


def _flagged(scored: Scored, threshold: float) -> dict[str, int]:
    return {"images": len(scored), "flagged": sum(score < threshold for score, _ in scored)}


def table(row: dict[str, Any]) -> str:
    """Return one model's figures as Markdown."""
    lines = [
        f"{row['model']}, {row['device']} in {row['precision']}",
        "",
        "| images | flagged | of | share |",
        "| --- " * 4 + "|",
    ]
    for group in ("no_dermoscopy", "dermoscopy"):
        counts = row[group]
        lines += [_line(kind, count) for kind, count in counts.items()]
        if group == "no_dermoscopy":
            whole = {key: sum(count[key] for count in counts.values()) for key in ("images", "flagged")}
            lines.append(_line("**all that is no dermoscopy**", whole))
    return "\n".join(lines) + "\n"


def _line(name: str, count: dict[str, int]) -> str:
    return f"| {name} | {count['flagged']} | {count['images']} | {100 * count['flagged'] / count['images']:.1f} % |"


def _draw(path: Path, others: dict[str, Scored], real: dict[str, Scored]) -> None:
    """Draw what is told wrong: no dermoscopy with the highest scores, dermoscopy with the lowest."""
    missed = sorted((entry for scored in others.values() for entry in scored), key=lambda entry: -entry[0])
    wronged = sorted((entry for scored in real.values() for entry in scored), key=lambda entry: entry[0])
    rows = [_tiles(scored[start : start + SHEET_COLUMNS]) for scored in (missed, wronged) for start in _starts()]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))
    write_bytes(path, encoded.tobytes())


def _starts() -> range:
    return range(0, SHEET_ROWS * SHEET_COLUMNS, SHEET_COLUMNS)


def _tiles(scored: Scored) -> Images:
    tiles = []
    for score, image in scored:
        tile = cv2.resize(image, (SHEET_SIDE, SHEET_SIDE), interpolation=cv2.INTER_AREA)
        cv2.rectangle(tile, (0, 0), (52, 20), (0, 0, 0), -1)
        cv2.putText(tile, f"{score:.2f}", (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1)
        tiles.append(tile)
    return np.asarray(np.concatenate(tiles, axis=1), np.uint8)


if __name__ == "__main__":
    main()
