"""Adapt a run's settings to a model of several classes, whose masks are label maps."""

from __future__ import annotations

from dataclasses import replace

from batch.errors import printable
from batch.executors.base import Opened
from batch.ledger.records import in_words
from batch.settings import LABEL_BITS, RunSettings
from export.errors import ContractError
from seglab.errors import ConfigError

MOST_CLASSES = 2**LABEL_BITS


def fit_to_classes(settings: RunSettings, asked: RunSettings, opened: Opened) -> RunSettings:
    """Return the settings for the model's number of classes: label maps have 8 bits, whatever masks had before.

    ``asked``: the settings before earlier runs were considered. Raises :class:`ConfigError` for options that label maps
    do not support, and :class:`ContractError` for more classes than 8 bits can number.
    """
    count = opened.contract.classes
    if count == 1:
        return settings
    if count > MOST_CLASSES:
        raise ContractError(
            f"{printable(str(opened.path))} has {count} classes; expected at most {MOST_CLASSES}, as a label map has "
            "8 bits. Use the graph's output `prob`."
        )
    senseless = {
        "--mask-bits 1": asked.mask_bits == 1,
        "--postprocess": bool(asked.postprocess),
        "--probs": asked.probs is not None,
    }
    for option in (option for option, is_asked in senseless.items() if is_asked):
        raise ConfigError(
            f"{option} needs a model with one class, and {printable(str(opened.path))} has {count} "
            f"({in_words(opened.contract.class_names)}), so masks are label maps of 8 bits. Leave out {option}, or "
            "choose another model."
        )
    return replace(settings, mask_bits=LABEL_BITS)
