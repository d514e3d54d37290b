"""Types and ranges of the contract's fields, checked whatever tool wrote the file."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from export.tolerances import PRECISIONS

MOST = 10
"""Limit for mean and std on the scale 0-1: larger numbers are meant for pixels on 0-255."""

Check = Callable[[Any], bool]


def is_number(value: Any) -> bool:
    """Return whether ``value`` is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value: Any, least: int = 0) -> bool:
    """Return whether ``value`` is a whole number of at least ``least``."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_text(value: Any) -> bool:
    """Return whether ``value`` is a string."""
    return isinstance(value, str)


def is_name(value: Any) -> bool:
    """Return whether ``value`` is a string that is not blank."""
    return isinstance(value, str) and bool(value.strip())


def is_mean(value: Any) -> bool:
    """Return whether ``value`` has a number for each of three channels, on the scale 0-1."""
    return isinstance(value, tuple) and len(value) == 3 and all(is_number(each) and abs(each) <= MOST for each in value)


def is_std(value: Any) -> bool:
    """Return whether ``value`` is as for :func:`is_mean`, with all numbers above 0."""
    return is_mean(value) and all(each > 0 for each in value)


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and all(is_text(key) for key in value)


def _are_names(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(map(is_name, value)) and len(set(value)) == len(value)


def _is_one_of(*values: str) -> tuple[Check, str]:
    return lambda value: is_text(value) and value in values, " or ".join(values)


def _is_member(value: Any) -> bool:
    """Return whether ``value`` describes one network of an ensemble."""
    return (
        _is_record(value)
        and is_name(value.get("arch"))
        and (value.get("encoder") is None or is_text(value["encoder"]))
        and is_mean(tuple(value.get("mean") or ()))
        and is_std(tuple(value.get("std") or ()))
        and is_text(value.get("checkpoint_sha256"))
        and value.get("output", "logits") in ("logits", "probabilities")
        and value.get("channels", "rgb") in ("rgb", "bgr")
        and (value.get("lesion_class") is None or is_count(value["lesion_class"]))
        and _is_record(value.get("options", {}))
    )


def _is_quantisation(value: Any) -> bool:
    if value == {}:
        return True
    layers = value.get("float_layers") if _is_record(value) else None
    return isinstance(layers, list) and all(map(is_text, layers)) and is_count(value.get("layers"))


def _is_suitable(value: Any) -> bool:
    """Return whether ``value`` describes the output ``suitable``, or is empty."""
    if value == {}:
        return True
    return (
        _is_record(value)
        and is_number(value.get("threshold"))
        and 0 < value["threshold"] < 1
        and all(map(is_number, value.values()))
    )


def _is_parity(value: Any) -> bool:
    """Return whether ``value`` is empty or a summary (:meth:`export.proof.report.ParityReport.summary`)."""
    if not _is_record(value):
        return False
    if not value:
        return True
    texts = ("source", "device", "precision", "whole_on")
    figures = value.get("figures")
    if not (isinstance(value.get("passed"), bool) and is_count(value.get("images")) and isinstance(figures, dict)):
        return False
    measured = all(
        _is_record(feed) and all(isinstance(number, int | float) for number in feed.values())
        for feed in figures.values()
    )
    return (
        measured
        and all(is_text(value.get(name)) for name in texts)
        and all(
            {"mean_dice", "worst_dice"} <= feed.keys() for name, feed in figures.items() if name in ("whole", "batch")
        )
    )


CHECKS: Mapping[str, tuple[Check, str]] = {
    "arch": (is_name, "the network's name"),
    "encoder": (lambda value: value is None or is_text(value), "a name, or null"),
    "options": (_is_record, "the arguments of its constructor, by name"),
    "size": (lambda value: is_count(value, 1), "a whole number of pixels"),
    "mean": (is_mean, "three numbers for pixels on the scale 0-1"),
    "std": (is_std, "three numbers above 0 for pixels on the scale 0-1"),
    "threshold": (lambda value: is_number(value) and 0 < value < 1, "a number between 0 and 1"),
    "opset": (lambda value: is_count(value, 1), "a whole number"),
    "checkpoint_sha256": (is_text, "hexadecimal digits"),
    "hair_removal": (lambda value: isinstance(value, bool), "true or false"),
    "tta": _is_one_of("none", "flips", "symmetries"),
    "output": _is_one_of("logits", "probabilities"),
    "channels": _is_one_of("rgb", "bgr"),
    "lesion_class": (lambda value: value is None or is_count(value), "the number of a class, or null"),
    "ensemble": (
        lambda value: isinstance(value, tuple) and len(value) != 1 and all(map(_is_member, value)),
        "nothing, or the descriptions of several networks",
    ),
    "precision": _is_one_of(*PRECISIONS),
    "class_names": (_are_names, "different names"),
    "quantisation": (_is_quantisation, "nothing, or the layers that stayed in fp32"),
    "adopted": (_is_record, "nothing, or how the network that was adopted is fed"),
    "training": (_is_record, "named values"),
    "suitable": (_is_suitable, "nothing, or numbers, among them a threshold between 0 and 1"),
    "parity": (_is_parity, "nothing, or the figures of a parity report"),
    "tools": (lambda value: _is_record(value) and all(map(is_text, value.values())), "versions by name"),
    "licence": (is_text, "text"),
    "colour_space": _is_one_of("sRGB"),
    "format_version": (lambda value: is_count(value, 1), "a whole number"),
    "graph_sha256": (
        lambda value: is_text(value) and re.fullmatch("([0-9a-f]{64})?", value) is not None,
        "64 hexadecimal digits",
    ),
}
"""For each field: its check, and what is expected in words."""
