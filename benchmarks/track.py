"""Comparison of speed and Dice with an earlier version: ``python -m benchmarks.track --base COMMIT``.

Unpacks the base beside the checkout and runs both, command by command in turn, in one job and with the same libraries:
the package's network in fp32 and int8 on each device, and a network that computes nothing, which shows what the rest
costs. Appends one line to ``benchmarks/history.jsonl``, draws ``docs/track.png``, and ends with exit code 1 where

- the median ratio of images a second, whole command, is below 0.9 (judged from five pairs on), or
- Dice, against the truth or the PyTorch original's masks, fell: by more than its paired 95 % interval and more than the
  gate allows for the precision.
"""

from __future__ import annotations

import datetime
import os
import shutil
import sqlite3
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np

from batch.ledger.schema import ledger_path
from benchmarks.support.archives import Archive, originals, photos, write_tar
from benchmarks.support.command import Ended, run_arguments, watched
from benchmarks.support.history import Entry, append, plot, read
from benchmarks.support.null_network import null_model
from benchmarks.support.original import OriginalLoop
from benchmarks.support.parts import timed
from benchmarks.support.places import CHECKPOINT, DATA, FP32_MODEL, ROOT, machine
from benchmarks.support.trees import Tree, default_base, unpacked, working_tree
from export.tolerances import MOST_LOST, TOLERANCES
from seglab.cli_support import begin_command
from seglab.evaluation.original import Predictor
from seglab.images.masks import read_mask
from seglab.metrics.bootstrap import interval
from seglab.metrics.overlap import confusion
from seglab.networks.checkpoints import load_checkpoint

LEAST_RATIO, JUDGED_PAIRS = 0.9, 5
HISTORY, PLOT = ROOT / "benchmarks" / "history.jsonl", ROOT / "docs" / "track.png"
DEVICES = ("cpu", "openvino")


@dataclass(frozen=True)
class Amount:
    """Amount of work: numbers of images of 600x450, camera originals and tiny images, and of pairs of runs."""

    images: int = 384
    originals: int = 84
    tiny: int = 4000
    pairs: int = 5
    devices: Sequence[str] = DEVICES


QUICK = Amount(images=24, originals=4, tiny=300, pairs=1)


@dataclass
class Way:
    """A model on a device over a source, and its results; ``None`` stands for the model that a version bundles."""

    device: str
    model: Path | None
    source: Path
    precision: str = ""
    base: list[Ended] = field(default_factory=list)
    head: list[Ended] = field(default_factory=list)

    def ratios(self) -> list[float]:
        """Return how many times as fast as the base each run was."""
        return [base.seconds / head.seconds for base, head in zip(self.base, self.head, strict=True)]


@click.command()
@click.option("--base", help="Commit or tag to compare with.  [default: the last release tag, or the commit before]")
@click.option("--head", help="Commit to measure.  [default: this checkout]")
@click.option("--pairs", type=click.IntRange(min=1), help=f"Pairs of runs.  [default: {Amount.pairs}]")
@click.option("--images", type=click.IntRange(min=1), help=f"Images of 600x450.  [default: {Amount.images}]")
@click.option("--device", "devices", multiple=True, default=DEVICES, show_default=True)
@click.option("--quick", is_flag=True, help="Few images: check that everything works and Dice is the same.")
@click.option("--history", type=click.Path(path_type=Path), default=HISTORY, help="File to append to.")
@click.option("--plot", "picture", type=click.Path(path_type=Path), default=PLOT, help="Picture to draw.")
def main(
    base: str | None,
    head: str | None,
    pairs: int | None,
    images: int | None,
    devices: Sequence[str],
    quick: bool,
    history: Path,
    picture: Path,
) -> None:
    """Measure two versions in turn, save the results, and fail if this one is slower or less accurate."""
    about = QUICK if quick else Amount()
    amount = Amount(images or about.images, about.originals, about.tiny, pairs or about.pairs, devices)
    entries = _checked(history, picture)
    begin_command()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        before = unpacked(base or default_base(), root / "base")
        after = unpacked(head, root / "head") if head else working_tree()
        click.echo(f"{after.commit} against {before.commit}, runs in turn: {amount.pairs}", err=True)
        entry = measured(before, after, amount, root, DATA if DATA.is_dir() else None)
    append(history, entry)
    for line in table(entry):
        click.echo(line)
    plot([*entries, entry], picture)
    if entry["failures"]:
        raise click.ClickException("; ".join(entry["failures"]))


