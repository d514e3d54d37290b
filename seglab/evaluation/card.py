"""Model cards in Markdown, made only from the files in the folder of a run or cross-validation."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seglab.errors import DataError
from seglab.files import sha256
from seglab.recipes.packaged import PACKAGE, PACKAGED_ENCODERS
from seglab.recipes.recipe import OWN_ARCHITECTURES, Recipe
from seglab.training import run_folder
from seglab.training.run_folder import Run, plain, read_run
from seglab.words import counted

PICTURES = {
    run_folder.CURVES: "Losses, scores and learning rate by epoch.",
    run_folder.SIDE_BY_SIDE: "Best, median and worst images: photograph, truth, mask.",
    run_folder.EXAMPLES: "The same with outlines: mask in cyan, truth in amber.",
    run_folder.CONFUSION: "Pixels of all these images together.",
}
TITLES = {
    "dice": "Dice", "iou": "IoU", "thresholded_jaccard": "thresholded Jaccard (below 0.65 counts as 0)",
    "accuracy": "accuracy", "sensitivity": "sensitivity", "specificity": "specificity", "boundary_iou": "boundary IoU",
    "hd95_median": "95 % Hausdorff distance, median, pixels", "worst_dice": "worst Dice",
}  # fmt: skip


NOT_MEDICAL = "**Not a medical device**: it says where a lesion is, not what it is"
"""Sentence in every card, by which an earlier card is recognised."""


@dataclass(frozen=True)
class Trained:
    """The content of a folder: ``run`` is the run, or the first of several ``folds``; ``scores``: the JSON, if any."""

    path: Path
    run: Run
    folds: tuple[Run, ...]
    scores: dict[str, Any]

    @property
    def checkpoints(self) -> list[Path]:
        """The checkpoints that are exported together."""
        return [run.path / run_folder.BEST for run in self.folds or (self.run,)]


def model_card(path: Path, card: Path) -> str:
    """Return the card of the run, or of the folds, in the folder ``path``. ``card``: its file, for links to pictures.

    Raises :class:`DataError` where the folder holds neither.
    """
    trained = _read(path)
    parts = [_head(trained), _data(trained), _recipe(trained.run), _scores(trained)]
    parts += [_pictures(trained, card), _limits(trained), _export(trained)]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _read(path: Path) -> Trained:
    folds = (
        ()
        if (path / run_folder.SETTINGS).exists()
        else tuple(sorted(path.glob("fold-*/" + run_folder.SETTINGS), key=_number))
    )
    runs = tuple(read_run(file.parent) for file in folds) or (read_run(path),)
    scores = path / (run_folder.OUT_OF_FOLD if folds else ".") / run_folder.SCORES_JSON
    try:
        found = json.loads(scores.read_text()) if scores.exists() else {}
        if scores.exists():
            dict(found["scores"]), dict(found["intervals"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{scores} cannot be read ({error}); expected what `seglab train` wrote at its end. Remove the file, then "
            "run `seglab train --resume` to make it again."
        ) from error
    return Trained(path, runs[0], runs if folds else (), found)


def _number(file: Path) -> int:
    digits = file.parent.name.removeprefix("fold-")
    return int(digits) if digits.isdigit() else -1


def _head(trained: Trained) -> Iterator[str]:
    run, count = trained.run, len(trained.checkpoints)
    yield f"# {_cell(trained.path.resolve().name)}"
    yield ""
    yield (
        f"Outlines lesions on dermoscopy images. {NOT_MEDICAL}, and must not be used to diagnose or to decide on "
        "treatment."
    )
    yield ""
    weights = run.about.get("parameters")
    size = f"{weights:,} weights" if isinstance(weights, int) else "number of weights unknown"
    hair = "removed (DullRazor)" if run.recipe.hair != "none" else "left as they are"
    rows = {
        "network": f"{_network(run.recipe)}, {size}" + (f"; the mean of {count} networks" if count > 1 else ""),
        "input": f"photographs of any size, brought to {run.recipe.size} x {run.recipe.size}; hairs are {hair}",
        "output": f"a mask at the photograph's size, from probability {run.recipe.threshold:g}"
        + (", mean over mirror images" if run.recipe.tta != "none" else ""),
        "trained": "; ".join(_trained(each) for each in (trained.folds or (run,))),
        "checkpoint": ", ".join(f"`{_relative(file, trained.path)}` ({_short(file)})" for file in trained.checkpoints),
    }
    yield from _table(("", ""), rows.items())


def _network(recipe: Recipe) -> str:
    if recipe.arch in OWN_ARCHITECTURES:
        return f"{recipe.arch}, widths {'-'.join(map(str, recipe.widths))}"
    return f"{recipe.arch} with encoder {recipe.encoder} ({_first_weights(recipe)})"


def _first_weights(recipe: Recipe) -> str:
    if recipe.encoder_weights == PACKAGE:
        return f"weights from the package `{PACKAGED_ENCODERS[recipe.encoder]}`"
    return f"weights from `{_cell(Path(recipe.encoder_weights).name)}`" if recipe.encoder_weights else "random weights"


def _trained(run: Run) -> str:
    state = "" if run.finished else ", **not finished**"
    return f"{len(run.history):,} of {counted(run.recipe.epochs, 'epoch')}, best {run.best.epoch}{state}"


def _data(trained: Trained) -> Iterator[str]:
    yield "## Data"
    yield ""
    yield from _table(
        ("run", "training", "validation", "test", "sets", "split"), map(_counted, trained.folds or [trained.run])
    )
    if used := [line for line in trained.run.about.get("used", []) if isinstance(line, str)]:
        yield ""
        yield from (f"- {_cell(line)}" for line in used)


def _counted(run: Run) -> list[str]:
    data = run.about.get("data", {})
    images = [str(data.get(f"{part}_images", "-")) for part in ("training", "validation", "test")]
    return [run.path.name, *images, ", ".join(data.get("sets", [])) or "-", str(data.get("split", "-"))]


def _recipe(run: Run) -> Iterator[str]:
    default = plain(Recipe())
    changed = {key: value for key, value in plain(run.recipe).items() if value != default[key]}
    yield "## Recipe"
    yield ""
    yield "All settings are in `settings.json`; these are not the defaults of `seglab.recipes.recipe.Recipe`:"
    yield ""
    yield "```toml"
    yield from (f"{key} = {json.dumps(value)}" for key, value in changed.items())
    yield "```"


def _scores(trained: Trained) -> Iterator[str]:
    yield "## Scores"
    yield ""
    if not trained.scores:
        best = trained.run.best
        yield (
            f"Not scored at the images' own sizes yet. The best epoch at {trained.run.recipe.size} x "
            f"{trained.run.recipe.size}: Dice {best.val_dice:.4f}, IoU {best.val_iou:.4f}. "
            f"`{shlex.join(['seglab', 'train', '--resume', str(trained.path)])}` scores a finished run."
        )
        return
    scores, intervals = trained.scores["scores"], trained.scores["intervals"]
    whose = "each by the fold that did not train on it" if trained.folds else "the validation part"
    images = counted(int(scores.get("count", 0)), "image")
    yield f"{images}, {whose}, at their own sizes: means over images, intervals by lesion."
    if not _is_of(trained):
        yield "**These scores are of an earlier checkpoint**, not of the one above."
    yield ""
    rows = [
        (title, f"{scores[key]:.4f}", "{:.4f} to {:.4f}".format(*intervals[key]) if key in intervals else "")
        for key, title in TITLES.items() if key in scores
    ]  # fmt: skip
    yield from _table(("score", "value", "95 % interval"), rows)


def _is_of(trained: Trained) -> bool:
    """Return whether the scores belong to the present checkpoints."""
    told = trained.scores.get("checkpoints") or [trained.scores.get("checkpoint", {})]
    return [each.get("sha256") for each in told] == [sha256(file) for file in trained.checkpoints if file.exists()]


def _pictures(trained: Trained, card: Path) -> Iterator[str]:
    yield "## Curves and examples"
    for name, text in PICTURES.items():
        file = trained.path / run_folder.OUT_OF_FOLD / name
        file = file if file.exists() else trained.run.path / name
        if file.exists():
            of = f" ({file.parent.name})" if trained.folds else ""
            yield from ("", f"![{text}]({_link(file, card)})", "", f"{text}{of}")


def _limits(trained: Trained) -> Iterator[str]:
    sets = sorted(
        {name for run in trained.folds or (trained.run,) for name in run.about.get("data", {}).get("sets", [])}
    )
    yield "## Limits"
    yield ""
    yield f"- It has seen {', '.join(map(_cell, sets)) or 'its training images'} only. Other cameras, skin colours and"
    yield "  kinds of lesion may come out worse; score it on your own images before you rely on it."
    yield "- It finds a lesion in whatever it is shown, even if there is none."
    yield "- The validation images chose the best epoch, so their scores are a little too high."
    if (worst := trained.scores.get("scores", {}).get("worst_dice")) is not None:
        yield f"- Its worst mask here has Dice {worst:.3f}: look at the examples, not at the mean alone."


def _export(trained: Trained) -> Iterator[str]:
    many = ["--ensemble"] if len(trained.checkpoints) > 1 else []
    name = "ensemble.onnx" if many else "model.onnx"
    yield "## Use"
    yield ""
    yield "```console"
    yield "$ " + shlex.join(["seg-export", "onnx", *many, *map(str, trained.checkpoints), "--out", name])
    yield f"$ seg-batch run photos/ --out masks/ --model {name}"
    yield "```"


def _table(header: Sequence[str], rows: Any) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield "|" + " --- |" * len(header)
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _short(file: Path) -> str:
    return f"SHA-256 {sha256(file)[:12]}..." if file.exists() else "missing"


def _relative(file: Path, folder: Path) -> str:
    return Path(os.path.relpath(file, folder)).as_posix()


def _link(file: Path, card: Path) -> str:
    target = _relative(file, card.parent)
    return f"<{target}>" if any(letter in target for letter in " ()") else target
