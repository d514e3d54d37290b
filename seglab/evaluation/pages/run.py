"""The page of a training run: curves, scores, pictures, data, settings, machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seglab.evaluation.pages.files import TRAIN, try_page
from seglab.evaluation.pages.scored import ScoredImages, score_cards, scored_sections
from seglab.evaluation.pages.strips import jpeg_within
from seglab.images.reader import read_photo
from seglab.pages.epochs import curves
from seglab.pages.page import NOT_A_DEVICE, Card, Chart, Facts, Listing, Page, Picture, Section
from seglab.recipes.recipe import Recipe, network_name
from seglab.training import run_folder
from seglab.training.run_folder import Epoch, Run, plain
from seglab.words import counted

MOST_BATCH_BYTES = 600_000
FILES = frozenset({"encoder_weights", "init", "soft_masks", "teacher"})
"""Settings that name files or folders, whose places are nobody else's business."""
CHOSEN_ON_THEM = "The validation images chose the best epoch, so their scores are a little too high."


@dataclass
class RunPage:
    """The page ``report.html`` of a run, written again as the run proceeds.

    ``about``: see :class:`seglab.training.run_folder.Run`. ``machine``: facts to list. ``on_failed``: called if the
    page cannot be made or written, once for each reason; nothing is raised then.
    """

    out: Path
    recipe: Recipe
    about: Mapping[str, Any]
    machine: Mapping[str, str]
    on_failed: Callable[[Exception], None]
    _batch: Section | None = None
    _said: set[str] = field(default_factory=set)

    def write(
        self, history: Sequence[Epoch], timing: Sequence[run_folder.Timing], scored: ScoredImages | None = None
    ) -> None:
        """Write the page after these epochs. ``scored``: the scores of the best one, once they are known."""
        run = Run(self.out, self.recipe, dict(self.about), tuple(history), tuple(timing))
        try_page(self.out / run_folder.REPORT, lambda: self._page(run, scored), self._say_once)

    def _say_once(self, error: Exception) -> None:
        if str(error) not in self._said:
            self._said.add(str(error))
            self.on_failed(error)

    def _page(self, run: Run, scored: ScoredImages | None) -> Page:
        self._batch = self._batch or _batch(self.out)
        sections = [_summary(run, scored), _curves(run)]
        if scored:
            sections += scored_sections(scored)
        if self._batch:
            sections.append(self._batch)
        sections += [_data(run), _settings(run), self._machine(run)]
        return Page(
            f"Training run: {self.out.resolve().name}", _subtitle(run), sections, TRAIN, list(_warnings(run)),
            (NOT_A_DEVICE, CHOSEN_ON_THEM, *dated()),
        )  # fmt: skip

    def _machine(self, run: Run) -> Section:
        seconds = sum(row.seconds for row in run.timing)
        took = {"Time of all epochs": _duration(seconds)} if run.timing else {}
        facts = {**took, "Precision": str(run.about.get("precision", "")), **self.machine}
        return Section("Machine and versions", "Of the session that wrote this page.", facts=Facts(facts))


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def dated() -> list[str]:
    """Return the line that says when a page was written."""
    return [f"Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."]


def data_facts(about: Mapping[str, Any], seed: int) -> dict[str, str]:
    """Return sets, split and numbers of images from the ``data`` that settings and checkpoints keep."""
    parts = ("training", "validation", "test")
    counts = [f"{about[f'{part}_images']:,} {part}" for part in parts if f"{part}_images" in about]
    facts = {"Data sets": ", ".join(map(str, about.get("sets", ()))), "Split": str(about.get("split", ""))}
    return {**{key: value for key, value in facts.items() if value}, "Images": ", ".join(counts), "Seed": str(seed)}


def changed_settings(recipe: Recipe) -> Listing:
    """Return a table of the settings that are not the defaults. Of files only the names are shown."""
    default = plain(Recipe())
    rows = [
        (key, _text(key, value), _text(key, default[key]))
        for key, value in plain(recipe).items() if value != default[key]
    ]  # fmt: skip
    return Listing(("Setting", "Value", "Default"), rows)


