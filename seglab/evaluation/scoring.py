"""The scores and pictures that are written into a run's folder after training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from seglab.data.pairs import Pair
from seglab.evaluation.confusion_picture import draw_confusion
from seglab.evaluation.gallery import draw_examples
from seglab.evaluation.original import Predictor
from seglab.evaluation.side_by_side import draw_side_by_side
from seglab.evaluation.validate import Verdict, judge
from seglab.files import json_text, write_text
from seglab.training.run_folder import CONFUSION, EXAMPLES, SCORES_CSV, SCORES_JSON, SIDE_BY_SIDE, write_csv

FORMAT_VERSION = 1


def score_run(
    out: Path,
    predictor: Predictor,
    pairs: Sequence[Pair],
    advance: Callable[[int], Any] = lambda count: None,
    on_scores: Callable[[Verdict], None] = lambda verdict: None,
) -> Verdict:
    """Score a run's best network on its validation pairs, at their own sizes; write scores, then pictures.

    ``advance``: called with the number of images that are done. ``on_scores``: called before the pictures are drawn.
    """
    verdict = Verdict()
    for judged in judge(predictor, pairs):
        verdict.add(judged)
        advance(1)
    verdict.require_credible()
    best = predictor.checkpoint
    checkpoint = {"file": best.path.name if best.path else "", "sha256": best.sha256}
    write_scores(out, verdict, {"checkpoint": checkpoint, "part": "validation", "tta": predictor.tta})
    on_scores(verdict)
    draw_pictures(out, predictor, pairs, verdict)
    return verdict


def write_scores(out: Path, verdict: Verdict, about: dict[str, Any]) -> None:
    """Write ``scores.csv``, with a row per image, and ``scores.json``, with means and 95 % intervals."""
    write_csv(out / SCORES_CSV, verdict.rows())
    report = {
        "format_version": FORMAT_VERSION, **about, "scores": verdict.summary(), "intervals": verdict.intervals(),
    }  # fmt: skip
    write_text(out / SCORES_JSON, json_text(report))


def draw_pictures(
    out: Path, predictor: Predictor, pairs: Sequence[Pair], verdict: Verdict, examples: str = EXAMPLES
) -> None:
    """Draw best, median and worst images, as overlays (``examples``) and side by side, and the confusion matrix.

    ``pairs``: the scored pairs, in the order of ``verdict``.
    """
    counts = verdict.scores.counts
    draw_examples(out / examples, predictor, pairs, [each.dice for each in counts])
    draw_side_by_side(out / SIDE_BY_SIDE, predictor, pairs, counts)
    draw_confusion(out / CONFUSION, verdict.scores.pooled(), len(counts))