def _checked(history: Path, picture: Path) -> list[Entry]:
    """Return the saved entries. Raises ClickException where the file cannot be written, before anything is measured."""
    try:
        for path in (history, picture):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
                raise click.ClickException(f"{path} cannot be written; expected a file. Name another one.")
        return read(history)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error


def measured(before: Tree, after: Tree, amount: Amount, root: Path, data: Path | None) -> Entry:
    """Return the entry of two versions; ``data``: real images with truth, synthetic ones are judged without."""
    predictor = Predictor(load_checkpoint(CHECKPOINT))
    archive = photos(root / "photos", amount.images, predictor)
    judged = originals(data, root / "originals", amount.originals, predictor) if data else archive
    tiny = write_tar(root / "tiny.tar", amount.tiny)
    images = archive.images[0].parent
    ways = [Way(device, model, images) for device in amount.devices for model in (None, FP32_MODEL)]
    nothing = Way("cpu", null_model(root / "null.onnx"), tiny)
    loop: list[float] = []
    original = OriginalLoop(predictor.checkpoint, "cpu")
    for number in range(amount.pairs):
        loop.append(timed(lambda: original.run(archive.images, root / "loop")))
        shutil.rmtree(root / "loop")
        for way in (*ways, nothing):
            _run_pair(way, before, after, root, turned=bool(number % 2))
    rows = [_row(way, amount.images, loop) | _quality(way, judged, before, after, root) for way in ways]
    rows.append(_row(nothing, amount.tiny, []) | {"precision": "no network"})
    entry = {
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": after.commit,
        "base": before.commit,
        "machine": machine(),
        "pairs": amount.pairs,
        "images": amount.images,
        "judged_on": f"{len(judged.pairs)} {judged.name}",
        "loop_images_per_second": round(amount.images / statistics.median(loop), 2),
        "rows": rows,
    }
    return entry | {"failures": list(failures(entry))}


def failures(entry: Entry) -> Iterator[str]:
    """Yield the figures that are worse than allowed."""
    for row in entry["rows"]:
        name = f"{row['device']} {row['precision']}"
        if entry["pairs"] >= JUDGED_PAIRS and row["ratio"] < LEAST_RATIO:
            yield f"{name}: {row['ratio']} times as fast as {entry['base']}; expected {LEAST_RATIO} at least"
        for figure, words in (("dice", "the truth"), ("dice_to_original", "the PyTorch original")):
            change = row.get(f"{figure}_change")
            if change and change["high"] < 0 and change["mean"] < -_most_lost(row["precision"]):
                yield (
                    f"{name}: Dice against {words} changed by {change['mean']} on average (95 % interval "
                    f"{change['low']} to {change['high']}); expected no fall"
                )


def _most_lost(precision: str) -> float:
    return TOLERANCES[precision].truth_dice or MOST_LOST


def table(entry: Entry) -> Iterator[str]:
    """Yield the entry as a Markdown table."""
    pairs, images, loop = entry["pairs"], entry["images"], entry["loop_images_per_second"]
    yield f"{entry['commit']} against {entry['base']}; {entry['machine']}; pairs of runs: {pairs}; {images} images of"
    yield f"600x450, the PyTorch loop {loop} images/s; Dice on {entry['judged_on']}.\n"
    yield "| device | precision | images/s | base | ratio | x loop | Dice | IoU | to original | worst | first, s | MB |"
    yield "|" + " --- |" * 12
    for row in entry["rows"]:
        cells = (
            "device", "precision", "images_per_second", "base_images_per_second", "ratio", "times_loop", "dice", "iou",
            "dice_to_original", "worst_dice_to_original", "first_mask_seconds", "peak_megabytes",
        )  # fmt: skip
        yield f"| {' | '.join('' if row.get(cell) is None else str(row[cell]) for cell in cells)} |"


