"""The keyword arguments of ``seglab.segment``: their types, and the errors for wrong ones."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, NamedTuple, TypedDict

from batch.settings import Names, RunSettings
from seglab.errors import ConfigError
from seglab.option_names import PythonTerms

PathLike = str | os.PathLike[str]


class RunOptions(TypedDict, total=False):
    """Options of a run, named as the fields of :class:`batch.RunSettings`, where each is described."""

    model: PathLike | None
    device: str
    compute: str | None
    exact: bool
    name: str
    pseudonymise: bool
    mask_bits: int | None
    overlays: PathLike | None
    batch: int | None
    workers: int | None
    limit: int | None
    files_from: Names
    postprocess: str | Sequence[str]
    max_failures: str | int | None
    ledger: PathLike | None
    profile: PathLike | None
    probs: PathLike | None
    probs_format: str
    max_pixels: int
    processes: int | None
    checksum: bool
    zip_encoding: str | None
    any_dicom: bool
    timeout: float
    sample: int | None
    seed: int


def is_count(value: object) -> bool:
    """Return whether it is a whole number, of Python or NumPy."""
    return isinstance(value, Integral) and not isinstance(value, bool)


class _Kind(NamedTuple):
    """The check of an argument's value, and its description for messages."""

    holds: Callable[[Any], bool]
    words: str


_PATH = _Kind(lambda value: isinstance(value, str | os.PathLike) and value != "", "a path")
_LOCAL = _Kind(lambda value: _PATH.holds(value) and "://" not in str(value), "a path")
_TEXT = _Kind(lambda value: isinstance(value, str), "a string")
_SWITCH = _Kind(lambda value: isinstance(value, bool), "True or False")
_COUNT = _Kind(is_count, "a whole number")
_SECONDS = _Kind(lambda value: isinstance(value, int | float) and not isinstance(value, bool), "a number of seconds")
_LIMIT = _Kind(lambda value: _COUNT.holds(value) or _TEXT.holds(value), "a count, or a share like '5%'")
_STEPS = _Kind(
    lambda value: isinstance(value, list | tuple) and all(isinstance(step, str) for step in value),
    "a string like 'largest,fill', or a list of steps",
)
_ANYTHING = _Kind(lambda value: True, "")

KINDS: dict[str, _Kind] = {
    "out": _PATH,
    **dict.fromkeys(("model", "overlays", "ledger", "profile", "probs"), _LOCAL),
    **dict.fromkeys(("device", "compute", "name", "probs_format", "zip_encoding"), _TEXT),
    **dict.fromkeys(("exact", "checksum", "any_dicom", "pseudonymise"), _SWITCH),
    **dict.fromkeys(
        ("mask_bits", "batch", "workers", "limit", "max_pixels", "processes", "sample", "seed"), _COUNT
    ),
    **dict.fromkeys(("sources", "files_from"), _ANYTHING),  # RunSettings checks them
    "timeout": _SECONDS, "max_failures": _LIMIT, "postprocess": _STEPS,
}  # fmt: skip


def settings_of(sources: Names, out: PathLike, options: Mapping[str, Any]) -> RunSettings:
    """Return the settings of a run. Raises :class:`ConfigError` for a wrong type or a wrong value."""
    if "seed" in options and options.get("sample") is None:
        raise ConfigError("seed was given without sample; expected both. Add sample=N, or leave out seed.")
    values = {"sources": sources, "out": out, **options}
    if isinstance(values.get("postprocess"), str):
        values["postprocess"] = [step for step in values["postprocess"].split(",") if step]
    for name, value in values.items():
        _require(name, value)
        if is_count(value):
            values[name] = int(value)  # JSON cannot hold NumPy numbers
    if values.get("max_failures") is not None:
        values["max_failures"] = str(values["max_failures"])
    if "postprocess" in values:
        values["postprocess"] = tuple(values["postprocess"])
    return RunSettings(**values)


def _require(name: str, value: object) -> None:
    may_be_none = OPTIONS.get(name, dataclasses.MISSING) is None
    if not (KINDS[name].holds(value) or (value is None and may_be_none)):
        also = ", or None" if may_be_none else ""
        raise ConfigError(f"{name} is {value!r}; expected {KINDS[name].words}{also}.")


OPTIONS: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(RunSettings)}
TERMS = PythonTerms("seg-batch run", OPTIONS)
