"""Pages of scored images without a training: of ``seglab validate``, and out of fold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seglab.errors import ConfigError
from seglab.evaluation.pages.files import TRAIN, VALIDATE
from seglab.evaluation.pages.run import changed_settings, data_facts, dated
from seglab.evaluation.pages.scored import ScoredImages, score_cards, scored_sections
from seglab.evaluation.validate import Failed
from seglab.networks.checkpoints import Checkpoint
from seglab.pages.page import NOT_A_DEVICE, Facts, Listing, Page, Section
from seglab.recipes.recipe import make_recipe
from seglab.words import counted, noun

MOST_FAILED = 50
MEANS = {"count": "Images", "dice": "Mean Dice", "iou": "Mean IoU", "worst_dice": "Worst Dice"}


def validation_page(
    scored: ScoredImages,
    checkpoint: Checkpoint,
    about: Mapping[str, str],
    failed: Sequence[Failed],
    machine: Mapping[str, str],
) -> Page:
    """Return the page of ``seglab validate``. ``about``: what was scored, as facts."""
    name = checkpoint.path.name if checkpoint.path else "checkpoint"
    sections = [Section("Summary", cards=score_cards(scored.verdict)), *scored_sections(scored)]
    sections += [*_not_scored(failed), Section("What was scored", facts=Facts(about)), *_trained(checkpoint)]
    sections.append(Section("Machine and versions", facts=Facts(machine)))
    subtitle = f"{counted(len(scored.counts), 'image')} at their own sizes"
    warnings = [f"{counted(len(failed), 'image')} could not be scored; see below."] if failed else []
    return Page(f"Validation of {name}", subtitle, sections, VALIDATE, warnings, (NOT_A_DEVICE, *dated()))


def folds_page(scored: ScoredImages, folds: Sequence[Mapping[str, Any]], name: str, machine: Mapping[str, str]) -> Page:
    """Return the page of a cross-validation. ``folds``: a summary of scores for each run. ``name``: of its folder."""
    rows = [(str(fold["run"]), *_means(fold)) for fold in folds]
    table = Listing(("Run", *MEANS.values()), rows, frozenset(range(1, len(MEANS) + 1)))
    text = "Each fold is a run with a page of its own, report.html in its folder."
    sections = [Section("Summary", cards=score_cards(scored.verdict)), Section("Folds", text, listings=[table])]
    sections += [*scored_sections(scored), Section("Machine and versions", facts=Facts(machine))]
    subtitle = f"{counted(len(scored.counts), 'image')}, each masked by the fold that did not train on it"
    return Page(f"Cross-validation: {name}", subtitle, sections, TRAIN, (), (NOT_A_DEVICE, *dated()))


def _means(fold: Mapping[str, Any]) -> Iterator[str]:
    yield f"{int(fold['count']):,}"
    yield from (f"{fold[key]:.4f}" for key in list(MEANS)[1:])


def _not_scored(failed: Sequence[Failed]) -> Iterator[Section]:
    if failed:
        rows = [(each.pair.id, each.reason) for each in failed[:MOST_FAILED]]
        of = f" The first {MOST_FAILED} are shown." if len(failed) > MOST_FAILED else ""
        count = f"{counted(len(failed), 'image')} {noun(len(failed), 'is', 'are')} in no score.{of}"
        yield Section("Not scored", count, listings=[Listing(("Image", "Reason"), rows)])


def _trained(checkpoint: Checkpoint) -> Iterator[Section]:
    """Yield what the checkpoint says of its training, as far as this version understands it."""
    training = checkpoint.training
    facts = {
        "SHA-256": checkpoint.sha256,
        "Network": " / ".join(filter(None, (checkpoint.network.arch, checkpoint.network.encoder))),
        "Input": f"{checkpoint.size} x {checkpoint.size} pixels; hair removal: {checkpoint.hair}",
        "Threshold": f"{checkpoint.threshold:g}",
    }
    try:
        recipe = make_recipe(dict(training["recipe"]))
        facts |= {"Epoch": str(training["epoch"]), **data_facts(training.get("data", {}), recipe.seed)}
        tables = [changed_settings(recipe)]
    except (KeyError, TypeError, ValueError, ConfigError):
        tables = []
    yield Section("Network and its training", facts=Facts(facts), listings=tables)