def _run_pair(way: Way, before: Tree, after: Tree, root: Path, *, turned: bool) -> None:
    """Run both versions, the base first, or ``turned``."""
    out, both = root / "out", [(before, way.base), (after, way.head)]
    for tree, ended in both[::-1] if turned else both:
        ended.append(_watched(way, tree, _arguments(way, way.source, out), lambda: _has_mask(out)))
        way.precision = _precision(out)
        shutil.rmtree(out)


def _watched(way: Way, tree: Tree, arguments: list[str], is_begun: Callable[[], bool] = lambda: True) -> Ended:
    """Run one version to its end. Raises ClickException where the run or an image fails."""
    try:
        return watched(arguments, is_begun, tree=tree.root)
    except RuntimeError as error:
        said = str(error).strip().splitlines() or ["it said nothing"]
        raise click.ClickException(
            f"seg-batch of {tree.commit} failed on {way.device}: {said[-1]} Measure another commit, or other devices "
            "(--device)."
        ) from error


def _arguments(way: Way, source: Path, out: Path) -> list[str]:
    return run_arguments(source, out, way.model, way.device)


def _has_mask(out: Path) -> bool:
    return next(out.rglob("*.png"), None) is not None


def _precision(out: Path) -> str:
    with closing(sqlite3.connect(ledger_path(out))) as ledger:
        return str(ledger.execute("SELECT precision FROM runs ORDER BY id DESC").fetchone()[0])


def _row(way: Way, images: int, loop: Sequence[float]) -> dict[str, Any]:
    rate = images / statistics.median(ended.seconds for ended in way.head)
    times = [theirs / ours.seconds for theirs, ours in zip(loop, way.head, strict=False)]
    return {
        "device": way.device,
        "precision": way.precision,
        "images_per_second": round(rate, 1),
        "base_images_per_second": round(images / statistics.median(ended.seconds for ended in way.base), 1),
        "ratio": round(statistics.median(way.ratios()), 3),
        "times_loop": round(statistics.median(times), 2) if times else None,
        "first_mask_seconds": round(statistics.median(ended.first_mask for ended in way.head), 2),
        "base_first_mask_seconds": round(statistics.median(ended.first_mask for ended in way.base), 2),
        "peak_megabytes": round(statistics.median(ended.megabytes for ended in way.head)),
        "base_peak_megabytes": round(statistics.median(ended.megabytes for ended in way.base)),
    }


def _quality(way: Way, archive: Archive, before: Tree, after: Tree, root: Path) -> dict[str, Any]:
    """Run both versions over the images with truth, and return the scores of their masks and the changes."""
    base, head = (_scores(way, archive, tree, root / "judged") for tree in (before, after))
    changes = {}
    for column, figure in enumerate(("dice", "dice_to_original")):
        change = head[:, column] - base[:, column]  # (N,)
        low, high = interval(change.tolist())
        changes[f"{figure}_change"] = {"mean": _short(change.mean()), "low": _short(low), "high": _short(high)}
    dice, agreement, iou, iou_original = head.mean(axis=0)
    return {
        "dice": _short(dice),
        "iou": _short(iou),
        "dice_to_original": _short(agreement),
        "worst_dice_to_original": _short(head[:, 1].min()),
        "iou_to_original": _short(iou_original),
        "original_dice": _short(archive.judge(archive.reference).dice),
        **changes,
    }


def _scores(way: Way, archive: Archive, tree: Tree, out: Path) -> np.ndarray:
    """Return for each image its Dice against the truth and the original, and its IoU against both: ``(N, 4)``."""
    listed = out.with_suffix(".txt")
    listed.write_text("".join(f"{path}\n" for path in archive.images))
    _watched(way, tree, ["run", "--files-from", str(listed), *_arguments(way, listed, out)[2:]])
    with closing(sqlite3.connect(ledger_path(out))) as ledger:
        masks = {Path(path).stem: out / mask for path, mask in ledger.execute("SELECT path, mask FROM items")}
    rows = []
    for pair in archive.pairs:
        mask = read_mask(masks[pair.image.stem])
        truth = confusion(mask, read_mask(pair.truth))
        original = confusion(mask, read_mask(archive.reference / f"{pair.image.stem}.png"))
        rows.append((truth.dice, original.dice, truth.iou, original.iou))
    shutil.rmtree(out)
    return np.array(rows)


def _short(value: float) -> float:
    return round(float(value), 6)


if __name__ == "__main__":
    main()
