"""Remarks on the teacher of a run, and on the weights that it starts from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from seglab.words import counted

if TYPE_CHECKING:
    from seglab.data.splits import Split
    from seglab.networks.normalisation import Normalisation
    from seglab.recipes.recipe import Recipe


def teacher_remarks(recipe: Recipe, split: Split) -> Iterator[str]:
    """Yield a warning if validation or test images of this run are, or may be, training images of the teacher."""
    if not recipe.teacher:
        return
    known = _learned_from(Path(recipe.teacher))
    judges = [pair.id for pair in (*split.validation, *split.test)]
    seen = sum(id in known for id in judges)
    if not known:
        yield f"{recipe.teacher} does not name its training images; validation images may be among them."
    elif seen:
        yield (
            f"The teacher {recipe.teacher} was trained on {seen:,} of the {counted(len(judges), 'image')} that "
            "validate or test here, so the scores will be too high. Train a teacher with this run's --split-file, or "
            "name another."
        )


def start_remarks(recipe: Recipe) -> Iterator[str]:
    """Yield a warning where the first weights of a new run were trained with another normalisation."""
    from seglab.networks.normalisation import NORMALISATION, Normalisation
    from seglab.networks.pretraining import learned_with

    learned = learned_with(recipe)
    if learned is None or learned == Normalisation(*NORMALISATION[recipe.normalise]):
        return
    source = f"init={recipe.init}" if recipe.init else f"encoder_weights={recipe.encoder_weights}"
    name = _name_of(learned)
    way = f"For the same normalisation: --set normalise={name}" if name else "No `normalise` of a recipe is the same."
    yield (
        f"The weights of {source} were trained on pixels normalised by mean {_numbers(learned.mean)} and deviation "
        f"{_numbers(learned.std)}; this run has normalise={recipe.normalise}. {way}"
    )


def _name_of(wanted: Normalisation) -> str | None:
    from seglab.networks.normalisation import NORMALISATION

    return next((name for name, values in NORMALISATION.items() if values == (wanted.mean, wanted.std)), None)


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _learned_from(path: Path) -> frozenset[str]:
    """Return the ids that a checkpoint was trained on, by itself or by the split beside it; none if unknown."""
    from seglab.data.splits import read_split
    from seglab.errors import SeglabError
    from seglab.networks.checkpoints import load_checkpoint
    from seglab.training.run_folder import SPLIT

    kept = load_checkpoint(path).training.get("split")
    if isinstance(kept, dict) and kept.get("training"):
        return frozenset(kept["training"])
    try:
        return frozenset(read_split(path.parent / SPLIT)["training"])
    except SeglabError:
        return frozenset()
