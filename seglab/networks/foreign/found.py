"""The content of a foreign network file, before its architecture is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from seglab.words import counted

STATE, LIGHTNING, SAFETENSORS, FOLDER = "state dictionary", "Lightning checkpoint", "safetensors file", "smp folder"
SCRIPT, PROGRAM = "torchscript", "torch.export"
"""Kinds of files. The last two are run as they are and are also names of architectures."""
PROGRAMS = (SCRIPT, PROGRAM)


@dataclass(frozen=True)
class Settings:
    """What a file says about its network beside the tensors; None or empty where it says nothing.

    ``arch``: one of :data:`seglab.recipes.recipe.ARCHITECTURES`. ``options``: of its constructor. ``activation``: the
    last one, by smp's name.
    """

    arch: str | None = None
    encoder: str | None = None
    classes: int | None = None
    in_channels: int | None = None
    activation: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """A foreign network file.

    ``kind``: one of the kinds above. ``tensors``: by their names in the file; empty for a program. ``file``: the file
    with the weights, where ``path`` is a folder. ``notes``: remarks on how it was read, a clause each. ``name``: name
    of the dictionary of weights that the user asked for.
    """

    path: Path
    kind: str
    file: Path
    tensors: dict[str, Tensor] = field(default_factory=dict)
    settings: Settings = Settings()
    notes: tuple[str, ...] = ()
    name: str | None = None

    def __str__(self) -> str:
        """Return a description such as ``a state dictionary of 278 tensors``."""
        if self.kind in PROGRAMS:
            return "a TorchScript file" if self.kind == SCRIPT else "a torch.export file"
        article = "an" if self.kind == FOLDER else "a"
        return f"{article} {self.kind} of {counted(len(self.tensors), 'tensor')}"
