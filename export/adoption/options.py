"""Check the user's options against the network that is adopted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from export.adoption.entry import GREY, Entry
from export.adoption.head import KINDS, Head
from export.adoption.values import Kind
from export.adoption.wrapping import PIXEL_MEAN, PIXEL_STD, Wrapping
from export.errors import ContractError
from seglab.errors import ConfigError

if TYPE_CHECKING:
    from onnx import ModelProto

FLOATS = (1, 10, 11, 16)
"""Numbers of element types in ``TensorProto``: float, float16, double, bfloat16."""


def name_and_kind(model: ModelProto, words: Sequence[str]) -> tuple[str | None, str | None]:
    """Return the output's name and the kind of its values from the words given to ``--output``; None if not given.

    One of several outputs may be called ``logits``. For a network with one output such a word is the kind, unless the
    output can only be labels or the word is given twice. Raises :class:`seglab.errors.ConfigError` for two names or two
    kinds.
    """
    outputs = model.graph.output
    inside = {name for node in model.graph.node for name in node.output}
    names = {entry.name for entry in outputs} if len(outputs) > 1 else set()
    if len(outputs) == 1 and outputs[0].type.tensor_type.elem_type not in FLOATS:
        names = inside  # labels have no kind
    name: str | None = None
    kind: str | None = None
    for word in words:
        is_twice = words.count(word) > 1 and word in inside
        is_name = word not in KINDS or (name is None and (word in names or is_twice))
        if (name if is_name else kind) is not None:
            raise ConfigError(
                f"--output is {', '.join(words)}; expected at most one output's name and one of {', '.join(KINDS)}. "
                "Leave the others out."
            )
        if is_name:
            name = word
        else:
            kind = word
    return name, kind


def require_feeding(source: Path, entry: Entry, wrapping: Wrapping) -> None:
    """Raise :class:`seglab.errors.ConfigError` for a normalisation that does not fit the network's input."""
    if entry.takes_pixels and (wrapping.mean, wrapping.std) != (PIXEL_MEAN, PIXEL_STD):
        raise ConfigError(
            f"{source} takes pixels 0-255 (its input {entry.name!r} is uint8), which are not normalised. Leave out "
            "--mean, --std and --input-range."
        )
    if entry.channels == GREY and (len(set(wrapping.mean)) > 1 or len(set(wrapping.std)) > 1):
        raise ConfigError(
            f"{source} takes grey images (its input {entry.name!r} has one channel); expected one number for --mean "
            "and one for --std, or --mean 0-1, 0-255 or -1..1."
        )
    if entry.channels == GREY and wrapping.channels == "bgr":
        raise ConfigError(f"{source} takes grey images, which have no channel order. Leave out --channels.")


def require_classes(source: Path, head: Head, kind: Kind, wrapping: Wrapping) -> None:
    """Raise :class:`ContractError` or :class:`seglab.errors.ConfigError` if classes and their names do not agree."""
    names, lesion, count = wrapping.class_names, wrapping.lesion_class, head.classes
    what = f"The output {head.name!r} of {source} has {count} class{'es' if count > 1 else ''}"
    if lesion is not None:
        if not 0 <= lesion < count or count == 1:
            way = f"Name one from 0 to {count - 1}" if count > 1 else "Leave it out"
            raise ConfigError(f"{what}, and --lesion-class is {lesion}; expected one of them. {way}.")
        if len(names) > 1:
            raise ConfigError(
                f"--lesion-class {lesion} makes a mask of one class, and --classes names {len(names)}; expected one "
                "name. Leave out --classes or --lesion-class."
            )
        return
    if count > 1 and len(names) == 1:
        number = 1 if count == 2 else "N"
        all_of_them = f", or name all {count} with --classes for a mask of class numbers" if kind.exclusive else ""
        raise ContractError(
            f"{what}; expected one, or the number of the lesion's class. Use --lesion-class {number} (0 is usually the "
            f"background){all_of_them}."
        )
    if len(names) != count:
        raise ConfigError(
            f"{what}, and --classes names {len(names)}; expected {count}. Name each class once, separated by commas."
        )
    if count > 1 and not kind.exclusive:
        raise ContractError(
            f"{what}, whose probabilities do not add up to 1; expected classes that exclude each other. Use "
            "--lesion-class N for one of them, or --output logits if they are not probabilities."
        )
