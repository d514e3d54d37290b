"""What was found in a file of somebody else's network, before it is known what it belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from seglab.words import counted

STATE, LIGHTNING, SAFETENSORS, FOLDER = "state dictionary", "Lightning checkpoint", "safetensors file", "smp folder"
SCRIPT, PROGRAM = "torchscript", "torch.export"
"""Kinds of files; the last two run as they are, and are names of architectures as well."""
PROGRAMS = (SCRIPT, PROGRAM)


@dataclass(frozen=True)
class Settings:
    """What a file says of its network beside the tensors; None or empty where it says nothing.

    ``arch``: as :data:`seglab.recipes.recipe.ARCHITECTURES` has it. ``options``: of its constructor.
    ``activation``: what stands at its end, as smp names it.
    """

    arch: str | None = None
    encoder: str | None = None
    classes: int | None = None
    in_channels: int | None = None
    activation: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """A file of somebody else's network.

    ``kind``: one of the kinds above. ``tensors``: by the names that the file has; none of a program. ``file``: the file
    with the weights, where ``path`` is a folder. ``notes``: what is to be said of how it was read, a clause
    each. ``name``: of the dictionary of weights that was asked for.
    """

    path: Path
    kind: str
    file: Path
    tensors: dict[str, Tensor] = field(default_factory=dict)
    settings: Settings = Settings()
    notes: tuple[str, ...] = ()
    name: str | None = None

    def __str__(self) -> str:
        """Say what it is, as ``a state dictionary of 278 tensors``."""
        if self.kind in PROGRAMS:
            return "a TorchScript file" if self.kind == SCRIPT else "a torch.export file"
        article = "an" if self.kind == FOLDER else "a"
        return f"{article} {self.kind} of {counted(len(self.tensors), 'tensor')}"
