"""Which settings a resumed run may change."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seglab.errors import ConfigError
from seglab.recipes.recipe import Recipe
from seglab.words import counted

MAY_CHANGE = frozenset({
    "epochs", "lr", "weight_decay", "batch", "val_batch", "workers", "precision", "compile", "patience",
    "plateau_patience", "plateau_factor", "augment", "rotate", "elastic", "jitter", "zoom_out", "gamma", "blur", "jpeg",
    "noise", "clip", "accumulate", "soft_masks", "soft_weight", "teacher", "teacher_weight",
})  # fmt: skip
"""Settings that may change for the remaining epochs. All others define the network, the data or the scores."""

Changes = dict[str, tuple[Any, Any]]
"""Values before and now, by the name of the setting."""


def changes_between(earlier: Recipe, now: Recipe) -> Changes:
    """Return the settings in which two recipes differ."""
    names = [field.name for field in dataclasses.fields(Recipe)]
    both = {name: (getattr(earlier, name), getattr(now, name)) for name in names}
    return {name: values for name, values in both.items() if values[0] != values[1]}


def require_may_change(path: Path, changes: Changes, recipe: Recipe, done: int) -> None:
    """Raise :class:`ConfigError` for changes that a run of ``done`` epochs may not make; ``path``: its checkpoint."""
    fixed = {name: values for name, values in changes.items() if name not in MAY_CHANGE}
    if fixed:
        raise ConfigError(
            f"{path} was trained with other settings: {'; '.join(described(fixed))}. These cannot change within a run. "
            "Resume without them, or start a new run with another --out."
        )
    if recipe.epochs < done:
        raise ConfigError(
            f"{path} already has {counted(done, 'epoch')}; expected epochs={done} or more, not {recipe.epochs}."
        )


def described(changes: Changes) -> list[str]:
    """Return a text for each change: name, value before, value now."""
    return [f"{name} ({before!r} before, {now!r} now)" for name, (before, now) in changes.items()]


def remarks(changes: Changes, recipe: Recipe, done: int) -> Iterator[str]:
    """Yield the lines that are printed before the first epoch with changed settings."""
    for line in described(changes):
        yield f"From epoch {done + 1}: {line}."
    if "epochs" in changes and recipe.schedule == "cosine":
        yield (
            f"The cosine schedule is stretched to {counted(recipe.epochs, 'epoch')}: the learning rate continues from "
            f"where it would be after {done} of {recipe.epochs}."
        )


def record_of(changes: Changes, done: int) -> dict[str, Any]:
    """Return the changes as plain values for checkpoints and ``settings.json``."""
    changed = {name: [_plain(value) for value in both] for name, both in changes.items()}
    return {"from_epoch": done + 1, "changed": changed}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
