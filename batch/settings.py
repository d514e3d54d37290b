"""The settings of a run."""

from __future__ import annotations

import hashlib
import json
import os
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.failure_limit import FailureLimit
from batch.naming import DEFAULT_NAME, NameTemplate
from batch.urls import public_url
from export.runtime.device import check_asked
from seglab.errors import ConfigError
from seglab.images.formats import MAX_PIXELS

MASK_RULE = 1
"""Raise this if a new release computes other masks from the same model, so that old masks are made again.

Rounding is no reason: a million masks would be made again for a few pixels at their borders. The versions that made a
mask are in the ledger, in ``tools`` of its run.
"""
KEY_DIGITS = 16
DEFAULT_MASK_BITS = 8
LABEL_BITS = 8
"""Bits per pixel of label maps, which hold class numbers."""
PROB_FORMATS = ("png", "npy")
POSTPROCESSING = ("largest", "fill")


Names = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""One path or string, or several."""


@dataclass(frozen=True)
class RunSettings:
    """Settings of one run over an archive.

    - ``sources``: one or several folders, files, archives, patterns, URLs, or ``-`` (a tar or list on standard input).
    - ``out``: folder for masks and ledger, or an archive to write (``.zip``, ``.tar``), or a URL.
    - ``model``: None means the model that comes with the package.
    - ``device``: one, or several, comma-separated.
    - ``compute``: ``fp32``, ``bf16``, or None for the fastest that passes its gate.
    - ``exact``: decode images whole and resize inside the graph.
    - ``name``: template of mask names. ``pseudonymise``: name masks by pseudonyms instead, and name no image in what
      is made from them to be handed on.
    - ``mask_bits``: 1 or 8 bits per pixel; None means as in the output's last run, else 8.
    - ``overlays``: folder for overlays, or None.
    - ``batch``: images per model call. ``workers``: decoding threads. None: chosen by the device and the cores.
    - ``limit``: do at most this many images in this run; None: all.
    - ``files_from``: lists of files.
    - ``postprocess``: steps to clean masks, ``largest`` and ``fill``.
    - ``max_failures``: stop when more images have failed than this, ``20`` or ``5%``; None: never.
    - ``ledger``: folder of the ledger, if it is not in or beside ``out``.
    - ``profile``: file for a trace of all threads.
    - ``probs``: folder for probability maps, or None. ``probs_format``: png or npy.
    - ``max_pixels``: larger images fail before they are decoded.
    - ``processes``: worker processes per device; None: one per CPU core, one per GPU.
    - ``checksum``: identify images by SHA-256 instead of size and modification time.
    - ``zip_encoding``: of names in zips that are not marked as UTF-8; None: UTF-8 if they are valid UTF-8, else the
      system's encoding, else cp437.
    - ``any_dicom``: also take DICOM objects that are not photographs.
    - ``timeout``: seconds that one image may take before its process is ended.
    - ``sample``: draw this many images at random, with ``seed``, and do only those; the rest is left for later runs.

    Raises :class:`ConfigError` for invalid values.
    """

    sources: Names
    out: str | Path
    model: Path | None = None
    device: str = "auto"
    compute: str | None = None
    exact: bool = False
    name: str = DEFAULT_NAME
    pseudonymise: bool = False
    mask_bits: int | None = None
    overlays: Path | None = None
    batch: int | None = None
    workers: int | None = None
    limit: int | None = None
    files_from: Names = ()
    postprocess: tuple[str, ...] = ()
    max_failures: str | None = None
    ledger: Path | None = None
    profile: Path | None = None
    probs: Path | None = None
    probs_format: str = "png"
    max_pixels: int = MAX_PIXELS
    processes: int | None = None
    checksum: bool = False
    zip_encoding: str | None = None
    any_dicom: bool = False
    timeout: float = 120.0
    sample: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        self._take_paths_and_texts()
        NameTemplate(self.name)
        if self.pseudonymise and self.name != DEFAULT_NAME:
            raise ConfigError(
                f"pseudonymise is set, and name is {self.name!r}; expected one of them, since pseudonyms are whole "
                "names. Leave out --name or --pseudonymise."
            )
        for device in self.devices:
            check_asked(device, self.compute)
        _require_gpus(self.devices)
        if self.max_failures is not None:
            FailureLimit.of(self.max_failures)
        _require_encoding(self.zip_encoding)
        if not self.sources and not self.files_from:
            raise ConfigError(
                "No source was named; expected folders, image files, archives, patterns or URLs. Name at least one."
            )
        if self.mask_bits not in (1, 8, None):
            raise ConfigError(f"mask_bits is {self.mask_bits}; expected 1 or 8. Correct --mask-bits.")
        if self.probs_format not in PROB_FORMATS:
            raise ConfigError(f"{self.probs_format!r} is not a map format; expected {' or '.join(PROB_FORMATS)}.")
        self._require_steps_and_numbers()

    def _require_steps_and_numbers(self) -> None:
        for step in self.postprocess:
            if step not in POSTPROCESSING:
                raise ConfigError(
                    f"{step!r} is not a mask step; expected {' or '.join(POSTPROCESSING)}. Correct --postprocess."
                )
        if not self.timeout > 0:
            raise ConfigError(f"timeout is {self.timeout}; expected more than 0 seconds. Correct --timeout.")
        for name in ("batch", "workers", "limit", "max_pixels", "processes", "sample", "seed"):
            value, least = getattr(self, name), 0 if name == "seed" else 1
            if value is not None and value < least:
                raise ConfigError(f"{name} is {value}; expected at least {least}. Correct --{name.replace('_', '-')}.")

    def _take_paths_and_texts(self) -> None:
        for field in ("sources", "files_from"):
            object.__setattr__(self, field, _names(field, getattr(self, field)))
        for field in ("model", "overlays", "ledger", "profile", "probs"):
            if getattr(self, field) is not None:
                object.__setattr__(self, field, Path(getattr(self, field)))

    @property
    def source_names(self) -> tuple[str, ...]:
        """Return ``sources`` as strings."""
        return _names("sources", self.sources)

    @property
    def list_names(self) -> tuple[str, ...]:
        """Return ``files_from`` as strings."""
        return _names("files_from", self.files_from)

    @property
    def devices(self) -> tuple[str, ...]:
        """Return the names of the devices."""
        return tuple(self.device.split(","))

    @property
    def bits(self) -> int:
        """Return the bits per pixel of masks, if no earlier run decides."""
        return self.mask_bits or DEFAULT_MASK_BITS

    def key(self, model_sha256: str, precision: str) -> str:
        """Return a short hash of everything that changes a mask's pixels or file; under another key, images are redone.

        It holds the precision and not the device: the same precision on another device gives the same masks up to
        rounding, another precision does not. Names are not in it: an output keeps the template that it began with.
        """
        decisive = [MASK_RULE, model_sha256, precision, self.exact, self.bits, *self.postprocess]
        if self.any_dicom:  # adds images, or changes their pixels; without it keys stay as they were
            decisive.append("any_dicom")
        return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:KEY_DIGITS]

    def to_json(self) -> dict[str, Any]:
        """Return the settings as the ledger stores them: URLs without passwords and signatures."""
        return {name: _kept(value) for name, value in vars(self).items()}


def _kept(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(map(_kept, value))
    return public_url(str(value)) if isinstance(value, (str, Path)) else value


def _names(field: str, value: object) -> tuple[str, ...]:
    """Return one path or a sequence of paths as strings. Raises :class:`ConfigError` for anything else."""
    entries = [value] if isinstance(value, (str, bytes, os.PathLike)) or not isinstance(value, Iterable) else value
    try:
        names = tuple(map(os.fsdecode, entries))
    except TypeError as error:
        shown = reprlib.repr(value)  # it may be pixels
        raise ConfigError(f"{field} is {shown}; expected a path or a string, or a sequence of them.") from error
    if "" in names:
        raise ConfigError(f"{field} has an empty string; expected a path. '.' is the current folder.")
    return names


def _require_gpus(devices: Sequence[str]) -> None:
    """Raise :class:`ConfigError` if several devices are named and one of them is not a GPU by its number."""
    others = [device for device in devices if not device.startswith("cuda:")]
    if len(devices) > 1 and others:
        raise ConfigError(
            f"--device {','.join(devices)} names several devices; expected one, or several GPUs by their numbers "
            "(cuda:0,cuda:1). Name one device."
        )


def _require_encoding(name: str | None) -> None:
    """Raise :class:`ConfigError` if this is not the name of a text encoding."""
    if name is None:
        return
    try:
        b"a".decode(name, "surrogateescape")
    except (LookupError, ValueError) as error:  # unknown, not a text encoding, or a NUL byte
        raise ConfigError(
            f"{name!r} is not a text encoding; expected one like gbk, cp866, cp932 or utf-8. Correct --zip-encoding."
        ) from error
