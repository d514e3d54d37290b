"""Finding the dictionary of weights in a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seglab.errors import CheckpointError
from seglab.networks.foreign.pickles import SAVE_STATE, attributes_of, class_of, whole_network

KNOWN = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "net_state_dict", "weights", "params",
    "generator", "student", "ema", "model_ema", "ema_state_dict", "state_dict_ema", "ema_model", "params_ema", "module",
)  # fmt: skip
"""Names under which training loops save the weights, the most common first."""
NO_WEIGHTS = ("optim", "sched", "scaler", "loss", "criterion", "callback", "loops", "rng", "hyper_parameters")
"""Parts of names under which training loops save other things."""
DEEPEST = 4


def weights_in(path: Path, values: Any, wanted: str | None = None) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the tensors of the network in the content of a file, and notes on the choice, a clause each.

    ``wanted``: name of the dictionary, if the user gives it. Raises :class:`CheckpointError` where there are no
    weights; the message says what the file holds.
    """
    _refuse_network(path, values)
    found = dict(_dictionaries(values, ()))
    if wanted is not None:
        return _wanted(path, found, wanted), ()
    if not found:
        raise CheckpointError(_nothing(path, values))
    names = sorted(found, key=_rank)
    others = [".".join(name) for name in names[1:]]
    notes = []
    if names[0]:
        notes.append(f"the weights under {'.'.join(names[0])!r} are taken")
    if others:
        notes.append(f"there are others under {', '.join(map(repr, others))}, which --weights NAME takes")
    return found[names[0]], tuple(notes)


def _wanted(path: Path, found: dict[tuple[str, ...], dict[str, Tensor]], wanted: str) -> dict[str, Tensor]:
    for name, tensors in found.items():
        if wanted in (".".join(name), name[-1] if name else ""):
            return tensors
    there = ", ".join(repr(".".join(name)) for name in found if name)
    if not there:
        raise CheckpointError(
            f"{path} has no weights under {wanted!r}: its tensors lie at the top, under no name. Leave --weights out; "
            "of several networks side by side, save one alone."
        )
    raise CheckpointError(
        f"{path} has no weights under {wanted!r}; expected one of: {there}. Name that with --weights."
    )


def _rank(name: tuple[str, ...]) -> tuple[int, int]:
    last = next((part for part in reversed(name) if part in KNOWN), None)
    first = name[0] if name else None
    place = KNOWN.index(first) if first in KNOWN else KNOWN.index(last) if last else len(KNOWN)
    return (-1 if not name else place), len(name)


def _dictionaries(values: Any, name: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """Yield dictionaries that look like weights of a network: tensors by name, at least one like a convolution's."""
    if not isinstance(values, Mapping) or len(name) > DEEPEST:
        return
    tensors = {
        key: tensor for key, value in values.items() if isinstance(key, str) and (tensor := _tensor(value)) is not None
    }
    if any(tensor.dim() >= 2 for tensor in tensors.values()) and _is_named(tensors, values):
        yield name, tensors
        return
    for key, value in values.items():
        if isinstance(key, str) and not any(part in key.lower() for part in NO_WEIGHTS):
            yield from _dictionaries(value, (*name, key))


def _is_named(tensors: Mapping[str, Tensor], values: Mapping[Any, Any]) -> bool:
    return any("." in key for key in tensors) or len(tensors) == len(values)


def _tensor(value: Any) -> Tensor | None:
    """Return the value as a tensor, floats in fp32; None for values that are no tensors."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        value = torch.from_numpy(value)
    if not isinstance(value, Tensor) or value.is_quantized or value.layout != torch.strided:
        return None
    return value.detach().float() if value.is_floating_point() else value.detach()


def _refuse_network(path: Path, values: Any) -> None:
    """Raise :class:`CheckpointError` for a pickled network, also under a common name: opening it would run code."""
    places = [("", values)]
    if isinstance(values, Mapping) and not class_of(values):
        places += [(name, values[name]) for name in KNOWN if name in values]
    if any(True for _ in _dictionaries(values, ())) and class_of(values) is None:
        return
    for name, value in places:
        if class_of(value) and "_parameters" in attributes_of(value):
            raise whole_network(path, f" ({class_of(value)})", name)


def _nothing(path: Path, values: Any) -> str:
    """Return the message for a file without weights."""
    if isinstance(values, Tensor):
        what = f"a single tensor {tuple(values.shape)}"
    elif class_of(values):
        what = f"an object of {class_of(values)}, which is not opened: that would run code from the file"
    elif isinstance(values, Mapping):
        what = _of_dictionary(values)
    elif isinstance(values, list | tuple):
        what = f"a {type(values).__name__} of {len(values)} entries"
    else:
        what = f"a {type(values).__name__}"
    return f"{path} holds {what}; expected the weights of a network: tensors by name. {SAVE_STATE}"


def _of_dictionary(values: Mapping[Any, Any]) -> str:
    if not values:
        return "an empty dictionary"
    if "param_groups" in values and "state" in values:
        return "the state of an optimiser, and no weights"
    names = ", ".join(repr(str(key)) for key in list(values)[:6])
    more = ", ..." if len(values) > 6 else ""
    return f"a dictionary without weights (its entries are {names}{more})"