def _text(setting: str, value: Any) -> str:
    return json.dumps(Path(value).name if setting in FILES else value, ensure_ascii=False)


def _subtitle(run: Run) -> str:
    parts = [network_name(run.recipe), f"{len(run.history):,} of {counted(run.recipe.epochs, 'epoch')}"]
    if run.history:
        parts.append(f"best is epoch {run.best.epoch}, by {run.recipe.monitor}")
    return "; ".join(parts)


def _warnings(run: Run) -> Iterator[str]:
    if not run.history:
        yield "No epoch is finished yet. This page is written again after each epoch."
    elif not run.finished:
        yield (
            f"Not finished: {len(run.history):,} of {counted(run.recipe.epochs, 'epoch')}. `seglab train --resume` "
            "continues a run that was stopped; scores and pictures come at its end."
        )


def _summary(run: Run, scored: ScoredImages | None) -> Section:
    cards = [Card(f"{len(run.history):,} / {run.recipe.epochs:,}", "epochs")]
    if scored:
        cards += score_cards(scored.verdict)
    elif run.history:
        side = run.recipe.size
        cards += [
            Card(f"{run.best.val_dice:.4f}", f"Dice of the best epoch, at {side} x {side} pixels"),
            Card(f"{run.best.val_iou:.4f}", "its IoU"),
        ]
    weights = run.about.get("parameters")
    if isinstance(weights, int):
        cards.append(Card(f"{weights / 1e6:.2f} million", "weights"))
    return Section("Summary", cards=cards)


def _curves(run: Run) -> Section:
    def line(name: str) -> list[tuple[int, float]]:
        return [(epoch.epoch, getattr(epoch, name)) for epoch in run.history]

    speed = [(row.epoch, row.images_per_second) for row in run.timing]
    drawn = [
        Chart(curves({"training": line("train_loss"), "validation": line("val_loss")}, "loss"), "Mean loss by epoch."),
        Chart(
            curves({"Dice": line("val_dice"), "IoU": line("val_iou")}, "score"),
            f"Dice and IoU of the validation images, at {run.recipe.size} x {run.recipe.size} pixels.",
        ),
        Chart(curves({"learning rate": line("lr")}, "learning rate", from_zero=True), "Learning rate by epoch."),
        Chart(curves({"speed": speed}, "images/s", from_zero=True), "Training images per second."),
    ]
    return Section("Curves", charts=drawn)


def _batch(out: Path) -> Section | None:
    """Return the section with the sheet of augmented images, which lies in the run's folder."""
    path = out / run_folder.BATCH
    if not path.is_file():
        return None
    data = path.read_bytes()
    if len(data) > MOST_BATCH_BYTES:
        data = jpeg_within(read_photo(data).pixels, MOST_BATCH_BYTES)
    text = "The first training images as the network gets them, with the outline of their truth in amber."
    picture = Picture(data, "A sheet of augmented training images with the outlines of their truth")
    return Section("Augmented images", text, pictures=[picture], wide_pictures=True)


def _data(run: Run) -> Section:
    facts = data_facts(run.about.get("data", {}), run.recipe.seed)
    lines = [(line,) for line in run.about.get("used", ()) if isinstance(line, str)]
    listings = [Listing(("What is used, and what is left out",), lines)] if lines else []
    return Section("Data", facts=Facts(facts), listings=listings)


def _settings(run: Run) -> Section:
    text = f"Settings that are not the defaults; all are in {run_folder.SETTINGS}."
    return Section("Recipe", text, listings=[changed_settings(run.recipe), *_changes(run)])


def _changes(run: Run) -> Iterator[Listing]:
    rows = [
        (str(change["from_epoch"]), name, _text(name, before), _text(name, now))
        for change in run.about.get("changes", ()) for name, (before, now) in change["changed"].items()
    ]  # fmt: skip
    if rows:
        yield Listing(("From epoch", "Changed setting", "Before", "Since"), rows, frozenset({0}))
